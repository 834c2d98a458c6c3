//! Runs random worlds and tells which faults were active in how many of them: `worlds FROM TO [short|long|crowd] [lines]`.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::time::Instant;

use buffer_sim::swarm::{Load, Options, run};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (from, to) = (number(0).unwrap_or(0), number(1).unwrap_or(100));
    let load = match arguments.get(2).map(String::as_str) {
        Some("long") => Load::Long,
        Some("crowd") => Load::Crowd,
        Some(_) | None => Load::Short,
    };
    let keeps_lines = arguments.get(3).is_some();
    let options = Options { load, keeps_lines, ..Options::default() };
    let began = Instant::now();
    let (mut requests, mut swaps, mut simulated, mut slowest) = (0, 0, 0, (0, 0));
    let (mut few, mut failed, mut collected, mut epochs) = (0u64, 0u64, 0u64, 0u64);
    let mut active: BTreeMap<&str, u64> = BTreeMap::new();
    let mut causes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in from..to {
        let start = Instant::now();
        let told = catch_unwind(|| run(seed, &options));
        let took = start.elapsed().as_micros();
        slowest = slowest.max((took, seed));
        match told {
            Ok(Ok(report)) => {
                requests += report.requests;
                swaps += report.large_swaps;
                simulated += report.simulated.as_secs();
                collected += report.collected;
                epochs += report.epochs;
                if report.entries < 20 {
                    few += 1;
                    println!(
                        "seed {seed}: {} entries, {} requests",
                        report.entries, report.requests
                    );
                    continue;
                }
                for (name, _) in report.faults {
                    *active.entry(name).or_default() += 1;
                }
            }
            Ok(Err(failure)) => {
                failed += 1;
                println!("{failure}");
                if keeps_lines {
                    println!("{}", failure.lines.join("\n"));
                }
                let cause = failure.invariant.map_or("-", |it| it.id()).to_owned();
                causes.entry(cause).or_default().push(seed);
            }
            Err(_) => {
                failed += 1;
                println!("seed {seed}: PANIC");
                causes.entry("panic".to_owned()).or_default().push(seed);
            }
        }
    }
    let seeds = to - from;
    let took = began.elapsed().as_secs_f64();
    for (name, count) in &active {
        println!("{:6.2} %  {name}", *count as f64 * 100.0 / seeds as f64);
    }
    println!("{} kinds", active.values().filter(|it| **it * 100 >= seeds).count());
    println!(
        "{seeds} seeds in {took:.2} s, {:.2} ms each, slowest {slowest:?}",
        took * 1e3 / seeds as f64
    );
    println!("{requests} requests, {:.0} a second, {swaps} large swaps", requests as f64 / took);
    println!(
        "{simulated} s simulated, {collected} collected, {epochs} epochs, {few} with few entries"
    );
    println!("{failed} failed: {causes:?}");
}
