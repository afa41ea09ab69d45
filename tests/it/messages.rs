//! What the fetcher says when it fails, in whole: the sections of `fetcher/MESSAGES.md` are what it says here and now.
//!
//! What differs from run to run, such as ports, is named for what it is. `PLIMSOLL_WRITE_MESSAGES=1` writes the document anew,
//! for somebody to read before it is committed; with `--test-threads=1`, as each test has a section of it.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use plimsoll_tests::azure_files::{self, FileShares};
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::git_server::{GitServer, USER};
use plimsoll_tests::hdfs_server::HdfsServer;
use plimsoll_tests::hugging_face::{Hub, REPOSITORY};
use plimsoll_tests::mlflow_server::{Login, MlflowServer, Options};
use plimsoll_tests::model_registry::ModelRegistry;
use plimsoll_tests::oci_server::OciServer;
use plimsoll_tests::postgres_server::PostgresServer;
use plimsoll_tests::s3_server::S3Server;
use plimsoll_tests::web_server::WebServer;
use plimsoll_tests::{places, skip};
use serde_json::json;

use crate::fetcher::Fetcher;
use crate::{azure, gcs};

const DOCUMENT: &str = "fetcher/MESSAGES.md";

/// A section of the document as it is being written.
struct Section {
    title: &'static str,
    text: String,
    /// What is shown of it instead.
    names: Vec<(String, String)>,
}

impl Section {
    fn new(title: &'static str) -> Self {
        Self { title, text: String::new(), names: Vec::new() }
    }

    /// Has a port be shown as the name of who listens there.
    fn port(&mut self, port: u16, name: &str) -> &mut Self {
        self.names.push((format!(":{port}"), format!(":‹{name}›")));
        self
    }

    /// Notes down what is said of a failure.
    fn fails(&mut self, what: &str, fetcher: Fetcher, arguments: &[&str]) -> &mut Self {
        let outcome = fetcher.with("FETCHER_RETRY_ATTEMPTS", "1").run(arguments);
        assert_ne!(outcome.code, 0, "{what}: it does not fail");
        let (_, said) =
            outcome.stderr.split_once("error: ").unwrap_or_else(|| panic!("{what}: {}", outcome.stderr));
        let mut lines: Vec<String> =
            said.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        for line in &mut lines {
            for (from, to) in &self.names {
                *line = line.replace(from, to);
            }
            if let Some((before, id)) = line.clone().split_once("request id ") {
                let rest = id.find([')', ';', ',']).map_or("", |end| &id[end..]);
                *line = format!("{before}request id …{rest}");
            }
        }
        writeln!(self.text, "**{what}**: exit {}\n\n```\n{}\n```\n", outcome.code, lines.join("\n")).unwrap();
        self
    }

    fn uri(&mut self, what: &str, fetcher: Fetcher, uri: &str) -> &mut Self {
        self.fails(what, fetcher, &["pull", "--uri", uri])
    }

    fn version(
        &mut self,
        what: &str,
        fetcher: Fetcher,
        registry: &str,
        name: &str,
        version: &str,
    ) -> &mut Self {
        let arguments = ["pull", "--registry", registry, "--model-name", name, "--model-version", version];
        self.fails(what, fetcher, &arguments)
    }

    /// The document says the same.
    #[track_caller]
    fn check(&self) {
        let path = places::workspace().join(DOCUMENT);
        let document = fs::read_to_string(&path).unwrap();
        let heading = format!("\n## {}\n\n", self.title);
        let start = document.find(&heading).expect("the section is there") + heading.len();
        let end = document[start..].find("\n## ").map_or(document.len(), |length| start + length + 1);
        if env::var_os("PLIMSOLL_WRITE_MESSAGES").is_some() {
            let text = [
                &document[..start],
                self.text.trim_end(),
                "\n",
                if end < document.len() { "\n" } else { "" },
                &document[end..],
            ];
            fs::write(&path, text.concat()).unwrap();
            return;
        }
        let (expected, got) = (document[start..end].trim_end(), self.text.trim_end());
        let differs = expected.lines().zip(got.lines()).find(|(expected, got)| expected != got);
        assert!(expected == got, "{DOCUMENT} says otherwise, first in {differs:?}; got\n{got}");
    }
}

fn skipped(test: &str) -> bool {
    skip::asked("messages", test)
}

#[test]
fn of_addresses() {
    if skipped("of_addresses") {
        return;
    }
    let mut section = Section::new("Addresses and settings");
    let folder = tempfile::tempdir().unwrap();
    section
        .uri("a scheme that no store has", Fetcher::new(), "ftp://host/model.bin")
        .version("a scheme that no registry has", Fetcher::new(), "mlflow://mlflow:5000", "fraud", "v1")
        .uri("a password in an address", Fetcher::new(), "https://me:secret@host/model.bin")
        .uri("no bucket", Fetcher::new(), "s3:///model")
        .uri("a repository of Git's by another protocol", Fetcher::new(), "git+ssh://git@host/model.git")
        .uri("HDFS without an address", Fetcher::new(), "hdfs://models/fraud")
        .uri("an artifact of OCI's without a tag", Fetcher::new(), "oci://ghcr.io/team/fraud")
        .uri(
            "a version that moves",
            Fetcher::new().with("MLFLOW_TRACKING_URI", "http://mlflow:5000"),
            "models:/fraud/latest",
        )
        .fails("neither a registry nor an address", Fetcher::new(), &["pull"])
        .uri(
            "KServe's storage of a kind that it has no other word for",
            Fetcher::new().with("STORAGE_CONFIG", r#"{"type": "ftp"}"#),
            "s3://models/fraud",
        )
        .uri("nothing on a claim", Fetcher::new(), "file:///mnt/pvc/nothing")
        .version(
            "a catalog without the model",
            Fetcher::new(),
            &format!("catalog+file://{}", folder.path().display()),
            "fraud",
            "v1",
        );
    section.text = section.text.replace(&folder.path().display().to_string(), "/srv/models");
    section.check();
}

#[test]
fn of_stores() {
    if skipped("of_stores") {
        return;
    }
    let mut section = Section::new("Stores");
    let s3 = S3Server::start();
    s3.create_bucket("models");
    fs::create_dir_all(s3.bucket("models").join("fraud")).unwrap();
    fs::write(s3.bucket("models").join("fraud/model.bin"), "weights").unwrap();
    let with = |variables: &[(String, String)]| Fetcher::new().with_all(variables);
    section
        .port(s3.port(), "s3")
        .uri(
            "S3, a wrong key",
            with(&s3.environment()).with("AWS_SECRET_ACCESS_KEY", "wrong"),
            "s3://models/fraud",
        )
        .uri("S3, nothing there", with(&s3.environment()), "s3://models/nothing")
        .uri("S3, no such bucket", with(&s3.environment()), "s3://nothing/fraud");

    let (google, _) = gcs::server();
    let stranger = FaultServer::start(|_, _| Answer::status("401 Unauthorized"));
    section
        .port(google.port(), "gcs")
        .uri(
            "Google, nobody is let in",
            with(&[("STORAGE_EMULATOR_HOST".into(), stranger.url())]),
            "gs://models/a",
        )
        .uri("Google, nothing there", with(&google.environment()), "gs://models/nothing");

    let (azure, _) = azure::server();
    let wrong = azure.connection_string().replace("AccountKey=bm90", "AccountKey=Y2Fu");
    section
        .port(azure.port(), "azure")
        .uri(
            "Azure, a wrong key",
            Fetcher::new().with("AZURE_STORAGE_CONNECTION_STRING", &wrong),
            "az://models/a/v1",
        )
        .uri("Azure, nothing there", with(&azure.environment()), "az://models/nothing");

    let shares = tempfile::tempdir().unwrap();
    fs::create_dir(shares.path().join("models")).unwrap();
    let shares = FileShares::start(shares.path());
    let share = format!("https://{}.file.core.windows.net/models/fraud", azure_files::ACCOUNT);
    let at_share = || Fetcher::new().with("AZURE_STORAGE_FILE_ENDPOINT", &shares.url());
    section
        .uri("an Azure file share, nobody asks", at_share().with("AZURE_SKIP_SIGNATURE", "true"), &share)
        .uri("an Azure file share, a wrong key", at_share().with("AZURE_STORAGE_ACCESS_KEY", "Y2Fu"), &share)
        .uri(
            "an Azure file share, nothing there",
            at_share().with("AZURE_STORAGE_ACCESS_KEY", azure_files::KEY),
            &share,
        );

    let web = WebServer::nginx();
    fs::create_dir(web.folder().join("fraud")).unwrap();
    let (file, folder) = (format!("{}/nothing.bin", web.url()), format!("{}/fraud/", web.url()));
    section
        .port(web.port(), "web")
        .port(stranger.port(), "stranger")
        .uri("the web, nothing there", Fetcher::new(), &file)
        .uri("the web, a folder that does not say what is in it", Fetcher::new(), &folder)
        .uri("the web, a login", Fetcher::new(), &format!("{}/model.bin", stranger.url()));
    section.check();
}

#[test]
fn of_hdfs_and_git() {
    if skipped("of_hdfs_and_git") || skip::asked("hdfs", "of_hdfs_and_git") {
        return;
    }
    let mut section = Section::new("HDFS and Git");
    let hdfs = HdfsServer::start();
    hdfs.put("models/fraud/model.bin", b"weights");
    hdfs.change("PUT", "models/fraud", "SETPERMISSION&permission=700");
    let at = || Fetcher::new().with("HDFS_NAMENODE", &hdfs.url()).with("HADOOP_USER_NAME", "reader");
    section
        .port(hdfs.port(), "namenode")
        .uri("HDFS, who may not read", at(), "hdfs://models/fraud")
        .uri("HDFS, nothing there", at(), "hdfs://models/nothing")
        .uri("HDFS, Kerberos", at().with("HDFS_KERBEROS_PRINCIPAL", "me@REALM"), "hdfs://models/fraud");

    let git = GitServer::private();
    let commit = git.commit(&[("model.bin", b"weights")]);
    section.names.push((commit, "‹commit›".to_owned()));
    let (uri, known) =
        (git.uri(), || Fetcher::new().with("GIT_USERNAME", USER.0).with("GIT_PASSWORD", USER.1));
    section
        .port(git.port(), "git")
        .uri("Git, a wrong password", Fetcher::new().with("GIT_PASSWORD", "wrong"), &uri)
        .uri("Git, no such branch or tag", known(), &format!("{uri}@v9"))
        .uri("Git, no such folder", known(), &format!("{uri}#subdirectory=nothing"));
    git.without_filter();
    section.uri("Git, a server without filters", known(), &uri);
    section.check();
}

#[test]
fn of_registries() {
    if skipped("of_registries") {
        return;
    }
    let mut section = Section::new("Registries");
    let login = Login { username: "admin".into(), password: "a-long-password-1234".into() };
    let mlflow = MlflowServer::start(&Options { login: Some(login), ..Options::default() });
    mlflow.call("POST", "registered-models/create", &json!({"name": "fraud"}));
    let known = || Fetcher::new().with_all(mlflow.environment());
    let registry = mlflow.registry();
    section
        .port(mlflow.port(), "mlflow")
        .version(
            "MLflow, a wrong password",
            known().with("MLFLOW_TRACKING_PASSWORD", "wrong"),
            &registry,
            "fraud",
            "v1",
        )
        .version("MLflow, no such model", known(), &registry, "nothing", "v1")
        .version("MLflow, no such version", known(), &registry, "fraud", "v9")
        .uri(
            "MLflow, no such run",
            known().with("MLFLOW_TRACKING_URI", registry.trim_start_matches("mlflow+")),
            &format!("runs:/{}/model", "0a".repeat(16)),
        );

    let postgres = PostgresServer::start();
    let known = || Fetcher::new().with_all(&postgres.environment());
    section
        .port(postgres.port(), "postgres")
        .version(
            "a database, a wrong password",
            known().with("PGPASSWORD", "wrong"),
            &postgres.registry(),
            "fraud",
            "v1",
        )
        .version("a database, no such model", known(), &postgres.registry(), "fraud", "v1")
        .version(
            "a database without the view",
            known(),
            &postgres.registry_at("localhost", "nothing"),
            "fraud",
            "v1",
        );

    let kubeflow = ModelRegistry::start();
    let model = kubeflow.model("fraud");
    kubeflow.version(&model, "v1");
    let stranger = FaultServer::start(|_, _| Answer::status("401 Unauthorized"));
    section
        .port(kubeflow.port(), "kubeflow")
        .port(stranger.port(), "stranger")
        .version(
            "Kubeflow, no token",
            Fetcher::new(),
            &format!("model-registry+{}", stranger.url()),
            "fraud",
            "v1",
        )
        .version("Kubeflow, no such model", Fetcher::new(), &kubeflow.registry(), "nothing", "v1")
        .version("Kubeflow, no such version", Fetcher::new(), &kubeflow.registry(), "fraud", "v9")
        .version("Kubeflow, a version without a model", Fetcher::new(), &kubeflow.registry(), "fraud", "v1");

    let oci = OciServer::private();
    let at = format!("oci://{}/models/fraud:v1", oci.host());
    section.port(oci.port(), "oci").uri("OCI, nobody is let in", Fetcher::new(), &at);
    let oci = OciServer::start();
    let chart = oci.blob("chart", "application/vnd.cncf.helm.config.v1+json", b"{}");
    oci.manifest("chart:v1", &chart, &[]);
    section
        .port(oci.port(), "oci")
        .uri("OCI, no such tag", Fetcher::new(), &format!("oci://{}/models/chart:v9", oci.host()))
        .uri("OCI, what is no model", Fetcher::new(), &format!("oci://{}/models/chart:v1", oci.host()));

    let (hub, model) = (Hub::start(), tempfile::tempdir().unwrap());
    fs::write(model.path().join("config.json"), "{}").unwrap();
    section.names.push((hub.commit(model.path(), "main"), "‹commit›".to_owned()));
    let at = || Fetcher::new().with("HF_ENDPOINT", &hub.url());
    section.names.push((hub.url(), "http://‹hub›".to_owned()));
    section.uri("Hugging Face, no such repository", at(), "hf://nobody/nothing").uri(
        "Hugging Face, no such revision",
        at(),
        &format!("hf://{REPOSITORY}@v9"),
    );
    hub.gate("hf_token");
    section.uri("Hugging Face, a gated model", at(), &format!("hf://{REPOSITORY}"));
    section.check();
}

#[test]
fn the_document_has_no_other_sections() {
    let document = fs::read_to_string(places::workspace().join(Path::new(DOCUMENT))).unwrap();
    let titles: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(titles, ["Addresses and settings", "Registries", "Stores", "HDFS and Git"]);
}
