//! A Docker engine: the machine's own if it runs, else one that lives as long as the tests that use it.
//!
//! An engine of ours gets no network at all (no bridge, no firewall rules): containers share a loopback device
//! as those of a Pod do, and nothing of the host's network changes. Its state is in a temporary folder, so no
//! run sees what another left behind.

use std::env;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tempfile::TempDir;

use super::debian_package;
use crate::process::{End, Server};
use crate::skip::say;
use crate::{places, poll, process};

/// A Docker engine to use.
#[derive(Clone, Debug)]
pub struct Docker {
    /// `None` when the machine's own engine is used.
    engine: Option<Arc<Engine>>,
}

/// An engine of ours. Fields are dropped in order: the daemon ends before its folders go.
#[derive(Debug)]
struct Engine {
    _daemon: Server,
    _data: TempDir,
    /// Apart from the data, because a socket's path must be short.
    sockets: TempDir,
}

impl Docker {
    /// The command line of the Docker client, for this engine.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        if let Some(engine) = &self.engine {
            command.env("DOCKER_HOST", engine.host());
        }
        // The classic builder needs no plugin, and a Dockerfile with one COPY needs no other.
        command.env("DOCKER_BUILDKIT", "0");
        command
    }
}

impl Engine {
    fn host(&self) -> String {
        format!("unix://{}", self.sockets.path().join("docker.sock").display())
    }
}

/// The machine's Docker engine if it answers, else one of ours, shared by the tests that run at the same time.
///
/// # Panics
/// When there is none and none can be started; the message says what to do.
pub fn docker() -> Docker {
    static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(engine) = shared.upgrade() {
        return Docker { engine: Some(engine) };
    }
    let machine = Docker { engine: None };
    if process::on_path("docker") && answers(&machine) {
        return machine;
    }
    let engine = Arc::new(start());
    *shared = Arc::downgrade(&engine);
    Docker { engine: Some(engine) }
}

fn answers(docker: &Docker) -> bool {
    // The client of a machine without an engine succeeds in printing only its own part.
    let mut info = docker.command();
    process::output(info.args(["info", "--format", "{{.ServerVersion}}"])).status.success()
}

fn start() -> Engine {
    let daemon = debian_package("docker.io", "/usr/sbin/dockerd");
    if !process::on_path("docker") {
        debian_package("docker-cli", "/usr/bin/docker");
    }
    assert!(
        rustix::process::geteuid().is_root(),
        "expected a running Docker engine or the right to start one; start Docker, or run the tests as root, \
         or leave these tests out with PLIMSOLL_SKIP=containers"
    );
    let data =
        tempfile::Builder::new().prefix("docker-").tempdir_in(places::tools()).expect("a folder for Docker");
    let sockets =
        tempfile::Builder::new().prefix("docker-").tempdir_in(env::temp_dir()).expect("a short folder");
    let mut command = Command::new(daemon);
    let folder = sockets.path();
    command
        .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--host"])
        .arg(format!("unix://{}", folder.join("docker.sock").display()))
        .arg("--exec-root")
        .arg(folder.join("exec"))
        .arg("--pidfile")
        .arg(folder.join("docker.pid"))
        .arg("--data-root")
        .arg(data.path());
    let mut server = Server::spawn("dockerd", &command, End::Terminate);
    let socket = folder.join("docker.sock");
    server.wait_ready(Duration::from_secs(60), || socket.exists());
    let engine = Engine { _daemon: server, _data: data, sockets };
    let docker = Docker { engine: Some(Arc::new(engine)) };
    poll::until("the Docker engine to answer", Duration::from_secs(60), || answers(&docker).then_some(()));
    say("started a Docker engine for the tests");
    let engine = docker.engine.and_then(Arc::into_inner);
    engine.expect("nobody else has the engine yet")
}
