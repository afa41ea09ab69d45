//! Holds [`Decision`] against a naive model that keeps every attempt and looks back at all of them each second.

use proptest::prelude::*;

use super::*;

const INTERVAL: u64 = 5;
const LONGEST: u64 = LONGEST_PAUSE.as_secs();

/// What a server does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Written,
    Failed { asked: Option<u64> },
}

/// An attempt that was made.
#[derive(Clone, Debug)]
struct Attempt {
    at: u64,
    told: Told,
    outcome: Outcome,
}

fn told() -> impl Strategy<Value = Told> {
    let phases =
        [Phase::Waiting, Phase::Fetching, Phase::Loading, Phase::Ready, Phase::Failed, Phase::Draining];
    let codes =
        [ReasonCode::Fetching, ReasonCode::FetcherSilent, ReasonCode::Loaded, ReasonCode::LoadedInDoubt];
    (
        prop::sample::select(phases.to_vec()),
        prop::sample::select(codes.to_vec()),
        prop::option::of(0..100_u64),
    )
        .prop_map(|(phase, code, percent)| {
            Told::new(&Verdict { phase, code, reason: String::new() }, percent)
        })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let asked = prop::option::of(prop_oneof![Just(0), 1..20_u64, Just(100_000)]);
    prop_oneof![Just(Outcome::Written), asked.prop_map(|asked| Outcome::Failed { asked })]
}

/// From when on the next attempt may be made: at the earliest and at the latest, jitter included.
fn next(history: &[Attempt]) -> (u64, u64) {
    let Some(last) = history.last() else { return (0, 0) };
    let failures = history.iter().rev().take_while(|attempt| attempt.outcome != Outcome::Written).count();
    let Outcome::Failed { asked } = last.outcome else { return (last.at + INTERVAL, last.at + INTERVAL) };
    let mut pause = INTERVAL;
    for _ in 0..failures {
        pause = (pause * 2).min(LONGEST);
    }
    let asked = asked.unwrap_or(0).min(LONGEST);
    (last.at + (pause / 2).max(INTERVAL).max(asked), last.at + pause.max(INTERVAL).max(asked))
}

/// Whether there is something to tell, by the letter.
fn has_news(history: &[Attempt], told: &Told) -> bool {
    let is_told = history.last().is_some_and(|last| last.outcome == Outcome::Written && &last.told == told);
    told.phase != Phase::Draining && !is_told
}

proptest! {
    #[test]
    fn a_decision_is_what_the_whole_history_says(
        spans in prop::collection::vec((told(), 1..200_u64), 1..8),
        outcomes in prop::collection::vec((outcome(), any::<u64>()), 0..20),
    ) {
        let start = Instant::now();
        let mut outcomes = outcomes.into_iter();
        let (mut decision, mut history) = (Decision::new(Duration::from_secs(INTERVAL)), Vec::<Attempt>::new());
        let (last, _) = spans.last().cloned().unwrap();
        // In the end nothing changes any more, and sooner or later the server has recovered.
        let rest = 22 * (LONGEST + 1);
        let seconds = spans.into_iter().flat_map(|(told, span)| (0..span).map(move |_| told.clone()));
        let seconds = seconds.chain((0..rest).map(|_| last.clone()));
        for (at, told) in (0_u64..).zip(seconds) {
            let now = start + Duration::from_secs(at);
            let (earliest, latest) = next(&history);
            match decision.step(now, &told) {
                Step::Rest => prop_assert!(!has_news(&history, &told), "{at}: {told:?} is not told"),
                Step::Wait(until) => {
                    prop_assert!(has_news(&history, &told) && now < until);
                    prop_assert!(at < latest, "{at}: it waits for too long, to {until:?}");
                }
                Step::Write => {
                    prop_assert!(has_news(&history, &told), "{at}: {told:?} is told twice");
                    prop_assert!(at >= earliest, "{at}: it is too early, before {earliest}");
                    let (outcome, random) = outcomes.next().unwrap_or((Outcome::Written, 0));
                    match outcome {
                        Outcome::Written => decision.written(told.clone(), now),
                        Outcome::Failed { asked } => decision.failed(asked.map(Duration::from_secs), now, random),
                    }
                    history.push(Attempt { at, told, outcome });
                }
            }
        }
        prop_assert!(!has_news(&history, &last), "the last word is not told: {history:?}");
        prop_assert!(history.windows(2).all(|pair| pair[1].at - pair[0].at >= INTERVAL));
    }
}

#[test]
fn a_fetch_is_news_every_ten_percent_and_words_only_where_they_are_the_cause() {
    let mut decision = Decision::new(Duration::ZERO);
    let (mut now, mut writes) = (Instant::now(), Vec::new());
    let mut tell = |phase, code, words: &str, percent| {
        now += Duration::from_secs(1);
        let told = Told::new(&Verdict { phase, code, reason: words.to_owned() }, percent);
        if decision.step(now, &told) == Step::Write {
            writes.push(words.to_owned());
            decision.written(told, now);
        }
    };
    for percent in 0..=100 {
        tell(Phase::Fetching, ReasonCode::Fetching, &format!("{percent} %"), Some(percent));
    }
    tell(Phase::Loading, ReasonCode::AskingServer, "asking", Some(100));
    tell(Phase::Loading, ReasonCode::ServerNotLoaded, "not loaded: 1", Some(100));
    tell(Phase::Loading, ReasonCode::ServerNotLoaded, "not loaded: 2", Some(100));
    tell(Phase::Loading, ReasonCode::ServerNotLoaded, "not loaded: 2", Some(100));
    tell(Phase::Loading, ReasonCode::ServerUnclear, "unclear: 1", Some(100));
    tell(Phase::Loading, ReasonCode::ServerUnclear, "unclear: 2", Some(100));
    tell(Phase::Ready, ReasonCode::Loaded, "loaded", Some(100));
    tell(Phase::Ready, ReasonCode::LoadedInDoubt, "in doubt", Some(100));
    tell(Phase::Draining, ReasonCode::Draining, "draining", None);
    let steps = (0..=10).map(|step| format!("{} %", step * 10));
    let expected: Vec<_> = steps
        .chain(["asking", "not loaded: 1", "not loaded: 2", "unclear: 1", "loaded"].map(str::to_owned))
        .collect();
    assert_eq!(writes, expected);
}
