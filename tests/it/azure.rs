//! Azure Blob Storage, by Microsoft's own stand-in and its official client; tokens and what the stand-in cannot be made
//! to do come from a server of ours.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handoff::Integrity;
use plimsoll_tests::azure_server::AzureServer;
use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::process;
use serde_json::{Value, json};

use crate::fetcher::{Fetcher, digest_by_coreutils, noise, sample_model, tree};

fn put(name: &str, content: &[u8]) -> Value {
    json!({"do": "put", "container": "models", "name": name, "content": BASE64_STANDARD.encode(content)})
}

/// A server with the sample model below `models/a/v1`, and a neighbour whose name begins in the same way.
pub fn server() -> (AzureServer, tempfile::TempDir) {
    let (server, model) = (AzureServer::start(), sample_model());
    let mut operations = vec![json!({"do": "create", "container": "models"})];
    operations.extend(tree(model.path()).iter().map(|(path, content)| put(&format!("a/v1/{path}"), content)));
    operations.push(put("a/v1-2/other.bin", b"another model"));
    server.does(&operations);
    (server, model)
}

fn fetcher(server: &AzureServer) -> Fetcher {
    Fetcher::new()
        .with("AZURE_STORAGE_CONNECTION_STRING", &server.connection_string())
        .with("FETCHER_RETRY_ATTEMPTS", "2")
}

#[test]
fn a_prefix_is_pulled_without_its_neighbours_and_checked() {
    let (server, model) = server();
    let marked = |name: &str| {
        let mut marker = put(name, b"");
        marker["metadata"] = json!({"hdi_isfolder": "true"});
        marker
    };
    let mut packed = put("a/v1/packed.json", b"\x1f\x8bstored as it is");
    packed["encoding"] = json!("gzip");
    server.does(&[marked("a/v1/deep"), marked("a/v1/empty"), put("a/v1/__init__.py", b""), packed]);
    let mut expected = tree(model.path());
    expected.insert("__init__.py".to_owned(), Vec::new());
    expected.insert("packed.json".to_owned(), b"\x1f\x8bstored as it is".to_vec());
    for uri in [
        "az://models/a/v1",
        "https://plimsoll.blob.core.windows.net/models/a/v1",
        "abfss://models@plimsoll.dfs.core.windows.net/a/v1",
        "wasbs://models@plimsoll.blob.core.windows.net/a/v1/",
    ] {
        let fetcher = fetcher(&server);
        fetcher.run(&["pull", "--uri", uri]).expect(0);
        assert_eq!(tree(&fetcher.model()), expected, "{uri}");
        let files = fetcher.receipt().files;
        let small = files.iter().find(|file| file.path.as_str() == "config.json").unwrap();
        assert_eq!(small.checked, Integrity::Store, "{files:?}");
    }
    let single = fetcher(&server);
    single.run(&["pull", "--uri", "az://models/a/v1/größe/模型 1.bin"]).expect(0);
    assert_eq!(
        tree(&single.model()).into_iter().collect::<Vec<_>>(),
        [("模型 1.bin".to_owned(), noise(70_000))]
    );
}

#[test]
fn a_container_is_listed_page_by_page() {
    let names = || (0..10_000).map(|number| format!("{}/{number}", number % 10));
    let server = AzureServer::listing("models", names().map(|name| format!("many/{name}")));
    // It is slow to be asked about each of so many; what vouches for them all saves that.
    let sums: String = names().map(|name| format!("{}  {name}\n", "0".repeat(64))).collect();
    // Two that stand for folders, as two kinds of client make them; and an empty file.
    let mut marked = put("many/marked", b"");
    marked["metadata"] = json!({"hdi_isfolder": "true"});
    let sums = put("many/SHA256SUMS", sums.as_bytes());
    server.does(&[sums, marked, put("many/nothing/", b""), put("many/__init__.py", b"")]);
    let plan = fetcher(&server).run(&["resolve", "--uri", "az://models/many"]).expect(0).stdout;
    assert!(plan.contains(" in 10002 files"), "{}", &plan[..300]);
}

#[test]
fn a_catalog_is_published_to_and_pulled_from() {
    let (server, model) = server();
    fs::write(model.path().join("large.bin"), noise(20_000_000)).unwrap();
    let fetcher = fetcher(&server);
    let registry = "catalog+az://models/production";
    fetcher.publish(model.path(), registry, "v1", &["--alias", "champion"]).expect(0);
    fetcher.pull(registry, "a", "@champion").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert_eq!(fetcher.receipt().digest.to_string(), digest_by_coreutils(model.path()));

    fs::write(model.path().join("config.json"), "{\"second\": true}").unwrap();
    let refused = fetcher.publish(model.path(), registry, "v1", &[]).expect(64);
    let words = "a v1 exists already in catalog+az://models/production";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    // The alias moves by compare-and-swap.
    fetcher.publish(model.path(), registry, "v2", &["--alias", "champion"]).expect(0);
    fetcher.pull(registry, "a", "@champion").expect(0);
    assert_eq!(fetcher.receipt().resolved.version, "v2");
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
}

#[test]
fn a_shared_access_signature_lets_in_until_it_is_over() {
    let (server, model) = server();
    let with_signature = |hours: i32| {
        let signature = server.does(&[json!({"do": "sign", "container": "models", "hours": hours})]);
        let signed = |fetcher: Fetcher| {
            fetcher
                .with("AZURE_STORAGE_BLOB_ENDPOINT", &server.url())
                .with("AZURE_STORAGE_ACCOUNT_NAME", "plimsoll")
                .with("FETCHER_LOG_LEVEL", "trace")
        };
        (
            signature.clone(),
            signed(Fetcher::new()).with("AZURE_STORAGE_SAS_TOKEN", &signature),
            signed(Fetcher::new()),
        )
    };
    let (signature, by_environment, by_address) = with_signature(1);
    let secret = signature.split("sig=").nth(1).unwrap().chars().take(12).collect::<String>();
    let address = format!("https://plimsoll.blob.core.windows.net/models/a/v1?{signature}");
    for (fetcher, uri) in [(by_environment, "az://models/a/v1"), (by_address, address.as_str())] {
        let outcome = fetcher.run(&["pull", "--uri", uri]).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(model.path()));
        let receipt = fs::read_to_string(fetcher.layout().receipt()).unwrap();
        assert!(!receipt.contains(&secret) && !outcome.stderr.contains(&secret), "{}", outcome.stderr);
    }
    let (_, over, _) = with_signature(-1);
    let refused = over.run(&["pull", "--uri", "az://models/a/v1"]).expect(77);
    assert!(
        refused.last_words.contains("access to az://models/a/v1 was refused (403 "),
        "{}",
        refused.last_words
    );
}

#[test]
fn a_container_says_no_in_the_same_words_as_everything_else() {
    let (server, _) = server();
    let wrong = server.connection_string().replace("AccountKey=bm90", "AccountKey=Y2Fu");
    let refused = Fetcher::new().with("AZURE_STORAGE_CONNECTION_STRING", &wrong);
    let refused = refused.run(&["pull", "--uri", "az://models/a/v1"]).expect(77);
    assert!(
        refused.last_words.contains("access to az://models/a/v1 was refused (403 "),
        "{}",
        refused.last_words
    );
    assert!(refused.stderr.contains("hint: check the store's credentials"), "{}", refused.stderr);
    for uri in ["az://models/nothing", "az://no-such-container/a"] {
        let missing = fetcher(&server).run(&["pull", "--uri", uri]).expect(66);
        let words = format!("cannot list {uri}: {uri} does not exist");
        assert!(missing.last_words.ends_with(&words), "{}", missing.last_words);
    }
    let nobody = Fetcher::new().run(&["pull", "--uri", "az://models/a"]).expect(64);
    let words = "az://models was refused: expected its account in AZURE_STORAGE_ACCOUNT_NAME";
    assert!(nobody.last_words.ends_with(words), "{}", nobody.last_words);
    let odd = "AccountName=a;AccountKey=canary!";
    let odd = Fetcher::new().with("AZURE_STORAGE_CONNECTION_STRING", odd).run(&["pull", "--uri", "az://m/a"]);
    let odd = odd.expect(64);
    assert!(!odd.stderr.contains("canary"), "{}", odd.stderr);
}

#[test]
fn an_open_container_needs_no_account() {
    let server = AzureServer::start();
    let open = json!({"do": "create", "container": "models", "public": "container"});
    server.does(&[open, put("a/model.bin", b"weights")]);
    let nobody = format!("http://127.0.0.1:{}", process::free_port());
    let fetcher = |name: &str, value: &str| {
        Fetcher::new()
            .with("AZURE_STORAGE_BLOB_ENDPOINT", &server.url())
            .with("AZURE_STORAGE_ACCOUNT_NAME", "plimsoll")
            .with("FETCHER_RETRY_ATTEMPTS", "2")
            .with(name, value)
    };
    let anonymous = fetcher("AZURE_SKIP_SIGNATURE", "true");
    anonymous.run(&["pull", "--uri", "az://models/a"]).expect(0);
    assert_eq!(tree(&anonymous.model())["model.bin"], b"weights");
    // Where the machine is said to have an identity, it must have one.
    let failed = fetcher("IDENTITY_ENDPOINT", &nobody).run(&["pull", "--uri", "az://models/a"]).expect(69);
    assert!(failed.last_words.contains("Connection refused"), "{}", failed.last_words);
}

/// A container with the one blob `a/model.bin`, as ETag and content say, for those who have the token.
fn container(request: &Request, etag: &str, content: &[u8]) -> Answer {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    if request.header("authorization") != Some("Bearer canary-token") {
        return Answer::status("401 Unauthorized");
    }
    let modified = "Fri, 27 Nov 2026 12:00:00 GMT";
    if path == "/models" && query.contains("comp=list") {
        let blob = format!(
            "<Blob><Name>a/model.bin</Name><Properties><Last-Modified>{modified}</Last-Modified><Etag>1</Etag>\
             <Content-Length>7</Content-Length><Content-Type>x/y</Content-Type></Properties></Blob>"
        );
        let page = format!("<EnumerationResults><Blobs>{blob}</Blobs><NextMarker/></EnumerationResults>");
        return Answer { body: page.into_bytes(), ..Answer::status("200 OK") };
    }
    match request.header("if-match") {
        Some(expected) if expected != etag => Answer::status("412 Precondition Failed"),
        _ if request.method == "HEAD" => {
            Answer::status("200 OK").with("ETag", etag).with("Content-Length", "7")
        }
        _ => Answer::file(request, content, etag).with("Last-Modified", modified),
    }
}

#[test]
fn a_blob_that_was_overwritten_after_it_was_listed_is_not_read() {
    let server = FaultServer::start(|_, request| match request.method.as_str() {
        "GET" if request.header("metadata").is_some() => token("\"expires_on\": \"4102444800\""),
        "HEAD" => container(request, "\"1\"", b"weights"),
        _ => container(request, "\"2\"", b"changed"),
    });
    let fetcher = with_token(&server).with("AZURE_STORAGE_BLOB_ENDPOINT", &server.url());
    let failed = fetcher.run(&["pull", "--uri", "az://models/a"]).expect(65);
    assert!(failed.last_words.contains("az://models/a/model.bin changed since it was listed"), "{failed:?}");
    assert!(tree(&fetcher.model()).is_empty());
}

/// The fetcher on a machine whose identity is asked for at this server.
fn with_token(server: &FaultServer) -> Fetcher {
    Fetcher::new()
        .with("AZURE_STORAGE_ACCOUNT_NAME", "plimsoll")
        .with("IDENTITY_ENDPOINT", &server.url())
        .with("FETCHER_LOG_LEVEL", "trace")
        .with("FETCHER_RETRY_ATTEMPTS", "2")
}

fn token(more: &str) -> Answer {
    let body = format!("{{\"access_token\": \"canary-token\", \"token_type\": \"Bearer\", {more}}}");
    Answer { body: body.into_bytes(), ..Answer::status("200 OK") }.with("Content-Type", "application/json")
}

#[test]
fn a_managed_identity_and_a_workloads_identity_get_a_token() {
    let server = FaultServer::start(|_, request| container(request, "\"1\"", b"weights"));
    let identity = FaultServer::start(|_, request| {
        let is_asked = request.header("metadata") == Some("true") && request.target.contains("resource=");
        if is_asked { token("\"expires_on\": \"4102444800\"") } else { Answer::status("400 Bad Request") }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "the token of a workload").unwrap();
    let authority = FaultServer::start(|_, request| {
        let is_asked = request.method == "POST" && request.target == "/tenant/oauth2/v2.0/token";
        if is_asked { token("\"expires_in\": 3600") } else { Answer::status("400 Bad Request") }
    });
    let workload = |fetcher: Fetcher| {
        fetcher
            .with("AZURE_STORAGE_ACCOUNT_NAME", "plimsoll")
            .with("AZURE_TENANT_ID", "tenant")
            .with("AZURE_CLIENT_ID", "client")
            .with("AZURE_AUTHORITY_HOST", &authority.url())
            .with("FETCHER_LOG_LEVEL", "trace")
    };
    for fetcher in [
        with_token(&identity),
        workload(Fetcher::new()).with("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
        workload(Fetcher::new()).with("AZ_CLIENT_SECRET", "canary-secret"),
    ] {
        let fetcher = fetcher.with("AZURE_STORAGE_BLOB_ENDPOINT", &server.url());
        let outcome = fetcher.run(&["pull", "--uri", "az://models/a"]).expect(0);
        assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");
        assert!(!outcome.stderr.contains("canary"), "{}", outcome.stderr);
    }
    assert_eq!((identity.requests().len(), authority.requests().len()), (1, 2), "a token is asked for once");
}
