//! Listings of a bucket, where nobody else names the files.

use super::Often::{Every, First};
use super::{Case, Change, Source, listing};

/// A case of the plain prefix with every listing changed.
fn case(name: &str, change: Change) -> Case {
    Case::new(Source::S3Prefix, name, listing, Every, change)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = broken();
    cases.extend(without_end());
    cases.extend(hostile());
    cases
}

fn broken() -> Vec<Case> {
    vec![
        Case::new(Source::S3Prefix, "listing_cut", listing, First(2), |_, _, answer| {
            let half = answer.half();
            answer.closed(half)
        })
        .told("the connection is closed in the middle of the listing", "asks again")
        .ends(0, &["retrying"]),
        Case::new(Source::S3Prefix, "listing_fails_for_a_while", listing, First(2), |_, _, answer| {
            answer.status("500 Internal Server Error")
        })
        .told("500 for the listing", "asks again")
        .ends(0, &["retrying", "500 Internal Server Error"]),
        case("listing_denied", |_, _, answer| answer.status("403 Forbidden"))
            .told("403 for the listing", "ends")
            .ends(77, &["cannot list s3://models/a/v1", "was refused (403 Forbidden"]),
        case("listing_shortened", |_, _, answer| answer.text(|text| text[..text.len() / 2].to_owned()))
            .told("half of the listing, as if it were all", "refuses the listing")
            .ends(64, &["cannot list s3://models/a/v1"]),
        case("listing_of_something_else", |_, _, answer| {
            answer.body(b"<html><body>please log in</body></html>".to_vec())
        })
        .told("a web page instead of the listing", "finds nothing")
        .ends(66, &["s3://models/a/v1"]),
        case("listing_truncated_without_a_token", |_, _, answer| {
            answer.text(|text| {
                // What a server does that stops in the middle and does not say how to go on.
                let last = text.rfind("<Contents>").expect("the listing has files");
                let end = text.rfind("</Contents>").expect("the listing has files") + "</Contents>".len();
                let text = format!("{}{}", &text[..last], &text[end..]);
                text.replace("<IsTruncated>false", "<IsTruncated>true")
            })
        })
        .told("a listing that says there is more, and not how to get it", "refuses the listing")
        .ends(64, &["cannot list s3://models/a/v1", "is truncated"]),
        case("listing_with_another_size", |_, _, answer| {
            answer.text(|text| text.replace("<Size>12000000<", "<Size>11999000<"))
        })
        .told("a listing with a file's size too small", "refuses the file")
        .ends(65, &["size mismatch on weights.bin: expected 11999000 bytes, got 12000000"]),
        case("listing_with_a_larger_size", |_, _, answer| {
            answer.text(|text| text.replace("<Size>12000000<", "<Size>12001000<"))
        })
        .told("a listing with a file's size too large", "refuses the file")
        .ends(65, &["size mismatch on weights.bin: expected 12001000 bytes, got 12000000"]),
        case("listing_with_another_etag", |_, _, answer| {
            answer.text(|text| text.replace("<ETag>&#34;", "<ETag>&#34;0").replace("<ETag>\"", "<ETag>\"0"))
        })
        .told("a listing with other ETags", "notices by `If-Match`, and ends")
        .ends(65, &["changed since it was listed"]),
    ]
}

fn without_end() -> Vec<Case> {
    vec![
        case("listing_that_repeats", |_, _, answer| {
            answer.text(|text| {
                text.replace(
                    "<IsTruncated>false",
                    "<NextContinuationToken>again</NextContinuationToken><IsTruncated>true",
                )
            })
        })
        .told("a listing whose next page is always the same", "ends when it comes the second time")
        .ends(64, &["cannot list s3://models/a/v1", "that page again"]),
        case("listing_of_empty_pages", |_, _, answer| {
            let next = super::run::unique();
            answer.text(|_| {
                format!(
                    "<ListBucketResult><IsTruncated>true</IsTruncated>\
                     <NextContinuationToken>{next}</NextContinuationToken></ListBucketResult>"
                )
            })
        })
        .told("a listing of empty pages without end", "ends after 1000 pages")
        .ends(64, &["cannot list s3://models/a/v1", "1000 pages"]),
        case("listing_without_end", |_, _, answer| {
            let half = answer.half();
            answer.announcing(1 << 40).endless(half)
        })
        .told("a listing of a terabyte", "stops at 32 MiB")
        .ends(64, &["is larger than 33554432 bytes"]),
        case("listing_in_chunks_without_end", |_, _, answer| {
            let half = answer.half();
            answer.chunked().endless(half)
        })
        .told("a listing in chunks that never end", "stops at 32 MiB")
        .ends(64, &["is larger than 33554432 bytes"]),
    ]
}

/// A listing with another name for one file.
macro_rules! renamed {
    ($name:literal, $key:expr, $fault:literal, $code:literal, $words:expr) => {
        case($name, |_, _, answer| answer.text(|text| text.replace("a/v1/config.json", $key)))
            .told($fault, "refuses the listing; writes nothing")
            .ends($code, $words)
    };
}

fn hostile() -> Vec<Case> {
    vec![
        renamed!(
            "key_that_climbs",
            "a/v1/../../../escaped",
            "a key with `..`",
            64,
            &["cannot list s3://models/a/v1"]
        ),
        renamed!(
            "key_that_is_absolute",
            "a/v1//etc/escaped",
            "a key with an absolute path",
            64,
            &["cannot list s3://models/a/v1"]
        ),
        renamed!(
            "key_from_elsewhere",
            "escaped",
            "a key that is not below the prefix",
            64,
            &["cannot list s3://models/a/v1", "not below"]
        ),
        renamed!(
            "key_with_a_control_character",
            "a/v1/co&#10;nfig",
            "a key with a control character",
            64,
            &["cannot list s3://models/a/v1"]
        ),
        renamed!(
            "key_of_two_thousand_bytes",
            &format!("a/v1/{}", "k".repeat(2000)),
            "a key of 2,000 bytes",
            64,
            &["cannot list s3://models/a/v1", "longer than 1024 bytes"]
        ),
        renamed!("key_twice", "a/v1/weights.bin", "the same key twice", 65, &["weights.bin collides with "]),
        renamed!(
            "key_that_is_a_folder",
            "a/v1/code",
            "a key that is the folder of another",
            65,
            &["code/__init__.py collides with "]
        ),
        renamed!(
            "key_of_our_own",
            "a/v1/.plimsoll/receipt.json",
            "a key in the fetcher's own folder",
            65,
            &["is inside `.plimsoll`"]
        ),
    ]
}
