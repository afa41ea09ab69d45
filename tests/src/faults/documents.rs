//! The small documents that are read as a whole: here, the descriptor of a version.

use super::Often::{Every, First};
use super::{BOTH, Case, Source, descriptor};
use crate::fault_proxy::Moment::InHead;

pub(super) fn cases() -> Vec<Case> {
    BOTH.into_iter().flat_map(on).collect()
}

fn on(source: Source) -> Vec<Case> {
    let is_s3 = source == Source::S3Catalog;
    vec![
        Case::new(source, "document_cut", descriptor, First(2), |_, _, answer| {
            let half = answer.half();
            answer.closed(half)
        })
        .told("the connection is closed in the middle of the descriptor", "asks again")
        .ends(0, &["retrying"]),
        Case::new(source, "document_always_cut", descriptor, Every, |_, _, answer| {
            let half = answer.half();
            answer.reset(half)
        })
        .told("the connection is always reset in the middle of the descriptor", "gives up")
        .ends(69, &["cannot ask catalog+", "gave up after 3 attempts"]),
        Case::new(source, "document_shortened", descriptor, Every, |_, _, answer| {
            answer.text(|text| text[..text.len() / 2].to_owned())
        })
        .told("half of the descriptor, as if it were all", "refuses the descriptor")
        .ends(65, &["model.yaml in catalog+", "is not usable"]),
        Case::new(source, "document_of_something_else", descriptor, Every, |_, _, answer| {
            answer.body(b"<html><body>please log in</body></html>".to_vec())
        })
        .told("a web page instead of the descriptor", "refuses the descriptor")
        .ends(65, &["model.yaml in catalog+", "is not usable"]),
        Case::new(source, "document_of_nothing", descriptor, Every, |_, _, answer| answer.body(Vec::new()))
            .told("an empty descriptor", "refuses the descriptor")
            .ends(65, &["model.yaml in catalog+", "is not usable"]),
        Case::new(source, "document_without_end", descriptor, Every, |_, _, answer| {
            let half = answer.half();
            answer.announcing(1 << 40).endless(half)
        })
        .told("a descriptor of a terabyte", "stops at 32 MiB")
        .ends(64, &["is larger than 33554432 bytes"]),
        Case::new(source, "document_in_chunks_without_end", descriptor, Every, |_, _, answer| {
            let half = answer.half();
            answer.chunked().endless(half)
        })
        .told(
            "a descriptor in chunks that never end",
            if is_s3 { "refuses the answer: S3 names lengths" } else { "stops at 32 MiB" },
        )
        .ends(
            64,
            if is_s3 { &["Content-Length Header missing"] } else { &["is larger than 33554432 bytes"] },
        ),
        Case::new(source, "document_that_drips", descriptor, Every, |_, _, answer| {
            let half = answer.half();
            answer.announcing(1 << 40).paced(200).endless(half)
        })
        .with("FETCHER_DEADLINE", "3s")
        .told("a descriptor that comes by single bytes, without end", "ends at `FETCHER_DEADLINE`")
        .ends(69, &["not done within 3 s"]),
        Case::new(source, "header_of_a_megabyte", descriptor, Every, |_, _, answer| {
            answer.with("x-padding", &"x".repeat(1 << 20))
        })
        .told("a header of 1 MiB", "takes it for a broken connection; gives up")
        .ends(69, &["gave up after 3 attempts"]),
        Case::new(source, "headers_without_end", descriptor, Every, |_, _, answer| answer.endless(InHead))
            .told("headers that never end", "takes them for a broken connection; gives up")
            .ends(69, &["gave up after 3 attempts"]),
        Case::new(source, "answer_that_is_not_http", descriptor, First(2), |_, _, answer| {
            answer.status("neither a number")
        })
        .told("an answer that is not HTTP", "asks again")
        .ends(0, &["retrying"]),
    ]
}
