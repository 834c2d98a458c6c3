//! The picture for a terminal.

use std::fmt::Write as _;

use super::rows::{Mark, Row};
use super::{Chart, seconds};
use crate::event::Remark;
use crate::process::ProcessId;

/// How wide a line is at the most: what is longer is cut.
const WIDTH: usize = 118;

/// How far lanes are apart, at the most and at the least.
const LANE: (usize, usize) = (10, 3);

/// How wide all lanes are together, if that is possible.
const LANES: usize = 50;

pub(super) fn of(chart: &Chart, most: usize) -> String {
    let from = chart.rows.len().saturating_sub(most);
    let pen = Pen::new(chart);
    let mut text = String::new();
    let _ = writeln!(text, "{}", pen.header(from));
    if from > 0 {
        let _ = writeln!(text, "{:>10} {from} earlier rows", "⋮");
    }
    for number in from..chart.rows.len() {
        let row = &chart.rows[number];
        let line = format!("{:>10} {}  {}", seconds(row.time), pen.lanes(number, row), row.text);
        let line = line.trim_end();
        let cut: String = line.chars().take(WIDTH).collect();
        let dots = if cut.len() < line.len() { "…" } else { "" };
        let _ = writeln!(text, "{cut}{dots}");
    }
    if let Some(omissions) = chart.omissions() {
        let _ = writeln!(text, "{omissions}");
    }
    text
}

struct Pen<'a> {
    chart: &'a Chart,
    lane: usize,
}

impl<'a> Pen<'a> {
    fn new(chart: &'a Chart) -> Self {
        let lane = (LANES / chart.lanes.count.max(1)).clamp(LANE.1, LANE.0);
        Self { chart, lane }
    }

    fn center(&self, lane: usize) -> usize {
        lane * self.lane + 2
    }

    /// The names of those who are there from this row on.
    fn header(&self, from: usize) -> String {
        let width = self.center(self.chart.lanes.count - 1) + self.lane;
        let mut line = vec![' '; width + WIDTH];
        let mut put = |at: usize, text: &str| {
            for (offset, letter) in text.chars().enumerate() {
                line[at + offset] = letter;
            }
        };
        put(0, "store");
        let mut named = vec![false; self.chart.lanes.count];
        let mut lives: Vec<_> = self.chart.lanes.lives.iter().collect();
        lives.sort_by_key(|(_, life)| life.from);
        for (process, life) in lives {
            if life.to >= from && !named[life.lane] {
                named[life.lane] = true;
                put(self.center(life.lane).saturating_sub(1), &process.to_string());
            }
        }
        let line: String = line.into_iter().collect();
        format!("{:>10} {}", "", line.trim_end())
    }

    fn lanes(&self, number: usize, row: &Row) -> String {
        let lanes = &self.chart.lanes;
        let mut line = vec![' '; self.center(lanes.count - 1) + 2];
        line[self.center(0)] = '│';
        for life in lanes.lives.values().filter(|it| (it.from..=it.end()).contains(&number)) {
            let is_paused = life.pauses.iter().any(|(from, to)| (*from..*to).contains(&number));
            line[self.center(life.lane)] = if is_paused { '┆' } else { '│' };
        }
        let own = self.center(lanes.lane(row.process));
        let store = self.center(0);
        match row.mark {
            Mark::Sent => {
                let is_dropped = row.request.is_some_and(|it| self.is_dropped(it));
                let to = if is_dropped { store.midpoint(own) } else { store + 1 };
                line[to.min(own)..own].fill('─');
                if to < own {
                    line[to] = if is_dropped { '✕' } else { '◀' };
                }
                line[own] = '●';
            }
            Mark::Answered { is_seen, .. } => {
                line[(store + 1).min(own)..own].fill('─');
                if own > store + 1 {
                    line[own - 1] = if is_seen { '▶' } else { '✕' };
                }
            }
            Mark::Applied { is_late } => line[store] = if is_late { '◈' } else { '◆' },
            Mark::LeftAlone => line[store] = '◇',
            Mark::Began => line[own] = '┬',
            Mark::GivenUp => line[own] = '✕',
            Mark::Crashed => line[own] = '╳',
            Mark::Paused => line[own] = '┴',
            Mark::Resumed => line[own] = '┬',
            Mark::Said(Remark::Violation) => line[store..].fill('━'),
            Mark::Said(Remark::World) => line[store..].fill('╌'),
            Mark::Said(Remark::Application | Remark::Clock) => {
                if row.process != ProcessId::WORLD {
                    line[own] = '○';
                }
            }
        }
        line.into_iter().collect()
    }

    fn is_dropped(&self, request: u64) -> bool {
        let journeys = &self.chart.journeys;
        let found = journeys.binary_search_by_key(&request, |journey| journey.request);
        found.is_ok_and(|index| journeys[index].is_dropped())
    }
}
