//! Answers about other bytes than those that were asked for, or that say so.

use super::Often::{Every, First};
use super::world::LARGE_FILE;
use super::{BOTH, Case, Source, World, descriptor, later_weights, weights};
use crate::fault_proxy::Answer;
use crate::fault_server::Request;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = BOTH.into_iter().flat_map(on).collect();
    cases.extend(s3());
    cases.extend(http());
    cases
}

/// The range of an answer with its parts changed: first byte, last byte, size of the file.
fn range(answer: Answer, change: fn([u64; 3]) -> [u64; 3]) -> Answer {
    answer.changed("content-range", |value| {
        let numbers = value.split(|character: char| !character.is_ascii_digit());
        let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
        let [first, last, size] = change(numbers.try_into().expect("a range has three numbers"));
        format!("bytes {first}-{last}/{size}")
    })
}

/// What a server answers that does not know ranges.
fn whole(world: &World, _: &Request, answer: Answer) -> Answer {
    answer.status("200 OK").without("content-range").body(world.expected()[LARGE_FILE].clone())
}

fn on(source: Source) -> Vec<Case> {
    vec![
        Case::new(source, "flipped_bit", later_weights, First(1), |_, _, answer| answer.flipped())
            .told("one bit of the body is another one", "refuses the file by its digest")
            .ends(65, &["checksum mismatch on weights.bin: expected sha256 "])
            .keeping(300_000),
        Case::new(source, "other_size", later_weights, First(1), |_, _, answer| {
            range(answer, |[first, last, size]| [first, last, size + 7])
        })
        .told("`Content-Range` tells of a file of another size", "refuses the file")
        .ends(65, &["size mismatch on weights.bin: expected 12000000 bytes, got 12000007"]),
        Case::new(source, "length_too_long", weights, First(2), |_, _, answer| answer.announcing(1000))
            .told("`Content-Length` is too large", "takes what was asked for, or asks again")
            .ends(0, &[]),
        Case::new(source, "length_too_short", weights, First(2), |_, _, answer| answer.announcing(-1000))
            .told("`Content-Length` is too small", "asks again for what is missing")
            .ends(0, &["retrying"]),
    ]
}

fn s3() -> Vec<Case> {
    let source = Source::S3Catalog;
    vec![
        Case::new(source, "range_from_elsewhere", later_weights, First(1), |_, _, answer| {
            range(answer, |[first, last, size]| [first + 7, last, size])
        })
        .told("`Content-Range` begins elsewhere", "refuses the answer before a byte of it is written")
        .ends(64, &["cannot fetch weights.bin", "Requested "]),
        Case::new(source, "range_to_elsewhere", later_weights, First(1), |_, _, answer| {
            range(answer, |[first, last, size]| [first, last - 7, size])
        })
        .told("`Content-Range` ends elsewhere", "refuses the answer before a byte of it is written")
        .ends(64, &["cannot fetch weights.bin", "Requested "]),
        Case::new(source, "range_missing", later_weights, First(1), |_, _, answer| {
            answer.without("content-range")
        })
        .told("`Content-Range` is missing", "refuses the answer before a byte of it is written")
        .ends(64, &["Content-Range header not present"]),
        Case::new(source, "whole_file_for_a_range", later_weights, First(1), whole)
            .told("a range is answered with the whole file", "refuses the answer: S3 knows ranges")
            .ends(64, &["non-partial response when range requested"]),
        Case::new(source, "part_as_a_whole", later_weights, First(1), |_, _, answer| {
            answer.status("200 OK").without("content-range")
        })
        .told("a range is answered as if it were the whole file", "refuses the answer")
        .ends(64, &["non-partial response when range requested"]),
        Case::new(source, "part_of_a_document", descriptor, Every, part)
            .told("the descriptor is answered with its first bytes only", "refuses the descriptor")
            .ends(65, &["is not usable"]),
        Case::new(Source::S3Prefix, "other_size", later_weights, First(1), |_, _, answer| {
            range(answer, |[first, last, size]| [first, last, size + 7])
        })
        .told("`Content-Range` tells of a file of another size", "refuses the file")
        .ends(65, &["size mismatch on weights.bin: expected 12000000 bytes, got 12000007"]),
    ]
}

/// The first ten bytes of a body, and as such.
fn part(_: &World, _: &Request, answer: Answer) -> Answer {
    let range = format!("bytes 0-9/{}", answer.body.len());
    let body = answer.body.get(..10).unwrap_or_default().to_vec();
    answer.status("206 Partial Content").with("content-range", &range).body(body)
}

fn http() -> Vec<Case> {
    let source = Source::HttpCatalog;
    vec![
        Case::new(source, "range_to_elsewhere", later_weights, First(1), |_, _, answer| {
            range(answer, |[first, last, size]| [first, last - 7, size])
        })
        .told("`Content-Range` ends elsewhere once", "asks again")
        .ends(0, &[]),
        Case::new(source, "range_always_to_elsewhere", later_weights, Every, |_, _, answer| {
            range(answer, |[first, last, size]| [first, last - 7, size])
        })
        .told("`Content-Range` always ends elsewhere", "gives up; keeps the other files")
        .ends(69, &["gave up after 3 attempts", "content-range"])
        .keeping(300_000),
        Case::new(source, "range_missing", later_weights, First(1), |_, _, answer| {
            answer.without("content-range")
        })
        .told("`Content-Range` is missing", "refuses the answer before a byte of it is written")
        .ends(64, &["expected a range from ", "got none"]),
        Case::new(source, "range_of_garbage", later_weights, First(1), |_, _, answer| {
            answer.with("content-range", "bytes many-more/some")
        })
        .told("`Content-Range` is no range", "refuses the answer before a byte of it is written")
        .ends(64, &["expected a range from ", "got none"]),
        Case::new(source, "whole_file_for_a_range", later_weights, First(2), whole)
            .told("a range is answered with the whole file at times", "reads the file by one connection")
            .ends(0, &[]),
        Case::new(source, "part_as_a_whole", later_weights, First(1), |_, _, answer| {
            answer.status("200 OK").without("content-range")
        })
        .told("a range is answered as if it were the whole file", "refuses the file")
        .ends(65, &["size mismatch on weights.bin: expected 12000000 bytes, got "]),
        Case::new(source, "part_of_a_document", descriptor, Every, part)
            .told("the descriptor is answered with its first bytes only", "refuses the answer")
            .ends(64, &["expected the whole"]),
        Case::new(Source::HttpFile, "part_of_an_unknown_whole", weights, Every, |world, request, answer| {
            if request.range().is_some() { answer } else { part(world, request, answer) }
        })
        .told("the whole file is answered with its first bytes only", "refuses the answer")
        .ends(64, &["expected the whole"]),
        Case::new(Source::HttpFile, "other_size", later_weights, First(1), |_, _, answer| {
            range(answer, |[first, last, size]| [first, last, size + 7])
        })
        .told("`Content-Range` tells of a file of another size", "refuses the file")
        .ends(65, &["size mismatch on weights.bin: expected 12000000 bytes, got 12000007"]),
    ]
}
