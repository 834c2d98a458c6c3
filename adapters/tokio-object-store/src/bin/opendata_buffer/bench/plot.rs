//! Results as a drawing that can be read on white and on black.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::{Measured, Report};

const WIDTH: f64 = 760.0;

/// Where the axes are.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 360.0;

/// Where the names of the lines begin.
const LEGEND: f64 = 404.0;
const LEGEND_WIDTH: f64 = 170.0;
const LEGENDS_PER_ROW: usize = 4;

/// A line with more points than this goes without dots.
const MOST_DOTS: usize = 20;

/// Told apart by most people, on both grounds.
const COLOURS: [&str; 6] = ["#2f81f7", "#d9730d", "#1a9850", "#c2379b", "#8a6fdf", "#8c8c8c"];

/// Rates over time are means of so many seconds.
const SMOOTHED_OVER: f64 = 0.5;

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #1f2328; stroke-opacity: 0.15 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.grid { stroke: #e6edf3 }
}";

/// One line of a drawing.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Throughput over the store's latency if several were measured, else over time.
pub(crate) fn draw(report: &Report) -> String {
    let mut latencies: Vec<_> = report.runs.iter().filter_map(|run| run.latency_ms).collect();
    latencies.dedup();
    if latencies.len() > 1 {
        let title = format!("{}: MB/s over the store's latency in ms", report.command);
        svg(&title, &over_latency(&report.runs))
    } else {
        let title = format!("{}: MB/s over seconds", report.command);
        let line = |run: &Measured| Line { name: run.name.clone(), points: rates(&run.progress) };
        svg(&title, &report.runs.iter().map(line).collect::<Vec<_>>())
    }
}

fn over_latency(runs: &[Measured]) -> Vec<Line> {
    let mut by_producers = BTreeMap::<usize, Vec<(f64, f64)>>::new();
    for run in runs {
        if let Some(latency) = run.latency_ms {
            by_producers.entry(run.producers).or_default().push((latency, run.mb_per_second));
        }
    }
    let lines = by_producers.into_iter().map(|(producers, mut points)| {
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        let name = match producers {
            0 => "consumer".to_owned(),
            1 => "1 producer".to_owned(),
            _ => format!("{producers} producers"),
        };
        Line { name, points }
    });
    lines.collect()
}

/// How fast a sum rose, over a while before each of its points.
fn rates(progress: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut rates = Vec::new();
    let mut from = 0;
    for (index, (time, sum)) in progress.iter().enumerate().skip(1) {
        while from + 1 < index && progress[from + 1].0 <= time - SMOOTHED_OVER {
            from += 1;
        }
        let (then, before) = progress[from];
        if *time > then {
            rates.push((*time, (sum - before) / (time - then)));
        }
    }
    rates
}

/// Where values lie in the drawing.
struct Axes {
    x_step: f64,
    x_steps: u32,
    y_step: f64,
    y_steps: u32,
}

impl Axes {
    fn of(lines: &[Line]) -> Self {
        let points = || lines.iter().flat_map(|line| &line.points);
        let (x_step, x_steps) = step(points().map(|point| point.0).fold(0.0, f64::max));
        let (y_step, y_steps) = step(points().map(|point| point.1).fold(0.0, f64::max));
        Self { x_step, x_steps, y_step, y_steps }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * value / (self.x_step * f64::from(self.x_steps))
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * value / (self.y_step * f64::from(self.y_steps))
    }

    fn draw(&self, svg: &mut String) {
        for tick in 0..=self.y_steps {
            let value = self.y_step * f64::from(tick);
            let (at, text, below) = (self.y(value), LEFT - 8.0, self.y(value) + 4.0);
            push(svg, format_args!("<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>"));
            push(
                svg,
                format_args!(
                    "<text x=\"{text:.1}\" y=\"{below:.1}\" text-anchor=\"end\">{value}</text>"
                ),
            );
        }
        for tick in 0..=self.x_steps {
            let value = self.x_step * f64::from(tick);
            let (at, below) = (self.x(value), BOTTOM + 20.0);
            push(
                svg,
                format_args!(
                    "<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{value}</text>"
                ),
            );
        }
    }

    fn draw_line(&self, svg: &mut String, line: &Line, colour: &str) {
        let places = line.points.iter().map(|point| (self.x(point.0), self.y(point.1)));
        let places: Vec<_> = places.collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        if !path.is_empty() {
            let path = path.join("L");
            push(svg, format_args!("<path class=\"line\" stroke=\"{colour}\" d=\"M{path}\"/>"));
        }
        if places.len() <= MOST_DOTS {
            for (x, y) in places {
                push(
                    svg,
                    format_args!(
                        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
                    ),
                );
            }
        }
    }
}

fn svg(title: &str, lines: &[Line]) -> String {
    let legend_rows = lines.len().div_ceil(LEGENDS_PER_ROW);
    let height = LEGEND + 20.0 * legend_rows as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"28\">{title}</text>\n",
        title = escaped(title),
    );
    let axes = Axes::of(lines);
    axes.draw(&mut svg);
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        axes.draw_line(&mut svg, line, colour);
        let x = LEFT + LEGEND_WIDTH * (index % LEGENDS_PER_ROW) as f64;
        let y = LEGEND + 20.0 * (index / LEGENDS_PER_ROW) as f64;
        let (dash, text, name) = (y - 4.0, x + 24.0, escaped(&line.name));
        push(
            &mut svg,
            format_args!("<path class=\"line\" stroke=\"{colour}\" d=\"M{x} {dash}h18\"/>"),
        );
        push(&mut svg, format_args!("<text x=\"{text}\" y=\"{y}\">{name}</text>"));
    }
    svg.push_str("</svg>\n");
    svg
}

fn push(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a string takes everything");
}

/// A round step between two marks of an axis that reaches up to `most`, and how many steps that takes.
fn step(most: f64) -> (f64, u32) {
    let most = if most > 0.0 { most } else { 1.0 };
    let magnitude = 10_f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| most / step <= 6.0)
        .unwrap_or(magnitude * 10.0);
    // Marks are written out: no more digits than they have.
    let digits = (10.0 / magnitude).max(1.0);
    ((step * digits).round() / digits, (most / step).ceil().max(1.0) as u32)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_round_marks() {
        assert_eq!(step(1190.0), (200.0, 6));
        assert_eq!(step(50.0), (10.0, 5));
        assert_eq!(step(0.0), (0.2, 5));
        assert_eq!(step(4000.0), (1000.0, 4));
        assert_eq!(step(7.0), (2.0, 4));
    }

    #[test]
    fn rates_are_what_a_sum_rises_by() {
        let progress: Vec<_> =
            (0..20).map(|tenth| (f64::from(tenth) / 10.0, f64::from(tenth) * 30.0)).collect();
        let rates = rates(&progress);
        assert_eq!(rates.len(), 19);
        assert!(rates.iter().all(|(_, rate)| (rate - 300.0).abs() < 1e-6), "{rates:?}");
        assert!(super::rates(&[]).is_empty() && super::rates(&[(0.0, 0.0)]).is_empty());
    }

    #[test]
    fn a_sweep_is_drawn_over_latency_with_a_line_for_each_number_of_producers() {
        let mut report = Report::new("produce", "memory".to_owned(), serde_json::Value::Null);
        for (latency, producers) in [(0.0, 1), (0.0, 4), (50.0, 1), (50.0, 4)] {
            report.runs.push(Measured {
                latency_ms: Some(latency),
                producers,
                mb_per_second: 100.0,
                ..Measured::default()
            });
        }
        let svg = draw(&report);
        assert!(svg.contains("latency") && svg.contains("prefers-color-scheme: dark"));
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("1 producer<") && svg.contains("4 producers<"));
    }
}
