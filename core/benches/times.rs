//! How long the core's works take: `cargo bench -p opendata-buffer-core --bench times [-- NAME]`.
//!
//! Times depend on the machine and on what else it does; what is held to a bound is counted
//! instead, by `.ci/instructions`.

mod works;

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use works::{Visitor, Work, visit_all};

/// Times each work. Criterion decides which of them were asked for.
struct Times {
    criterion: Criterion,
}

impl Visitor for Times {
    fn visit<S, I, O>(
        &mut self,
        work: &Work,
        prepare: impl FnOnce() -> S,
        input: impl Fn(&S) -> I,
        run: impl Fn(&mut I) -> O,
    ) {
        let mut group = self.criterion.benchmark_group(work.kind);
        let batch_size = if work.is_bulk && work.entries > 1_000 {
            // Inputs and outputs are megabytes each: no more than one is held.
            BatchSize::PerIteration
        } else {
            BatchSize::LargeInput
        };
        if work.is_bulk {
            group.throughput(Throughput::Bytes(work.bytes as u64));
        }
        let mut prepare = Some(prepare);
        let mut prepared = None;
        group.bench_function(work.entries.to_string(), |bencher| {
            // Criterion comes here several times, or never if the work was not asked for.
            let prepared = prepared.get_or_insert_with(|| {
                let prepare = prepare.take().expect("what is prepared is kept");
                prepare()
            });
            bencher.iter_batched_ref(|| input(prepared), &run, batch_size);
        });
        group.finish();
    }
}

fn main() {
    let criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut times = Times { criterion };
    visit_all(&mut times);
    times.criterion.final_summary();
}
