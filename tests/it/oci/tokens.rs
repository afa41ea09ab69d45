//! Tokens that somebody else gives for a registry, as most public ones have it. Who gives them is a stand-in, and so is
//! the registry, which sends to another server for the bytes.

use handoff::Sha256Digest;
use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::oci_server::{PASSWORD, USER};
use serde_json::{Value, json};

use super::{assert_refused, docker_config, hasty, noise, pull};
use crate::fetcher::Fetcher;

/// A registry with the artifact `a:v1`, and who gives tokens for it.
struct Registry {
    storage: FaultServer,
    tokens: FaultServer,
    registry: FaultServer,
    digest: Sha256Digest,
}

impl Registry {
    fn start(give: fn(&Request) -> Answer) -> Self {
        let content = noise(400_000);
        let digest = Sha256Digest::of(&content);
        let title = json!({"org.opencontainers.image.title": "model.bin"});
        let layer = json!({"mediaType": "x", "size": content.len(), "digest": format!("sha256:{digest}"), "annotations": title});
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": format!("sha256:{}", Sha256Digest::of(b"{}"))});
        let manifest = json!({"config": config, "layers": [layer]}).to_string();
        let storage = FaultServer::start(move |_, request| Answer::file(request, &content, "\"1\""));
        let elsewhere = storage.url();
        let tokens = FaultServer::start(move |_, request| give(request));
        let realm = format!("Bearer realm=\"{}/token\",service=\"models\"", tokens.url());
        let registry = FaultServer::start(move |_, request| {
            if request.header("authorization") != Some("Bearer c4n4ry-token") {
                return Answer::status("401 Unauthorized").with("WWW-Authenticate", &realm);
            }
            match request.target.contains("/manifests/") {
                true => Answer { body: manifest.clone().into(), ..Answer::status("200 OK") },
                false => {
                    Answer::status("307 Temporary Redirect").with("Location", &format!("{elsewhere}/blob"))
                }
            }
        });
        Self { storage, tokens, registry, digest }
    }

    fn uri(&self) -> String {
        format!("oci://{}/a:v1", self.host())
    }

    fn host(&self) -> String {
        self.registry.url().replace("http://", "")
    }

    /// Who is this in Docker's file. The folder is to be kept.
    fn fetcher(&self, entry: &Value) -> (Fetcher, tempfile::TempDir) {
        let folder = docker_config(&self.host(), entry);
        (hasty().with("DOCKER_CONFIG", folder.path().to_str().unwrap()), folder)
    }

    /// Fails unless the model is had, and nobody but the registry saw the token.
    fn assert_pulled(&self, fetcher: &Fetcher) {
        pull(fetcher, &self.uri()).expect(0);
        assert_eq!(fetcher.receipt().files[0].sha256, self.digest);
        let requests = self.storage.requests();
        assert!(
            !requests.is_empty() && requests.iter().all(|request| request.header("authorization").is_none())
        );
    }
}

/// An answer with a token, under either of its names.
fn token(name: &str) -> Answer {
    let body = json!({name: "c4n4ry-token", "expires_in": 300}).to_string().into_bytes();
    Answer { body, ..Answer::status("200 OK") }
}

#[test]
fn a_token_is_asked_for_once_and_goes_to_the_registry_alone() {
    let registry = Registry::start(|request| match request.header("authorization") {
        Some(_) => token("token"),
        None => Answer::status("401 Unauthorized"),
    });
    let (fetcher, _folder) = registry.fetcher(&json!({"username": USER, "password": PASSWORD}));
    registry.assert_pulled(&fetcher);
    let asked: Vec<_> = registry.tokens.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked, ["/token?scope=repository%3Aa%3Apull&service=models"]);
    let refused = pull(&hasty(), &registry.uri()).expect(77);
    assert!(refused.last_words.contains("there are no credentials for"), "{}", refused.last_words);
}

#[test]
fn a_token_in_dockers_config_is_exchanged_or_sent_as_it_is() {
    let registry = Registry::start(|request| {
        let wanted = "scope=repository%3Aa%3Apull&service=models&grant_type=refresh_token\
            &refresh_token=c4n4ry-identity&client_id=plimsoll-fetcher";
        let is_asked = request.method == "POST" && request.target == "/token" && request.body == wanted;
        match is_asked && request.header("authorization").is_none() {
            true => token("access_token"),
            false => Answer::status("401 Unauthorized"),
        }
    });
    // As `docker login` leaves it behind: no password, and a user who is nobody.
    let nobody = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==";
    let identity = |token: &str| json!({"auth": nobody, "identitytoken": token});
    let (fetcher, _folder) = registry.fetcher(&identity("c4n4ry-identity"));
    registry.assert_pulled(&fetcher);
    assert_eq!(registry.tokens.requests().len(), 1, "a token is asked for once");
    let (fetcher, _folder) = registry.fetcher(&json!({"registrytoken": "c4n4ry-token"}));
    registry.assert_pulled(&fetcher);
    assert_eq!(registry.tokens.requests().len(), 1, "and it is not where there is one");
    let (fetcher, _folder) = registry.fetcher(&identity("c4n4ry-that-is-over"));
    let expected = format!(
        "cannot resolve {}: access to {}/token was refused (401 Unauthorized)\nhint: name credentials that may read it",
        registry.uri(),
        registry.tokens.url()
    );
    assert_refused(pull(&fetcher, &registry.uri()), 77, &expected);
}
