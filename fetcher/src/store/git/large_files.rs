//! Large files, which a commit has only pointers to: their server says where each is, for a while.
//! <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>

use std::collections::HashMap;

use handoff::text::{cut, shown};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;

use super::client::Client;
use super::tree::Pointer;
use crate::http::{read_bounded, send};
use crate::limits::Limits;
use crate::scrub::scrub;
use crate::store::StoreError;
use crate::store::presigned::Presigned;

const JSON: &str = "application/vnd.git-lfs+json";

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    actions: HashMap<String, Action>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    message: String,
}

/// Asks where a file is.
pub(super) async fn address(client: &Client, pointer: &Pointer) -> Result<Presigned, StoreError> {
    let url = client.url(&["info", "lfs", "objects", "batch"]);
    let question = serde_json::json!({
        "operation": "download", "transfers": ["basic"],
        "objects": [{"oid": pointer.sha256.to_string(), "size": pointer.size}],
    });
    let request =
        client.post(&url).header(ACCEPT, JSON).header(CONTENT_TYPE, JSON).body(question.to_string());
    let response = send(request, &url, &[]).await?;
    let body = read_bounded(response, &url, Limits::DEFAULT.document_bytes).await?;
    let what = || format!("the large file {} of {}", pointer.sha256, client.shown());
    read(&body, pointer, what())
}

/// Where the answer says that a file is.
pub(crate) fn read(body: &[u8], pointer: &Pointer, what: String) -> Result<Presigned, StoreError> {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => {
            let reason = format!("expected where it is, got something else at line {}", error.line());
            return Err(StoreError::Malformed { what, reason });
        }
    };
    let Some(object) = answer.objects.into_iter().find(|object| object.oid == pointer.sha256.to_string())
    else {
        return Err(StoreError::Malformed { what, reason: "expected where it is, got nothing of it".into() });
    };
    match (object.error, object.actions.get("download")) {
        (Some(Refusal { code: 404 | 410, .. }), _) => Err(StoreError::NotFound { what }),
        (Some(Refusal { code, message }), _) => {
            let reason = format!("{code}, {}", shown(&cut(&scrub(&message), 200)));
            Err(StoreError::Refused { what, reason })
        }
        (None, Some(action)) => Presigned::new(&action.href, &action.header)
            .map_err(|reason| StoreError::Malformed { what, reason }),
        (None, None) => Err(StoreError::NotFound { what }),
    }
}

/// The request for a file, as whoever we are where it is on the server itself, which then may say nothing of that.
pub(super) fn request(
    client: &Client,
    store: &reqwest::Client,
    address: &Presigned,
) -> reqwest::RequestBuilder {
    let request = address.request(store);
    match address.url.origin() == client.url(&[]).origin() && !address.has(&AUTHORIZATION) {
        true => client.authorized(request),
        false => request,
    }
}
