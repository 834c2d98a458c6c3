//! Pictures of what happened in a world: for terminals, and as a page for a browser.
//!
//! Time goes down. The store is on the left, each process has a lane of its own
//! for as long as it is there. A request goes from its sender to the
//! store, takes effect there, and is answered; each of these is a row.
//!
//! ```
//! use buffer_core::{Condition, Location};
//! use buffer_driver::Store;
//! use buffer_sim::chart::Chart;
//! use buffer_sim::{Profile, SimOptions, SimRuntime, SimStore};
//!
//! let options = SimOptions { keeps_events: true, ..SimOptions::default() };
//! let runtime = SimRuntime::with_options(1, options);
//! let store = SimStore::new(&runtime, Profile::S3);
//! let writer = runtime.process("writer");
//! let key = Location::new("queue/manifest");
//! let work = writer.start(async move {
//!     store.write(&key, vec!["one".into()], Condition::Absent).await
//! });
//! runtime.block_on(work);
//! let chart = Chart::new("one write", runtime.take_events());
//! assert!(chart.text(20).contains("write queue/manifest 3 if absent"));
//! assert!(chart.page().starts_with("<!doctype html>"));
//! ```

mod lanes;
mod page;
mod rows;
mod svg;
mod text;

use std::time::Duration;

use crate::event::{Event, Stated};

use lanes::Lanes;
use rows::{Journey, Row};

/// A picture of one world.
///
/// ```
/// use buffer_sim::chart::Chart;
/// use buffer_sim::swarm::Token;
///
/// // The same world as its seed makes it, and with nothing out of the usual in it.
/// let token = Token::new(7);
/// let calm = Token { calm: true, ..token.clone() };
/// let [all, calm] = [token, calm].map(|token| {
///     let (_, events) = token.run_with_events();
///     Chart::new(token.to_string(), events).with_note("drawn by an example")
/// });
/// assert!(!calm.is_empty() && calm.len() < all.len());
///
/// // A terminal shows the end of it: who is there, and the last ten rows.
/// let text = calm.text(10);
/// assert!(text.trim_start().starts_with("store"), "{text}");
/// assert!(text.contains(&format!("{} earlier rows", calm.len() - 10)), "{text}");
///
/// // For a browser, one of them, or both on one page.
/// assert!(calm.page().contains("<p class=\"note\">drawn by an example</p>"));
/// let pages = Chart::pages(&[all, calm]);
/// assert!(pages.contains("<h1>b1-short-7</h1>") && pages.contains("<h1>b2-short-7</h1>"));
/// ```
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    /// What is said above it, line by line.
    notes: Vec<String>,
    rows: Vec<Row>,
    journeys: Vec<Journey>,
    lanes: Lanes,
    /// How many readings of the manifest are left out that showed nothing new.
    polls: usize,
    /// How many processes are left out that did nothing.
    idlers: usize,
    /// How many events are left out at the beginning.
    left_out: usize,
}

/// So many events make a page that a browser still shows without delay; the last ones tell the most.
const MOST: usize = 20_000;

impl Chart {
    /// A picture of these events.
    ///
    /// What is read again and again and never new is left out, and counted. So are all
    /// but the last twenty thousand events.
    #[must_use]
    pub fn new(title: impl Into<String>, mut events: Vec<Event>) -> Self {
        let left_out = events.len().saturating_sub(MOST);
        // Who began earlier is still to be known by name.
        let mut first = 0;
        events.retain(|event| {
            first += 1;
            first > left_out || event.what.is_beginning()
        });
        let polls = rows::leave_out_polls(&mut events).len();
        let idlers = rows::leave_out_idlers(&mut events);
        let (rows, journeys) = rows::of(&events);
        let lanes = Lanes::of(&rows);
        Self {
            title: title.into(),
            notes: Vec::new(),
            rows,
            journeys,
            lanes,
            polls,
            idlers,
            left_out,
        }
    }

    /// Says something above the picture, in a line of its own.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// How many rows it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The last rows of it, at most so many, for a terminal.
    #[must_use]
    pub fn text(&self, rows: usize) -> String {
        text::of(self, rows)
    }

    /// A page that needs nothing but itself.
    #[must_use]
    pub fn page(&self) -> String {
        page::of(std::slice::from_ref(self))
    }

    /// One page of several pictures, one below the other.
    #[must_use]
    pub fn pages(charts: &[Self]) -> String {
        page::of(charts)
    }

    /// What is left out of it, in words; nothing if nothing is.
    fn omissions(&self) -> Option<String> {
        let parts = [
            (self.left_out, "earlier event", "earlier events"),
            (self.idlers, "process that did nothing", "processes that did nothing"),
            (
                self.polls,
                "reading of the manifest that showed nothing new",
                "readings of the manifest that showed nothing new",
            ),
        ];
        let told = parts.iter().filter(|(count, ..)| *count > 0).map(|(count, one, many)| {
            let what = if *count == 1 { one } else { many };
            format!("{count} {what}")
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| format!("Left out: {}.", told.join(", ")))
    }
}

/// Seconds, to the millisecond.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// A manifest in few words: its epoch, and what it lists.
fn stated(manifest: Stated) -> String {
    let Stated { epoch, first, next } = manifest;
    match next - first {
        0 => format!("epoch {epoch}, next {next}"),
        1 => format!("epoch {epoch}, lists {first}"),
        _ => format!("epoch {epoch}, lists {first} to {}", next - 1),
    }
}

#[cfg(test)]
mod tests;
