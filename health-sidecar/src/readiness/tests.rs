//! What each situation is called, and when ready begins and ends.

use handoff::progress::{self, Failure, Progress};
use handoff::{ModelId, Phase as Fetcher};

use super::*;

const RULES: Rules = Rules { period: Duration::from_secs(10), failures: 3, successes: 1, smoke_requests: 0 };

/// A readiness on a clock that only the test moves.
struct Bench {
    readiness: Readiness,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with(RULES)
    }

    fn with(rules: Rules) -> Self {
        Self { readiness: Readiness::new(rules), now: Instant::now() }
    }

    fn loading() -> Self {
        Self::loading_with(RULES)
    }

    fn loading_with(rules: Rules) -> Self {
        let mut bench = Self::with(rules);
        bench.receipt(ReceiptWord::Accepted);
        bench
    }

    fn receipt(&mut self, word: ReceiptWord) {
        self.readiness.receipt(word, self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn progress(&mut self, progress: Progress) {
        self.readiness.progress(ProgressWord::Known(progress), self.now);
    }

    /// A second passes, the server is asked, and answers at once.
    fn probe(&mut self, word: &Word) {
        self.pass(1);
        assert!(self.readiness.probe(word, self.now));
    }

    /// The smoke requests are made, and this comes of them.
    fn smoke(&mut self, word: SmokeWord) {
        let since = self.readiness.wants_smoke(self.now).unwrap();
        assert!(self.readiness.smoke(word, since));
    }

    #[track_caller]
    fn expect(&self, phase: Phase, code: ReasonCode, reason: &str) {
        let verdict = self.readiness.judge(self.now);
        assert_eq!(verdict, Verdict { phase, code, reason: reason.to_owned() });
    }

    fn phase(&self) -> Phase {
        self.readiness.judge(self.now).phase
    }
}

fn loaded() -> Word {
    Word::Loaded { detail: None }
}

fn no() -> Word {
    Word::NotLoaded { asked: "GET http://s/ping".into(), got: "connection refused".into() }
}

fn unclear() -> Word {
    Word::Unclear { asked: "GET http://s/ping".into(), got: "no complete answer within 2 s".into() }
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
    bench.expect(Phase::Waiting, ReasonCode::WaitingForFetcher, "waiting for the fetcher");
    let mut expect = |progress: Progress, phase, code, reason| {
        bench.progress(progress);
        bench.expect(phase, code, reason);
    };
    let fetching = || progress(Fetcher::Fetching);
    expect(
        progress(Fetcher::Waiting),
        Phase::Waiting,
        ReasonCode::WaitingForFetcher,
        "waiting for the fetcher",
    );
    expect(progress(Fetcher::Resolving), Phase::Resolving, ReasonCode::Resolving, "resolving");
    expect(fetching(), Phase::Fetching, ReasonCode::Fetching, "fetching 63 %");
    expect(
        Progress { bytes_per_second: 432_013_312, eta_seconds: Some(9), ..fetching() },
        Phase::Fetching,
        ReasonCode::Fetching,
        "fetching 63 % at 412.0 MiB/s, 9 s left",
    );
    expect(Progress { total_bytes: None, ..fetching() }, Phase::Fetching, ReasonCode::Fetching, "fetching");
    expect(
        Progress { attempt: 2, eta_seconds: Some(700), ..fetching() },
        Phase::Fetching,
        ReasonCode::Fetching,
        "fetching 63 %, 11 min left (attempt 2)",
    );
    expect(progress(Fetcher::Verifying), Phase::Verifying, ReasonCode::Verifying, "verifying");
    expect(progress(Fetcher::Publishing), Phase::Publishing, ReasonCode::Publishing, "publishing");
    let reason = "the fetcher is done, but there is no receipt";
    expect(progress(Fetcher::Fetched), Phase::Waiting, ReasonCode::ReceiptMissing, reason);
    let reason = "failed: product-recommendation v2.3: checksum mismatch on a";
    expect(Progress { attempt: 2, ..failed() }, Phase::Failed, ReasonCode::FetchFailed, reason);
    expect(progress(Fetcher::Failed), Phase::Failed, ReasonCode::FetchFailed, "failed");
}

#[test]
fn a_fetcher_that_says_nothing_any_more_is_told_of() {
    let mut bench = Bench::new();
    bench.progress(progress(Fetcher::Fetching));
    bench.pass(9);
    bench.expect(Phase::Fetching, ReasonCode::Fetching, "fetching 63 %");
    bench.pass(1);
    let reason = "fetching 63 %; no word from the fetcher for 10 s";
    bench.expect(Phase::Fetching, ReasonCode::FetcherSilent, reason);
    bench.progress(progress(Fetcher::Fetching));
    bench.expect(Phase::Fetching, ReasonCode::Fetching, "fetching 63 %");
    // One that has ended has no more to say.
    bench.progress(failed());
    bench.pass(100);
    assert_eq!(bench.readiness.judge(bench.now).code, ReasonCode::FetchFailed);
}

#[test]
fn a_refused_receipt_is_told_unless_the_fetcher_is_at_work() {
    let mut bench = Bench::new();
    let (checking, missing) = (ReasonCode::CheckingReceipt, ReasonCode::FileNotInPlace);
    bench.receipt(ReceiptWord::Checking);
    bench.expect(Phase::Waiting, checking, "checking the receipt");
    bench.progress(progress(Fetcher::Fetched));
    bench.expect(Phase::Publishing, checking, "checking the receipt");
    bench.receipt(ReceiptWord::Refused(missing, "model file model.bin is missing".into()));
    bench.expect(Phase::Waiting, missing, "model file model.bin is missing");
    bench.progress(progress(Fetcher::Fetching));
    bench.expect(Phase::Fetching, ReasonCode::Fetching, "fetching 63 %");
    bench.readiness.progress(ProgressWord::Unusable("progress.json is malformed".into()), bench.now);
    bench.expect(Phase::Waiting, missing, "model file model.bin is missing");
    bench.receipt(ReceiptWord::Absent);
    bench.expect(Phase::Waiting, ReasonCode::ProgressUnusable, "progress.json is malformed");
}

#[test]
fn a_valid_receipt_wins_over_any_progress() {
    for progress in [failed(), progress(Fetcher::Fetching), progress(Fetcher::Fetched)] {
        let mut bench = Bench::loading();
        bench.progress(progress);
        bench.expect(Phase::Loading, ReasonCode::AskingServer, "loading: asking the server");
        bench.probe(&loaded());
        bench.expect(Phase::Ready, ReasonCode::Loaded, "loaded");
    }
}

#[test]
fn one_good_word_is_enough_while_loading_and_its_detail_is_told() {
    let mut bench = Bench::loading();
    for _ in 0..10 {
        bench.probe(&no());
        let reason = "loading: GET http://s/ping: connection refused";
        bench.expect(Phase::Loading, ReasonCode::ServerNotLoaded, reason);
        bench.probe(&unclear());
        let reason = "loading: GET http://s/ping: no complete answer within 2 s";
        bench.expect(Phase::Loading, ReasonCode::ServerUnclear, reason);
    }
    bench.probe(&Word::Loaded { detail: Some("found kserve-v2".into()) });
    bench.expect(Phase::Ready, ReasonCode::Loaded, "loaded: found kserve-v2");
}

#[test]
fn a_definite_no_ends_ready_at_once_and_one_good_word_brings_it_back() {
    let mut bench = Bench::loading();
    bench.probe(&loaded());
    bench.probe(&no());
    let reason = "no longer loaded: GET http://s/ping: connection refused";
    bench.expect(Phase::Loading, ReasonCode::ServerNotLoaded, reason);
    bench.probe(&loaded());
    bench.expect(Phase::Ready, ReasonCode::Loaded, "loaded");
}

#[test]
fn unclear_answers_end_ready_at_the_nth_in_a_row() {
    let mut bench = Bench::loading();
    bench.probe(&loaded());
    bench.probe(&unclear());
    bench.probe(&unclear());
    let reason = "loaded; 2 of 3 answers unclear: GET http://s/ping: no complete answer within 2 s";
    bench.expect(Phase::Ready, ReasonCode::LoadedInDoubt, reason);
    bench.probe(&loaded());
    bench.probe(&unclear());
    bench.probe(&unclear());
    assert_eq!(bench.phase(), Phase::Ready, "they count in a row only");
    bench.probe(&unclear());
    let reason = "no longer loaded: GET http://s/ping: no complete answer within 2 s";
    bench.expect(Phase::Loading, ReasonCode::ServerUnclear, reason);
    bench.probe(&loaded());
    bench.expect(Phase::Ready, ReasonCode::Loaded, "loaded");
}

#[test]
fn several_good_words_have_to_come_in_a_row_where_they_are_wanted() {
    let mut bench = Bench::loading_with(Rules { successes: 3, ..RULES });
    for interruption in [no(), unclear()] {
        bench.probe(&loaded());
        bench.probe(&loaded());
        bench.expect(Phase::Loading, ReasonCode::ServerConfirming, "loaded, 2 of 3 times in a row");
        bench.probe(&interruption);
        assert_eq!(bench.phase(), Phase::Loading);
    }
    (0..3).for_each(|_| bench.probe(&loaded()));
    assert_eq!(bench.phase(), Phase::Ready);
    bench.probe(&unclear());
    assert_eq!(bench.phase(), Phase::Ready, "once they were there, one unclear answer is tolerated");
}

#[test]
fn a_good_word_goes_stale() {
    let mut bench = Bench::loading();
    bench.probe(&loaded());
    bench.pass(10);
    bench.expect(Phase::Ready, ReasonCode::Loaded, "loaded");
    bench.pass(1);
    let reason = "no longer loaded: no word from the server for 11 s";
    bench.expect(Phase::Loading, ReasonCode::ServerSilent, reason);
    bench.probe(&unclear());
    let reason = "no longer loaded: GET http://s/ping: no complete answer within 2 s";
    bench.expect(Phase::Loading, ReasonCode::ServerUnclear, reason);
}

#[test]
fn unclear_answers_do_not_keep_a_good_word_fresh() {
    let mut bench = Bench::loading_with(Rules { failures: 100, ..RULES });
    bench.probe(&loaded());
    (0..10).for_each(|_| bench.probe(&unclear()));
    assert_eq!(bench.phase(), Phase::Ready);
    bench.probe(&unclear());
    assert_eq!(bench.phase(), Phase::Loading);
}

#[test]
fn the_receipt_ends_ready_at_once_and_a_new_one_needs_a_new_word() {
    let refused = ReceiptWord::Refused(ReasonCode::OtherModel, "x".into());
    for word in [ReceiptWord::Absent, ReceiptWord::Checking, refused] {
        let mut bench = Bench::loading();
        bench.probe(&loaded());
        bench.receipt(word);
        assert_eq!(bench.phase(), Phase::Waiting);
        bench.receipt(ReceiptWord::Accepted);
        bench.expect(Phase::Loading, ReasonCode::AskingServer, "loading: asking the server");
    }
}

#[test]
fn an_answer_to_a_question_from_before_the_receipt_does_not_count() {
    let mut bench = Bench::new();
    bench.pass(1);
    let before = bench.now;
    assert!(!bench.readiness.probe(&loaded(), before), "no receipt at all");
    bench.pass(1);
    bench.receipt(ReceiptWord::Accepted);
    assert!(!bench.readiness.probe(&loaded(), before));
    assert!(!bench.readiness.probe(&loaded(), bench.now), "the same instant is not after");
    bench.expect(Phase::Loading, ReasonCode::AskingServer, "loading: asking the server");
    bench.probe(&loaded());
    assert_eq!(bench.phase(), Phase::Ready);
}

#[test]
fn smoke_requests_are_asked_before_the_first_ready_and_after_every_loss() {
    let mut bench = Bench::loading_with(Rules { smoke_requests: 2, ..RULES });
    assert_eq!(bench.readiness.wants_smoke(bench.now), None, "nobody says that it is loaded");
    for _ in 0..2 {
        bench.probe(&loaded());
        bench.expect(Phase::Loading, ReasonCode::SmokeRunning, "loaded; asking the smoke requests (2)");
        bench.smoke(SmokeWord::Passed);
        assert_eq!(bench.phase(), Phase::Ready);
        bench.probe(&loaded());
        assert_eq!(bench.readiness.wants_smoke(bench.now), None, "once is enough");
        bench.probe(&no());
    }
}

#[test]
fn a_smoke_request_that_fails_twice_has_failed_and_may_still_do_better() {
    let mut bench = Bench::loading_with(Rules { smoke_requests: 2, ..RULES });
    let failure = || SmokeWord::Failed("smoke request `a`: expected 200, got 500".into());
    bench.probe(&loaded());
    bench.smoke(failure());
    let reason = "smoke request `a`: expected 200, got 500";
    bench.expect(Phase::Loading, ReasonCode::SmokeFailed, reason);
    bench.smoke(failure());
    bench.expect(Phase::Failed, ReasonCode::SmokeFailed, &format!("failed: {reason}"));
    bench.smoke(SmokeWord::Passed);
    assert_eq!(bench.phase(), Phase::Ready);
}

#[test]
fn what_came_of_smoke_requests_to_a_server_that_was_lost_meanwhile_does_not_count() {
    let mut bench = Bench::loading_with(Rules { smoke_requests: 2, ..RULES });
    bench.probe(&loaded());
    let since = bench.readiness.wants_smoke(bench.now).unwrap();
    bench.probe(&no());
    assert!(!bench.readiness.smoke(SmokeWord::Passed, since));
    bench.probe(&loaded());
    assert!(!bench.readiness.smoke(SmokeWord::Passed, since), "it may have been started again");
    assert_eq!(bench.phase(), Phase::Loading);
    bench.smoke(SmokeWord::Passed);
    assert_eq!(bench.phase(), Phase::Ready);
    // Stale, and then good again: who knows what was in between.
    bench.pass(11);
    bench.probe(&loaded());
    assert_eq!(bench.phase(), Phase::Loading);
}

#[test]
fn draining_wins_over_everything_for_good() {
    let mut bench = Bench::loading();
    bench.probe(&loaded());
    bench.readiness.drain();
    bench.expect(Phase::Draining, ReasonCode::Draining, "draining");
    bench.receipt(ReceiptWord::Accepted);
    bench.probe(&loaded());
    bench.expect(Phase::Draining, ReasonCode::Draining, "draining");
}

#[test]
fn a_reason_is_one_bounded_line_whatever_it_quotes() {
    let mut bench = Bench::new();
    let message = "\u{1b}[2Ja\nb".repeat(1000);
    let error = Some(Failure { code: 70, message });
    bench.progress(Progress { error, ..failed() });
    let Verdict { reason, .. } = bench.readiness.judge(bench.now);
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
