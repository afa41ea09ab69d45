//! Workload identity federation: a token of the workload's own for one of Google's. No real server gives those here, so
//! that one of ours stands in for the token service and for who gives out tokens of service accounts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::process;
use serde_json::{Value, json as value};

use super::{bucket, json, with_account};
use crate::fetcher::{Fetcher, tree};

const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/kubernetes";
const IMPERSONATION: &str = "/v1/projects/-/serviceAccounts/reader@plimsoll.example:generateAccessToken";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// What Google's servers make of a question.
fn answer(request: &Request) -> Answer {
    let refused = |status: &str, error: Value| Answer { status: status.to_owned(), ..json(&error) };
    match (request.method.as_str(), request.target.as_str()) {
        ("POST", "/v1/token") => {
            let decode = |text: &str| text.replace("%3A", ":").replace("%2F", "/");
            let asked: BTreeMap<_, _> =
                request.body.split('&').filter_map(|pair| pair.split_once('=')).collect();
            let asked: BTreeMap<_, _> = asked.into_iter().map(|(key, value)| (key, decode(value))).collect();
            let expected = [
                ("audience", AUDIENCE),
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("scope", SCOPE),
                ("subject_token", "canary-of-the-workload"),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ];
            match asked == expected.map(|(key, value)| (key, value.to_owned())).into() {
                true => json(
                    &value!({"access_token": "canary-federated", "expires_in": 3600, "token_type": "Bearer"}),
                ),
                false => refused(
                    "400 Bad Request",
                    value!({"error": "invalid_grant",
                    "error_description": format!("The audience of {} is another.", asked["subject_token"])}),
                ),
            }
        }
        ("POST", IMPERSONATION) => {
            let asked: Value = serde_json::from_str(&request.body).unwrap_or_default();
            let is_federated = request.header("authorization") == Some("Bearer canary-federated");
            match is_federated && asked == value!({"scope": [SCOPE], "lifetime": "3600s"}) {
                true => json(
                    &value!({"accessToken": "canary-impersonated", "expireTime": "2099-01-01T00:00:00Z"}),
                ),
                false => {
                    refused("403 Forbidden", value!({"error": {"code": 403, "message": "It may not be it."}}))
                }
            }
        }
        _ => Answer::status("404 Not Found"),
    }
}

/// An account of the token service at `url`, for a workload whose token is in this file.
fn account(url: &str, token: &Path) -> Value {
    value!({
        "type": "external_account", "universe_domain": "googleapis.com", "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": format!("{url}/v1/token"),
        "credential_source": {"file": token, "format": {"type": "text"}},
    })
}

fn pull(fetcher: Fetcher, code: i32) -> (Fetcher, String) {
    let fetcher = fetcher.with("FETCHER_LOG_LEVEL", "trace");
    let outcome = fetcher.run(&["pull", "--uri", "gs://models/a"]).expect(code);
    assert!(!outcome.stderr.contains("canary"), "{}", outcome.stderr);
    (fetcher, outcome.last_words)
}

#[test]
fn a_workloads_own_token_is_exchanged_for_one_of_googles() {
    let google = FaultServer::start(|_, request| answer(request));
    let folder = tempfile::tempdir().unwrap();
    let (text, document) = (folder.path().join("token"), folder.path().join("token.json"));
    fs::write(&text, "canary-of-the-workload\n").unwrap();
    fs::write(&document, value!({"id_token": "canary-of-the-workload"}).to_string()).unwrap();
    let as_itself = account(&google.url(), &text);
    let mut as_an_account = account(&google.url(), &document);
    as_an_account["credential_source"]["format"] =
        value!({"type": "json", "subject_token_field_name": "id_token"});
    as_an_account["service_account_impersonation_url"] = format!("{}{IMPERSONATION}", google.url()).into();
    for (account, bearer) in
        [(as_itself, "Bearer canary-federated"), (as_an_account, "Bearer canary-impersonated")]
    {
        let server = bucket(move |request| request.header("authorization") == Some(bearer));
        let (fetcher, _) = pull(with_account(&server.url(), folder.path(), &account.to_string()), 0);
        assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");
    }
    assert_eq!(google.requests().len(), 3, "each token is asked for once");
}

#[test]
fn who_gives_no_token_is_named_with_what_it_said() {
    let google = FaultServer::start(|_, request| answer(request));
    let (server, folder) = (bucket(|_| true), tempfile::tempdir().unwrap());
    let token = folder.path().join("token");
    let failed = |account: &Value, code| {
        pull(with_account(&server.url(), folder.path(), &account.to_string()), code).1
    };
    let good = account(&google.url(), &token);
    let missing = failed(&good, 64);
    let words = format!("cannot read credentials from {}: No such file", token.display());
    assert!(missing.contains(&words), "{missing}");

    fs::write(&token, "canary-of-another").unwrap();
    let refused = failed(&good, 77);
    let words = "access to the account of GOOGLE_APPLICATION_CREDENTIALS was refused (400 Bad Request by 127.0.0.1: \
        The audience of [secret] is another.)";
    assert!(refused.contains(words), "{refused}");

    fs::write(&token, "canary-of-the-workload").unwrap();
    let mut other = good.clone();
    other["service_account_impersonation_url"] = format!("{}{IMPERSONATION}-of-another", google.url()).into();
    failed(&other, 66);

    let nobody = account(&format!("http://127.0.0.1:{}", process::free_port()), &token);
    let unreached = failed(&nobody, 69);
    assert!(unreached.contains("is unavailable: cannot reach 127.0.0.1: Connection refused"), "{unreached}");
    assert!(server.requests().is_empty(), "nobody asks without the token that is spoken of");
}
