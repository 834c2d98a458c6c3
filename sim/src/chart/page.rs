//! The picture as a page.

use std::fmt::Write as _;

use super::svg::escaped;
use super::{Chart, svg};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the signs mean.
const LEGEND: &str = "\
<span><i class=\"dot\"></i>sent</span>\
<span><i class=\"box\"></i>took effect</span>\
<span><i class=\"box hollow\"></i>changed nothing</span>\
<span><i class=\"stroke put\"></i>put a batch</span>\
<span><i class=\"stroke swap\"></i>swap the manifest</span>\
<span><i class=\"stroke read\"></i>read the manifest</span>\
<span><i class=\"stroke fetch\"></i>fetch a batch</span>\
<span><i class=\"stroke list\"></i>list, delete</span>\
<span><i class=\"stroke bad\"></i>a fault</span>\
<span><i class=\"stroke late\"></i>takes effect late</span>\
<span><b class=\"bad\">✕</b> lost, or nobody waits</span>\
<span><i class=\"pause\"></i>paused</span>";

pub(super) fn of(charts: &[Chart]) -> String {
    let title = charts.first().map_or("", |chart| chart.title.as_str());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escaped(title)
    );
    for chart in charts {
        section(&mut page, chart);
    }
    let _ = write!(
        page,
        "<div id=\"detail\" hidden></div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    );
    page
}

fn section(page: &mut String, chart: &Chart) {
    let _ = write!(page, "<section>\n<h1>{}</h1>\n", escaped(&chart.title));
    for note in &chart.notes {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(note));
    }
    if let Some(omissions) = chart.omissions() {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(&omissions));
    }
    let _ = write!(
        page,
        "<div class=\"legend\">{LEGEND}</div>\n<div class=\"head\"></div>\n<div class=\"chart\">\n"
    );
    page.push_str(&svg::of(chart));
    page.push_str("</div>\n</section>\n");
}
