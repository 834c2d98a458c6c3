//! A recorder that keeps what it is told, for one thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// What was recorded, by name and labels: `name{label=value,...}`, labels in order.
#[derive(Default)]
pub(crate) struct Recorded {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Values>>>,
    described: Mutex<BTreeMap<String, Option<Unit>>>,
}

#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().expect("nobody panics").push(value);
    }
}

/// One way in which a metric was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Counter,
    Gauge,
    Histogram,
}

impl Recorded {
    /// Runs something whose metrics are recorded here.
    pub(crate) fn during<T>(&self, run: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(self, run)
    }

    /// The sum of a counter over all labels that are not among these.
    pub(crate) fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let counters = self.counters.lock().expect("nobody panics");
        let fitting = counters.iter().filter(|(key, _)| fits(key, name, labels));
        fitting.map(|(_, value)| value.load(Ordering::Relaxed)).sum()
    }

    /// The gauge of this name, of which there must be one.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        let gauges = self.gauges.lock().expect("nobody panics");
        let mut fitting = gauges.iter().filter(|(key, _)| fits(key, name, &[]));
        let (_, value) = fitting.next().unwrap_or_else(|| panic!("there is no gauge {name}"));
        assert!(fitting.next().is_none(), "there are several of {name}");
        f64::from_bits(value.load(Ordering::Relaxed))
    }

    /// All values of a histogram, in the order in which they came.
    pub(crate) fn histogram(&self, name: &str) -> Vec<f64> {
        let histograms = self.histograms.lock().expect("nobody panics");
        let fitting = histograms.iter().filter(|(key, _)| fits(key, name, &[]));
        fitting.flat_map(|(_, values)| values.0.lock().expect("nobody panics").clone()).collect()
    }

    /// What was recorded at all: way, name, and the names of the labels in order.
    pub(crate) fn known(&self) -> Vec<(Way, String, Vec<String>)> {
        let ways = [
            (
                Way::Counter,
                self.counters.lock().expect("nobody panics").keys().cloned().collect::<Vec<_>>(),
            ),
            (Way::Gauge, self.gauges.lock().expect("nobody panics").keys().cloned().collect()),
            (
                Way::Histogram,
                self.histograms.lock().expect("nobody panics").keys().cloned().collect(),
            ),
        ];
        let mut known = Vec::new();
        for (way, keys) in ways {
            for key in keys {
                let (name, labels) = key.trim_end_matches('}').split_once('{').expect("a key");
                let labels = labels.split("; ").filter_map(|label| label.split_once('='));
                let labels = labels.map(|(label, _)| label.to_owned()).collect();
                known.push((way, name.to_owned(), labels));
            }
        }
        known.sort();
        known.dedup();
        known
    }

    /// The units that were described, by name.
    pub(crate) fn described(&self) -> BTreeMap<String, Option<Unit>> {
        self.described.lock().expect("nobody panics").clone()
    }

    fn describe(&self, name: KeyName, unit: Option<Unit>) {
        self.described.lock().expect("nobody panics").insert(name.as_str().to_owned(), unit);
    }
}

fn fits(key: &str, name: &str, labels: &[(&str, &str)]) -> bool {
    let Some((found, rest)) = key.trim_end_matches('}').split_once('{') else { return false };
    let has = |(label, value): &(&str, &str)| {
        rest.split("; ").any(|it| it.split_once('=') == Some((label, value)))
    };
    found == name && labels.iter().all(has)
}

fn text(key: &Key) -> String {
    let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
    format!("{}{{{}}}", key.name(), labels.collect::<Vec<_>>().join("; "))
}

impl Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock().expect("nobody panics");
        Counter::from_arc(Arc::clone(counters.entry(text(key)).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock().expect("nobody panics");
        Gauge::from_arc(Arc::clone(gauges.entry(text(key)).or_default()))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut histograms = self.histograms.lock().expect("nobody panics");
        Histogram::from_arc(Arc::clone(histograms.entry(text(key)).or_default()))
    }
}
