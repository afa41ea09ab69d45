//! Puts what was found into `tests/bench/README.md`, between the markers of its comparison, and draws the
//! plot.

use std::fmt::Write as _;
use std::fs;

use plimsoll_tests::places;

use crate::plot;
use crate::problem::{Outcome, Problem};
use crate::report::{Report, Row};
use crate::statistics::mebibytes;

const README: &str = "tests/bench/README.md";

/// Writes the table and the plot.
pub fn write(report: &Report) -> Outcome<()> {
    write_block(&report.key, &block(report))?;
    let path = places::workspace().join(README);
    let picture = path.with_file_name(format!("{}.svg", report.key));
    fs::write(&picture, plot::draw(report)).map_err(Problem::at("write", &picture))?;
    println!("written: {} and {}", path.display(), picture.display());
    Ok(())
}

/// Writes what belongs between the markers of `key`.
pub fn write_block(key: &str, block: &str) -> Outcome<()> {
    let path = places::workspace().join(README);
    let text = fs::read_to_string(&path).map_err(Problem::at("read", &path))?;
    fs::write(&path, replace(&text, key, block)).map_err(Problem::at("write", &path))
}

/// The text with the block of `key` replaced, or added at the end.
fn replace(text: &str, key: &str, block: &str) -> String {
    let (open, close) = (format!("<!-- bench:{key} -->"), format!("<!-- /bench:{key} -->"));
    let block = format!("{open}\n{block}{close}");
    let found = text.split_once(&open).and_then(|(before, rest)| Some((before, rest.split_once(&close)?.1)));
    match found {
        Some((before, after)) => format!("{before}{block}{after}"),
        None => format!("{}\n\n{block}\n", text.trim_end()),
    }
}

fn block(report: &Report) -> String {
    let slow = report.rows.iter().any(|row| !row.connections.is_empty());
    let mut text =
        format!("### {}\n\n![wall time as multiples of ours]({}.svg)\n\n", report.title, report.key);
    text.push_str("| client | verified | wall ÷ ours | CPU ÷ ours | memory, MiB | wall s, this machine |");
    text.push_str(if slow { " connections | of their limit |\n" } else { "\n" });
    text.push_str("|---|---|---|---|---|---|");
    text.push_str(if slow { "---|---|\n" } else { "\n" });
    for row in report.sorted() {
        let _ = writeln!(text, "{}", line(report, row));
    }
    if let Some(floor) = &report.floor {
        let _ = writeln!(
            text,
            "\nCPU time per GiB, ours ÷ (curl's + SHA-256's): {:.2}. Ours {:.2} s, curl's {:.2} s, \
             SHA-256's {:.2} s.",
            floor.ratio, floor.ours, floor.curl, floor.sha256
        );
    }
    if !report.system_calls.is_empty() {
        text.push_str(
            "\n| client | system calls per GiB | copies per byte | the most frequent |\n|---|---|---|---|\n",
        );
    }
    for calls in &report.system_calls {
        let most: Vec<_> = calls.most.iter().map(|(name, count)| format!("{name} {count:.0}")).collect();
        let (client, count, copies) = (&calls.client, calls.per_gibibyte, calls.copies);
        let _ = writeln!(text, "| {client} | {count:.0} | {copies:.2} | {} |", most.join(", "));
    }
    let _ = writeln!(text, "\n{}.", report.machine.describe());
    let _ = writeln!(text, "{}.", report.versions.join(", "));
    for note in &report.notes {
        let _ = writeln!(text, "{note}.");
    }
    text
}

fn line(report: &Report, row: &Row) -> String {
    let (mark, wall) = (if row.ours { "**" } else { "" }, row.wall());
    let mut line = format!(
        "| {mark}{}{mark} | {} | {:.2} | {:.2} | {:.0} | {:.2} ({:.2}–{:.2}) |",
        row.name,
        if row.verified { "yes" } else { "no" },
        report.ratio(row, |run| run.wall).unwrap_or_default(),
        report.ratio(row, |run| run.cpu).unwrap_or_default(),
        mebibytes(1) * row.memory(),
        wall.median,
        wall.least,
        wall.most
    );
    if let Some((connections, share)) = row.connections(report.bytes) {
        let _ = write!(line, " {connections:.0} | {:.0} % |", share * 100.0);
    } else if report.rows.iter().any(|row| !row.connections.is_empty()) {
        line.push_str(" | |");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn a_block_is_replaced_or_added() {
        let first = replace("# Title\n", "a", "one\n");
        assert_eq!(first, "# Title\n\n<!-- bench:a -->\none\n<!-- /bench:a -->\n");
        let both = replace(&first, "b", "two\n");
        assert_eq!(replace(&both, "a", "three\n"), both.replace("one", "three"));
    }
}
