//! What each situation is called, and when ready begins and ends.

use handoff::progress::{self, Failure, Progress};
use handoff::{ModelId, Phase as Fetcher};

use super::*;

const RULES: Rules = Rules { failures: 3, stale_after: Duration::from_secs(17) };

/// A readiness on a clock that only the test moves.
struct Bench {
    readiness: Readiness,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { readiness: Readiness::new(RULES), now: Instant::now() }
    }

    fn loading() -> Self {
        let mut bench = Self::new();
        bench.receipt(ReceiptWord::Accepted);
        bench
    }

    fn receipt(&mut self, word: ReceiptWord) {
        self.readiness.receipt(word, self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// A second passes, the server is asked, and answers at once.
    fn probe(&mut self, loaded: bool) {
        self.pass(1);
        let word = if loaded {
            Word::Loaded { detail: None }
        } else {
            Word::NotLoaded { asked: "GET http://s/ping".into(), got: "connection refused".into() }
        };
        assert!(self.readiness.probe(&word, self.now));
    }

    fn says(&self) -> (Phase, String) {
        let Verdict { phase, reason } = self.readiness.judge(self.now);
        (phase, reason)
    }

    #[track_caller]
    fn expect(&self, phase: Phase, reason: &str) {
        assert_eq!(self.says(), (phase, reason.to_owned()));
    }
}

fn progress(phase: Fetcher) -> Progress {
    Progress {
        schema: progress::SCHEMA,
        model: ModelId { name: "product-recommendation".into(), version: "v2.3".into() },
        phase,
        bytes: 63,
        total_bytes: Some(100),
        files: 0,
        total_files: 1,
        bytes_per_second: 0,
        eta_seconds: None,
        connections: None,
        attempt: 1,
        error: None,
        updated_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

fn failed() -> Progress {
    let error = Failure { code: 65, message: "product-recommendation v2.3: checksum mismatch on a".into() };
    Progress { error: Some(error), ..progress(Fetcher::Failed) }
}

#[test]
fn the_fetchers_phases_are_told_as_they_are() {
    let mut bench = Bench::new();
    bench.expect(Phase::Waiting, "waiting for the fetcher");
    let mut expect = |progress: Progress, phase, reason| {
        bench.readiness.progress(ProgressWord::Known(progress));
        bench.expect(phase, reason);
    };
    expect(progress(Fetcher::Waiting), Phase::Waiting, "waiting for the fetcher");
    expect(progress(Fetcher::Resolving), Phase::Resolving, "resolving");
    expect(progress(Fetcher::Fetching), Phase::Fetching, "fetching 63 %");
    expect(Progress { total_bytes: None, ..progress(Fetcher::Fetching) }, Phase::Fetching, "fetching");
    expect(
        Progress { attempt: 2, ..progress(Fetcher::Fetching) },
        Phase::Fetching,
        "fetching 63 % (attempt 2)",
    );
    expect(progress(Fetcher::Verifying), Phase::Verifying, "verifying");
    expect(progress(Fetcher::Publishing), Phase::Publishing, "publishing");
    let reason = "the fetcher is done, but there is no receipt";
    expect(progress(Fetcher::Fetched), Phase::Waiting, reason);
    let reason = "failed: product-recommendation v2.3: checksum mismatch on a";
    expect(Progress { attempt: 2, ..failed() }, Phase::Failed, reason);
    expect(progress(Fetcher::Failed), Phase::Failed, "failed");
}

#[test]
fn a_refused_receipt_is_told_unless_the_fetcher_is_at_work() {
    let mut bench = Bench::new();
    bench.receipt(ReceiptWord::Checking);
    bench.expect(Phase::Waiting, "checking the receipt");
    bench.readiness.progress(ProgressWord::Known(progress(Fetcher::Fetched)));
    bench.expect(Phase::Publishing, "checking the receipt");
    bench.receipt(ReceiptWord::Refused("model file model.bin is missing".into()));
    bench.expect(Phase::Waiting, "model file model.bin is missing");
    bench.readiness.progress(ProgressWord::Known(progress(Fetcher::Fetching)));
    bench.expect(Phase::Fetching, "fetching 63 %");
    bench.readiness.progress(ProgressWord::Unusable("progress.json is malformed".into()));
    bench.expect(Phase::Waiting, "model file model.bin is missing");
    bench.receipt(ReceiptWord::Absent);
    bench.expect(Phase::Waiting, "progress.json is malformed");
}

#[test]
fn a_valid_receipt_wins_over_any_progress() {
    for progress in [failed(), progress(Fetcher::Fetching), progress(Fetcher::Fetched)] {
        let mut bench = Bench::loading();
        bench.readiness.progress(ProgressWord::Known(progress));
        bench.expect(Phase::Loading, "loading: asking the server");
        bench.probe(true);
        bench.expect(Phase::Ready, "loaded");
    }
}

#[test]
fn one_good_word_is_enough_while_loading() {
    let mut bench = Bench::loading();
    for _ in 0..10 {
        bench.probe(false);
        bench.expect(Phase::Loading, "loading: GET http://s/ping: connection refused");
    }
    bench.probe(true);
    bench.expect(Phase::Ready, "loaded");
}

#[test]
fn ready_ends_at_the_nth_failure_in_a_row_and_comes_back_with_one_good_word() {
    let mut bench = Bench::loading();
    bench.probe(true);
    bench.probe(false);
    bench.probe(false);
    bench.expect(Phase::Ready, "loaded; 2 of 3 probes failed: GET http://s/ping: connection refused");
    bench.probe(true);
    bench.probe(false);
    bench.probe(false);
    assert_eq!(bench.says().0, Phase::Ready, "failures count in a row only");
    bench.probe(false);
    bench.expect(Phase::Loading, "no longer loaded: GET http://s/ping: connection refused");
    bench.probe(true);
    bench.expect(Phase::Ready, "loaded");
}

#[test]
fn a_good_word_goes_stale() {
    let mut bench = Bench::loading();
    bench.probe(true);
    bench.pass(17);
    bench.expect(Phase::Ready, "loaded");
    bench.pass(1);
    bench.expect(Phase::Loading, "no longer loaded: no word from the server for too long");
    bench.probe(false);
    bench.expect(Phase::Loading, "no longer loaded: GET http://s/ping: connection refused");
}

#[test]
fn the_receipt_ends_ready_at_once_and_a_new_one_needs_a_new_word() {
    for word in [ReceiptWord::Absent, ReceiptWord::Checking, ReceiptWord::Refused("x".into())] {
        let mut bench = Bench::loading();
        bench.probe(true);
        bench.receipt(word);
        assert_eq!(bench.says().0, Phase::Waiting);
        bench.receipt(ReceiptWord::Accepted);
        bench.expect(Phase::Loading, "loading: asking the server");
    }
}

#[test]
fn an_answer_to_a_question_from_before_the_receipt_does_not_count() {
    let mut bench = Bench::new();
    bench.pass(1);
    let before = bench.now;
    assert!(!bench.readiness.probe(&Word::Loaded { detail: None }, before), "no receipt at all");
    bench.pass(1);
    bench.receipt(ReceiptWord::Accepted);
    assert!(!bench.readiness.probe(&Word::Loaded { detail: None }, before));
    assert!(
        !bench.readiness.probe(&Word::Loaded { detail: None }, bench.now),
        "the same instant is not after"
    );
    bench.expect(Phase::Loading, "loading: asking the server");
    bench.probe(true);
    assert_eq!(bench.says().0, Phase::Ready);
}

#[test]
fn draining_wins_over_everything_for_good() {
    let mut bench = Bench::loading();
    bench.probe(true);
    bench.readiness.drain();
    bench.expect(Phase::Draining, "draining");
    bench.receipt(ReceiptWord::Accepted);
    bench.probe(true);
    bench.expect(Phase::Draining, "draining");
}

#[test]
fn a_reason_is_one_bounded_line_whatever_it_quotes() {
    let mut bench = Bench::new();
    let message = "\u{1b}[2Ja\nb".repeat(1000);
    let error = Some(Failure { code: 70, message });
    bench.readiness.progress(ProgressWord::Known(Progress { error, ..failed() }));
    let (_, reason) = bench.says();
    assert!(
        !reason.contains(char::is_control) && reason.chars().count() <= one_line::LONGEST + 1,
        "{reason}"
    );
}

#[test]
fn every_phase_has_one_name_everywhere() {
    for phase in Phase::ALL {
        assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
    }
}

#[test]
fn what_the_server_adds_to_loaded_is_said() {
    let mut bench = Bench::loading();
    bench.pass(1);
    let detail = Some("found kserve-v2 at http://127.0.0.1:8080".to_owned());
    assert!(bench.readiness.probe(&Word::Loaded { detail }, bench.now));
    bench.expect(Phase::Ready, "loaded: found kserve-v2 at http://127.0.0.1:8080");
}
