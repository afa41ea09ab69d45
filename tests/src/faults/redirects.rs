//! Redirects. Another host is played by the same server under its other name.

use super::Often::{Every, First};
use super::{BOTH, Case, Source, descriptor, weights};
use crate::fault_proxy::Answer;
use crate::fault_server::Request;

/// A redirect to the same path below an address.
fn to(address: &str, request: &Request) -> Answer {
    Answer::new("307 Temporary Redirect").with("location", &format!("{address}{}", request.target))
}

/// The server under its own name, and under its other one.
fn own(request: &Request) -> String {
    format!("http://{}", request.header("host").unwrap_or_default())
}

/// A redirect to the same path of the server under its other name.
pub(super) fn to_other(request: &Request) -> Answer {
    to(&own(request).replace("127.0.0.1", "localhost"), request)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = BOTH.into_iter().flat_map(on).collect();
    cases.push(
        Case::new(Source::HttpCatalog, "redirect_to_another_host", weights, Every, |_, request, answer| {
            if request.header("host").is_some_and(|host| host.starts_with("localhost")) {
                return answer;
            }
            to_other(request)
        })
        .told("a redirect to another host", "follows it")
        .ends(0, &[]),
    );
    cases.push(
        Case::new(Source::S3Catalog, "redirect_to_another_host", descriptor, First(1), |_, request, _| {
            to_other(request)
        })
        .with("AWS_SESSION_TOKEN", "canary-session")
        .told("a redirect to another host", "does not follow it: a signature is for one host")
        .ends(64, &["was refused: 307 Temporary Redirect"]),
    );
    cases
}

fn on(source: Source) -> Vec<Case> {
    let is_s3 = source == Source::S3Catalog;
    vec![
        Case::new(source, "redirect_loop", descriptor, Every, |_, request, _| to(&own(request), request))
            .told(
                "redirects in a circle",
                if is_s3 { "does not follow them" } else { "ends after 5 redirects" },
            )
            .ends(64, if is_s3 { &["was refused: 307 Temporary Redirect"] } else { &["too many redirects"] }),
        Case::new(source, "redirect_to_a_local_file", descriptor, Every, |_, _, _| {
            Answer::new("302 Found").with("location", "file:///etc/passwd")
        })
        .told("a redirect to a local file", "does not follow it")
        .ends(64, &["cannot ask catalog+"]),
    ]
}
