//! The picture as SVG.

use std::fmt::Write as _;

use super::rows::{Journey, Mark, Row, verb};
use super::{Chart, seconds, stated};
use crate::event::Remark;
use crate::process::ProcessId;

/// How high a row is.
const ROW: usize = 18;

/// Where rows begin: above them there is room for a name.
const TOP: usize = 22;

/// Where the lane of the store is: left of it are the time and the manifest.
const STORE: usize = 290;

/// How far lanes are apart, at the most and at the least, and how wide all of them should be.
const LANE: (usize, usize) = (110, 40);
const LANES: usize = 660;

/// How wide the words on the right are.
const WORDS: usize = 690;

/// Text as it stands in a page.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            other => escaped.push(other),
        }
    }
    escaped
}

pub(super) fn of(chart: &Chart) -> String {
    let mut svg = Svg::new(chart);
    svg.begin();
    svg.rows();
    svg.epochs();
    svg.lives();
    svg.journeys();
    svg.marks();
    svg.text.push_str("</svg>\n");
    svg.text
}

struct Svg<'a> {
    chart: &'a Chart,
    text: String,
    lane: usize,
}

impl<'a> Svg<'a> {
    fn new(chart: &'a Chart) -> Self {
        let lane = (LANES / chart.lanes.count.max(1)).clamp(LANE.1, LANE.0);
        Self { chart, text: String::new(), lane }
    }

    fn x(&self, lane: usize) -> usize {
        STORE + lane * self.lane
    }

    fn x_of(&self, process: ProcessId) -> usize {
        self.x(self.chart.lanes.lane(process))
    }

    const fn y(row: usize) -> usize {
        TOP + row * ROW + ROW / 2
    }

    /// Where the words on the right begin.
    fn words(&self) -> usize {
        self.x(self.chart.lanes.count - 1) + self.lane / 2 + 20
    }

    fn begin(&mut self) {
        let (width, height) = (self.words() + WORDS, TOP + self.chart.rows.len() * ROW + 8);
        let lives: Vec<String> = self
            .chart
            .lanes
            .lives
            .iter()
            .map(|(id, life)| {
                format!(
                    "[{},{},{},\"{id}\"]",
                    self.x(life.lane),
                    Self::y(life.from),
                    Self::y(life.to)
                )
            })
            .collect();
        let _ = writeln!(
            self.text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" data-store=\"{STORE}\" data-lives='[{}]'>",
            lives.join(",")
        );
    }

    /// The time, what is said, and a place to point at.
    fn rows(&mut self) {
        let (words, width) = (self.words(), self.words() + WORDS);
        let mut before = None;
        for (number, row) in self.chart.rows.iter().enumerate() {
            let y = Self::y(number);
            let request = row.request.map_or(String::new(), |it| format!(" data-r=\"{it}\""));
            let _ = write!(
                self.text,
                "<g class=\"row {}\"{request} data-d=\"{}\"><rect x=\"0\" y=\"{}\" width=\"{width}\" height=\"{ROW}\"/>",
                class(row),
                escaped(&row.detail),
                y - ROW / 2
            );
            let time = seconds(row.time);
            if before.as_ref() != Some(&time) {
                let _ = write!(
                    self.text,
                    "<text class=\"time\" x=\"72\" y=\"{}\">{time}</text>",
                    y + 4
                );
            }
            before = Some(time);
            let cut: String = row.text.chars().take(92).collect();
            let dots = if cut.len() < row.text.len() { "…" } else { "" };
            let _ = writeln!(
                self.text,
                "<text x=\"{words}\" y=\"{}\">{}{dots}</text></g>",
                y + 4,
                escaped(&cut)
            );
        }
    }

    /// The line of the store: another colour for each epoch, and what each manifest says.
    fn epochs(&mut self) {
        let (mut from, mut epoch) = (TOP, 0);
        let end = TOP + self.chart.rows.len() * ROW;
        let band = |text: &mut String, epoch: u64, from: usize, to: usize| {
            let _ = writeln!(
                text,
                "<line class=\"store e{}\" x1=\"{STORE}\" y1=\"{from}\" x2=\"{STORE}\" y2=\"{to}\"/>",
                epoch % 4
            );
        };
        for (number, row) in self.chart.rows.iter().enumerate() {
            let Some(manifest) = row.manifest else { continue };
            let y = Self::y(number);
            if manifest.epoch != epoch {
                band(&mut self.text, epoch, from, y);
                (from, epoch) = (y, manifest.epoch);
            }
            let _ = writeln!(
                self.text,
                "<text class=\"says e{}\" x=\"{}\" y=\"{}\">{}</text>",
                epoch % 4,
                STORE - 12,
                y + 4,
                stated(manifest)
            );
        }
        band(&mut self.text, epoch, from, end);
    }

    fn lives(&mut self) {
        for life in self.chart.lanes.lives.values() {
            let (x, from, to) = (self.x(life.lane), Self::y(life.from), Self::y(life.end()));
            let _ = writeln!(
                self.text,
                "<line class=\"life\" x1=\"{x}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\"/>"
            );
            for (begin, end) in &life.pauses {
                let (begin, end) = (Self::y(*begin), Self::y((*end).min(life.end())));
                let height = end.saturating_sub(begin).max(4);
                let _ = writeln!(
                    self.text,
                    "<rect class=\"paused\" x=\"{}\" y=\"{begin}\" width=\"8\" height=\"{height}\"/>",
                    x - 4
                );
            }
            let name = life.name.split_once(" is ").map_or("", |(_, name)| name);
            let id = life.name.split(' ').next().unwrap_or_default();
            let room = self.lane / 7;
            let long = format!("{id} {name}");
            let label = if long.chars().count() <= room + 2 { long } else { id.to_owned() };
            let _ = writeln!(
                self.text,
                "<text class=\"name\" x=\"{x}\" y=\"{}\">{}</text>",
                from.saturating_sub(8),
                escaped(&label)
            );
        }
    }

    fn journeys(&mut self) {
        for journey in &self.chart.journeys {
            self.journey(journey);
        }
    }

    /// There, back, and what comes late.
    fn journey(&mut self, journey: &Journey) {
        let x = self.x_of(journey.process);
        let sent = Self::y(journey.sent);
        let kind = verb(journey.kind);
        let fault = if journey.fault.is_some() { " fault" } else { "" };
        let half = (STORE + x) / 2;
        let _ = write!(self.text, "<g class=\"way {kind}{fault}\" data-r=\"{}\">", journey.request);
        let answered = journey.answered.map(Self::y);
        // Where nothing tells when the store looked, it was halfway.
        let arrived = match (journey.arrived, answered) {
            (Some(row), _) => Some(Self::y(row)),
            (None, Some(answered)) if !journey.is_dropped() => Some(sent.midpoint(answered)),
            (None, _) => None,
        };
        match arrived {
            Some(y) => {
                let class = if journey.arrived_late { "late" } else { "there" };
                self.text += &line(class, x, sent, STORE + 5, y);
                self.text += &tip(STORE + 5, y, false);
            }
            None => {
                self.text += &line("there", x, sent, half, sent + ROW / 2);
                self.text += &cross(half, sent + ROW / 2);
            }
        }
        match (arrived, answered) {
            (Some(from), Some(to)) if journey.is_seen => {
                self.text += &line("back", STORE + 5, from, x - 5, to);
                self.text += &tip(x - 5, to, true);
            }
            (Some(from), Some(to)) => {
                self.text += &line("back", STORE + 5, from, x - 8, to);
                self.text += &cross(x - 8, to);
            }
            (Some(from), None) if journey.is_unanswered() => {
                self.text += &line("back", STORE + 5, from, half, from + ROW / 2);
                self.text += &cross(half, from + ROW / 2);
            }
            (Some(_) | None, _) => {}
        }
        for late in &journey.late {
            let y = Self::y(*late);
            self.text += &line("late", x, answered.unwrap_or(sent).min(y), STORE + 5, y);
            self.text += &tip(STORE + 5, y, false);
            let (x, y) = (STORE + 14, y - 4);
            let _ = write!(self.text, "<text class=\"late\" x=\"{x}\" y=\"{y}\">late</text>");
        }
        self.text.push_str("</g>\n");
    }

    fn marks(&mut self) {
        for (number, row) in self.chart.rows.iter().enumerate() {
            let (x, y) = (self.x_of(row.process), Self::y(number));
            let mark = match row.mark {
                Mark::Sent => format!("<circle class=\"sent\" cx=\"{x}\" cy=\"{y}\" r=\"3.5\"/>"),
                Mark::Applied { is_late } => {
                    let late = if is_late { " late" } else { "" };
                    format!(
                        "<rect class=\"applied{late}\" x=\"{}\" y=\"{}\" width=\"9\" height=\"9\"/>",
                        x - 4,
                        y - 4
                    )
                }
                Mark::LeftAlone => {
                    format!(
                        "<rect class=\"alone\" x=\"{}\" y=\"{}\" width=\"8\" height=\"8\"/>",
                        x - 4,
                        y - 4
                    )
                }
                Mark::GivenUp => cross(x, y),
                Mark::Crashed => format!("<g class=\"crash\">{}</g>", big_cross(x, y)),
                Mark::Said(Remark::Application | Remark::Clock)
                    if row.process != ProcessId::WORLD =>
                {
                    format!("<circle class=\"said\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>")
                }
                Mark::Began
                | Mark::Answered { .. }
                | Mark::Paused
                | Mark::Resumed
                | Mark::Said(_) => continue,
            };
            let request = row.request.map_or(String::new(), |it| format!(" data-r=\"{it}\""));
            let _ = writeln!(self.text, "<g class=\"mark\"{request}>{mark}</g>");
        }
    }
}

/// What a row looks like.
fn class(row: &Row) -> &'static str {
    match row.mark {
        Mark::Began => "began",
        Mark::Sent => {
            if row.text.ends_with(']') {
                "sent bad"
            } else {
                "sent"
            }
        }
        Mark::Applied { is_late: true } => "applied bad",
        Mark::Applied { is_late: false } => "applied",
        Mark::LeftAlone => "alone",
        Mark::Answered { is_ok: true, is_seen: true } => "answered",
        Mark::Answered { .. } | Mark::GivenUp => "answered bad",
        Mark::Crashed | Mark::Paused | Mark::Resumed => "life-event",
        Mark::Said(Remark::Application) => "said",
        Mark::Said(Remark::Clock) => "life-event",
        Mark::Said(Remark::World) => "world",
        Mark::Said(Remark::Violation) => "violation",
    }
}

fn line(class: &str, x1: usize, y1: usize, x2: usize, y2: usize) -> String {
    format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>")
}

/// The point of an arrow that goes to the right, or to the left.
fn tip(x: usize, y: usize, to_right: bool) -> String {
    let back = if to_right { x - 7 } else { x + 7 };
    format!("<path class=\"tip\" d=\"M{x} {y}L{back} {}L{back} {}Z\"/>", y - 3, y + 3)
}

fn cross(x: usize, y: usize) -> String {
    cross_of(x, y, 4)
}

fn big_cross(x: usize, y: usize) -> String {
    cross_of(x, y, 7)
}

fn cross_of(x: usize, y: usize, r: usize) -> String {
    let (left, right, top, bottom) = (x - r, x + r, y - r, y + r);
    format!(
        "<path class=\"cross\" d=\"M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}\"/>"
    )
}
