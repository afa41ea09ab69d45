//! Holds [`Readiness`] against a naive model that keeps the whole history and searches it for each judgement.

use proptest::prelude::*;

use super::*;

const FAILURES: u32 = 3;
const STALE_AFTER: u64 = 20;

#[derive(Clone, Debug)]
enum Event {
    Pass { ticks: u64 },
    Receipt(ReceiptWord),
    Probe { loaded: bool, took: u64 },
    Drain,
}

fn event() -> impl Strategy<Value = Event> {
    let receipt = prop_oneof![
        1 => Just(ReceiptWord::Absent),
        1 => Just(ReceiptWord::Checking),
        1 => Just(ReceiptWord::Refused("refused".into())),
        4 => Just(ReceiptWord::Accepted),
    ];
    prop_oneof![
        8 => (1..12_u64).prop_map(|ticks| Event::Pass { ticks }),
        3 => receipt.prop_map(Event::Receipt),
        10 => (any::<bool>(), 0..10_u64).prop_map(|(loaded, took)| Event::Probe { loaded, took }),
        1 => Just(Event::Drain),
    ]
}

/// Ready by the letter: each condition is looked up in the history on its own.
fn naive_is_ready(history: &[(u64, Event)], now: u64) -> bool {
    if history.iter().any(|(_, event)| matches!(event, Event::Drain)) {
        return false;
    }
    let last_receipt = history.iter().rposition(|(_, event)| matches!(event, Event::Receipt(_)));
    let Some((accepted_at, Event::Receipt(ReceiptWord::Accepted))) = last_receipt.map(|at| &history[at])
    else {
        return false;
    };
    let answers: Vec<(u64, bool)> = history
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Probe { loaded, took } => Some((at - took, *loaded)),
            _ => None,
        })
        .collect();
    let answers_since: Vec<_> = {
        let before = history[..last_receipt.unwrap_or(0)]
            .iter()
            .filter(|(_, event)| matches!(event, Event::Probe { .. }))
            .count();
        answers[before..].iter().filter(|(began, _)| began > accepted_at).collect()
    };
    let Some(last_success) = answers_since.iter().rposition(|(_, loaded)| *loaded) else {
        return false;
    };
    let failures_since = answers_since.len() - 1 - last_success;
    let (began, _) = answers_since[last_success];
    now - began <= STALE_AFTER && failures_since < FAILURES.try_into().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ready_is_what_the_history_says(events in prop::collection::vec(event(), 0..60)) {
        let base = Instant::now();
        let at = |tick: u64| base + Duration::from_secs(tick);
        let stale_after = Duration::from_secs(STALE_AFTER);
        let mut readiness = Readiness::new(Rules { failures: FAILURES, stale_after });
        let mut history = Vec::new();
        // Late enough that a probe may have begun before the first event.
        let mut now = 100_u64;
        for event in events {
            match &event {
                Event::Pass { ticks } => now += ticks,
                Event::Receipt(word) => readiness.receipt(word.clone(), at(now)),
                Event::Probe { loaded: true, took } => {
                    readiness.probe(&Word::Loaded { detail: None }, at(now - took));
                }
                Event::Probe { loaded: false, took } => {
                    let word = Word::NotLoaded { asked: "GET /".into(), got: "503".into() };
                    readiness.probe(&word, at(now - took));
                }
                Event::Drain => readiness.drain(),
            }
            history.push((now, event));
            let verdict = readiness.judge(at(now));
            prop_assert_eq!(
                verdict.phase == Phase::Ready,
                naive_is_ready(&history, now),
                "at {} after {:?}: {:?}", now, history, verdict
            );
            prop_assert!(!verdict.reason.is_empty());
        }
    }
}
