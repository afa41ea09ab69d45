//! How each kind of server says "loaded", and what merely looks like it.

use crate::model_server::{ModelServer, Says};
use crate::sidecar::Sidecar;
use crate::volume::Volume;

const READY: &str = "/v2/models/product-recommendation/ready";
const METADATA: &str = "/v2/models/product-recommendation";

fn kserve(ready: &str, metadata: &str) -> Says {
    Says::Paths(vec![
        ("/v2/health/ready", 200, "{}".into()),
        (READY, 200, ready.into()),
        (METADATA, 200, metadata.into()),
    ])
}

#[test]
fn kserve_v2_needs_the_model_ready_and_named() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::Paths(vec![("/v2/health/ready", 200, "{}".into())]));
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_SERVER", "kserve-v2")]);
    let url = server.url();
    // A server without any model is "ready" all the same.
    sidecar.until("loading", &format!("loading: GET {url}{READY}: expected status 200, got 404 Not Found"));
    for (says, reason) in [
        (kserve(r#"{"ready":false}"#, "{}"), format!("{READY}: the answer says `false` at `/ready`")),
        (kserve("", "ok"), format!("{METADATA}: expected JSON, got `ok`")),
        (kserve("", "{}"), format!("{METADATA}: the answer has nothing at `/name`")),
        (
            kserve("", r#"{"name":"search"}"#),
            format!("{METADATA}: expected `\"product-recommendation\"` at `/name`, got `\"search\"`"),
        ),
    ] {
        server.say(says);
        sidecar.until("loading", &format!("loading: GET {url}{reason}"));
    }
    server.say(kserve(r#"{"ready":true}"#, r#"{"name":"product-recommendation","versions":["1"]}"#));
    sidecar.until("ready", "loaded");
    assert!(!server.asked().contains(&"/v2/health/ready".to_owned()));
}

#[test]
fn kserve_v2_may_know_the_model_by_another_name() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::Paths(vec![
        ("/prefix/v2/models/team%2Fmodel%20a/ready", 200, String::new()),
        ("/prefix/v2/models/team%2Fmodel%20a", 200, r#"{"name":"team/model a"}"#.into()),
    ]));
    let settings = [("HEALTH_SERVER", "kserve-v2"), ("HEALTH_SERVER_MODEL", "team/model a")];
    let sidecar = Sidecar::start(&volume, &format!("{}/prefix", server.url()), &settings);
    sidecar.until("ready", "loaded");
}

#[test]
fn http_asks_for_a_path_a_status_and_a_value() {
    let volume = Volume::fetched();
    let models = |body: &str| Says::Paths(vec![("/v1/models?all=1", 203, body.into())]);
    let server = ModelServer::start(models(r#"{"data":[]}"#));
    let settings = [
        ("HEALTH_SERVER", "http"),
        ("HEALTH_HTTP_PATH", "/v1/models?all=1"),
        ("HEALTH_HTTP_STATUS", "203"),
        ("HEALTH_HTTP_POINTER", "/data/0/id"),
        ("HEALTH_HTTP_VALUE", "product-recommendation"),
    ];
    let sidecar = Sidecar::start(&volume, &server.url(), &settings);
    let url = format!("{}/v1/models?all=1", server.url());
    sidecar.until("loading", &format!("loading: GET {url}: the answer has nothing at `/data/0/id`"));
    server.say(models(r#"{"data":[{"id":"search"}]}"#));
    sidecar.until("loading", &format!("loading: GET {url}: expected `\"product-recommendation\"`"));
    server.say(Says::loaded());
    sidecar.until("loading", &format!("loading: GET {url}: expected status 203, got 200 OK"));
    server.say(models(r#"{"data":[{"id":"product-recommendation"}]}"#));
    sidecar.until("ready", "loaded");
}
