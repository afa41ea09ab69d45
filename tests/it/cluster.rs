//! On a real Kubernetes node: the whole story of a model service, and every way in which it may fail.

mod canary;
mod failures;
mod table;
mod world;

use std::time::{Duration, Instant};
use std::{env, fs, thread};

use plimsoll_tests::node::Node;
use plimsoll_tests::{places, process, skip};
use serde_json::Value;

use crate::argocd::oracle;
use failures::{FAILURES, Failure};
use table::Said;
use world::World;

/// How long failures may take to show.
const PATIENCE: Duration = Duration::from_secs(180);
/// The longest `for` of an alert, where a minute is a second, and a little.
const ALERTS: Duration = Duration::from_secs(30);

#[test]
fn the_story_is_told_on_a_cluster() {
    if skip::asked("cluster", "the_story_is_told_on_a_cluster") {
        return;
    }
    let node = Node::start();
    let mut run = node.command(places::workspace().join("tests/e2e/run"));
    run.env("FETCHER", places::target().join("images/fetcher"));
    let told = process::run(&mut run);
    for cause in [
        "version `v9.9` of `product-recommendation` does not exist in catalog+s3://models",
        "checksum mismatch on model.txt",
        "this server has fraud-detection",
        "smoke request \"twice three and a half\"",
        "cannot load the model: weight: expected a number, got two",
    ] {
        assert!(told.contains(cause), "expected `{cause}` in the story:\n{told}");
    }
}

/// The blocks of commands in the section of `k8s/README.md` that begins with an empty cluster.
fn documented_commands() -> Vec<String> {
    let text = fs::read_to_string(places::workspace().join("k8s/README.md")).unwrap();
    let section = text.split("\n## From an empty cluster").nth(1).unwrap().split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn ten_commands_lead_to_a_model_that_serves_and_two_commits_there_and_back() {
    if skip::asked("cluster", "ten_commands_lead_to_a_model_that_serves_and_two_commits_there_and_back") {
        return;
    }
    let [install, promotion] = &documented_commands()[..] else { panic!("expected two blocks of commands") };
    assert!(install.lines().count() <= 10, "{install}");
    assert_eq!(promotion.lines().filter(|line| line.starts_with("git ")).count(), 2, "{promotion}");
    // The node has the images already.
    let on_the_node: Vec<_> = install
        .lines()
        .filter(|line| !line.starts_with("tests/e2e/images") && !line.starts_with("kind "))
        .collect();
    assert_eq!(on_the_node.len(), install.lines().count() - 2);

    let node = Node::start();
    let clone = tempfile::tempdir().unwrap();
    let prepare = "cp -r \"$0/k8s\" \"$1\" && mkdir -p \"$1/tests\" \"$1/target\" && cp -r \"$0/tests/e2e\" \"$1/tests\" && \
                   ln -s \"$2/images\" \"$1/target/images\" && cd \"$1\" && git init --quiet && git add k8s tests && \
                   git commit --quiet --message Begin";
    let git = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"]
        .map(|name| (name, "reader"));
    let mut copy = std::process::Command::new("bash");
    copy.args(["-c", prepare]).arg(places::workspace()).arg(clone.path()).arg(places::target());
    process::run(copy.envs(git));
    let version = "kubectl get deployment --namespace shop model-server \
                   --output 'jsonpath={.metadata.labels.plimsoll\\.dev/model-version}'; echo";
    let script = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n{}\n{version}\n{}\ngit show --format= --numstat HEAD^\ngit log --format=%s\ngit diff HEAD^^ HEAD\n",
        on_the_node.join("\n"),
        promotion.replace("git revert", &format!("{version}\ngit revert"))
    );
    let mut bash = node.command("bash");
    let said = process::run(bash.args(["-c", &script]).current_dir(clone.path()).envs(git));
    let versions: Vec<_> = said.lines().filter(|line| line.starts_with("v2.")).collect();
    assert_eq!(versions, ["v2.3", "v2.4"], "{said}");
    let revert =
        "Revert \"Roll out product-recommendation v2.4\"\nRoll out product-recommendation v2.4\nBegin\n";
    assert!(said.ends_with(revert), "expected Git to be where it was, got {said}");
}

#[test]
fn every_failure_says_what_is_wrong() {
    if skip::asked("cluster", "every_failure_says_what_is_wrong") {
        return;
    }
    let world = World::start();
    for failure in FAILURES {
        world.roll_out(failure);
    }
    // At each look, what is not yet where it has to be is asked again.
    let words = |failure: &Failure| said(&world, failure).normalized();
    let mut left: Vec<_> = FAILURES.iter().collect();
    wait(&world, PATIENCE, || {
        left.retain(|failure| !words(failure).all().contains(failure.until));
        left.is_empty()
    });
    let wrong: Vec<_> =
        left.iter().map(|it| format!("{}: `{}` in {:#?}", it.name, it.until, words(it))).collect();
    assert!(wrong.is_empty(), "expected {}", wrong.join("\n"));

    let path = places::workspace().join("k8s/FAILURES.md");
    if env::var_os("PLIMSOLL_BLESS").is_some() {
        wait(&world, ALERTS, || false);
        let all: Vec<_> = FAILURES.iter().map(|failure| (failure, words(failure))).collect();
        fs::write(&path, table::page(&all)).unwrap();
        return;
    }
    // Between two attempts, what is said is for a moment that there is another one: the words come back.
    let written = fs::read_to_string(&path).unwrap();
    let mut left: Vec<_> = FAILURES.iter().collect();
    wait(&world, PATIENCE, || {
        left.retain(|failure| !written.contains(&table::section(failure, &words(failure))));
        left.is_empty()
    });
    let other: Vec<_> = left.iter().map(|failure| table::section(failure, &words(failure))).collect();
    assert!(other.is_empty(), "expected the words of {}, got\n{}", path.display(), other.join("\n"));
    assert_eq!(
        written.matches("\n## ").count(),
        FAILURES.len(),
        "expected a section for each failure and no other"
    );
}

/// Looks at the Pods, and asks `done`, again and again for this long.
fn wait(world: &World, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    world.look();
    while !done() && Instant::now() < deadline {
        thread::sleep(Duration::from_secs(1));
        world.look();
    }
}

/// What is said of a failure now.
fn said(world: &World, failure: &Failure) -> Said {
    let namespace = failure.namespace();
    let items = |path: &str| {
        let list = world.get(&format!("{path}?labelSelector=app.kubernetes.io/part-of%3Dplimsoll"));
        list["items"].as_array().cloned().unwrap_or_default()
    };
    let with_kind = |mut object: Value, version: &str, kind: &str| {
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        object
    };
    let pods: Vec<_> = items(&format!("/api/v1/namespaces/{namespace}/pods"))
        .into_iter()
        .map(|pod| with_kind(pod, "v1", "Pod"))
        .collect();
    let is_hook = |pod: &&Value| pod["metadata"]["name"] == "model-preflight";
    let (hook, pod) = (pods.iter().find(is_hook), pods.iter().find(|pod| !is_hook(pod)));
    let deployment = items(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"))
        .into_iter()
        .next()
        .map(|deployment| with_kind(deployment, "apps/v1", "Deployment"));
    let health_of = |object: Option<&Value>| {
        let object = object?;
        oracle::ask(std::slice::from_ref(object)).pop()?.customized
    };
    let words = |object: Option<&Value>| {
        health_of(object).map(|health| format!("{}: {}", health.status, health.message)).unwrap_or_default()
    };
    let reason = pod.map(|pod| {
        let name = pod["metadata"]["name"].as_str().unwrap();
        world.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}:8090/proxy/status"))["reason"].clone()
    });
    let sync = health_of(hook).filter(|health| health.status == "Degraded");
    Said {
        termination: pod.map(termination).unwrap_or_default(),
        health: reason.and_then(|reason| reason.as_str().map(str::to_owned)).unwrap_or_default(),
        pod: words(pod),
        deployment: words(deployment.as_ref()),
        sync: sync.map(|health| format!("Failed: {}", health.message)).unwrap_or_default(),
        alerts: world.alerts(&namespace).join(", "),
    }
}

/// The last words of the first container that failed.
fn termination(pod: &Value) -> String {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let containers = lists.iter().flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    containers
        .filter_map(|container| {
            let ending = [&container["state"]["terminated"], &container["lastState"]["terminated"]]
                .into_iter()
                .find(|ending| ending["exitCode"].as_i64().is_some_and(|code| code != 0))?;
            let (name, code) = (container["name"].as_str()?, &ending["exitCode"]);
            let words = ending["message"].as_str().or(ending["reason"].as_str()).unwrap_or_default();
            Some(format!("{name}, exit code {code}: {words}"))
        })
        .next()
        .unwrap_or_default()
}
