//! The dashboard for Grafana asks for what is exported, by labels that it has.

mod promql;

use std::collections::BTreeSet;

use buffer::metrics::{METRICS, Metric, MetricKind};
use promql::{Query, Selector, read};
use serde_json::Value;

const DASHBOARD: &str = include_str!("../grafana-dashboard.json");

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("it is JSON")
}

/// Every query of every panel, with the panel's title.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("there are panels");
    let mut queries = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("each panel has a title");
        let targets = panel["targets"].as_array().expect("each panel has queries");
        assert!(!targets.is_empty(), "{title} asks for nothing");
        for target in targets {
            let query = target["expr"].as_str().expect("each query is a text");
            queries.push((title.to_owned(), query.to_owned()));
        }
    }
    queries
}

/// The metric that a series is of, by its name for Prometheus, and what of it.
fn metric_of(name: &str) -> Result<(&'static Metric, Option<&str>), String> {
    for metric in METRICS {
        let written = metric.name.replace('.', "_");
        let part = name.strip_prefix(&*written);
        let fits = match (metric.kind, part) {
            (MetricKind::Counter | MetricKind::Gauge, Some("")) => Some(None),
            (MetricKind::Histogram, Some("_bucket" | "_sum" | "_count")) => Some(part),
            (MetricKind::Counter | MetricKind::Gauge | MetricKind::Histogram, _) => None,
        };
        if let Some(part) = fits {
            return Ok((metric, part));
        }
    }
    Err(format!("{name} is not exported"))
}

/// What is wrong with a selector, if anything is.
fn check(selector: &Selector, grouped_by: &[String]) -> Result<&'static str, String> {
    let (metric, part) = metric_of(&selector.name)?;
    let has = |label: &String| {
        metric.labels.contains(&&**label) || (part == Some("_bucket") && label == "le")
    };
    if let Some(label) = selector.labels.iter().chain(grouped_by).find(|label| !has(label)) {
        return Err(format!("{} has no label {label}", selector.name));
    }
    if !selector.labels.iter().any(|label| label == "queue") {
        return Err(format!("{} is asked for of all queues", selector.name));
    }
    let innermost = selector.within.first().map(String::as_str);
    let is_change = matches!(innermost, Some("rate" | "increase"));
    let rises = metric.kind != MetricKind::Gauge;
    if is_change != rises || selector.is_range != rises {
        return Err(format!("{} is a {:?}, and is read otherwise", selector.name, metric.kind));
    }
    let is_quantile = selector.within.iter().any(|function| function == "histogram_quantile");
    if is_quantile != (part == Some("_bucket")) {
        return Err(format!("{} is no histogram's buckets, or not read as such", selector.name));
    }
    Ok(metric.name)
}

fn check_query(query: &str) -> Result<Vec<&'static str>, String> {
    let Query { selectors, grouped_by } = read(query)?;
    selectors.iter().map(|selector| check(selector, &grouped_by)).collect()
}

#[test]
fn every_query_names_a_metric_that_is_exported() {
    let queries = queries(&dashboard());
    assert!(queries.len() > 30, "{}", queries.len());
    let mut shown = BTreeSet::new();
    for (title, query) in &queries {
        match check_query(query) {
            Ok(names) if names.is_empty() => panic!("{title}: {query} asks for nothing"),
            Ok(names) => shown.extend(names),
            Err(wrong) => panic!("{title}: {wrong}, in {query}"),
        }
    }
    // And nothing that is exported is left out.
    let exported: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, exported);
}

#[test]
fn the_queues_to_choose_from_are_those_of_metrics_that_there_are() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().expect("there are variables");
    let queue = variables.iter().find(|variable| variable["name"] == "queue").expect("it is one");
    let query = queue["query"]["query"].as_str().expect("it is a text");
    let (names, label) = query
        .strip_prefix("label_values({__name__=~\"buffer_(")
        .and_then(|rest| rest.strip_suffix(", queue)"))
        .and_then(|rest| rest.split_once(")\"}"))
        .expect("it asks for the queues of some metrics");
    assert_eq!(label, "");
    for name in names.split('|') {
        let (metric, _) = metric_of(&format!("buffer_{name}")).expect("it is exported");
        assert!(metric.labels.contains(&"queue"));
    }
}

#[test]
fn panels_have_names_and_places_of_their_own() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("there are panels");
    let mut seen = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let place = |side: &str| panel["gridPos"][side].as_u64().expect("it is a number");
        assert!(place("x") + place("w") <= 24, "{panel}");
        assert!(seen.0.insert(panel["id"].as_u64()), "{panel}");
        assert!(seen.1.insert((place("x"), place("y"))), "{panel}");
        let is_row = panel["type"] == "row";
        assert!(is_row || panel["datasource"]["uid"] == "${datasource}", "{panel}");
    }
}

#[test]
fn the_readme_tells_of_every_metric() {
    let readme = include_str!("../../../README.md");
    for metric in METRICS {
        let name = metric.name.strip_prefix("buffer.").expect("all have it");
        assert!(readme.contains(&format!("`{name}`")), "{name}");
        for label in metric.labels {
            assert!(readme.contains(&format!("`{label}`")), "{label} of {name}");
        }
    }
}

/// Goal: the checks above find what is wrong.
#[test]
fn wrong_queries_are_found_out() {
    let right = r#"sum by (queue) (rate(buffer_acks{queue=~"$queue"}[$__rate_interval]))"#;
    assert_eq!(check_query(right), Ok(vec!["buffer.acks"]));
    let quantile = r#"histogram_quantile(0.99, sum by (queue, le) (rate(buffer_flush_duration_seconds_bucket{queue="a"}[$i])))"#;
    assert_eq!(check_query(quantile), Ok(vec!["buffer.flush_duration_seconds"]));
    for (wrong, why) in [
        (r#"rate(buffer_akcs{queue="a"}[$i])"#, "buffer_akcs is not exported"),
        (r#"rate(buffer_acks_total{queue="a"}[$i])"#, "is not exported"),
        (r#"rate(buffer_flush_duration_seconds{queue="a"}[$i])"#, "is not exported"),
        (r#"buffer_acks{queue="a"}"#, "is a Counter"),
        (r#"rate(buffer_queue_length{queue="a"}[$i])"#, "is a Gauge"),
        (r#"rate(buffer_acks{queue="a"})"#, "is a Counter"),
        (r#"sum by (role) (rate(buffer_acks{queue="a"}[$i]))"#, "no label role"),
        (r#"rate(buffer_acks{queue="a", kind="b"}[$i])"#, "no label kind"),
        ("rate(buffer_acks[$i])", "of all queues"),
        (r#"rate(buffer_flush_duration_seconds_bucket{queue="a"}[$i])"#, "buckets"),
        (r#"rate(buffer_acks{queue="a"}[$i]"#, ") is missing"),
        (r#"rate(buffer_acks{queue="a"}[$i])) "#, "too much"),
        (r#"rate(buffer_acks{queue}[$i])"#, "no value"),
        (r#"sum by () (buffer_queue_length{queue="a"})"#, "no label"),
        (r#"buffer_queue_length{queue="a}"#, "does not end"),
        ("buffer_queue_length ? 1", "no part of a query"),
        ("1 +", "no operand"),
    ] {
        let found = check_query(wrong).expect_err(wrong);
        assert!(found.contains(why), "{wrong}: {found}");
    }
}
