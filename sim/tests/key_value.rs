//! The example's database: its planted bug is found and made small, and without it everything holds.

#[path = "../../adapters/tokio-object-store/tests/console/mod.rs"]
#[allow(dead_code, reason = "no command line is run here")]
mod console;
#[path = "../examples/key_value/database.rs"]
mod database;
#[path = "../examples/key_value/simulated.rs"]
mod simulated;

use buffer_sim::kit::{self, Failure, ViolationKind};

use database::Design;
use simulated::Simulated;

/// As a service runs it: the database takes the adapter's consumer, and neither it nor its types come from the simulator.
#[test]
fn a_service_passes_its_own_consumer() {
    async fn serve(consumer: &buffer::Consumer) -> Result<(), database::AnyError> {
        let client = std::sync::Arc::new(object_store::memory::InMemory::new());
        database::Database::new(client, Design::SequenceWithBatch).follow(consumer).await
    }
    let _ = serve;
}

fn found() -> Box<Failure> {
    let found = kit::check(0..500, |_| Simulated(Design::SequenceAfterBatch));
    found.expect_err("the bug is found")
}

#[test]
fn the_planted_bug_is_found_and_made_small() {
    let failure = found();
    println!("{failure}");
    assert_eq!(failure.violation.kind(), ViolationKind::Repeated);
    assert_eq!(failure.violation.sequence(), Some(0));
    // One entry is repeated when one life ends between the two writes, and nothing else goes wrong.
    assert_eq!((failure.plan.entries, failure.plan.lives.len()), (1, 1));
    assert_eq!(failure.plan.faults, []);
    let text = failure.to_string();
    assert!(text.starts_with(&format!("seed {}: sequence 0:", failure.seed)), "{text}");
}

#[test]
fn what_was_found_is_found_again_from_its_line() {
    let failure = found();
    let plan = failure.plan.to_string().parse().expect("it was written by a plan");
    let run = |design| kit::replay(failure.seed, &plan, |_| Simulated(design));
    let again = run(Design::SequenceAfterBatch).expect_err("it is wrong every time");
    assert_eq!((again.violation, again.story), (failure.violation, failure.story));
    assert_eq!(again.trace, failure.trace);
    run(Design::SequenceWithBatch).expect("without the bug nothing is wrong");
}

#[test]
fn the_mended_database_passes() {
    let met = kit::check(0..500, |_| Simulated(Design::SequenceWithBatch));
    let met = met.expect("every entry is applied once and in order");
    println!("{met}");
    assert_eq!(met.worlds, 500);
    assert!(met.crashes > 300 && met.pauses > 50 && met.faults > 500 && met.errors > 50, "{met}");
}

#[test]
fn what_is_shown_of_the_example_is_what_it_prints() {
    let text = found().to_string();
    let printed: Vec<&str> = text.lines().map(str::trim_end).collect();
    let documented: String = include_str!("../src/kit/mod.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"])
        .collect();
    for document in [include_str!("../../README.md"), &documented] {
        let shown = console::blocks(document, "text");
        let is_failure = |block: &&console::Block| {
            block.expected.first().is_some_and(|line| line.starts_with("seed "))
        };
        let shown = shown.iter().find(is_failure).expect("a failure is shown");
        assert!(console::lines_match(&shown.expected, &printed), "{shown:?}\nis not\n{text}");
    }
}
