//! What many runs add up to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use buffer_core::hooks::Point;
use buffer_sim::swarm::Report;

/// A seed with fewer acknowledged entries than this shows little, and does not count where seeds are counted.
pub(crate) const ENOUGH_ENTRIES: u64 = 20;

/// How often something was met, and in how many seeds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    pub(crate) times: u64,
    pub(crate) seeds: u64,
    pub(crate) first: Option<u64>,
}

impl Met {
    fn add(&mut self, times: u64, seed: u64) {
        if times == 0 {
            return;
        }
        self.times += times;
        self.seeds += 1;
        self.first = Some(self.first.map_or(seed, |first| first.min(seed)));
    }
}

/// What many runs add up to.
#[derive(Debug)]
pub(crate) struct Tally {
    started: (Instant, Duration),
    /// How long it took, and how much of the processor.
    pub(crate) took: (Duration, Duration),
    pub(crate) seeds: u64,
    /// Those that acknowledged enough entries.
    pub(crate) counted: u64,
    pub(crate) simulated: Duration,
    /// Sums of the reports; what does not add up is not used.
    pub(crate) sum: Report,
    /// By name, in seeds that count.
    pub(crate) faults: BTreeMap<String, Met>,
    /// In the order of [`Point::ALL`]; empty where nothing is counted.
    pub(crate) reached: Vec<Met>,
}

impl Tally {
    pub(crate) fn start() -> Self {
        Self {
            started: (Instant::now(), processor_time()),
            took: Default::default(),
            seeds: 0,
            counted: 0,
            simulated: Duration::ZERO,
            sum: Report::default(),
            faults: BTreeMap::new(),
            reached: Vec::new(),
        }
    }

    pub(crate) fn stop(&mut self) {
        let (instant, processor) = self.started;
        self.took = (instant.elapsed(), processor_time().saturating_sub(processor));
    }

    pub(crate) fn failed(&mut self) {
        self.seeds += 1;
    }

    pub(crate) fn add(&mut self, seed: u64, report: &Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        let sum = &mut self.sum;
        sum.requests += report.requests;
        sum.large_swaps += report.large_swaps;
        sum.entries += report.entries;
        sum.submissions += report.submissions;
        sum.batches += report.batches;
        sum.listed_again += report.listed_again;
        sum.gaps += report.gaps;
        sum.unknown += report.unknown;
        sum.not_delivered += report.not_delivered;
        sum.epochs += report.epochs;
        sum.collected += report.collected;
        if !report.reached.is_empty() {
            self.reached.resize(Point::ALL.len(), Met::default());
        }
        for (met, times) in self.reached.iter_mut().zip(&report.reached) {
            met.add(*times, seed);
        }
        let counts = report.entries >= ENOUGH_ENTRIES;
        self.counted += u64::from(counts);
        for (name, times) in report.faults.iter().filter(|_| counts) {
            self.faults.entry((*name).to_owned()).or_default().add(*times, seed);
        }
    }
}

/// What this process has used of all cores.
#[cfg(unix)]
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Unknown here.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_counts_only_if_it_acknowledged_enough() {
        let mut tally = Tally::start();
        let faults = vec![("crash", 3), ("pause", 0)];
        let report = |entries| Report { entries, faults: faults.clone(), ..Report::default() };
        tally.add(7, &report(19));
        assert_eq!((tally.seeds, tally.counted, tally.faults.len()), (1, 0, 0));
        tally.add(9, &report(20));
        tally.add(8, &report(21));
        assert_eq!((tally.seeds, tally.counted), (3, 2));
        let Met { times, seeds, first } = tally.faults["crash"];
        assert_eq!((times, seeds, first), (6, 2, Some(8)));
        assert_eq!(tally.faults["pause"].seeds, 0);
        assert_eq!(tally.sum.entries, 60);
    }
}
