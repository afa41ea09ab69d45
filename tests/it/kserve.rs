//! A drop-in for KServe's storage initializer: the official package and the fetcher are given the same sources by the
//! same words and the same environment, and what they leave is compared.
//!
//! Where they differ, they do so on purpose, and `fetcher/KSERVE.md` says why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use plimsoll_tests::azure_files::{self, FileShares};
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::gcs_server::GcsServer;
use plimsoll_tests::git_server::{GitServer, USER};
use plimsoll_tests::hdfs_server::{HdfsServer, mount};
use plimsoll_tests::hugging_face::{Hub, REPOSITORY};
use plimsoll_tests::s3_server::S3Server;
use plimsoll_tests::web_server::WebServer;
use plimsoll_tests::{binaries, places, process, skip, tools};

use crate::fetcher::{Fetcher, noise, tree};

/// As the entry point of its image does.
const ENTRY_POINT: &str =
    "import sys; from kserve_storage import Storage; Storage.download_files(sys.argv[1::2], sys.argv[2::2])";

/// Its image has Kerberos, too, which takes a C library and minutes to build; no test here is about it. What is left out is
/// where it looks for the client that knows none.
const WITHOUT_KERBEROS: &str = "import sys, types, hdfs
for name, contents in {'krbcontext': {}, 'krbcontext.context': {'krbContext': None},
                       'hdfs.ext.kerberos': {'Client': hdfs.Client, 'KerberosClient': None}}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(contents)
";

/// Its image asks Azure itself, by an address that it makes up; here the same questions go to the server of the test.
const AZURE_IS_HERE: &str = "import os, azure.storage.fileshare as shares
client = shares.ShareServiceClient
shares.ShareServiceClient = lambda url, **who: client(
    os.environ['AZURE_STORAGE_FILE_ENDPOINT'] + ''.join(url.partition('?')[1:]), **who)
";

type Tree = BTreeMap<String, Vec<u8>>;

/// What is left of a source, or the exit code and what was said of it.
type Left = Result<Tree, (i32, String)>;

struct Comparison {
    environment: Vec<(String, String)>,
}

impl Comparison {
    fn new(environment: &[(String, String)]) -> Self {
        Self { environment: environment.to_vec() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn by_kserve(&self, uri: &str) -> Left {
        let destination = tempfile::tempdir().unwrap();
        let mut command = tools::kserve_python().command("python");
        let before = match uri {
            _ if uri.contains("hdfs://") => WITHOUT_KERBEROS,
            _ if uri.contains(".file.core.windows.net/") => AZURE_IS_HERE,
            _ => "",
        };
        command.args(["-c", &format!("{before}{ENTRY_POINT}"), uri]).arg(destination.path());
        command.envs(self.environment.iter().cloned());
        let output = process::output(&mut command);
        match output.status.code() {
            Some(0) => {
                let mut left = tree(destination.path());
                // What the hub's client notes down for itself.
                left.retain(|name, _| !name.starts_with(".cache/huggingface/"));
                // And what Git's has of the history.
                left.retain(|name, _| !name.starts_with(".git/"));
                Ok(left)
            }
            code => Err((code.unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    fn by_fetcher(&self, uri: &str) -> Left {
        let fetcher = Fetcher::new().with_all(&self.environment);
        let destination = fetcher.model();
        let outcome = fetcher.run(&[uri, destination.to_str().unwrap()]);
        match outcome.code {
            0 => Ok(tree(&destination)),
            code => Err((code, outcome.last_words)),
        }
    }

    /// Both leave the same, and it is this.
    #[track_caller]
    fn agree(&self, uri: &str, expected: &[&str]) {
        let (theirs, ours) = (self.by_kserve(uri), self.by_fetcher(uri));
        let ours = ours.unwrap_or_else(|(code, words)| panic!("{uri}: {code}: {words}"));
        assert_eq!(names(&ours), expected, "{uri}");
        assert!(theirs.as_ref().is_ok_and(|theirs| *theirs == ours), "{uri}: {theirs:?}");
    }

    /// They differ, in a way that has a row in the document.
    #[track_caller]
    fn differ(&self, row: &str, uri: &str) -> (Left, Left) {
        documented(row);
        let (theirs, ours) = (self.by_kserve(uri), self.by_fetcher(uri));
        assert_ne!(theirs.as_ref().ok(), ours.as_ref().ok(), "{uri}: they do not differ");
        (theirs, ours)
    }
}

#[track_caller]
fn documented(row: &str) {
    let document = fs::read_to_string(places::workspace().join("fetcher/KSERVE.md")).unwrap();
    assert!(document.contains(&format!("\n| {row} |")), "expected a row `{row}` in fetcher/KSERVE.md");
}

fn names(tree: &Tree) -> Vec<&str> {
    tree.keys().map(String::as_str).collect()
}

fn put(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn bucket() -> S3Server {
    let server = S3Server::start();
    server.create_bucket("models");
    let weights = noise(300_000);
    put(
        &server.bucket("models"),
        &[
            ("fraud/model.bin", weights.as_slice()),
            ("fraud/config.json", b"{}"),
            ("fraud/a folder/größe.txt", b"text"),
            ("fraud-v2/model.bin", b"another model"),
            ("package/code/__init__.py", b""),
            ("package/code/model.py", b"pass"),
        ],
    );
    server
}

fn skipped(test: &str) -> bool {
    skip::asked("kserve", test)
}

#[test]
fn from_s3_both_bring_the_same() {
    if skipped("from_s3_both_bring_the_same") {
        return;
    }
    let server = bucket();
    let both = Comparison::new(&server.environment());
    both.agree("s3://models/fraud/", &["a folder/größe.txt", "config.json", "model.bin"]);
    both.agree("s3://models/fraud/model.bin", &["model.bin"]);
    both.agree("s3://models/fraud/a folder", &["größe.txt"]);
    let both = both.with("STORAGE_ALLOW_PATTERNS", r#"["*.json", "a*"]"#);
    both.agree("s3://models/fraud/", &["a folder/größe.txt", "config.json"]);
    let both = both.with("STORAGE_IGNORE_PATTERNS", "*.txt, *.bin");
    both.agree("s3://models/fraud/", &["config.json"]);
}

#[test]
fn what_kserve_says_of_a_store_is_understood() {
    if skipped("what_kserve_says_of_a_store_is_understood") {
        return;
    }
    let server = bucket();
    let value = |name: &str| {
        let pairs = server.environment();
        pairs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value).unwrap()
    };
    let entry = serde_json::json!({
        "type": "s3", "bucket": "models", "access_key_id": value("AWS_ACCESS_KEY_ID"),
        "secret_access_key": value("AWS_SECRET_ACCESS_KEY"), "region": value("AWS_REGION"), "endpoint_url": "http://unused:1",
    });
    let otherwise = serde_json::json!({"endpoint_url": server.url()});
    let both = Comparison::new(&[])
        .with("STORAGE_CONFIG", &entry.to_string())
        .with("STORAGE_OVERRIDE_CONFIG", &otherwise.to_string());
    both.agree("s3://models/fraud/config.json", &["config.json"]);

    server.let_anybody_read("models");
    let anonymous = serde_json::json!({"type": "s3", "anonymous": "True", "endpoint_url": server.url(), "region": "us-east-1"});
    let both = Comparison::new(&[]).with("STORAGE_CONFIG", &anonymous.to_string());
    both.agree("s3://models/fraud/config.json", &["config.json"]);
}

#[test]
fn where_they_differ_on_s3_ours_is_what_was_meant() {
    if skipped("where_they_differ_on_s3_ours_is_what_was_meant") {
        return;
    }
    let server = bucket();
    let both = Comparison::new(&server.environment());
    let (theirs, ours) = both.differ("a prefix that another one begins with", "s3://models/fraud");
    assert!(theirs.unwrap().contains_key("-v2/model.bin"));
    assert_eq!(names(&ours.unwrap()), ["a folder/größe.txt", "config.json", "model.bin"]);

    let (theirs, ours) = both.differ("an empty file", "s3://models/package/");
    assert_eq!(names(&theirs.unwrap()), ["code/model.py"]);
    assert_eq!(names(&ours.unwrap()), ["code/__init__.py", "code/model.py"]);

    let uri = "s3://models/fraud/nothing";
    let (theirs, ours) = (both.by_kserve(uri).unwrap_err(), both.by_fetcher(uri).unwrap_err());
    assert_eq!((theirs.0, ours.0), (1, 66));
    assert_eq!(
        ours.1,
        "nothing unversioned: cannot list s3://models/fraud/nothing: s3://models/fraud/nothing does not exist"
    );
    let wrong = both.with("AWS_SECRET_ACCESS_KEY", "wrong");
    let (theirs, ours) = (
        wrong.by_kserve("s3://models/fraud/").unwrap_err(),
        wrong.by_fetcher("s3://models/fraud/").unwrap_err(),
    );
    assert_eq!((theirs.0, ours.0), (1, 77), "{}", ours.1);
}

#[test]
fn from_a_claim_both_bring_the_same() {
    if skipped("from_a_claim_both_bring_the_same") {
        return;
    }
    let claim = tempfile::tempdir().unwrap();
    put(claim.path(), &[("model.bin", b"weights"), ("code/model.py", b"pass")]);
    let path = claim.path().display().to_string();
    let both = Comparison::new(&[]);
    both.agree(&path, &["code/model.py", "model.bin"]);
    both.agree(&format!("file://{path}"), &["code/model.py", "model.bin"]);
    both.agree(&format!("file://{path}/model.bin"), &["model.bin"]);
}

#[test]
fn from_the_web_both_bring_the_same_and_ours_what_theirs_gives_up_on() {
    if skipped("from_the_web_both_bring_the_same_and_ours_what_theirs_gives_up_on") {
        return;
    }
    let server = WebServer::nginx();
    put(&server.folder(), &[("model.bin", &noise(300_000)), ("config.json", b"{}")]);
    let both = Comparison::new(&[]);
    both.agree(&format!("{}/model.bin", server.url()), &["model.bin"]);
    both.agree(&format!("{}/model.bin?version=3", server.url()), &["model.bin"]);

    let uri = format!("{}/config.json", server.url());
    let (theirs, ours) =
        both.differ("a file that the server calls something else than `application/octet-stream`", &uri);
    assert!(theirs.unwrap_err().1.contains("did not respond with 'Content-Type'"));
    assert_eq!(names(&ours.unwrap()), ["config.json"]);

    let content = noise(1000);
    let busy_once = |content: Vec<u8>| {
        FaultServer::start(move |number, request| match number {
            0 => Answer::status("503 Service Unavailable"),
            _ => Answer::file(request, &content, "\"1\"").with("Content-Type", "application/octet-stream"),
        })
    };
    let (for_theirs, for_ours) = (busy_once(content.clone()), busy_once(content.clone()));
    let row = "a server that is busy for a moment";
    documented(row);
    let theirs = both.by_kserve(&format!("{}/model.bin", for_theirs.url())).unwrap_err();
    assert!(theirs.1.contains("503"), "{}", theirs.1);
    let ours = both.by_fetcher(&format!("{}/model.bin", for_ours.url())).unwrap();
    assert_eq!(ours["model.bin"], content);

    let cut = FaultServer::start(move |_, request| {
        Answer::file(request, &content, "\"1\"").with("Content-Type", "application/octet-stream").cut(600)
    });
    let uri = format!("{}/model.bin", cut.url());
    documented("a body that is cut");
    let folder = tempfile::tempdir().unwrap();
    let mut command = tools::kserve_python().command("python");
    process::output(command.args(["-c", ENTRY_POINT, &uri]).arg(folder.path()));
    assert_eq!(tree(folder.path())["model.bin"].len(), 600, "at its final name");
    let fetcher = Fetcher::new().with("FETCHER_RETRY_ATTEMPTS", "2");
    // Each answer has some of what is missing, so that it comes to its end all the same.
    fetcher.run(&[&uri, fetcher.model().to_str().unwrap()]).expect(0);
    assert_eq!(tree(&fetcher.model())["model.bin"].len(), 1000);
}

#[test]
fn several_pairs_are_pulled_in_turn() {
    if skipped("several_pairs_are_pulled_in_turn") {
        return;
    }
    let server = bucket();
    let both = |command: &mut Command, root: &Path| {
        for (uri, folder) in [("s3://models/fraud/", "base"), ("s3://models/fraud-v2", "adapter")] {
            command.arg(uri).arg(root.join(folder));
        }
        process::run(command.envs(server.environment()));
        tree(root)
    };
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = both(tools::kserve_python().command("python").args(["-c", ENTRY_POINT]), theirs.path());
    let mut ours_all = both(&mut Command::new(binaries::fetcher()), ours.path());
    ours_all.retain(|name, _| !name.contains(".plimsoll/"));
    assert_eq!(theirs, ours_all);
    assert_eq!(theirs.len(), 4);
}

#[test]
fn a_single_archive_is_unpacked_by_both_and_two_by_neither() {
    if skipped("a_single_archive_is_unpacked_by_both_and_two_by_neither") {
        return;
    }
    let server = S3Server::start();
    server.create_bucket("models");
    let model = tempfile::tempdir().unwrap();
    put(
        model.path(),
        &[("model.bin", &noise(300_000)), ("code/model.py", b"pass"), ("code/__init__.py", b"")],
    );
    for folder in ["tar", "zip", "two"] {
        fs::create_dir(server.bucket("models").join(folder)).unwrap();
    }
    let bucket = server.bucket("models");
    let mut tar = Command::new("tar");
    process::run(
        tar.args(["--gzip", "-cf"]).arg(bucket.join("tar/model.tar.gz")).arg("-C").arg(model.path()).arg("."),
    );
    let mut zip = Command::new("python3");
    process::run(
        zip.args(["-m", "zipfile", "-c"]).arg(bucket.join("zip/model.zip")).arg(model.path().join(".")),
    );
    fs::copy(bucket.join("tar/model.tar.gz"), bucket.join("two/a.tar.gz")).unwrap();
    fs::copy(bucket.join("zip/model.zip"), bucket.join("two/b.zip")).unwrap();
    let both = Comparison::new(&server.environment());
    let all = ["code/__init__.py", "code/model.py", "model.bin"];
    both.agree("s3://models/tar/", &all);
    both.agree("s3://models/tar/model.tar.gz", &all);
    both.agree("s3://models/zip/", &all);
    both.agree("s3://models/two/", &["a.tar.gz", "b.zip"]);
}

#[test]
fn from_google_cloud_storage_both_bring_the_same() {
    if skipped("from_google_cloud_storage_both_bring_the_same") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 4] = [
        ("models/fraud/model.bin", b"weights"),
        ("models/fraud/code/__init__.py", b""),
        ("models/fraud/größe.txt", b"text"),
        ("models/fraud-v2/model.bin", b"another model"),
    ];
    put(folder.path(), &files);
    let server = GcsServer::start(folder.path());
    let both = Comparison::new(&[]).with("STORAGE_EMULATOR_HOST", &server.url());
    both.agree("gs://models/fraud", &["code/__init__.py", "größe.txt", "model.bin"]);
    both.agree("gs://models/fraud/model.bin", &["model.bin"]);
    let both = both.with("STORAGE_ALLOW_PATTERNS", "*.bin");
    both.agree("gs://models/fraud/", &["model.bin"]);
}

#[test]
fn from_the_hub_both_bring_the_same() {
    if skipped("from_the_hub_both_bring_the_same") {
        return;
    }
    let (hub, model, home) = (Hub::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(
        model.path(),
        &[("config.json", b"{}"), ("model.safetensors", &noise(300_000)), ("pytorch_model.bin", b"x")],
    );
    hub.commit(model.path(), "main");
    let tag = hub.commit(model.path(), "v1");
    let both =
        Comparison::new(&[]).with("HF_ENDPOINT", &hub.url()).with("HF_HOME", home.path().to_str().unwrap());
    let uri = format!("hf://{REPOSITORY}");
    for revision in ["", ":v1", &format!(":{tag}")] {
        both.agree(&format!("{uri}{revision}"), &["config.json", "model.safetensors", "pytorch_model.bin"]);
    }
    let both = both.with("STORAGE_IGNORE_PATTERNS", r#"["*.bin"]"#);
    both.agree(&uri, &["config.json", "model.safetensors"]);
}

#[test]
fn from_hdfs_both_bring_the_same() {
    if skipped("from_hdfs_both_bring_the_same") || skip::asked("hdfs", "from_hdfs_both_bring_the_same") {
        return;
    }
    let server = HdfsServer::start();
    let weights = noise(300_000);
    let files: [(&str, &[u8]); 4] = [
        ("fraud/model.bin", &weights),
        ("fraud/code/größe 1.txt", b"text"),
        ("fraud/code/__init__.py", b""),
        ("fraud-v2/model.bin", b"another model"),
    ];
    server.put_all("models", &files);
    let secret = tempfile::tempdir().unwrap();
    mount(secret.path(), &[("HDFS_NAMENODE", &server.url())]);
    let both = || Comparison::new(&[]).with("HDFS_SECRET_DIR", secret.path().to_str().unwrap());
    let all = ["code/__init__.py", "code/größe 1.txt", "model.bin"];
    both().agree("hdfs://models/fraud", &all);
    both().agree("webhdfs://models/fraud/model.bin", &["model.bin"]);
    both().with("STORAGE_ALLOW_PATTERNS", "*.bin").agree("hdfs://models/fraud", &["model.bin"]);
    mount(secret.path(), &[("HDFS_ROOTPATH", "/models")]);
    both().agree("hdfs://fraud", &all);
    both().agree("hdfs:///models/fraud", &all);

    let entry =
        serde_json::json!({"type": "hdfs", "HDFS_NAMENODE": server.url(), "HDFS_ROOTPATH": "/models"});
    let both = Comparison::new(&[]).with("STORAGE_CONFIG", &entry.to_string());
    both.agree("hdfs://fraud", &all);
}

#[test]
fn from_a_git_repository_both_bring_the_same() {
    if skipped("from_a_git_repository_both_bring_the_same") {
        return;
    }
    let server = GitServer::private();
    let weights = noise(300_000);
    let files: [(&str, &[u8]); 3] =
        [("code/__init__.py", b""), ("code/größe 1.txt", b"text"), ("model.bin", &weights)];
    server.commit(&files);
    // An address without TLS is none of Git's to either.
    let front = WebServer::nginx_with_tls_before(server.port());
    let uri = format!("{}{}", front.tls_url(), server.path());
    let both = Comparison::new(&[])
        .with("GIT_USERNAME", USER.0)
        .with("GIT_PASSWORD", USER.1)
        .with("SSL_CERT_FILE", front.authority().to_str().unwrap());
    both.agree(&uri, &["code/__init__.py", "code/größe 1.txt", "model.bin"]);
    let with_user = uri.replace("localhost", &format!("{}@localhost", USER.0));
    both.agree(&with_user, &["code/__init__.py", "code/größe 1.txt", "model.bin"]);

    // Whether a large file comes from its server or not, theirs says that all is well.
    let attributes: (&str, &[u8]) = (".gitattributes", b"*.bin filter=lfs diff=lfs merge=lfs -text\n");
    let nobodys =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n", "ab".repeat(32));
    server.commit(&[("model.bin", nobodys.as_bytes()), attributes]);
    let (theirs, ours) = both.differ("a large file of Git's (LFS) that its server does not give", &uri);
    assert_eq!(theirs.unwrap()["model.bin"], nobodys.as_bytes());
    assert_eq!(ours.unwrap_err().0, 66);

    let server = GitServer::with_large_files();
    let front = WebServer::nginx_with_tls_before(server.port());
    let both = Comparison::new(&[]).with("SSL_CERT_FILE", front.authority().to_str().unwrap());
    let pointer = server.keep_large(&weights);
    server.commit(&[("model.bin", &pointer), attributes]);
    both.agree(&format!("{}{}", front.tls_url(), server.path()), &[".gitattributes", "model.bin"]);
}

#[test]
fn from_azure_file_shares_both_bring_the_same() {
    if skipped("from_azure_file_shares_both_bring_the_same") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = noise(300_000);
    let files: [(&str, &[u8]); 5] = [
        ("models/fraud/model.bin", &weights),
        ("models/fraud/a & b/größe 1%20.txt", b"text"),
        ("models/fraud/code/__init__.py", b""),
        ("models/fraud-v2/model.bin", b"another model"),
        ("other/model.bin", b"of another share"),
    ];
    put(folder.path(), &files);
    let server = FileShares::start(folder.path());
    server.page(2);
    let account = "https://plimsoll.file.core.windows.net";
    let both = || Comparison::new(&[]).with("AZURE_STORAGE_FILE_ENDPOINT", &server.url());
    let by_key = || both().with("AZURE_STORAGE_ACCESS_KEY", azure_files::KEY);
    let all =
        ["fraud-v2/model.bin", "fraud/a & b/größe 1%20.txt", "fraud/code/__init__.py", "fraud/model.bin"];
    by_key().agree(&format!("{account}/models/"), &all);
    both().agree(&format!("{account}/models/?{}", azure_files::sign("models", None, 1)), &all);
    let some = by_key().with("STORAGE_ALLOW_PATTERNS", "*.bin").with("STORAGE_IGNORE_PATTERNS", "fraud-v2/*");
    some.agree(&format!("{account}/models/"), &["fraud/model.bin"]);

    let uri = format!("{account}/models/fraud");
    let (theirs, ours) = by_key().differ("a folder of an Azure file share", &uri);
    let (theirs, ours) = (theirs.unwrap(), ours.unwrap());
    assert_eq!(names(&theirs), all[1..]);
    let below: Tree = ours.into_iter().map(|(name, content)| (format!("fraud/{name}"), content)).collect();
    assert_eq!(below, theirs);

    put(folder.path(), &[("deep/1/2/3/4/5/6/model.bin", b"weights"), ("deep/1/2/3/4/5/config.json", b"{}")]);
    let uri = format!("{account}/deep/");
    let (theirs, ours) = by_key().differ("a file below more than five folders of an Azure file share", &uri);
    assert_eq!(names(&theirs.unwrap()), ["1/2/3/4/5/config.json"]);
    assert_eq!(names(&ours.unwrap()), ["1/2/3/4/5/6/model.bin", "1/2/3/4/5/config.json"]);
}
