//! What the page says in each state, and that nothing it quotes becomes markup.

use std::time::{Duration, Instant};

use handoff::{FileEntry, Integrity, ModelDigest, ModelId, Progress, Resolved, Sha256Digest, progress};

use super::*;
use crate::expected::Expected;
use crate::probe::Word;
use crate::readiness::{ProgressWord, Rules};
use crate::receipt_check::{Accepted, MAX_LISTED_FILES, Refusal};
use crate::state::State;

const HOSTILE: &str = "</title><script>alert('1')</script>\"x\"&amp;\u{202e}\u{1b}[2J";

const RULES: Rules = Rules { period: Duration::from_secs(60), failures: 3, successes: 1, smoke_requests: 0 };

fn state() -> State {
    let expected = Expected { name: Some("search".into()), version: Some("v2.3".into()) };
    State::new(expected, RULES)
}

fn page(state: &mut State) -> String {
    let verdict = state.verdict();
    render(&Whole::new(state, verdict), "2026-11-20T10:00:00Z".parse().unwrap())
}

fn fetching() -> Progress {
    Progress {
        schema: progress::SCHEMA,
        model: ModelId { name: "search".into(), version: "v2.3".into() },
        phase: progress::Phase::Fetching,
        bytes: 660_602_880,
        total_bytes: Some(1_048_576_000),
        files: 1,
        total_files: 2,
        bytes_per_second: 104_857_600,
        eta_seconds: Some(75),
        connections: Some(handoff::Connections { open: 8, slowest_bytes_per_second: None, retries: 3 }),
        attempt: 2,
        error: None,
        updated_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

fn accepted(files: usize, path: impl Fn(usize) -> String) -> Accepted {
    let first_files: Vec<_> = (0..files.min(MAX_LISTED_FILES))
        .map(|number| FileEntry {
            path: path(number).parse().unwrap(),
            size: 4_509_715_660,
            sha256: Sha256Digest::of(b""),
            checked: Integrity::Registry,
        })
        .collect();
    Accepted {
        model: ModelId { name: "search".into(), version: "v2.3".into() },
        resolved: Resolved {
            registry: "mlflow+http://mlflow.mlops:5000".into(),
            version: "7".into(),
            uri: "s3://models/7".into(),
        },
        digest: ModelDigest::of([]),
        integrity: Integrity::Signed,
        signer: Some("sha256:c0ffee".into()),
        files,
        first_files,
        bytes: 9_019_431_320,
        resumed_bytes: 1024,
        seconds: 12.5,
        completed_at: "2026-11-20T09:59:00Z".parse().unwrap(),
    }
}

/// What the page says without its markup, in one line.
fn words(page: &str) -> String {
    let body = page.split_once("<main>").unwrap().1.replace("&nbsp;", " ");
    let body = ["</t", "</d", "</l"].iter().fold(body, |body, end| body.replace(end, &format!(" {end}")));
    let text: String =
        body.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The elements that a page opens, in order.
fn elements(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|part| part.split([' ', '>']).next().unwrap()).collect()
}

#[track_caller]
fn assert_says(page: &str, what: &[&str]) {
    let words = words(page);
    for part in what {
        assert!(words.contains(part), "expected `{part}` in: {words}");
    }
}

#[test]
fn at_first_it_says_what_is_waited_for() {
    let page = page(&mut state());
    assert!(page.contains("<title>Waiting search v2.3</title>"), "{page}");
    assert_says(
        &page,
        &[
            "search v2.3",
            "waiting for the fetcher",
            "Not in service",
            "none yet",
            "Not asked yet",
            env!("CARGO_PKG_VERSION"),
        ],
    );
    assert!(!page.contains("<progress") && !page.contains("<script"), "{page}");
}

#[test]
fn a_fetch_shows_how_far_it_is() {
    let mut state = state();
    state.progress(ProgressWord::Known(fetching()));
    let known = page(&mut state);
    assert!(known.contains("<title>Fetching search v2.3</title>"), "{known}");
    assert!(known.contains("<progress max=\"100\" value=\"63\">"), "{known}");
    assert_says(
        &known,
        &[
            "fetching 63 % at 100.0 MiB/s, 75 s left (attempt 2)",
            "630.0 MiB of 1000.0 MiB",
            "1 of 2 files",
            "100.0 MiB/s",
            "about 1 min 15 s left",
        ],
    );
    assert_says(&known, &["attempt 2", "connections: 8", "requests made again: 3", "Waiting", "Fetching"]);
    state.progress(ProgressWord::Known(Progress { total_bytes: None, eta_seconds: None, ..fetching() }));
    let unknown = page(&mut state);
    assert!(unknown.contains("<progress max=\"100\">"), "{unknown}");
    assert!(!words(&unknown).contains("left"), "{unknown}");
}

#[test]
fn a_failure_shows_its_line_and_how_far_it_came() {
    let mut state = state();
    state.progress(ProgressWord::Known(Progress {
        phase: progress::Phase::Failed,
        error: Some(handoff::Failure { code: 65, message: "checksum mismatch on model.bin".into() }),
        eta_seconds: None,
        ..fetching()
    }));
    let page = page(&mut state);
    assert!(page.contains("<body class=\"bad\">"), "{page}");
    assert_says(&page, &["failed: checksum mismatch on model.bin", "Not in service", "63 %"]);
    assert!(!words(&page).contains("/s"), "a failed fetch has no speed: {page}");
}

#[test]
fn a_model_in_place_shows_what_it_is_and_who_vouches_for_it() {
    let mut state = state();
    state.receipt_checked(Ok(accepted(2, |number| format!("model-{number}.safetensors"))));
    std::thread::sleep(Duration::from_millis(2));
    let asked = "GET http://127.0.0.1:8080/ping".to_owned();
    state.probe(&Word::NotLoaded { asked, got: "connection refused".into() }, Instant::now());
    let loading = page(&mut state);
    assert!(loading.contains("<title>Loading search v2.3</title>"), "{loading}");
    assert_says(
        &loading,
        &["not loaded: GET http://127.0.0.1:8080/ping: connection refused", "Not in service"],
    );
    state.probe(&Word::Loaded { detail: None }, Instant::now());
    let ready = page(&mut state);
    assert!(ready.contains("<title>Ready search v2.3</title>"), "{ready}");
    assert!(ready.contains("<body class=\"good\">"), "{ready}");
    let digest = ModelDigest::of([]).to_string();
    assert_says(
        &ready,
        &["In service", "Resolved to", "7", "signed: a signature", "sha256:c0ffee", &digest, "s3://models/7"],
    );
    assert_says(
        &ready,
        &["8.3 GiB in 12 s, of which 1.0 KiB", "2026-11-20 09:59:00 UTC", "Loaded the model in"],
    );
    assert_says(&ready, &["model-0.safetensors 4.1 GiB", "model-1.safetensors", "2 files"]);
    assert!(!ready.contains("<progress"), "{ready}");
}

#[test]
fn many_files_are_counted_and_not_listed() {
    let mut state = state();
    let path = |number| format!("checkpoints/epoch-12/model-{number:05}-of-00332.safetensors");
    state.receipt_checked(Ok(accepted(332, path)));
    for _ in 0..20 {
        let asked = "GET http://127.0.0.1:8080/v2/models/search/ready".to_owned();
        state.probe(&Word::NotLoaded { asked, got: "expected status 200, got 503".into() }, Instant::now());
    }
    let page = page(&mut state);
    assert_says(&page, &["model-00019-of-00332.safetensors", "and 312 more"]);
    assert!(!page.contains("model-00020-"), "{page}");
    assert!(page.len() < 20 * 1024, "{} bytes", page.len());
}

#[test]
fn a_refused_receipt_is_a_fault() {
    let mut state = state();
    state.receipt_checked(Err(Refusal::OtherModel("search v2.2, expected v2.3".into())));
    let page = page(&mut state);
    assert!(page.contains("<body class=\"bad\">"), "{page}");
    assert_says(&page, &["Receipt receipt is for search v2.2, expected v2.3"]);
}

/// Every place of the page that shows somebody else's text, with hostile text and with harmless text: the markup is
/// the same.
#[test]
fn whatever_is_quoted_the_markup_is_ours() {
    let pages = [HOSTILE, "harmless"].map(|text| {
        let expected = Expected { name: Some(text.into()), version: Some(text.into()) };
        let mut state = State::new(expected, RULES);
        let failure = Some(handoff::Failure { code: 65, message: text.into() });
        let failed = Progress { phase: progress::Phase::Failed, error: failure, ..fetching() };
        let mut pages = vec![page(&mut state)];
        state.progress(ProgressWord::Known(failed));
        pages.push(page(&mut state));
        state.progress(ProgressWord::Absent);
        state.receipt_checked(Err(Refusal::OtherModel(text.into())));
        pages.push(page(&mut state));
        let mut receipt = accepted(1, |_| "<b>&\"'x'".into());
        receipt.model = ModelId { name: text.into(), version: text.into() };
        receipt.resolved = Resolved { registry: text.into(), version: format!("{text}."), uri: text.into() };
        receipt.signer = Some(text.into());
        state.receipt_checked(Ok(receipt));
        state.probe(&Word::NotLoaded { asked: text.into(), got: text.into() }, Instant::now());
        pages.push(page(&mut state));
        pages
    });
    let [hostile, harmless] = pages;
    for (hostile, harmless) in hostile.iter().zip(&harmless) {
        assert_eq!(elements(hostile), elements(harmless));
        for raw in ["<script", "</title><", "\"x\"", "alert('", "\u{202e}", "\u{1b}", "<b>&\"'"] {
            assert!(!hostile.contains(raw), "`{}` got through: {hostile}", raw.escape_debug());
        }
        assert!(hostile.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{hostile}");
    }
}

#[test]
fn it_asks_for_nothing_else() {
    let mut state = state();
    state.receipt_checked(Ok(accepted(2, |number| format!("{number}"))));
    let page = page(&mut state);
    for sign in [" src=", "@import", "url(", "<script", "style=", "onload", "@font-face"] {
        assert!(!page.contains(sign), "{sign} in {page}");
    }
    let links: Vec<_> = page.match_indices("href=\"").map(|(at, _)| &page[at + 6..at + 11]).collect();
    assert_eq!(links, ["data:", "statu", "healt", "metri"]);
}
