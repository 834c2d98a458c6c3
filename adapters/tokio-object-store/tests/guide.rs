//! What the guide says can be looked up: chapters, links, scenarios, settings, rules.

mod guide_support;

use std::collections::BTreeSet;
use std::fs;

use buffer::{ConsumerConfig, ProducerConfig};
use buffer_sim::scenarios::Scenario;
use guide_support::{blocks, chapter, chapters, code, folder, prose, rows};
use serde_json::Value;

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter_map(|line| {
            line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))
        })
        .map(anchor)
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut links = 0;
    for (name, text) in chapters() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { folder().join(&name) } else { folder().join(file) };
            let Ok(there) = fs::read_to_string(&path) else {
                wrong.push(format!("{name}: {target}"));
                continue;
            };
            if !heading.is_empty() && !anchors(&there).contains(heading) {
                wrong.push(format!("{name}: {target}: no such heading"));
            }
        }
    }
    assert!(links > 30, "{links}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_index_has_every_chapter_and_so_have_the_doctests() {
    let index = chapter("README.md");
    let doctests = include_str!("../src/guide.rs");
    for (name, _) in chapters() {
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name}");
        assert!(doctests.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn scenarios_that_are_named_exist() {
    let mut named = 0;
    for (chapter, text) in chapters() {
        for line in prose(&text) {
            let names = code(line).filter(|name| {
                name.matches('_').count() >= 4
                    && name
                        .chars()
                        .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
            });
            for name in names {
                named += 1;
                assert!(Scenario::by_name(name).is_some(), "{chapter}: {name}");
            }
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn settings_that_are_named_exist() {
    let fields = |config: Value| {
        let Value::Object(fields) = config else { panic!("a configuration is an object") };
        fields.into_iter().map(|(name, _)| name)
    };
    let producer = serde_json::to_value(ProducerConfig::default()).expect("it is plain data");
    let consumer = serde_json::to_value(ConsumerConfig::default()).expect("it is plain data");
    let known: BTreeSet<String> = fields(producer).chain(fields(consumer)).collect();
    let rows = rows(&chapter("sizing.md"), "question");
    assert!(rows.len() >= 8);
    for row in rows {
        let named: Vec<&str> = code(&row[1]).collect();
        assert!(!named.is_empty(), "{row:?}");
        assert!(named.iter().all(|name| known.contains(*name)), "{row:?}");
    }
}

/// Goal: a rule for a bucket that somebody pastes deletes nothing that is listed.
#[test]
fn lifecycle_rules_touch_only_what_was_replaced_or_deleted() {
    let rules = blocks(&chapter("buckets.md"), "json lifecycle");
    assert_eq!(rules.len(), 1);
    let rules: Value = serde_json::from_str(&rules[0]).expect("it is JSON");
    let rules = rules["Rules"].as_array().expect("there are rules");
    assert!(!rules.is_empty());
    for rule in rules {
        assert_eq!(rule["Filter"]["Prefix"], "QUEUE/");
        assert!(rule.get("Transitions").is_none() && rule.get("Transition").is_none());
        if let Some(expiration) = rule.get("Expiration") {
            assert_eq!(*expiration, serde_json::json!({ "ExpiredObjectDeleteMarker": true }));
        }
    }
}

#[test]
fn headings_become_anchors_as_links_name_them() {
    assert_eq!(
        anchor("An acknowledgement, a flush or a skip is refused"),
        "an-acknowledgement-a-flush-or-a-skip-is-refused"
    );
    assert_eq!(
        anchors("# A `b`\n```\n# no\n```\n## C d"),
        ["a-b", "c-d"].map(str::to_owned).into()
    );
}

#[test]
fn metrics_that_are_named_exist() {
    let known: BTreeSet<&str> =
        buffer::buffer_driver::metrics::METRICS.iter().map(|metric| metric.name).collect();
    let text = chapter("operating.md");
    let named: Vec<&str> = code(&text).filter(|code| code.starts_with("buffer.")).collect();
    assert!(named.len() > 10, "{named:?}");
    assert!(named.iter().all(|name| known.contains(name)), "{named:?}");
}
