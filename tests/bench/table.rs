//! The table for a terminal.

use std::fmt::Write as _;

use crate::report::Report;
use crate::statistics::mebibytes;

/// The whole table as text.
pub fn render(report: &Report) -> String {
    let slow = report.rows.iter().any(|row| !row.connections.is_empty());
    let width = report.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default().max(6);
    let mut text = format!("\n{}\n{}\n\n", report.title, report.machine.describe());
    let _ = write!(
        text,
        "{:width$}  verified  wall s (least–most)       CPU s  MiB     wall ÷ ours  CPU ÷ ours",
        "client"
    );
    text.push_str(if slow { "  connections  of their limit\n" } else { "\n" });
    for row in report.sorted() {
        let wall = row.wall();
        let memory = row.memory() * mebibytes(1);
        let _ = write!(
            text,
            "{:width$}  {:8}  {:6.2} ({:.2}–{:.2}){:pad$}  {:6.2}  {memory:6.1}  {:11.2}  {:10.2}",
            row.name,
            if row.verified { "yes" } else { "no" },
            wall.median,
            wall.least,
            wall.most,
            "",
            row.cpu().median,
            report.ratio(row, |run| run.wall).unwrap_or_default(),
            report.ratio(row, |run| run.cpu).unwrap_or_default(),
            pad = 16usize.saturating_sub(format!("({:.2}–{:.2})", wall.least, wall.most).chars().count()),
        );
        if let Some((connections, share)) = row.connections(report.bytes) {
            let _ = write!(text, "  {connections:11.0}  {:13.0} %", share * 100.0);
        }
        text.push('\n');
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
