//! Answers that say no, for now or for good.

use super::Often::{Every, First};
use super::{BOTH, Case, Source, later_weights, weights};
use crate::fault_proxy::Answer;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = BOTH.into_iter().flat_map(on).collect();
    for (status, name) in [("202 Accepted", "accepted"), ("204 No Content", "no_content")] {
        let change = match name {
            "accepted" => |_: &_, _: &_, _| Answer::new("202 Accepted").body(b"come back later".to_vec()),
            _ => |_: &_, _: &_, _| Answer::new("204 No Content"),
        };
        let fault = if name == "accepted" { "202 instead of the file" } else { "204 instead of the file" };
        let told = |case: Case| case.told(fault, "refuses the answer").ends(64, &[status]);
        cases.push(told(Case::new(Source::HttpFile, name, weights, Every, change)));
        cases.push(told(Case::new(Source::HttpCatalog, name, later_weights, First(1), change)));
    }
    cases
}

/// 503 with a time to wait.
fn busy(retry_after: &str) -> Answer {
    Answer::new("503 Service Unavailable").with("retry-after", retry_after)
}

fn on(source: Source) -> Vec<Case> {
    vec![
        Case::new(source, "throttled", weights, First(2), |_, _, _| Answer::new("429 Too Many Requests"))
            .told("429", "asks again after a pause of its own, by fewer connections")
            .ends(0, &["retrying", "429 Too Many Requests"]),
        Case::new(source, "busy", weights, First(2), |_, _, _| Answer::new("503 Service Unavailable"))
            .told("503", "asks again after a pause of its own, by fewer connections")
            .ends(0, &["retrying", "503 Service Unavailable"]),
        Case::new(source, "busy_for_a_second", weights, First(1), |_, _, _| busy("1"))
            .told("503 with `Retry-After: 1`", "asks again after a second")
            .ends(0, &["wait_ms=1000", "503 Service Unavailable"]),
        Case::new(source, "busy_until_long_ago", weights, First(2), |_, _, _| {
            busy("Sun, 06 Nov 1994 08:49:37 GMT")
        })
        .told("503 with `Retry-After` in the past", "asks again after a pause of its own")
        .ends(0, &["retrying", "503 Service Unavailable"]),
        Case::new(source, "busy_until_another_life", weights, First(1), |_, _, _| {
            busy("Wed, 31 Dec 2098 23:59:59 GMT")
        })
        .told(
            "503 with `Retry-After` in the year 2098",
            "gives up at once if the deadline comes before 5 min",
        )
        .ends(69, &["503 Service Unavailable", "asked to wait "]),
        Case::new(source, "busy_for_ten_years", weights, First(1), |_, _, _| busy("315360000"))
            .told(
                "503 with `Retry-After` of ten years",
                "gives up at once if the deadline comes before 5 min",
            )
            .ends(69, &["503 Service Unavailable", "asked to wait 315360000 s"]),
        Case::new(source, "busy_for_less_than_nothing", weights, First(2), |_, _, _| busy("-5"))
            .told("503 with a negative `Retry-After`", "asks again after a pause of its own")
            .ends(0, &["retrying", "503 Service Unavailable"]),
        Case::new(source, "busy_for_garbage", weights, First(2), |_, _, _| busy("99999999999999999999999"))
            .told("503 with `Retry-After` beyond any number", "asks again after a pause of its own")
            .ends(0, &["retrying", "503 Service Unavailable"]),
        Case::new(source, "always_busy", weights, Every, |_, _, _| Answer::new("503 Service Unavailable"))
            .told("503 for one file, always", "gives up; keeps the other files")
            .ends(69, &["cannot fetch weights.bin", "gave up after 3 attempts", "503 Service Unavailable"])
            .keeping(300_000),
        Case::new(source, "broken_for_a_while", weights, First(2), |_, _, _| {
            Answer::new("500 Internal Server Error")
                .body(b"<Error><Code>InternalError</Code></Error>".to_vec())
        })
        .told("500", "asks again")
        .ends(0, &["retrying", "500 Internal Server Error"]),
        Case::new(source, "bad_gateway_always", weights, Every, |_, _, _| Answer::new("502 Bad Gateway"))
            .told("502 for one file, always", "gives up; keeps the other files")
            .ends(69, &["cannot fetch weights.bin", "gave up after 3 attempts", "502 Bad Gateway"])
            .keeping(300_000),
        Case::new(source, "gone_in_the_middle", later_weights, First(1), |_, _, _| {
            Answer::new("404 Not Found")
        })
        .told("404 in the middle of a file", "ends")
        .ends(66, &["weights.bin", "does not exist"]),
        Case::new(source, "denied_in_the_middle", later_weights, First(1), |_, _, _| {
            Answer::new("403 Forbidden")
        })
        .told("403 in the middle of a file", "ends")
        .ends(77, &["weights.bin", "was refused (403 Forbidden"]),
        Case::new(source, "too_short_for_the_range", later_weights, First(1), |_, _, _| {
            Answer::new("416 Range Not Satisfiable").with("content-range", "bytes */5")
        })
        .told("416: the file is shorter than it was", "ends")
        .ends(65, &["weights.bin", "changed since it was listed"]),
    ]
}
