//! The container engine with the images of a test, and containers that go away with their guard.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_tests::tools::{self, Docker, Environment};
use plimsoll_tests::{binaries, places, poll, process};

/// An image without anything in it, whose containers are given this machine's own programs.
const EMPTY: &str = "plimsoll-tests/empty";

/// The engine, our images in it, and the Python environment for what is around them.
#[derive(Debug)]
pub struct Engine {
    docker: Docker,
    python: Environment,
    /// Folders of this machine that a container needs to run its programs.
    programs: Vec<PathBuf>,
}

/// A container; it is removed when the guard is dropped.
#[derive(Debug)]
pub struct Running {
    docker: Docker,
    pub name: String,
    pub id: String,
}

impl Engine {
    /// The engine that tests which run at the same time share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let engine = Arc::new(Self::start());
            *shared = Arc::downgrade(&engine);
            engine
        })
    }

    fn start() -> Self {
        let binaries = binaries::static_binaries();
        let docker = tools::docker();
        for program in ["fetcher", "health-sidecar"] {
            let mut build = docker.command();
            build.args(["build", "--quiet", "--tag", &image(program), "--file"]);
            build.arg(places::workspace().join(format!("images/{program}.Dockerfile"))).arg(binaries);
            process::run(&mut build);
        }
        let context = tempfile::tempdir().unwrap();
        std::fs::write(context.path().join("Dockerfile"), "FROM scratch\nLABEL purpose=tests\n").unwrap();
        process::run(docker.command().args(["build", "--quiet", "--tag", EMPTY]).arg(context.path()));
        let python = tools::python();
        let system = ["/usr", "/bin", "/lib", "/lib64"].map(PathBuf::from);
        let programs: Vec<_> = system
            .into_iter()
            .filter(|folder| folder.exists())
            .chain(python.folders().into_iter().filter(|folder| !folder.starts_with("/usr")))
            .chain([places::workspace().join("tests/data")])
            .collect();
        Self { docker, python, programs }
    }

    /// Options that give a container of [`Engine::empty_image`] this machine's programs and Python environment.
    pub fn host_programs(&self) -> Vec<String> {
        let path = format!("PATH={}:/usr/bin:/bin", self.python.root().join("bin").display());
        let mut options = vec![format!("--env={path}")];
        for setting in
            ["HOME=/tmp", "USER=model", "PYTHONDONTWRITEBYTECODE=1", "MLFLOW_DISABLE_TELEMETRY=true"]
        {
            options.push(format!("--env={setting}"));
        }
        for folder in &self.programs {
            let folder = folder.display();
            options.push(format!("--mount=type=bind,source={folder},target={folder},readonly"));
        }
        options
    }

    /// The image for what is not ours.
    pub fn empty_image(&self) -> &'static str {
        EMPTY
    }

    /// A program of the Python environment, by its path, which is the same inside a container.
    pub fn python_program(&self, name: &str) -> String {
        self.python.root().join("bin").join(name).display().to_string()
    }

    /// Starts a container with `options` for `docker run`, and what it runs.
    pub fn run(&self, name: &str, options: &[String], image: &str, command: &[String]) -> Running {
        let mut run = self.docker.command();
        run.args(["run", "--detach"]).args(options).arg(image).args(command);
        let id = process::run(&mut run).trim().to_owned();
        Running { docker: self.docker.clone(), name: name.to_owned(), id }
    }
}

/// The tag of one of our images as the tests build it.
pub fn image(program: &str) -> String {
    format!("plimsoll-tests/{program}")
}

impl Running {
    /// The exit code, once the container has ended.
    pub fn wait(&self, limit: Duration) -> i32 {
        let what = format!("container {} to end", self.name);
        poll::until(&what, limit, || (!self.is_running()).then_some(()));
        self.inspect("{{.State.ExitCode}}").parse().unwrap()
    }

    /// How long the container ran, by the engine's own clock.
    pub fn lifetime(&self) -> Duration {
        let time = |field: &str| self.inspect(field).parse::<Timestamp>().unwrap();
        time("{{.State.FinishedAt}}").duration_since(time("{{.State.StartedAt}}")).unsigned_abs()
    }

    /// Whether its process is there.
    pub fn is_running(&self) -> bool {
        self.inspect("{{.State.Running}}") == "true"
    }

    /// Resident memory of its first process, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let process = self.inspect("{{.State.Pid}}");
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Runs a program inside the container.
    pub fn exec(&self, command: &[&str]) -> Output {
        process::output(self.docker.command().args(["exec", &self.id]).args(command))
    }

    /// What the container printed.
    pub fn log(&self) -> String {
        let output = process::output(self.docker.command().args(["logs", &self.id]));
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    }

    fn inspect(&self, format: &str) -> String {
        let arguments = ["inspect", "--format", format, &self.id].map(OsString::from);
        process::run(self.docker.command().args(arguments)).trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of container {}:\n{}", self.name, self.log());
        }
        process::output(self.docker.command().args(["rm", "--force", "--volumes", &self.id]));
    }
}
