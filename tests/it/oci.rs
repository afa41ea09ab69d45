//! The fetcher against a real OCI registry, with artifacts that `oras` pushes: what each kind is planned as and fetched
//! to, who is let in, and what is said when the answer is no.

use std::fs;
use std::path::Path;

use handoff::{Integrity, Sha256Digest};
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::oci_server::{OciServer, PASSWORD, USER};
use plimsoll_tests::postgres_server::PostgresServer;
use serde_json::{Value, json};
use tempfile::TempDir;

mod archives;
mod tokens;

use crate::fetcher::{Fetcher, Outcome, digest_by_coreutils, noise, sample_model, tree};

const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
const KITFILE: &str = "application/vnd.kitops.modelkit.config.v1+json";

fn hasty() -> Fetcher {
    Fetcher::new().with("FETCHER_RETRY_ATTEMPTS", "1")
}

/// Pushes every file of a folder under its name; the digest of the manifest.
fn push(server: &OciServer, folder: &Path, reference: &str) -> String {
    let names: Vec<_> = tree(folder).into_keys().collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    server.push(folder, reference, &names)
}

fn model(content: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.bin"), content).unwrap();
    folder
}

fn pull(fetcher: &Fetcher, uri: &str) -> Outcome {
    fetcher.run(&["pull", "--uri", uri])
}

/// The plan of an address: its version, and each file with its digest and how it is unpacked.
fn plan(fetcher: &Fetcher, uri: &str) -> (String, Vec<(String, String, Value)>) {
    let outcome = fetcher.run(&["resolve", "--uri", uri, "--output", "json"]).expect(0);
    let plan: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let file = |file: &Value| {
        let digest = text(&file["expected"][0]["digest"]);
        assert_eq!(file["expected"][0]["rung"], "registry");
        (text(&file["path"]), digest, file["unpack"].clone())
    };
    let files = plan["files"].as_array().unwrap().iter().map(file).collect();
    (text(&plan["resolved"]["version"]), files)
}

fn names(plan: &(String, Vec<(String, String, Value)>)) -> Vec<&str> {
    plan.1.iter().map(|(path, ..)| path.as_str()).collect()
}

/// A Docker config with one entry.
fn docker_config(host: &str, entry: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = json!({"auths": {host: entry}}).to_string();
    fs::write(folder.path().join("config.json"), text).unwrap();
    folder
}

/// Pushes a kit whose model is at `path`, with these parts.
fn push_kit(server: &OciServer, reference: &str, path: &str, parts: &[(&str, Vec<u8>)]) {
    let name = reference.split(':').next().unwrap();
    let config = json!({"manifestVersion": "1.0.0", "model": {"path": path}}).to_string();
    let config = server.blob(name, KITFILE, config.as_bytes());
    let layer = |(part, content): &(&str, Vec<u8>)| {
        let kind = format!("application/vnd.kitops.modelkit.{part}.v1.tar+gzip");
        server.blob(name, &kind, content)
    };
    server.manifest(reference, &config, &parts.iter().map(layer).collect::<Vec<_>>());
}

#[track_caller]
fn assert_refused(outcome: Outcome, code: i32, expected: &str) {
    let outcome = outcome.expect(code);
    let said = format!("{}{}{}", outcome.stdout, outcome.stderr, outcome.last_words);
    assert!(!said.contains("c4n4ry"), "{said}");
    let (error, hint) = expected.split_once("\nhint: ").unwrap_or((expected, ""));
    // What is wrong with the settings may be wrong with where last words go.
    let first = outcome.stderr.lines().next().unwrap_or_default();
    let words = if outcome.last_words.is_empty() { first } else { &outcome.last_words };
    assert!(words.ends_with(error), "{words}\n{error}");
    assert!(outcome.stderr.contains(hint), "expected `{hint}`: {}", outcome.stderr);
}

#[test]
fn an_artifact_is_pulled_by_tag_and_by_digest_and_a_tag_that_moves_is_followed() {
    let (server, sample) = (OciServer::start(), sample_model());
    let digest = push(&server, sample.path(), "team/a:v1");
    let address = format!("oci://{}/models/team/a", server.host());
    let (by_tag, pinned) = (format!("{address}:v1"), format!("{address}@{digest}"));
    let named = Fetcher::new();
    for version in ["v1", "@v1", &digest] {
        named.pull(&server.registry(), "team/a", version).expect(0);
        assert_eq!(tree(&named.model()), tree(sample.path()), "{version}");
        let receipt = named.receipt();
        assert_eq!((receipt.resolved.version, receipt.resolved.uri), (digest.clone(), pinned.clone()));
        assert_eq!((receipt.resolved.registry, receipt.integrity), (server.registry(), Integrity::Registry));
    }
    let (floating, fixed, both) = (Fetcher::new(), Fetcher::new(), Fetcher::new());
    for (fetcher, uri) in [(&floating, &by_tag), (&fixed, &pinned), (&both, &format!("{by_tag}@{digest}"))] {
        pull(fetcher, uri).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(sample.path()), "{uri}");
        let again = pull(fetcher, uri).expect(0);
        assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
    }
    assert_eq!(floating.receipt().model.to_string(), "a v1");

    let other = model(b"other");
    let moved = push(&server, other.path(), "team/a:v1");
    pull(&floating, &by_tag).expect(0);
    assert_eq!((tree(&floating.model()), floating.receipt().resolved.version), (tree(other.path()), moved));
    // What was resolved before is still what it was, on a volume of its own too.
    let late = Fetcher::new();
    pull(&late, &pinned).expect(0);
    assert_eq!(tree(&late.model()), tree(sample.path()));
    drop(server);
    let again = pull(&fixed, &pinned).expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
}

#[test]
fn a_model_pack_is_files_under_their_paths_and_archives() {
    let (server, folder, fetcher) = (OciServer::start(), model(&noise(300_000)), Fetcher::new());
    for (name, content) in
        [("config.json", "{}"), ("data.csv", "1"), ("LICENSE", "free"), ("code.tar", "tar")]
    {
        fs::write(folder.path().join(name), content).unwrap();
    }
    for (namespace, tag) in [("cncf", "v1"), ("cnai", "v0")] {
        let key = format!("org.{namespace}.model.filepath");
        let annotations = json!({"model.bin": {&key: "weights/part 1.bin"}, "config.json": {&key: "config.json"},
            "data.csv": {&key: "data.csv"}, "LICENSE": {&key: "LICENSE"}, "code.tar": {&key: "code"}});
        fs::write(folder.path().join("annotations"), annotations.to_string()).unwrap();
        let kind = |rest: &str| format!("application/vnd.{namespace}.model.{rest}");
        let artifact = ["--artifact-type", &kind("manifest.v1+json"), "--annotation-file", "annotations"];
        let files = [
            format!("model.bin:{}", kind("weight.v1.raw")),
            format!("config.json:{}", kind("weight.config.v1.raw")),
            format!("LICENSE:{}", kind("doc.v1.raw")),
            format!("data.csv:{}", kind("dataset.v1.raw")),
        ];
        let files: Vec<_> = files.iter().map(String::as_str).collect();
        server.push(folder.path(), &format!("pack:{tag}"), &[&artifact[..], &files].concat());
        fetcher.pull(&server.registry(), "pack", tag).expect(0);
        let fetched = tree(&fetcher.model());
        assert_eq!(fetched.keys().collect::<Vec<_>>(), ["LICENSE", "config.json", "weights/part 1.bin"]);
        assert_eq!(fetched["weights/part 1.bin"], noise(300_000));
        let code = format!("code.tar:{}", kind("code.v1.tar+zstd"));
        server.push(folder.path(), "pack:tar", &[&artifact[..], &[&code]].concat());
        let plan = plan(&fetcher, &format!("oci://{}/models/pack:tar", server.host()));
        let digest = format!("sha256:{}", Sha256Digest::of(b"tar"));
        let unpack = json!({"format": "tar-zstd"});
        assert_eq!(plan.1, [("layer-000001.tar.zst".into(), digest, unpack)]);
    }
}

#[test]
fn kits_images_and_folders_are_planned_as_archives() {
    let (server, fetcher) = (OciServer::start(), Fetcher::new());
    let address = |reference: &str| format!("oci://{}/models/{reference}", server.host());
    let kit = |reference: &str, path: &str, parts: &[&'static str]| {
        let name = reference.split(':').next().unwrap();
        let layer = |part: &&'static str| (*part, format!("{name} {part}").into_bytes());
        push_kit(&server, reference, path, &parts.iter().map(layer).collect::<Vec<_>>());
    };
    kit("base:v1", "./model.onnx", &["model", "code", "dataset"]);
    let unpack = json!({"format": "tar-gzip"});
    let file = |number: usize, content: &str| {
        let digest = format!("sha256:{}", Sha256Digest::of(content.as_bytes()));
        (format!("layer-{number:06}.tar.gz"), digest, unpack.clone())
    };
    assert_eq!(plan(&fetcher, &address("base:v1")).1, [file(1, "base model"), file(2, "base code")]);
    kit("tuned:v1", &format!("{}/models/base:v1", server.host()), &["modelpart", "docs"]);
    let expected = [file(1, "base model"), file(2, "tuned modelpart"), file(3, "tuned docs")];
    assert_eq!(plan(&fetcher, &address("tuned:v1")).1, expected);
    // Ten may be, one upon the other.
    for number in 1..=11 {
        let below = if number == 1 { "base".to_owned() } else { format!("kit-{}", number - 1) };
        kit(&format!("kit-{number}:v1"), &format!("{}/models/{below}:v1", server.host()), &[]);
    }
    assert_eq!(plan(&fetcher, &address("kit-10:v1")).1, [file(1, "base model")]);
    let refused = fetcher.run(&["resolve", "--uri", &address("kit-11:v1")]).expect(65);
    assert!(refused.stderr.contains("more than 10 kits are built upon each other"), "{}", refused.stderr);
    // Two that are built upon each other.
    kit("base:v1", &format!("{}/models/tuned:v1", server.host()), &[]);
    let refused = fetcher.run(&["resolve", "--uri", &address("tuned:v1")]).expect(65);
    assert!(refused.stderr.contains("is built upon itself"), "{}", refused.stderr);

    let config = server.blob("car", IMAGE, b"{}");
    let layers = ["tar", "tar+gzip"].map(|kind| {
        server.blob("car", &format!("application/vnd.oci.image.layer.v1.{kind}"), kind.as_bytes())
    });
    let mut ours = server.manifest("car:amd64", &config, &layers);
    let mut theirs = server.manifest("car:arm64", &config, &layers[..1]);
    ours["platform"] = json!({"os": "linux", "architecture": "amd64"});
    theirs["platform"] = json!({"os": "linux", "architecture": "arm64"});
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index =
        |manifests: &[&Value]| json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
    let listed = server.document("car:v1", &index(&[&theirs, &ours]));
    let found = plan(&fetcher, &address("car:v1"));
    assert_eq!((names(&found), &found.0), (vec!["layer-000001.tar", "layer-000002.tar.gz"], &text(&listed)));
    assert!(found.1.iter().all(|(.., unpack)| unpack["below"] == "models"), "{found:?}");
    server.document("car:arm", &index(&[&theirs]));
    assert_eq!(names(&plan(&fetcher, &address("car:arm"))), ["layer-000001.tar"]);

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("weights")).unwrap();
    fs::write(folder.path().join("weights/a"), "a").unwrap();
    fs::write(folder.path().join("b"), "b").unwrap();
    server.push(folder.path(), "folder:v1", &["weights", "b"]);
    let found = plan(&fetcher, &address("folder:v1"));
    assert_eq!((names(&found), &found.1[1].2), (vec!["b", "layer-000001.tar.gz"], &unpack));
}

fn text(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_not_there_or_is_no_model_is_said() {
    let (server, folder) = (OciServer::start(), model(b"x"));
    let digest = push(&server, folder.path(), "a:v1");
    let (url, host) = (server.url(), server.host());
    for (reference, path) in [("a:v2", "a/manifests/v2"), ("b:v1", "b/manifests/v1")] {
        let uri = format!("oci://{host}/models/{reference}");
        let expected = format!(
            "cannot resolve {uri}: {url}/v2/models/{path} does not exist\n\
             hint: check the repository's name, and its tag or digest"
        );
        assert_refused(pull(&hasty(), &uri), 66, &expected);
    }
    let chart = server.blob("chart", "application/vnd.cncf.helm.config.v1+json", b"{}");
    let digest_of_chart = text(&server.manifest("chart:v1", &chart, &[]));
    let expected = format!(
        "oci://{host}/models/chart@{digest_of_chart} is not usable: expected a ModelPack, a ModelKit, an image with a \
         folder `models` or layers with titles, got application/vnd.cncf.helm.config.v1+json"
    );
    assert_refused(pull(&hasty(), &format!("oci://{host}/models/chart:v1")), 65, &expected);
    for (uri, expected) in [
        ("oci://host/a", "--uri (MODEL_URI) is not usable: the oci URI has no tag or digest"),
        (
            "oci://host/A:v1",
            "--uri (MODEL_URI) is not usable: the name of a repository in the oci URI is not one, expected lower-case \
             letters and digits, with `.`, `_` or `-` between them, and `/`",
        ),
        (
            "oci://me:c4n4ry@host/a:v1",
            "--uri (MODEL_URI) is not usable: the oci URI holds credentials, expected none",
        ),
    ] {
        assert_refused(pull(&hasty(), uri), 64, expected);
    }
    // What rotted in the registry is not what the manifest says.
    let blob = server.blob_file(Sha256Digest::of(b"x"));
    fs::write(blob, "y").unwrap();
    let outcome = pull(&hasty(), &format!("oci://{host}/models/a:v1")).expect(65);
    assert!(outcome.last_words.contains("mismatch on model.bin"), "{}", outcome.last_words);
    let manifest: Sha256Digest = digest["sha256:".len()..].parse().unwrap();
    let file = server.blob_file(manifest);
    let other = fs::read_to_string(&file).unwrap().replace("model.bin", "other.bin");
    fs::write(&file, &other).unwrap();
    let refused = pull(&hasty(), &format!("oci://{host}/models/a@{digest}")).expect(65);
    let got = format!(
        "is not what it must be: expected {digest}, got sha256:{}",
        Sha256Digest::of(other.as_bytes())
    );
    assert!(refused.last_words.ends_with(&got), "{}", refused.last_words);
}

#[test]
fn a_private_registry_lets_in_who_is_in_dockers_config() {
    let (server, folder) = (OciServer::private(), model(&noise(200_000)));
    push(&server, folder.path(), "a:v1");
    let (host, url) = (server.host(), server.url());
    let uri = format!("oci://{host}/models/a:v1");
    let path = |folder: &TempDir| folder.path().to_str().unwrap().to_owned();
    let entry = json!({"username": USER, "password": PASSWORD});
    let good = docker_config(&host, &entry);
    let secret = docker_config(&format!("https://{host}/v2/"), &entry);
    fs::rename(secret.path().join("config.json"), secret.path().join(".dockerconfigjson")).unwrap();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".docker")).unwrap();
    fs::copy(good.path().join("config.json"), home.path().join(".docker/config.json")).unwrap();
    for (variable, value) in [
        ("DOCKER_CONFIG", path(&good)),
        ("DOCKER_CONFIG", path(&secret)),
        ("HOME", path(&home)),
        ("KSERVE_OCI_DOCKER_CONFIG", format!("{}/config.json", path(&good))),
    ] {
        let fetcher = hasty().with(variable, &value).with("FETCHER_LOG_LEVEL", "trace");
        let outcome = pull(&fetcher, &uri).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(folder.path()), "{variable}");
        assert!(!outcome.stderr.contains("c4n4ry"), "{}", outcome.stderr);
    }
    let asked = format!("cannot resolve {uri}: access to {url}/v2/models/a/manifests/v1 was refused");
    let hint =
        "hint: name credentials that may read it in Docker's config.json, and its folder in DOCKER_CONFIG";
    let none = format!("{asked} (401 Unauthorized; there are no credentials for {host})\n{hint}");
    assert_refused(pull(&hasty(), &uri), 77, &none);
    let elsewhere = docker_config("elsewhere", &entry);
    assert_refused(pull(&hasty().with("DOCKER_CONFIG", &path(&elsewhere)), &uri), 77, &none);
    let wrong = docker_config(&host, &json!({"username": USER, "password": "c4n4ry-is-wrong"}));
    let refused = format!("{asked} (401 Unauthorized)\n{hint}");
    assert_refused(pull(&hasty().with("DOCKER_CONFIG", &path(&wrong)), &uri), 77, &refused);
    let file = good.path().join("config.json");
    fs::write(&file, json!({"credHelpers": {&host: "ecr-login"}}).to_string()).unwrap();
    let helper = format!(
        "cannot resolve {uri}: {} was refused: the credentials for {host} are kept by the program \
         `docker-credential-ecr-login`, expected them in the file",
        file.display()
    );
    assert_refused(pull(&hasty().with("DOCKER_CONFIG", &path(&good)), &uri), 64, &helper);
}

#[test]
fn mirrors_are_asked_first_and_need_not_be_trusted() {
    let (server, folder) = (OciServer::start(), model(&noise(200_000)));
    let digest = push(&server, folder.path(), "a:v1");
    // The registry itself is away, so that a digest is all there is to go by.
    let uri = format!("oci://127.0.0.1:1/models/a@{digest}");
    let fetcher = hasty().with("FETCHER_OCI_MIRRORS", &format!("127.0.0.1:1={}", server.url()));
    pull(&fetcher, &uri).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(folder.path()));
    pull(&hasty().with("FETCHER_OCI_MIRRORS", &format!("other={}", server.url())), &uri).expect(69);
    let liar = FaultServer::start(|_, _| Answer { body: b"{}".to_vec(), ..Answer::status("200 OK") });
    let fetcher = hasty().with("FETCHER_OCI_MIRRORS", &liar.url());
    let outcome = pull(&fetcher, &format!("oci://{}/models/a@{digest}", server.host())).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(folder.path()));
    assert!(outcome.stderr.contains("doing without this mirror"), "{}", outcome.stderr);
    assert_eq!(liar.requests().len(), 1);
}

#[test]
fn a_row_of_a_database_may_lead_to_an_oci_registry() {
    let (server, database, sample) = (OciServer::start(), PostgresServer::start(), sample_model());
    let digest = push(&server, sample.path(), "a:v1");
    let (whole, zeros) = (digest_by_coreutils(sample.path()), format!("sha256:{}", "0".repeat(64)));
    let address = format!("oci://{}/models/a", server.host());
    database.tell(&format!(
        "INSERT INTO plimsoll.version (name, version, uri, digest) VALUES
         ('a', 'v2.3', '{address}:v1', '{whole}'), ('a', 'v2.4', '{address}:v1', '{zeros}')"
    ));
    let fetcher = hasty().with_all(&database.environment());
    fetcher.pull(&database.registry(), "a", "v2.3").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(sample.path()));
    let resolved = fetcher.receipt().resolved;
    assert_eq!((resolved.version, resolved.uri), ("v2.3".into(), format!("{address}@{digest}")));
    let refused = fetcher.pull(&database.registry(), "a", "v2.4").expect(65);
    assert!(refused.last_words.contains("mismatch"), "{}", refused.last_words);
}
