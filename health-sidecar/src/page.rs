//! The page at `/`: what `/status` says, for a person with `kubectl port-forward` and a browser.
//!
//! It is one document that asks for nothing else: no script, no font, no picture from elsewhere. The browser
//! loads it again by itself. What it shows comes from registries, volumes and model servers, so nobody's text
//! is markup: [`html`] takes markup only from this program, and escapes and cuts everything else. Should that
//! fail, the [`policy`] lets the browser run no script, load nothing and apply no style but ours.
//!
//! From top to bottom: what is going on, how far the fetch is, where the time went, the model and its files,
//! and what the model server said. Each part is a function in `page/sections.rs` and a line in [`render`]; a part with
//! nothing to say is left out.

use jiff::Timestamp;

use crate::readiness::Phase;
use crate::report::Whole;

pub mod html;
pub mod policy;
mod sections;
#[cfg(test)]
mod tests;
mod words;

use html::Html;

/// The style sheet, which the page holds word by word.
const STYLE: &str = include_str!("page/style.css");
/// Seconds until the browser loads the page again while something is going on, and while nothing is.
const REFRESH: (u32, u32) = (2, 5);
/// Room for a usual page.
const PAGE_BYTES: usize = 20 * 1024;

/// How the present phase looks. Each tone has a sign of its own, so that colour is never the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Busy,
    Idle,
    Bad,
}

impl Tone {
    fn of(whole: &Whole<'_>) -> Self {
        match whole.health.phase {
            Phase::Ready => Self::Good,
            Phase::Failed => Self::Bad,
            // A receipt that does not count is a fault, though the fetcher may come and write another.
            Phase::Waiting if whole.refusal.is_some() => Self::Bad,
            Phase::Waiting | Phase::Draining => Self::Idle,
            Phase::Resolving | Phase::Fetching | Phase::Verifying | Phase::Publishing | Phase::Loading => {
                Self::Busy
            }
        }
    }

    /// The name of its class in the style sheet.
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Bad => "bad",
        }
    }

    /// Its sign: a ring with a line, as on a ship's hull; filled and ticked when ready, crossed when failed.
    fn sign(self) -> &'static str {
        match self {
            Self::Good => {
                r#"<circle cx="16" cy="16" r="13" fill="currentColor"/><path class="on" d="m10 16.5 4.2 4.2L22.5 12"/>"#
            }
            Self::Busy => r#"<circle cx="16" cy="16" r="9.5"/><path d="M1.5 16h29"/>"#,
            Self::Idle => r#"<circle cx="16" cy="16" r="9.5"/>"#,
            Self::Bad => {
                r#"<path fill="currentColor" d="M10.6 3h10.8L29 10.6v10.8L21.4 29H10.6L3 21.4V10.6z"/><path class="on" d="m11.5 11.5 9 9m0-9-9 9"/>"#
            }
        }
    }

    /// The same sign for the browser's tab, which has no style sheet.
    fn icon(self) -> &'static str {
        match self {
            Self::Good => {
                "%3Ccircle cx='16' cy='16' r='14' fill='%231a7f47'/%3E%3Cpath d='m9 16.5 5 5L23.5 11' fill='none' stroke='%23fff' stroke-width='3.5'/%3E"
            }
            Self::Busy => {
                "%3Cg fill='none' stroke='%232a6fd6' stroke-width='4'%3E%3Ccircle cx='16' cy='16' r='10'/%3E%3Cpath d='M0 16h32'/%3E%3C/g%3E"
            }
            Self::Idle => {
                "%3Ccircle cx='16' cy='16' r='10' fill='none' stroke='%23808a94' stroke-width='4'/%3E"
            }
            Self::Bad => {
                "%3Cpath d='M10 2h12l8 8v12l-8 8H10l-8-8V10z' fill='%23c4302b'/%3E%3Cpath d='m11 11 10 10m0-10L11 21' stroke='%23fff' stroke-width='3.5'/%3E"
            }
        }
    }
}

/// The page, as of `now`.
pub fn render(whole: &Whole<'_>, now: Timestamp) -> String {
    let tone = Tone::of(whole);
    let refresh = if tone == Tone::Busy { REFRESH.0 } else { REFRESH.1 };
    let mut page = Html::with_capacity(PAGE_BYTES);
    head(&mut page, whole, tone, refresh);
    page.markup("<body class=\"").markup(tone.class()).markup("\">\n<main>\n");
    sections::status(&mut page, whole, tone);
    sections::progress(&mut page, whole);
    page.markup("<div class=\"columns\">\n<div>\n");
    sections::phases(&mut page, whole);
    sections::probes(&mut page, whole);
    sections::smoke(&mut page, whole);
    sections::report(&mut page, whole);
    page.markup("</div>\n<div>\n");
    sections::model(&mut page, whole);
    sections::files(&mut page, whole);
    page.markup("</div>\n</div>\n</main>\n");
    foot(&mut page, now, refresh);
    page.markup("</body>\n</html>\n");
    page.finish()
}

/// What the browser's tab says and does.
fn head(page: &mut Html, whole: &Whole<'_>, tone: Tone, refresh: u32) {
    page.markup("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>");
    page.text(words::capitalised(whole.health.phase));
    for part in [&whole.health.model.name, &whole.health.model.version].into_iter().flatten() {
        page.markup(" ").text(part);
    }
    page.markup("</title>\n<meta http-equiv=\"refresh\" content=\"").text(refresh);
    page.markup("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.markup("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.markup("<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E");
    page.markup(tone.icon()).markup("%3C/svg%3E\">\n<style>").markup(STYLE).markup("</style>\n</head>\n");
}

/// How old the page is, who made it, and where the same is for programs. Links are relative: behind a proxy the page
/// is not at the root.
fn foot(page: &mut Html, now: Timestamp, refresh: u32) {
    page.markup("<footer>\n<p>As of ").time(now, "%Y-%m-%d %H:%M:%S UTC");
    page.markup(", reloads every ").text(refresh).markup("&nbsp;s</p>\n");
    page.markup("<p>Plimsoll health-sidecar ").text(env!("CARGO_PKG_VERSION")).markup("</p>\n");
    page.markup("<nav aria-label=\"The same for programs\"><a href=\"status\">status</a> ");
    page.markup("<a href=\"health\">health</a> <a href=\"metrics\">metrics</a></nav>\n</footer>\n");
}
