//! The parts of the page. Each takes what it shows from [`Whole`], and writes nothing if there is nothing.

use handoff::progress;

use super::Tone;
use super::html::Html;
use super::words::{self, Size, Took};
use crate::condition::Record;
use crate::condition::patch::MODEL_READY;
use crate::metrics::ProbeResult;
use crate::readiness::Phase;
use crate::report::{Status, Timing, Whole};

/// How times of today's events are shown.
const CLOCK: &str = "%H:%M:%S";
/// How other times are shown.
const MOMENT: &str = "%Y-%m-%d %H:%M:%S UTC";
/// How wide the picture of the phases is, in units of its own.
const CHART_WIDTH: f64 = 1000.0;
/// How wide a phase is in it at least, so that it can be seen.
const LEAST_BAR: f64 = 6.0;

/// Which model, what it is doing, and why.
pub fn status(page: &mut Html, whole: &Whole<'_>, tone: Tone) {
    let health = &whole.health;
    page.markup("<header>\n<p class=\"model\">");
    match &health.model.name {
        Some(name) => page.markup("<b>").text(name).markup("</b>"),
        None => page.markup("any model"),
    };
    if let Some(version) = &health.model.version {
        page.markup(" <span>").text(version).markup("</span>");
    }
    page.markup("</p>\n<h1><svg viewBox=\"0 0 32 32\" aria-hidden=\"true\">").markup(tone.sign());
    page.markup("</svg>").text(words::capitalised(health.phase)).markup("</h1>\n<p class=\"reason\">");
    page.text(&health.reason).markup("</p>\n<p class=\"note\">");
    page.markup(match health.status {
        Status::Ready => "In service",
        Status::NotReady => "Not in service",
    });
    page.markup("; ").text(health.phase).markup(" since ").time(health.since, CLOCK).markup(" UTC");
    if let Some(present) = whole.phases.last() {
        page.markup(", for&nbsp;").text(Took::seconds(present.seconds));
    }
    page.markup("</p>\n</header>\n");
}

/// How far the fetch is, or was when it failed.
pub fn progress(page: &mut Html, whole: &Whole<'_>) {
    let Some(fetcher) = whole.fetcher else { return };
    let shown = [Phase::Resolving, Phase::Fetching, Phase::Verifying, Phase::Publishing, Phase::Failed];
    if !shown.contains(&whole.health.phase) {
        return;
    }
    page.markup("<section class=\"progress\" aria-label=\"Progress of the fetch\">\n<progress max=\"100\"");
    if let Some(percent) = fetcher.percent() {
        page.markup(" value=\"").text(percent).markup("\"");
    } else if whole.health.phase == Phase::Failed {
        page.markup(" value=\"0\"");
    }
    page.markup("></progress>\n<ul>");
    let fetching = fetcher.phase == progress::Phase::Fetching;
    if let Some(percent) = fetcher.percent() {
        page.markup("<li><b>").text(percent).markup("&nbsp;%</b></li>");
    }
    page.markup("<li>").text(Size(fetcher.bytes));
    if let Some(total) = fetcher.total_bytes {
        page.markup(" of ").text(Size(total));
    }
    page.markup("</li>");
    if fetcher.total_files > 0 {
        page.markup("<li>").text(fetcher.files).markup(" of ").text(fetcher.total_files);
        page.markup(" files verified</li>");
    }
    if fetching {
        page.markup("<li>").text(Size(fetcher.bytes_per_second)).markup("/s</li>");
    }
    if let Some(seconds) = fetcher.eta_seconds {
        let left = std::time::Duration::from_secs(seconds);
        page.markup("<li>about ").text(Took(left)).markup(" left</li>");
    }
    page.markup("<li>attempt ").text(fetcher.attempt).markup("</li>");
    if let Some(connections) = &fetcher.connections {
        page.markup("<li>connections: ").text(connections.open).markup("</li>");
        if connections.retries > 0 {
            page.markup("<li>requests made again: ").text(connections.retries).markup("</li>");
        }
    }
    page.markup("</ul>\n</section>\n");
}

/// Where the time went: each phase with its beginning, its length and a bar from the one to the other.
pub fn phases(page: &mut Html, whole: &Whole<'_>) {
    // Only phases that somebody waits for are drawn: a day of service would leave the rest no room.
    let drawn = |timing: &&Timing| !matches!(timing.phase, Phase::Ready | Phase::Failed | Phase::Draining);
    let all: f64 = whole.phases.iter().filter(drawn).map(|timing| timing.seconds).sum();
    let scale = if all > 0.0 { (CHART_WIDTH - LEAST_BAR) / all } else { 0.0 };
    page.markup(
        "<section>\n<h2>Phases</h2>\n<table class=\"phases\">\n<thead><tr><th>Phase</th><th>Began</th>",
    );
    page.markup("<th class=\"number\">Took</th><td></td></tr></thead>\n<tbody>\n");
    let mut elapsed = 0.0;
    let last = whole.phases.len().saturating_sub(1);
    for (number, timing) in whole.phases.iter().enumerate() {
        page.markup(if number == last { "<tr aria-current=\"true\">" } else { "<tr>" });
        page.markup("<th scope=\"row\">").text(words::capitalised(timing.phase)).markup("</th><td>");
        page.time(timing.since, CLOCK).markup("</td><td class=\"number\">");
        page.text(Took::seconds(timing.seconds));
        page.markup("</td><td>");
        if drawn(&timing) {
            let width = (timing.seconds * scale).max(LEAST_BAR);
            page.markup(
                "<svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect x=\"",
            );
            page.text(format_args!("{:.0}", elapsed * scale)).markup("\" width=\"");
            page.text(format_args!("{width:.0}")).markup("\" height=\"10\"/></svg>");
            elapsed += timing.seconds;
        }
        page.markup("</td></tr>\n");
    }
    page.markup("</tbody>\n</table>\n</section>\n");
}

/// What the model server said when it was last asked.
pub fn probes(page: &mut Html, whole: &Whole<'_>) {
    page.markup("<section>\n<h2>Model server</h2>\n");
    if let Some(seconds) = whole.load_seconds {
        page.markup("<p class=\"note\">Loaded the model in ").text(Took::seconds(seconds)).markup("</p>\n");
    }
    if whole.probes.is_empty() {
        page.markup("<p class=\"note\">Not asked yet: its word counts once the model is in place</p>\n");
        page.markup("</section>\n");
        return;
    }
    page.markup(
        "<table>\n<thead><tr><th>Asked</th><th class=\"number\">Took</th><th>Answer</th></tr></thead>\n",
    );
    page.markup("<tbody>\n");
    let mut above = None;
    for probe in whole.probes.iter().rev() {
        page.markup("<tr><td>").time(probe.at, CLOCK).markup("</td><td class=\"number\">");
        page.text(Took::seconds(probe.seconds)).markup("</td><td>");
        page.markup(match probe.result {
            ProbeResult::Loaded => "<b class=\"good\">loaded</b>",
            ProbeResult::NotLoaded => "<b class=\"idle\">not loaded</b>",
            ProbeResult::Unclear => "<b class=\"idle\">no telling</b>",
        });
        match probe.problem.as_ref().or(probe.detail.as_ref()) {
            None => {}
            // A server that is loading says the same many times over.
            Some(_) if above == Some(&probe.problem) => drop(page.markup(", as above")),
            Some(words) => drop(page.markup(": ").text(words)),
        }
        above = Some(&probe.problem);
        if !probe.counts {
            page.markup(" (asked before the model was in place: does not count)");
        }
        page.markup("</td></tr>\n");
    }
    page.markup("</tbody>\n</table>\n</section>\n");
}

/// What came of the smoke requests, if there are any.
pub fn smoke(page: &mut Html, whole: &Whole<'_>) {
    let Some(smoke) = whole.smoke else { return };
    page.markup("<section>\n<h2>Smoke requests</h2>\n<table>\n<thead><tr><th>Request</th>");
    page.markup("<th class=\"number\">Took</th><th>Answer</th></tr></thead>\n<tbody>\n");
    for passed in &smoke.outcome.passed {
        page.markup("<tr><td>").text(&passed.name).markup("</td><td class=\"number\">");
        page.text(Took(passed.took)).markup("</td><td><b class=\"good\">as expected</b></td></tr>\n");
    }
    if let Some(failed) = &smoke.outcome.failed {
        page.markup("<tr><td>").text(&failed.name).markup("</td><td></td><td><b class=\"bad\">failed</b>: ");
        page.text(&failed.got).markup("</td></tr>\n");
    }
    page.markup("</tbody>\n</table>\n<p class=\"note\">Asked at ").time(smoke.at, CLOCK).markup(" UTC");
    if !smoke.counts {
        page.markup(", of a server that was lost meanwhile: does not count");
    }
    page.markup("</p>\n</section>\n");
}

/// What came of the reports to the cluster, if any are to be made.
pub fn report(page: &mut Html, whole: &Whole<'_>) {
    let Some(Record { to, last, error, .. }) = whole.report else { return };
    page.markup("<section>\n<h2>Reported to the cluster</h2>\n<p class=\"note\">");
    page.text(to).markup(", condition ").text(MODEL_READY).markup("</p>\n");
    if let Some(last) = last {
        page.markup("<p>").time(last.at, CLOCK).markup(" UTC: <b>").text(last.status).markup("</b>, ");
        page.text(&last.reason).markup(": ").text(&last.message).markup("</p>\n");
    }
    if let Some(error) = error {
        page.markup("<p>").time(error.at, CLOCK).markup(" UTC: <b class=\"bad\">failed</b>: ");
        page.text(&error.message).markup("</p>\n");
    }
    page.markup("</section>\n");
}

/// Which model it is, where it came from and who vouches for it.
pub fn model(page: &mut Html, whole: &Whole<'_>) {
    page.markup("<section>\n<h2>Model</h2>\n<dl>\n");
    match whole.receipt {
        Some(receipt) => {
            fact(page, "Name", &receipt.model.name);
            fact(page, "Version", &receipt.model.version);
            if receipt.resolved.version != receipt.model.version {
                fact(page, "Resolved to", &receipt.resolved.version);
            }
            page.markup("<dt>Integrity</dt><dd><b>").text(receipt.integrity).markup("</b>: ");
            page.markup(words::meaning(receipt.integrity)).markup("</dd>\n");
            if let Some(signer) = &receipt.signer {
                fact(page, "Signer", signer);
            }
            page.markup("<dt>Digest</dt><dd><code>").text(receipt.digest).markup("</code></dd>\n");
            fact(page, "Registry", &receipt.resolved.registry);
            fact(page, "Source", &receipt.resolved.uri);
            page.markup("<dt>Fetched</dt><dd>").text(Size(receipt.bytes)).markup(" in ");
            page.text(Took::seconds(receipt.seconds));
            if receipt.resumed_bytes > 0 {
                page.markup(", of which ").text(Size(receipt.resumed_bytes)).markup(" were there before");
            }
            page.markup("<br>").time(receipt.completed_at, MOMENT).markup("</dd>\n");
        }
        None => {
            fact(page, "Name", whole.expected.name.as_deref().unwrap_or("any"));
            fact(page, "Version", whole.expected.version.as_deref().unwrap_or("any"));
            fact(page, "Receipt", whole.refusal.unwrap_or("none yet: nothing on the volume is vouched for"));
        }
    }
    page.markup("</dl>\n</section>\n");
}

fn fact(page: &mut Html, name: &'static str, value: &str) {
    page.markup("<dt>").markup(name).markup("</dt><dd>").text(value).markup("</dd>\n");
}

/// The first of the model's files.
pub fn files(page: &mut Html, whole: &Whole<'_>) {
    let Some(receipt) = whole.receipt else { return };
    page.markup("<section>\n<h2>Files</h2>\n<table class=\"files\">\n<thead><tr><th>Path</th>");
    page.markup("<th class=\"number\">Size</th></tr></thead>\n<tbody>\n");
    for file in &receipt.first_files {
        page.markup("<tr><td>").text(&file.path).markup("</td><td class=\"number\">").text(Size(file.size));
        page.markup("</td></tr>\n");
    }
    page.markup("</tbody>\n<tfoot><tr><td>");
    match receipt.files.saturating_sub(receipt.first_files.len()) {
        0 if receipt.files == 1 => page.markup("1 file"),
        0 => page.text(receipt.files).markup(" files"),
        more => page.markup("and ").text(more).markup(" more"),
    };
    page.markup("</td><td class=\"number\">").text(Size(receipt.bytes));
    page.markup("</td></tr></tfoot>\n</table>\n</section>\n");
}
