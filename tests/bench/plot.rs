//! A bar for each client: how many times as long as ours it takes. SVG by hand, dark on light, readable in
//! print.

use std::fmt::Write as _;

use crate::report::{Report, Row};
use crate::statistics::float;

const WIDTH: f64 = 860.0;
/// Where the bars begin, and how long the longest is.
const LEFT: f64 = 330.0;
const LONGEST: f64 = 440.0;
const LINE: f64 = 24.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 14.0;

const OURS: &str = "#0b5cad";
const VERIFIED: &str = "#5f6b7a";
const UNVERIFIED: &str = "#c3cad3";
const INK: &str = "#1b2430";

/// The picture as a file's text.
pub fn draw(report: &Report) -> String {
    let rows: Vec<(&Row, f64)> = report
        .sorted()
        .into_iter()
        .filter_map(|row| Some((row, report.ratio(row, |run| run.wall)?)))
        .collect();
    let scale = LONGEST / rows.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max);
    let height = TOP + LINE * count(rows.len()) + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"600\">{}</text>\n",
        escape(&report.title)
    );
    legend(&mut svg);
    let one = LEFT + scale;
    let _ = writeln!(
        svg,
        "<line x1=\"{one:.1}\" y1=\"{:.0}\" x2=\"{one:.1}\" y2=\"{:.0}\" \
         stroke=\"{OURS}\" stroke-dasharray=\"3 3\"/>",
        TOP - 4.0,
        height - BOTTOM + 4.0
    );
    for (index, (row, ratio)) in rows.iter().enumerate() {
        let y = TOP + LINE * count(index);
        let fill = if row.ours {
            OURS
        } else if row.verified {
            VERIFIED
        } else {
            UNVERIFIED
        };
        let weight = if row.ours { " font-weight=\"600\"" } else { "" };
        let (length, base) = (ratio * scale, y + 13.0);
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{base:.0}\" text-anchor=\"end\"{weight}>{}</text>\
             <rect x=\"{LEFT:.0}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"16\" rx=\"2\" fill=\"{fill}\"/>\
             <text x=\"{:.1}\" y=\"{base:.0}\"{weight} stroke=\"#ffffff\" stroke-width=\"4\" \
             paint-order=\"stroke\">{ratio:.2}×</text>",
            LEFT - 8.0,
            escape(&row.name),
            y,
            LEFT + length + 6.0
        );
    }
    svg + "</svg>\n"
}

fn legend(svg: &mut String) {
    let mut x = 16.0;
    let kinds = [(OURS, "ours, verified"), (VERIFIED, "verified"), (UNVERIFIED, "not verified")];
    for (fill, text) in kinds {
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"36\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{fill}\"/>\
             <text x=\"{}\" y=\"47\">{text}</text>",
            x + 18.0
        );
        x += 130.0;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"47\">wall time ÷ ours, median of the rounds; less is better</text>"
    );
}

fn count(number: usize) -> f64 {
    float(u64::try_from(number).unwrap_or(u64::MAX))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
