//! A real Kubernetes node with its control plane, in namespaces of its own; see `tests/data/kubernetes/node`. The images of
//! `tests/e2e` are on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;

use crate::process::{self, End, Server};
use crate::skip::say;
use crate::{binaries, places, tools};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(300);

/// A node takes the whole machine: who wants another waits.
static ONE: Mutex<()> = Mutex::new(());

/// A running node. Fields are dropped in order: the node ends before its folder goes.
#[derive(Debug)]
pub struct Node {
    server: Server,
    folder: TempDir,
    _programs: TempDir,
    programs: PathBuf,
    _one: MutexGuard<'static, ()>,
}

impl Node {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let kubernetes = tools::kubernetes();
        for (package, program) in [
            ("etcd-server", "/usr/bin/etcd"),
            ("containerd", "/usr/bin/containerd"),
            ("runc", "/usr/sbin/runc"),
            ("containernetworking-plugins", "/usr/lib/cni/bridge"),
            ("nftables", "/usr/sbin/nft"),
            ("jq", "/usr/bin/jq"),
            ("curl", "/usr/bin/curl"),
        ] {
            tools::debian_package(package, program);
        }
        // On the disk: what is in memory is no storage that a node could offer.
        let folder = tempfile::Builder::new().prefix("node-").tempdir_in(places::target()).expect("a folder");
        let images = folder.path().join("images");
        fs::create_dir(&images).expect("a new folder");
        let docker = tools::docker();
        let mut build = Command::new(places::workspace().join("tests/e2e/images"));
        binaries::as_a_person_calls(build.arg(&images));
        for (name, value) in docker.command().get_envs() {
            if let Some(value) = value {
                build.env(name, value);
            }
        }
        process::run(&mut build);
        say("starting a Kubernetes node …");
        let mut command = Command::new("bash");
        command.arg(places::data("kubernetes/node")).arg(folder.path()).arg(&kubernetes);
        let server = Server::spawn("node", &command, End::Kill);
        let programs_folder = tempfile::tempdir().expect("a folder for programs");
        let programs = programs_folder.path().to_owned();
        let mut node = Self { server, folder, _programs: programs_folder, programs, _one: one };
        let log = |node: &Self| node.server.log().lines().any(|line| line == "ready");
        crate::poll::until("the node to be ready", START, || {
            assert!(node.server.exited().is_none(), "the node ended: {}", node.server.log());
            log(&node).then_some(())
        });
        let kubectl = node.programs.join("kubectl");
        fs::write(&kubectl, format!("#!/bin/sh\nexec '{}' kubectl \"$@\"\n", kubernetes.display()))
            .expect("a new file");
        process::run(Command::new("chmod").arg("+x").arg(&kubectl));
        std::os::unix::fs::symlink(tools::kustomize(), node.programs.join("kustomize")).expect("a new link");
        node
    }

    /// A command within the node's network, with `kubectl` and `kustomize` on its `PATH` and the administrator's rights.
    ///
    /// # Panics
    /// When `PATH` cannot be extended.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([self.programs.clone()].into_iter().chain(env::split_paths(&path)));
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.server.pid().to_string()]).arg(program.as_ref());
        command.env("PATH", path.expect("no colon in the path of a temporary folder"));
        command.env("KUBECONFIG", self.kubeconfig());
        // What kubectl has found out about some other cluster at this address must not count here.
        command.env("KUBECACHEDIR", self.folder.path().join("cache"));
        command
    }

    /// The file that lets a program within the node's network in as the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("admin.kubeconfig")
    }

    /// `kubectl`, as the administrator.
    pub fn kubectl(&self) -> Command {
        self.command("kubectl")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.folder.path().join("log/kubelet");
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            eprintln!("the end of the kubelet's log:\n{}", lines[lines.len().saturating_sub(8)..].join("\n"));
        }
        let pid = self.server.pid().to_string();
        let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
        // The control groups are empty once the last process is gone.
        let name = self.folder.path().file_name().map(|name| name.to_string_lossy().into_owned());
        let remove =
            "sleep 1; find /sys/fs/cgroup -depth -type d -path \"*/$0*\" -exec rmdir {} + 2>/dev/null";
        let _ = Command::new("sh").args(["-c", remove]).args(name).status();
    }
}
