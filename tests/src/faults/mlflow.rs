//! MLflow: what its registry says, and its artifact proxy, which knows neither ranges nor digests nor ETags.

use super::Often::{Every, First};
use super::{Case, Source, weights};
use crate::fault_proxy::Moment::InHead;
use crate::fault_server::Request;

/// Questions to the registry.
fn registry(request: &Request) -> bool {
    request.target.contains("/api/2.0/mlflow/")
}

/// The question which versions there are.
fn search(request: &Request) -> bool {
    request.target.contains("model-versions/search")
}

/// Listings of the artifact proxy.
fn listing(request: &Request) -> bool {
    request.target.contains("mlflow-artifacts/artifacts?path=")
}

pub(super) fn cases() -> Vec<Case> {
    let source = Source::Mlflow;
    vec![
        Case::new(source, "answer_cut", registry, First(2), |_, _, answer| {
            let half = answer.half();
            answer.closed(half)
        })
        .told("the connection is closed in the middle of an answer of the registry", "asks again")
        .ends(0, &["retrying"]),
        Case::new(source, "answer_of_a_failure", registry, First(2), |_, _, answer| {
            answer.status("500 Internal Server Error")
        })
        .told("500 for a question to the registry", "asks again")
        .ends(0, &["retrying", "500 Internal Server Error"]),
        Case::new(source, "answer_shortened", search, Every, |_, _, answer| {
            answer.text(|text| text[..text.len() / 2].to_owned())
        })
        .told("half of an answer of the registry, as if it were all", "refuses the answer")
        .ends(64, &["cannot ask mlflow+", "makes no sense"]),
        Case::new(source, "answer_without_end", registry, Every, |_, _, answer| {
            let half = answer.half();
            answer.chunked().endless(half)
        })
        .told("an answer of the registry that never ends", "stops at 32 MiB")
        .ends(64, &["is larger than 33554432 bytes"]),
        Case::new(source, "headers_without_end", registry, Every, |_, _, answer| answer.endless(InHead))
            .told("headers that never end", "takes them for a broken connection; gives up")
            .ends(69, &["gave up after 3 attempts"]),
        Case::new(source, "redirect_to_another_host", registry, Every, |_, request, answer| {
            if request.header("host").is_some_and(|host| host.starts_with("localhost")) {
                return answer;
            }
            super::redirects::to_other(request)
        })
        .with("MLFLOW_TRACKING_TOKEN", "canary-token")
        .told("a redirect to another host", "follows it without credentials")
        .ends(0, &[]),
        Case::new(source, "body_cut", weights, First(2), |_, _, answer| {
            let half = answer.half();
            answer.closed(half)
        })
        .told("the connection is closed in the middle of a file that cannot be gone on with", "starts over")
        .ends(0, &["retrying"]),
        Case::new(source, "body_always_cut", weights, Every, |_, _, answer| {
            let half = answer.half();
            answer.closed(half)
        })
        .told("the connection is always closed at the same byte of such a file", "gives up")
        .ends(69, &["cannot fetch weights.bin", "gave up after 3 attempts"]),
        Case::new(source, "body_in_chunks_cut", weights, First(2), |_, _, answer| {
            let half = answer.half();
            answer.chunked().closed(half)
        })
        .told("the connection is closed in the middle of a body in chunks", "starts over")
        .ends(0, &["retrying"]),
        Case::new(source, "body_shortened", weights, Every, |_, _, answer| {
            let half = answer.body.len() / 2;
            let body = answer.body[..half].to_vec();
            answer.body(body)
        })
        .told("half of a file, as if it were all, and the listing says otherwise", "refuses the file")
        .ends(65, &["size mismatch on weights.bin: expected 12000000 bytes, got 6000000"]),
        Case::new(source, "listing_of_something_else", listing, Every, |_, _, answer| {
            answer.body(b"<html><body>please log in</body></html>".to_vec())
        })
        .told("a web page instead of the listing", "refuses the listing")
        .ends(64, &["cannot list ", "makes no sense"]),
        Case::new(source, "path_that_climbs", listing, Every, |_, _, answer| {
            answer.text(|text| text.replace("config.json", "../../escaped"))
        })
        .told("a listing with a path that has `..`", "refuses the listing; writes nothing")
        .ends(64, &["cannot list ", "it has a `.` or `..` component"]),
        Case::new(source, "folders_without_end", listing, Every, |_, _, answer| {
            answer.text(|_| "{\"files\": [{\"path\": \"more\", \"is_dir\": true}]}".to_owned())
        })
        .told("a folder in a folder without end", "refuses the listing at 32 levels")
        .ends(64, &["cannot list ", "nested deeper than 32 levels"]),
    ]
}
