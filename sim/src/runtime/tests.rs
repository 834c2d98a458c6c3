use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use buffer_driver::Clock as _;

use super::*;

/// What happened, in order.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.lock().expect("no test panics here").push(note.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no test panics here"))
    }
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn panic_message(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it should have panicked");
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic has a message")).to_owned(),
    }
}

#[test]
fn tasks_run_in_order_and_time_moves_only_when_none_is_ready() {
    let runtime = SimRuntime::new(1);
    let notes = Notes::default();
    for (name, wait) in [("a", 20), ("b", 10), ("c", 20)] {
        let (runtime_in, notes) = (runtime.clone(), notes.clone());
        let _task = runtime.start(async move {
            notes.add(format!("{name} begins at {:?}", runtime_in.elapsed()));
            runtime_in.sleep(ms(wait)).await;
            notes.add(format!("{name} ends at {:?}", runtime_in.elapsed()));
        });
    }
    runtime.block_on(runtime.sleep(ms(30)));
    let expected = [
        "a begins at 0ns",
        "b begins at 0ns",
        "c begins at 0ns",
        "b ends at 10ms",
        "a ends at 20ms",
        "c ends at 20ms",
    ];
    assert_eq!(notes.take(), expected);
    assert_eq!(runtime.now(), Instant::from_origin(ms(30)));
}

#[test]
fn advance_runs_what_is_due_and_ends_on_time() {
    let runtime = SimRuntime::new(1);
    let notes = Notes::default();
    let (runtime_in, notes_in) = (runtime.clone(), notes.clone());
    let _ticker = runtime.start(async move {
        loop {
            runtime_in.sleep(ms(10)).await;
            notes_in.add(format!("{:?}", runtime_in.elapsed()));
        }
    });
    runtime.advance(ms(25));
    assert_eq!(notes.take(), ["10ms", "20ms"]);
    assert_eq!(runtime.elapsed(), ms(25));
    runtime.advance(ms(5));
    assert_eq!(notes.take(), ["30ms"], "what is due at the very end belongs to it");
}

#[test]
fn blocking_work_is_an_event_of_its_own_and_takes_its_time() {
    let options = SimOptions { cpu_delay: ms(5), ..SimOptions::default() };
    let runtime = SimRuntime::with_options(1, options);
    let notes = Notes::default();
    let (runtime_in, notes_in) = (runtime.clone(), notes.clone());
    runtime.spawn_blocking(Box::new(move || notes_in.add(format!("{:?}", runtime_in.elapsed()))));
    assert!(notes.take().is_empty(), "it does not run within the call");
    runtime.advance(ms(5));
    assert_eq!(notes.take(), ["5ms"]);
}

#[test]
fn a_dropped_sleep_takes_its_timer_back() {
    let runtime = SimRuntime::new(1);
    let message = panic_message(|| {
        runtime.block_on(async {
            let mut sleep = Box::pin(runtime.sleep(ms(10)));
            std::future::poll_fn(|context| {
                assert!(sleep.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(sleep);
            std::future::pending::<()>().await;
        });
    });
    assert!(message.contains("deadlock at 0ns"), "{message}");
}

#[test]
fn a_deadlock_names_the_time_and_the_seed_and_leaves_the_world_usable() {
    let runtime = SimRuntime::new(42);
    runtime.advance(ms(1500));
    let _stuck = runtime.start(std::future::pending::<()>());
    let message = panic_message(|| runtime.block_on(std::future::pending()));
    assert!(message.contains("deadlock at 1.5s of virtual time (seed 42)"), "{message}");
    assert!(message.contains("2 tasks wait"), "{message}");
    assert_eq!(runtime.block_on(async { 1 }), 1);
}

#[test]
fn a_run_without_end_is_stopped_by_time_and_by_steps() {
    let options = SimOptions { time_budget: ms(100), step_budget: 1000, ..SimOptions::default() };
    let runtime = SimRuntime::with_options(1, options);
    let by_time = panic_message(|| {
        runtime.block_on(async {
            loop {
                runtime.sleep(ms(30)).await;
            }
        });
    });
    assert!(by_time.contains("no end at 90ms"), "{by_time}");
    let by_steps = panic_message(|| {
        runtime.block_on(std::future::poll_fn(|context| -> Poll<()> {
            context.waker().wake_by_ref();
            Poll::Pending
        }));
    });
    assert!(by_steps.contains("more than 1000 steps"), "{by_steps}");
    let by_waiting_for_ever = panic_message(|| runtime.block_on(runtime.sleep(Duration::MAX)));
    assert!(by_waiting_for_ever.contains("no end at 90ms"), "{by_waiting_for_ever}");
}

#[test]
fn a_world_cannot_be_run_from_within() {
    let runtime = SimRuntime::new(1);
    let message = panic_message(|| runtime.block_on(async { runtime.advance(ms(1)) }));
    assert!(message.contains("from within"), "{message}");
}

#[test]
fn a_crash_drops_the_tasks_of_its_process_and_no_others() {
    let runtime = SimRuntime::new(1);
    let (victim, other) = (runtime.process("victim"), runtime.process("other"));
    let dying = victim.start(runtime.sleep(ms(10)));
    let living = other.start(runtime.sleep(ms(10)));
    runtime.advance(ms(1));

    victim.crash();
    assert!(victim.is_crashed());
    assert!(!other.is_crashed());
    assert_eq!(runtime.block_on(dying), None);
    assert_eq!(runtime.block_on(living), Some(()));

    let notes = Notes::default();
    let notes_in = notes.clone();
    victim.spawn_blocking(Box::new(move || notes_in.add("ran")));
    assert_eq!(runtime.block_on(victim.start(async { 1 })), None, "a dead process starts nothing");
    runtime.advance(ms(100));
    assert!(notes.take().is_empty());
}

/// Dropping a task may wake, spawn and crash: none of it may meet a lock, or bring the dead back.
#[test]
fn a_crash_survives_what_the_dropped_tasks_do() {
    let runtime = SimRuntime::new(1);
    let (first, second) = (runtime.process("first"), runtime.process("second"));
    let notes = Notes::default();

    let (sender, receiver) = crate::oneshot::channel::<()>();
    let waiter = runtime.start(receiver);
    let (first_in, second_in, notes_in) = (first.clone(), second.clone(), notes.clone());
    let mut sender = Some(sender);
    let guard = OnDrop(move || {
        drop(sender.take());
        let after_death = notes_in.clone();
        first_in.spawn(Box::pin(async move { after_death.add("never") }));
        second_in.crash();
        notes_in.add("first dropped");
    });
    first.spawn(Box::pin(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
    let notes_in = notes.clone();
    second.spawn(Box::pin(async move {
        let _guard = OnDrop(|| notes_in.add("second dropped"));
        std::future::pending::<()>().await;
    }));

    runtime.advance(ms(1));
    first.crash();
    assert_eq!(runtime.block_on(waiter), Some(None));
    assert_eq!(notes.take(), ["second dropped", "first dropped"]);
}

#[test]
fn a_task_that_crashes_its_own_process_ends_where_it_waits() {
    let runtime = SimRuntime::new(1);
    let process = runtime.process("p");
    let notes = Notes::default();
    let (process_in, notes_in, sleep) = (process.clone(), notes.clone(), runtime.sleep(ms(1)));
    let task = process.start(async move {
        process_in.crash();
        notes_in.add("goes on to the next wait");
        sleep.await;
        notes_in.add("never");
    });
    assert_eq!(runtime.block_on(task), None);
    assert_eq!(notes.take(), ["goes on to the next wait"]);
}

#[test]
fn shutdown_drops_everything() {
    let runtime = SimRuntime::new(1);
    let process = runtime.process("p");
    let of_world = runtime.start(std::future::pending::<()>());
    let of_process = process.start(std::future::pending::<()>());
    runtime.advance(ms(1));
    runtime.shutdown();
    assert_eq!(runtime.block_on(of_world), None);
    assert_eq!(runtime.block_on(of_process), None);
}

#[test]
fn wall_clocks_are_wrong_each_in_its_own_way() {
    let runtime = SimRuntime::new(1);
    let (a, b) = (runtime.process("a"), runtime.process("b"));
    let start = SimOptions::default().start;
    runtime.advance(ms(1000));
    assert_eq!(a.clock().now(), start + ms(1000));

    b.clock().jump_back(ms(60_000));
    a.clock().freeze();
    runtime.advance(ms(500));
    assert_eq!(a.clock().now(), start + ms(1000));
    assert_eq!(b.clock().now() + ms(60_000), start + ms(1500));

    a.clock().thaw();
    a.clock().jump(ms(1));
    runtime.advance(ms(500));
    assert_eq!(a.clock().now(), start + ms(1501));
    assert_eq!(a.clock().unix_millis().0, 1_704_067_201_501);
}

#[test]
fn entropy_comes_from_the_seed_and_purposes_do_not_disturb_each_other() {
    let (one, same, other) = (SimRuntime::new(1), SimRuntime::new(1), SimRuntime::new(2));
    let _more_draws = one.random("a").u64(..);
    let drawn = one.entropy();
    assert_eq!(drawn, same.entropy());
    assert_ne!(drawn, other.entropy());
    assert_ne!(one.random("a").u64(..), one.random("b").u64(..));
}

#[test]
fn a_world_is_let_go_when_its_last_handle_goes() {
    let notes = Notes::default();
    let runtime = SimRuntime::new(1);
    let (notes_in, sleep) = (notes.clone(), runtime.sleep(ms(10)));
    let _task = runtime.start(async move {
        let _guard = OnDrop(|| notes_in.add("dropped"));
        sleep.await;
    });
    runtime.advance(ms(1));
    drop(runtime);
    assert_eq!(notes.take(), ["dropped"]);
}

#[test]
fn a_paused_process_does_nothing_until_it_is_resumed_and_the_others_go_on() {
    let runtime = SimRuntime::new(1);
    let notes = Notes::default();
    let (paused, other) = (runtime.process("paused"), runtime.process("other"));
    for process in [&paused, &other] {
        let (sleep, notes, name) = (runtime.sleep(ms(10)), notes.clone(), process.id());
        let _task = process.start(async move {
            sleep.await;
            notes.add(format!("{name}"));
        });
    }
    runtime.advance(ms(5));
    paused.pause();
    runtime.advance(ms(100));
    assert_eq!(notes.take(), ["p2"]);
    paused.resume();
    runtime.advance(ms(0));
    assert_eq!(notes.take(), ["p1"]);
}

#[test]
fn clocks_drift_each_at_a_rate_of_its_own() {
    let runtime = SimRuntime::new(1);
    let (fast, slow) = (runtime.clock(), runtime.clock());
    fast.set_drift(100);
    slow.set_drift(-100);
    runtime.advance(Duration::from_secs(10_000));
    let start = SimOptions::default().start;
    assert_eq!(fast.now(), start + ms(10_001_000));
    assert_eq!(slow.now(), start + ms(9_999_000));
    fast.set_drift(0);
    runtime.advance(ms(500));
    assert_eq!(fast.now(), start + ms(10_001_500), "it goes on from what it showed");
}

#[test]
fn monotonic_clocks_have_origins_of_their_own_and_may_stand_still() {
    let runtime = SimRuntime::new(1);
    let (one, other) = (runtime.process("one"), runtime.process("other"));
    assert_ne!(one.monotonic(), other.monotonic());
    let begin = one.monotonic();
    runtime.advance(ms(100));
    one.freeze_monotonic();
    runtime.advance(ms(50));
    assert_eq!(one.monotonic(), begin + ms(100));
    one.thaw_monotonic();
    runtime.advance(ms(7));
    assert_eq!(one.monotonic(), begin + ms(107));
    let before = runtime.elapsed();
    runtime.block_on(one.sleep_until(begin + ms(117)));
    assert_eq!(runtime.elapsed() - before, ms(10));
}

#[test]
fn timers_are_early_or_late_within_their_bounds() {
    let runtime = SimRuntime::new(1);
    let process = runtime.process("p");
    process.set_timer_errors(ms(3), ms(8));
    let mut took = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let before = runtime.elapsed();
        runtime.block_on(process.sleep_until(process.monotonic() + ms(10)));
        took.insert(runtime.elapsed() - before);
    }
    let (first, last) = (took.first().expect("some"), took.last().expect("some"));
    assert!(*first >= ms(7) && *first < ms(9), "{first:?}");
    assert!(*last <= ms(18) && *last > ms(15), "{last:?}");
}

#[test]
fn the_order_of_tasks_may_be_left_to_the_seed() {
    let order = |seed| {
        let options = SimOptions { shuffles: true, ..SimOptions::default() };
        let runtime = SimRuntime::with_options(seed, options);
        let notes = Notes::default();
        for number in 0..6 {
            let notes = notes.clone();
            let _task = runtime.start(async move { notes.add(format!("{number}")) });
        }
        runtime.advance(ms(0));
        (notes.take().concat(), runtime.trace_hash())
    };
    let (one, hash) = order(1);
    assert_eq!(order(1), (one.clone(), hash));
    assert_ne!(order(2), (one.clone(), hash));
    assert_ne!(one, "012345");
    let mut all: Vec<char> = one.chars().collect();
    all.sort_unstable();
    assert_eq!(all, ['0', '1', '2', '3', '4', '5'], "each runs once");
}
