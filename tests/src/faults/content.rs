//! Content that changes, or whose marks are not what they were.

use super::Often::{Every, First};
use super::{BOTH, Case, Source, World, later_weights, weights};
use crate::fault_proxy::Answer;
use crate::fault_server::Request;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for source in [Source::S3Catalog, Source::S3Prefix, Source::HttpCatalog, Source::HttpFile] {
        // One connection asks for one range after another, so the change is sure to come between two of them.
        let aim = if source == Source::HttpFile { conditional } else { weights };
        let case = Case::new(source, "overwritten_in_the_middle", aim, First(1), overwritten);
        cases.push(
            case.with("FETCHER_CONNECTIONS", "1")
                .told(
                    "the file is overwritten in the store while it is read",
                    "notices by `If-Match`, and ends",
                )
                .ends(65, &["weights.bin", "changed since it was listed"])
                .alone(),
        );
    }
    cases.extend(BOTH.into_iter().flat_map(on));
    cases.push(
        Case::new(Source::S3Catalog, "said_to_be_encoded", weights, Every, |_, _, answer| {
            answer.with("content-encoding", "gzip")
        })
        .told("`Content-Encoding: gzip` over the bytes of the object", "takes the bytes as they are stored")
        .ends(0, &[]),
    );
    cases.push(
        Case::new(Source::S3Prefix, "no_etag", weights, Every, |_, _, answer| answer.without("etag"))
            .told("`ETag` is missing in answers", "goes on; the listing had it, and `If-Match` is sent")
            .ends(0, &[]),
    );
    cases.push(
        Case::new(Source::S3Prefix, "flipped_bit", later_weights, First(1), |_, _, answer| answer.flipped())
            .told("one bit of the body is another one", "refuses the file by the store's own checksum")
            .ends(65, &["checksum mismatch on weights.bin"]),
    );
    cases.push(
        Case::new(Source::S3Prefix, "lying_checksum", is_head, Every, |_, _, answer| {
            answer.changed("x-amz-checksum-crc64nvme", |_| "AAAAAAAAAAA=".to_owned())
        })
        .told("the store names another checksum than that of the file", "refuses the file")
        .ends(65, &["checksum mismatch"]),
    );
    cases
}

fn is_head(request: &Request) -> bool {
    request.method == "HEAD"
}

/// Requests for bytes of the large file under a condition, which the one that only looks has not.
fn conditional(request: &Request) -> bool {
    weights(request) && request.header("if-match").is_some()
}

fn overwritten(world: &World, _: &Request, answer: Answer) -> Answer {
    world.overwrite();
    let half = answer.half();
    answer.closed(half)
}

fn on(source: Source) -> Vec<Case> {
    vec![
        Case::new(source, "no_etag", weights, Every, |_, _, answer| answer.without("etag"))
            .told("`ETag` is missing", "goes on: the digest is known")
            .ends(0, &[]),
        Case::new(source, "weak_etag", weights, Every, |_, _, answer| {
            answer.changed("etag", |etag| format!("W/{etag}"))
        })
        .told("`ETag` is weak", "does not rely on it: the digest is known")
        .ends(0, &[]),
    ]
}
