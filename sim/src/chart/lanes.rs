//! Which process has which lane, and for how long.

use std::collections::BTreeMap;

use super::rows::{Mark, Row};
use crate::event::Remark;
use crate::process::ProcessId;

/// Where processes are. The store has the first lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    pub(super) lives: BTreeMap<ProcessId, Life>,
    /// How many lanes there are, the store's included.
    pub(super) count: usize,
}

/// A process's lane, and its rows.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) lane: usize,
    pub(super) name: String,
    pub(super) from: usize,
    /// The last row that is about it, also after it crashed.
    pub(super) to: usize,
    /// Where it crashed.
    pub(super) crashed: Option<usize>,
    /// From and up to which row it was paused.
    pub(super) pauses: Vec<(usize, usize)>,
}

impl Life {
    /// The last row in which it is there.
    pub(super) fn end(&self) -> usize {
        self.crashed.unwrap_or(self.to)
    }
}

/// So many rows are between two processes of one lane.
const APART: usize = 2;

impl Lanes {
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut lives: BTreeMap<ProcessId, Life> = BTreeMap::new();
        for (number, row) in rows.iter().enumerate() {
            if row.process == ProcessId::WORLD {
                continue;
            }
            let life = lives.entry(row.process).or_insert_with(|| Life {
                lane: 0,
                name: row.process.to_string(),
                from: number,
                to: number,
                crashed: None,
                pauses: Vec::new(),
            });
            life.to = number;
            match row.mark {
                Mark::Began => life.name.clone_from(&row.text),
                Mark::Crashed => life.crashed = Some(number),
                Mark::Paused => life.pauses.push((number, rows.len())),
                Mark::Resumed => {
                    if let Some((_, to)) = life.pauses.last_mut() {
                        *to = number;
                    }
                }
                Mark::Sent
                | Mark::Applied { .. }
                | Mark::LeftAlone
                | Mark::Answered { .. }
                | Mark::GivenUp
                | Mark::Said(
                    Remark::Application | Remark::Clock | Remark::World | Remark::Violation,
                ) => {}
            }
        }
        // Each takes the first lane that nobody is in.
        let mut ends: Vec<usize> = Vec::new();
        let mut order: Vec<_> = lives.values_mut().collect();
        order.sort_by_key(|life| life.from);
        for life in order {
            let free = ends.iter().position(|end| end + APART < life.from);
            let lane = free.unwrap_or(ends.len());
            if free.is_none() {
                ends.push(0);
            }
            ends[lane] = life.to;
            life.lane = lane + 1;
        }
        Self { count: ends.len() + 1, lives }
    }

    pub(super) fn lane(&self, process: ProcessId) -> usize {
        self.lives.get(&process).map_or(0, |life| life.lane)
    }
}
