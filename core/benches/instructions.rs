//! One work of the core, once, for callgrind to count; see `.ci/instructions`.
//!
//! With a work's name, that is done; with `--list`, works are named, each with the number of
//! bytes that it is about and whether it grows with them. Without either, all works are done, which shows that they can be.

mod works;

use std::hint::black_box;
use std::process::ExitCode;

use works::{Visitor, Work, visit_all};

/// The part that counts: callgrind is told this name, which no other function has.
#[inline(never)]
fn counted_part(work: &mut dyn FnMut()) {
    work();
}

fn name_of(work: &Work) -> String {
    format!("{}/{}", work.kind, work.entries)
}

/// Does the one work of that name, or all of them.
struct Runs<'a> {
    name: Option<&'a str>,
    done: usize,
}

impl Visitor for Runs<'_> {
    fn visit<S, I, O>(
        &mut self,
        work: &Work,
        prepare: impl FnOnce() -> S,
        input: impl Fn(&S) -> I,
        run: impl Fn(&mut I) -> O,
    ) {
        if self.name.is_some_and(|name| name != name_of(work)) {
            return;
        }
        let prepared = prepare();
        let mut input = input(&prepared);
        let mut output = None;
        counted_part(&mut || output = Some(run(black_box(&mut input))));
        black_box(output);
        self.done += 1;
    }
}

/// Names all works, and does none.
struct Names;

impl Visitor for Names {
    fn visit<S, I, O>(
        &mut self,
        work: &Work,
        _prepare: impl FnOnce() -> S,
        _input: impl Fn(&S) -> I,
        _run: impl Fn(&mut I) -> O,
    ) {
        let growth = if work.is_bulk { "grows" } else { "stays" };
        println!("{} {} {growth}", name_of(work), work.bytes);
    }
}

fn main() -> ExitCode {
    // `cargo bench` adds an option of its own, which means nothing here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let name = arguments.first().map(String::as_str);
    if name == Some("--list") {
        visit_all(&mut Names);
        return ExitCode::SUCCESS;
    }
    let mut runs = Runs { name, done: 0 };
    visit_all(&mut runs);
    if runs.done == 0 {
        eprintln!("there is no work {name:?}; --list names all");
        return ExitCode::FAILURE;
    }
    println!("{} done", runs.done);
    ExitCode::SUCCESS
}
