//! Holds [`Readiness`] against a naive model that keeps the whole history and searches it for each judgement.

use proptest::prelude::*;

use super::*;

const PERIOD: u64 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Loaded,
    No,
    Unclear,
}

#[derive(Clone, Debug)]
enum Event {
    Pass {
        ticks: u64,
    },
    Receipt(ReceiptWord),
    Probe {
        said: Said,
        took: u64,
    },
    /// Smoke requests that were begun when they were last wanted, and passed or not.
    Smoke {
        passed: bool,
    },
    Drain,
}

fn event() -> impl Strategy<Value = Event> {
    let receipt = prop_oneof![
        1 => Just(ReceiptWord::Absent),
        1 => Just(ReceiptWord::Checking),
        1 => Just(ReceiptWord::Refused(ReasonCode::OtherModel, "refused".into())),
        6 => Just(ReceiptWord::Accepted),
    ];
    let said = prop_oneof![4 => Just(Said::Loaded), 1 => Just(Said::No), 2 => Just(Said::Unclear)];
    prop_oneof![
        8 => (1..12_u64).prop_map(|ticks| Event::Pass { ticks }),
        2 => receipt.prop_map(Event::Receipt),
        12 => (said, 0..10_u64).prop_map(|(said, took)| Event::Probe { said, took }),
        4 => any::<bool>().prop_map(|passed| Event::Smoke { passed }),
        1 => Just(Event::Drain),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (1..4_u32, 1..4_u32, 0..2_usize).prop_map(|(failures, successes, smoke_requests)| Rules {
        period: Duration::from_secs(PERIOD),
        failures,
        successes,
        smoke_requests,
    })
}

/// Ready by the letter: each condition is looked up in the history on its own.
fn naive_is_ready(rules: &Rules, history: &[(u64, Event)], now: u64) -> bool {
    if history.iter().any(|(_, event)| matches!(event, Event::Drain)) {
        return false;
    }
    let last_receipt = history.iter().rposition(|(_, event)| matches!(event, Event::Receipt(_)));
    let Some((accepted_at, Event::Receipt(ReceiptWord::Accepted))) = last_receipt.map(|at| &history[at])
    else {
        return false;
    };
    // Everything since the receipt: answers to questions from after it, and smoke requests.
    let since: Vec<_> = history[last_receipt.unwrap_or(0) + 1..]
        .iter()
        .filter(|(at, event)| match event {
            Event::Probe { took, .. } => at - took > *accepted_at,
            Event::Smoke { .. } => true,
            _ => false,
        })
        .collect();
    // The good words in a row that still count are those from here on: the last place before which something ended them.
    let (mut begin, mut count, mut unclear, mut last) = (0, 0, 0, None);
    for (number, (at, event)) in since.iter().enumerate() {
        let Event::Probe { said, took } = event else { continue };
        let asked = at - took;
        let is_stale = last.is_some_and(|last: u64| asked.saturating_sub(last) > PERIOD);
        let is_too_often =
            *said == Said::Unclear && (unclear + 1 >= rules.failures || count < rules.successes);
        if last.is_none() || is_stale || *said == Said::No || is_too_often {
            (begin, count, unclear, last) = (number, 0, 0, None);
        }
        match said {
            Said::Loaded => (count, unclear, last) = (count + 1, 0, Some(asked)),
            Said::Unclear if last.is_some() => unclear += 1,
            Said::Unclear | Said::No => {}
        }
    }
    let Some(last) = last else { return false };
    // The last word on smoke requests that were wanted: there were enough good words by then, and fresh ones.
    let smoke = since[begin..].iter().rev().find_map(|(_, event)| match event {
        Event::Smoke { passed } => Some(*passed),
        _ => None,
    });
    now.saturating_sub(last) <= PERIOD
        && count >= rules.successes
        && (rules.smoke_requests == 0 || smoke == Some(true))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ready_is_what_the_history_says(rules in rules(), events in prop::collection::vec(event(), 0..60)) {
        let base = Instant::now();
        let at = |tick: u64| base + Duration::from_secs(tick);
        let mut readiness = Readiness::new(rules);
        let mut history = Vec::new();
        // Late enough that a probe may have begun before the first event.
        let mut now = 100_u64;
        for event in events {
            match &event {
                Event::Pass { ticks } => now += ticks,
                Event::Receipt(word) => readiness.receipt(word.clone(), at(now)),
                Event::Probe { said, took } => {
                    let (asked, got) = ("GET /".to_owned(), "503".to_owned());
                    let word = match said {
                        Said::Loaded => Word::Loaded { detail: None },
                        Said::No => Word::NotLoaded { asked, got },
                        Said::Unclear => Word::Unclear { asked, got },
                    };
                    readiness.probe(&word, at(now - took));
                }
                Event::Smoke { passed } => {
                    // Nobody makes them unasked; what comes of those that are not wanted is no event.
                    let Some(since) = readiness.wants_smoke(at(now)) else { continue };
                    let word = if *passed { SmokeWord::Passed } else { SmokeWord::Failed("a".into()) };
                    prop_assert!(readiness.smoke(word, since));
                }
                Event::Drain => readiness.drain(),
            }
            history.push((now, event));
            let verdict = readiness.judge(at(now));
            prop_assert_eq!(
                verdict.phase == Phase::Ready,
                naive_is_ready(&rules, &history, now),
                "at {} by {:?} after {:?}: {:?}", now, rules, history, verdict
            );
            prop_assert!(!verdict.reason.is_empty());
            let is_ready_code = matches!(verdict.code, ReasonCode::Loaded | ReasonCode::LoadedInDoubt);
            prop_assert_eq!(verdict.phase == Phase::Ready, is_ready_code);
        }
    }
}
