//! The jobs of `k8s/pipelines`, run as a pipeline runs them: against a real S3 store, a real Git remote, real kustomize and a real
//! image registry. The pull request alone is only written down.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use plimsoll_tests::process::{Server, free_port};
use plimsoll_tests::s3_server::S3Server;
use plimsoll_tests::{binaries, http, places, process, skip, tools};
use serde_json::Value;
use tempfile::TempDir;

const OVERLAY: &str = "k8s/overlays/staging/recommendation";
const NAME: &str = "product-recommendation";

/// A team's repository, cloned, with a remote; and a store for its models.
struct Team {
    folder: TempDir,
    store: S3Server,
}

impl Team {
    fn new() -> Self {
        let store = S3Server::start();
        store.create_bucket("models");
        let team = Self { folder: tempfile::tempdir().unwrap(), store };
        let programs = team.folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        symlink(binaries::fetcher(), programs.join("fetcher")).unwrap();
        symlink(tools::kustomize(), programs.join("kustomize")).unwrap();
        let asked = team.folder.path().join("asked");
        let gh = programs.join("gh");
        fs::write(
            &gh,
            format!("#!/bin/sh\n[ \"$2\" = create ] || exit 1\necho \"$@\" >>'{}'\n", asked.display()),
        )
        .unwrap();
        fs::set_permissions(&gh, fs::Permissions::from_mode(0o755)).unwrap();
        tools::debian_package("jq", "/usr/bin/jq");

        let remote = team.folder.path().join("remote.git");
        process::run(Command::new("git").args(["init", "--quiet", "--bare", "-b", "main"]).arg(&remote));
        process::run(Command::new("git").args(["clone", "--quiet"]).arg(&remote).arg(team.clone_folder()));
        process::run(
            Command::new("cp").arg("-r").arg(places::workspace().join("k8s")).arg(team.clone_folder()),
        );
        team.write("server/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
        team.git(&["add", "."]);
        team.git(&["commit", "--quiet", "-m", "Begin"]);
        team.write("README.md", "Models\n");
        team.git(&["add", "."]);
        team.git(&["commit", "--quiet", "-m", "Say what this is"]);
        team.git(&["push", "--quiet", "origin", "HEAD:main"]);
        team.git(&["switch", "--quiet", "-C", "main"]);
        team
    }

    fn clone_folder(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.clone_folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let path = format!("{}:/usr/bin:/bin", self.folder.path().join("bin").display());
        command.envs(self.store.environment());
        command.current_dir(self.clone_folder()).env("PATH", path).env("HOME", self.folder.path()).envs([
            ("GIT_AUTHOR_NAME", "Pipeline"),
            ("GIT_AUTHOR_EMAIL", "pipeline@example.com"),
            ("GIT_COMMITTER_NAME", "Pipeline"),
            ("GIT_COMMITTER_EMAIL", "pipeline@example.com"),
            ("MODEL_REGISTRY", "catalog+s3://models"),
            ("MODEL_NAME", NAME),
            ("MODEL_DIR", "export/model"),
            ("METRICS", "export/metrics.json"),
            ("GATES", r#"{"f1": {"min": 0.9}, "latency_p99_ms": {"max": 50}}"#),
            ("OVERLAY", OVERLAY),
        ]);
        command
    }

    fn git(&self, arguments: &[&str]) -> String {
        process::run(self.command("git").args(arguments))
    }

    /// A job, with what differs in it.
    fn job(&self, step: &str, variables: &[(&str, &str)]) -> Output {
        let script = self.clone_folder().join(format!("k8s/pipelines/steps/{step}.sh"));
        self.command(script).envs(variables.iter().copied()).output().unwrap()
    }

    /// A job that must succeed: its standard output.
    fn done(&self, step: &str, variables: &[(&str, &str)]) -> String {
        let output = self.job(step, variables);
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A job that must fail: its standard error.
    fn refused(&self, step: &str, variables: &[(&str, &str)]) -> String {
        let output = self.job(step, variables);
        assert!(!output.status.success(), "expected {step} to fail");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Trains a model that is this good.
    fn train(&self, f1: &str) -> Output {
        let train = format!(
            r#"echo weights of {f1} >"$MODEL_DIR/weights"; echo '{{"f1": {f1}, "latency_p99_ms": 41}}' >"$METRICS""#
        );
        self.job("train-and-gate", &[("TRAIN_COMMAND", &train)])
    }

    /// The lines that the branch changes, as one sees them in a pull request.
    fn changed(&self) -> Vec<String> {
        let diff = self.git(&["diff", "--unified=0", "origin/main", "HEAD"]);
        let lines = diff.lines().filter(|line| line.starts_with(['+', '-']));
        lines.filter(|line| !line.starts_with("+++") && !line.starts_with("---")).map(Into::into).collect()
    }

    /// What somebody does who finds the request good.
    fn merge(&self) {
        self.git(&["push", "--quiet", "origin", "HEAD:main"]);
        self.git(&["fetch", "--quiet", "origin"]);
        self.git(&["switch", "--quiet", "-C", "main", "origin/main"]);
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default()
    }
}

#[test]
fn a_model_goes_from_data_to_a_request_of_one_line_and_back() {
    let team = Team::new();
    let version = [("MODEL_VERSION", "v2.5")];
    assert_eq!(team.done("preflight", &version), "product-recommendation v2.5 is free\n");
    assert!(team.train("0.93").status.success());
    let digest = team.done("export", &version);
    let resolved = process::run(team.command(binaries::fetcher()).args([
        "resolve",
        "--model-version",
        "v2.5",
        "--output",
        "json",
    ]));
    let plan: Value = serde_json::from_str(&resolved).unwrap();
    assert_eq!(digest.trim(), plan["digest"], "{plan}");
    let descriptor =
        fs::read_to_string(team.store.bucket("models").join(format!("{NAME}/v2.5/model.yaml"))).unwrap();
    for line in ["f1: 0.93", "latency_p99_ms: 41", "commit: "] {
        assert!(descriptor.contains(line), "expected `{line}` in {descriptor}");
    }
    assert!(team.refused("preflight", &version).contains("v2.5 is there already"));

    // The server is as it was.
    let base =
        [("SERVER_DIR", "server"), ("SERVER_IMAGE", "unused"), ("IMAGE_NAME", "unused"), ("BASE", "HEAD^")];
    assert_eq!(team.done("build", &base), "");
    team.done("gitops", &version);
    assert_eq!(team.changed(), ["-  - model_version=v2.4", "+  - model_version=v2.5"]);
    assert_eq!(
        team.asked(),
        "pr create --base main --head model/staging/product-recommendation-v2.5 --fill\n"
    );
    team.merge();
    assert!(team.done("gitops", &version).contains("has v2.5 already"));
    team.git(&["switch", "--quiet", "main"]);

    // Whatever came in since stays.
    team.write("README.md", "Models, and more\n");
    team.git(&["commit", "--quiet", "--all", "-m", "Say more"]);
    team.merge();
    team.done("rollback", &[]);
    assert_eq!(team.changed(), ["-  - model_version=v2.5", "+  - model_version=v2.4"]);
    assert!(team.asked().lines().last().unwrap().contains("--head rollback/"), "{}", team.asked());
}

#[test]
fn a_model_that_is_not_good_enough_goes_nowhere() {
    let team = Team::new();
    let output = team.train("0.89");
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: the model is not good enough\nf1: expected at least 0.9, got 0.89\n");
    for (train, said) in [
        (
            r#"echo '{"f1": 0.95}' >"$METRICS"; touch "$MODEL_DIR/weights""#,
            "latency_p99_ms: expected a number, got null\n",
        ),
        (
            r#"echo '{"f1": 0.95, "latency_p99_ms": 51}' >"$METRICS"; touch "$MODEL_DIR/weights""#,
            "latency_p99_ms: expected at most 50, got 51\n",
        ),
        (
            r#"rm -r "$MODEL_DIR"; mkdir "$MODEL_DIR"; echo '{}' >"$METRICS""#,
            "expected files in export/model, got none\n",
        ),
        ("false | true", ""),
    ] {
        let refused = team.refused("train-and-gate", &[("TRAIN_COMMAND", train)]);
        assert!(refused.ends_with(said), "{train}: {refused}");
    }
    assert!(
        team.refused("preflight", &[("MODEL_VERSION", "v1"), ("AWS_SECRET_ACCESS_KEY", "wrong")])
            .contains("v1")
    );
    assert!(
        team.refused("rollback", &[("OVERLAY", "k8s/overlays/cluster")])
            .contains("expected a commit that changed the version")
    );
    assert_eq!(team.asked(), "");
}

#[test]
fn a_new_server_is_built_and_pinned_in_a_commit_of_its_own() {
    if skip::asked("containers", "a_new_server_is_built_and_pinned_in_a_commit_of_its_own") {
        return;
    }
    let docker = tools::docker();
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("registry.yaml");
    let storage = folder.path().join("images");
    fs::write(
        &configuration,
        format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            storage.display()
        ),
    )
    .unwrap();
    let mut command = Command::new(tools::debian_package("docker-registry", "/usr/bin/docker-registry"));
    command.arg("serve").arg(&configuration);
    let _registry = Server::start("docker-registry", &command, Duration::from_secs(30), || {
        http::get(port, "/v2/").is_ok_and(|answer| answer.status == 200)
    });

    let team = Team::new();
    team.write("server/Dockerfile", "FROM scratch\nCOPY Dockerfile /server\n");
    team.git(&["commit", "--quiet", "--all", "-m", "Change the server"]);
    let image = format!("127.0.0.1:{port}/recommendation-server");
    let client = docker.command();
    let host = client.get_envs().find_map(|(name, value)| {
        (name == "DOCKER_HOST").then(|| value.unwrap().to_str().unwrap().to_owned())
    });
    let mut variables = vec![
        ("SERVER_DIR", "server"),
        ("SERVER_IMAGE", image.as_str()),
        ("BASE", "HEAD^"),
        ("DOCKER_BUILDKIT", "0"),
    ];
    variables.push(("IMAGE_NAME", "registry.example.com/recommendation-server"));
    if let Some(host) = &host {
        variables.push(("DOCKER_HOST", host));
    }
    let pinned = team.done("build", &variables);
    let (name, digest) = pinned.trim().split_once('@').unwrap();
    assert_eq!(name, format!("registry.example.com/recommendation-server={image}"));
    assert!(digest.starts_with("sha256:"), "{pinned}");

    team.merge();
    team.done("gitops", &[("MODEL_VERSION", "v2.5"), ("PINNED_IMAGE", pinned.trim())]);
    let subjects = team.git(&["log", "--format=%s", "origin/main..HEAD"]);
    let expected =
        format!("Roll out product-recommendation v2.5 to staging\nRoll out {image}@{digest} to staging\n");
    assert_eq!(subjects, expected);
    let built = process::run(team.command(tools::kustomize()).args(["build", OVERLAY]));
    assert!(built.contains(&format!("image: {image}@{digest}")), "{built}");
    let again: String =
        process::run(docker.command().args(["rmi", "--force"]).arg(format!("{image}@{digest}")));
    assert!(!again.is_empty());
}

#[test]
fn the_scripts_and_workflows_are_clean() {
    let folder = places::workspace().join("k8s/pipelines");
    let steps: Vec<_> =
        fs::read_dir(folder.join("steps")).unwrap().map(|entry| entry.unwrap().path()).collect();
    process::run(Command::new(tools::debian_package("shellcheck", "/usr/bin/shellcheck")).args(&steps));
    let workflows = folder.join("github");
    let mut lint = Command::new(tools::actionlint());
    lint.arg("-config-file").arg(workflows.join("actionlint.yaml"));
    process::run(lint.args(["model.yaml", "verify.yaml"].map(|file| workflows.join(file))));

    // Every job is in both flavours, and an action is what it was when somebody looked at it.
    let github: String =
        ["model.yaml", "verify.yaml"].map(|file| fs::read_to_string(workflows.join(file)).unwrap()).concat();
    let argo = fs::read_to_string(folder.join("argo/workflow-template.yaml")).unwrap();
    for step in steps {
        let script = format!("k8s/pipelines/steps/{}", step.file_name().unwrap().to_str().unwrap());
        assert!(github.contains(&script) && argo.contains(&script), "expected {script} in both");
    }
    for line in github.lines().filter_map(|line| line.split_once("uses: ")) {
        let (action, comment) = line.1.split_once(" # ").unwrap();
        let (_, commit) = action.split_once('@').unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
        assert!(comment.starts_with('v'), "{action}");
    }
}
