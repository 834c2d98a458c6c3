//! Many processes in one directory, in peace and while they are being killed.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod local_support;

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use buffer_core::WriteOutcome;
use buffer_driver::LocalFiles;
use local_support::*;

const PROCESSES: usize = 8;
const APPENDS: usize = 200;

/// Every swap that succeeded is in the result, and each process's own are in its order.
#[test]
fn eight_processes_lose_no_append() {
    if let Some(role) = role() {
        let files = LocalFiles::open(&role[0]).unwrap();
        let attempts: u32 =
            (0..APPENDS).map(|n| append(&files, "ingest/m", &format!("{}:{n}", role[1]))).sum();
        return report(&attempts.to_string());
    }
    let scratch = Scratch::new("processes");
    let files = LocalFiles::open(scratch.path()).unwrap();
    stored(create(&files, "ingest/m", ""));
    let root = scratch.path().to_str().unwrap();
    let started = Instant::now();
    let children: Vec<_> = (0..PROCESSES)
        .map(|id| {
            let mut child = start("eight_processes_lose_no_append", &[root, &id.to_string()]);
            let output = listen(&mut child);
            (child, output)
        })
        .collect();
    let mut attempts = 0;
    for (mut child, output) in children {
        assert!(child.wait().unwrap().success());
        attempts += output.join().unwrap()[0].parse::<u32>().unwrap();
    }
    let elapsed = started.elapsed();
    let object = found(&files, "ingest/m");
    let mut next = HashMap::new();
    for line in text(&object).lines() {
        let (id, n) = line.split_once(':').unwrap();
        let expected = next.entry(id).or_insert(0);
        assert_eq!(n.parse::<usize>().unwrap(), *expected, "process {id}");
        *expected += 1;
    }
    assert_eq!(next.len(), PROCESSES);
    assert!(next.values().all(|&count| count == APPENDS), "{next:?}");
    assert!(left_overs(scratch.path()).is_empty());
    let rate = (PROCESSES * APPENDS) as f64 / elapsed.as_secs_f64();
    println!(
        "{} appends by {PROCESSES} processes in {elapsed:.1?} ({rate:.0}/s), {attempts} swaps",
        PROCESSES * APPENDS
    );
}

const ROUNDS: usize = 100;
const ROUND: Duration = Duration::from_millis(10);

/// Says when a round begins, as every process computes it.
fn await_round(start: Duration, round: usize) {
    let at = UNIX_EPOCH + start + ROUND * u32::try_from(round).unwrap();
    if let Ok(early) = at.duration_since(SystemTime::now()) {
        thread::sleep(early.saturating_sub(Duration::from_millis(1)));
    }
    while SystemTime::now() < at {
        std::hint::spin_loop();
    }
}

#[test]
fn one_of_eight_racing_processes_creates() {
    if let Some(role) = role() {
        let open = if role[3] == "links" {
            LocalFiles::open(&role[0])
        } else {
            LocalFiles::open_without_hard_links(&role[0])
        };
        let files = open.unwrap();
        let start = Duration::from_millis(role[2].parse().unwrap());
        for round in 0..ROUNDS {
            await_round(start, round);
            if create(&files, &format!("r/{round}"), &role[1]).unwrap() != WriteOutcome::Conflict {
                report(&round.to_string());
            }
        }
        return;
    }
    for variant in ["links", "none"] {
        let scratch = Scratch::new("racers");
        let root = scratch.path().to_str().unwrap();
        let start_at = SystemTime::now() + Duration::from_secs(1);
        let start_at = start_at.duration_since(UNIX_EPOCH).unwrap().as_millis().to_string();
        let children: Vec<_> = (0..PROCESSES)
            .map(|id| {
                let role = [root, &id.to_string(), &start_at, variant];
                let mut child = start("one_of_eight_racing_processes_creates", &role);
                let output = listen(&mut child);
                (child, output)
            })
            .collect();
        let mut winners = vec![Vec::new(); ROUNDS];
        let mut winning = [0; PROCESSES];
        for (id, (mut child, output)) in children.into_iter().enumerate() {
            assert!(child.wait().unwrap().success());
            for round in output.join().unwrap() {
                winners[round.parse::<usize>().unwrap()].push(id);
                winning[id] += 1;
            }
        }
        let files = LocalFiles::open_existing(scratch.path()).unwrap();
        for (round, winners) in winners.iter().enumerate() {
            assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
            assert_eq!(text(&found(&files, &format!("r/{round}"))), winners[0].to_string());
        }
        assert!(winning.iter().filter(|&&won| won > 0).count() > 1, "nobody raced: {winning:?}");
        println!("{variant}: {ROUNDS} rounds, won by process: {winning:?}");
    }
}

const STORM_PROCESSES: usize = 4;
const KILLS: usize = 30;

/// What a process reported before it was killed is there for ever, once and whole.
#[test]
fn killed_processes_lose_nothing_that_they_reported() {
    const TEST: &str = "killed_processes_lose_nothing_that_they_reported";
    if let Some(role) = role() {
        let files = LocalFiles::open_sweeping(&role[0], Duration::from_secs(1)).unwrap();
        for n in 0.. {
            let line = format!("{}:{n}", role[1]);
            append(&files, "m", &line);
            report(&line);
        }
    }
    let scratch = Scratch::new("storm");
    let files = LocalFiles::open(scratch.path()).unwrap();
    stored(create(&files, "m", ""));
    let root = scratch.path().to_str().unwrap();
    let mut spawned = 0;
    let mut spawn = || {
        let mut child = start(TEST, &[root, &spawned.to_string()]);
        spawned += 1;
        let output = listen(&mut child);
        (child, output)
    };
    let mut running: Vec<_> = (0..STORM_PROCESSES).map(|_| spawn()).collect();
    let mut random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    println!("seed {random}");
    let mut reported: Vec<String> = Vec::new();
    for round in 0..KILLS + STORM_PROCESSES {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        thread::sleep(Duration::from_micros(20_000 + (random >> 33) % 50_000));
        let victim = (random >> 40) as usize % running.len();
        let (mut child, output) = running.swap_remove(victim);
        child.kill().unwrap();
        child.wait().unwrap();
        reported.extend(output.join().unwrap());
        if round < KILLS {
            running.push(spawn());
        }
    }
    let object = found(&files, "m");
    let mut times: HashMap<&str, u32> = HashMap::new();
    text(&object).lines().for_each(|line| *times.entry(line).or_default() += 1);
    for line in &reported {
        assert_eq!(times.remove(line.as_str()), Some(1), "{line:?} was reported");
    }
    // One append of each process may have been under way; a line is there whole or not at all.
    assert!(times.len() <= spawned, "{times:?}");
    assert!(times.iter().all(|(line, &n)| n == 1 && line.contains(':')), "{times:?}");
    assert!(reported.len() > KILLS, "the processes got nowhere: {} appends", reported.len());
    let before = left_overs(scratch.path()).len();
    let files = LocalFiles::open_sweeping(scratch.path(), Duration::ZERO).unwrap();
    assert!(left_overs(scratch.path()).is_empty());
    append(&files, "m", "after the storm");
    println!(
        "{} kills: {} appends reported and there, {} there and not reported, {before} left-overs",
        KILLS + STORM_PROCESSES,
        reported.len(),
        times.len(),
    );
}
