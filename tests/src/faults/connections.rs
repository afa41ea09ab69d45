//! Connections that break, stall or crawl.

use super::Often::{Every, First};
use super::{BOTH, Case, Source, weights};
use crate::fault_proxy::Moment::{Before, InBody, InHead};

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = BOTH.into_iter().flat_map(on).collect();
    cases.push(
        Case::new(Source::S3Catalog, "body_cut", weights, First(3), |_, _, answer| {
            let half = answer.half();
            answer.closed(half)
        })
        .told("the connection is closed in the middle of the body", "goes on where it broke")
        .ends(0, &["retrying"]),
    );
    cases
}

fn on(source: Source) -> Vec<Case> {
    vec![
        Case::new(source, "reset_before_the_answer", weights, First(2), |_, _, answer| answer.reset(Before))
            .told("the connection is reset before the answer", "asks again")
            .ends(0, &["retrying"]),
        Case::new(source, "reset_in_the_head", weights, First(2), |_, _, answer| answer.reset(InHead))
            .told("the connection is reset in the head of the answer", "asks again")
            .ends(0, &["retrying"]),
        Case::new(source, "reset_in_the_body", weights, First(3), |_, _, answer| {
            let half = answer.half();
            answer.reset(half)
        })
        .told("the connection is reset in the middle of the body", "goes on where it broke")
        .ends(0, &["retrying"]),
        Case::new(source, "closed_before_the_answer", weights, First(2), |_, _, answer| {
            answer.closed(Before)
        })
        .told("the connection is closed before the answer", "asks again")
        .ends(0, &["retrying"]),
        Case::new(source, "closed_in_the_head", weights, First(2), |_, _, answer| answer.closed(InHead))
            .told("the connection is closed in the head of the answer", "asks again")
            .ends(0, &["retrying"]),
        Case::new(source, "always_reset", weights, Every, |_, _, answer| answer.reset(Before))
            .told("every connection for one file is reset", "gives up; keeps the other files")
            .ends(69, &["cannot fetch weights.bin", "gave up after 3 attempts"])
            .keeping(300_000),
        Case::new(source, "stall_before_the_answer", weights, First(1), |_, _, answer| {
            answer.stalled(Before)
        })
        .told("no answer comes", "asks again, or another connection is faster")
        .ends(0, &[]),
        Case::new(source, "stall_in_the_body", weights, First(1), |_, _, answer| {
            answer.stalled(InBody(100_000))
        })
        .told("no more comes in the middle of the body", "asks again, or another connection is faster")
        .ends(0, &[]),
        Case::new(source, "always_stalled", weights, Every, |_, _, answer| answer.stalled(Before))
            .told("no answer for one file ever comes", "gives up; keeps the other files")
            .ends(69, &["cannot fetch weights.bin", "gave up after 3 attempts"])
            .keeping(300_000),
        Case::new(source, "slow_drip", weights, First(1), |_, _, answer| answer.paced(4_000))
            .told("one connection is slower than `FETCHER_MIN_SPEED`", "asks again where it was, or races")
            .ends(0, &[]),
        Case::new(source, "slow_drip_for_ever", weights, Every, |_, _, answer| answer.paced(4_000))
            .with("FETCHER_DEADLINE", "4s")
            .told(
                "every connection is slower than `FETCHER_MIN_SPEED`",
                "ends at `FETCHER_DEADLINE`; keeps what came",
            )
            .ends(69, &["not done within 4 s"])
            .keeping(300_000),
    ]
}
