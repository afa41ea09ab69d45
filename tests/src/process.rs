//! Child processes: commands that run to their end, and servers that live as long as their guard.
//!
//! A server runs as the leader of its own process group, because some servers fork workers. It also runs
//! under a watcher that holds the other end of a pipe from the test: when the test process goes away, however
//! it goes, the pipe closes and the watcher ends the group. So an interrupted test run leaves nothing behind.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::NamedTempFile;

use crate::poll;

/// How many bytes of a log a failure shows.
const TAIL: usize = 6000;

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At once, with all its children: what it holds is thrown away anyway.
    Kill,
    /// By SIGTERM and with time to clean up, for a server whose children are not all in its group.
    Terminate,
}

impl End {
    /// Waits for the pipe on standard input to close, then ends the program that took the shell's place.
    fn watcher(self) -> &'static str {
        match self {
            Self::Kill => r#"exec 3<&0; (read -r _ <&3; kill -s KILL -- "-$$") & exec "$@" </dev/null 3<&-"#,
            Self::Terminate => r#"exec 3<&0; (read -r _ <&3; kill -s TERM "$$") & exec "$@" </dev/null 3<&-"#,
        }
    }
}

/// A running child process, ended when the guard is dropped.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    log: NamedTempFile,
    end: End,
}

impl Server {
    /// Starts a server and waits until `ready` holds.
    ///
    /// # Panics
    /// When the server ends or `limit` passes before that; the message shows the end of its log.
    #[track_caller]
    pub fn start(name: &str, command: &Command, limit: Duration, ready: impl FnMut() -> bool) -> Self {
        let mut server = Self::spawn(name, command, End::Kill);
        server.wait_ready(limit, ready);
        server
    }

    /// Starts a server and does not wait for anything. Its output goes to [`Server::log`].
    ///
    /// # Panics
    /// When the program cannot be started.
    #[track_caller]
    pub fn spawn(name: &str, command: &Command, end: End) -> Self {
        let log = NamedTempFile::new().expect("a log file can be created");
        let output = || Stdio::from(OpenOptions::new().append(true).open(log.path()).expect("the log opens"));
        let mut watched = Command::new("/bin/sh");
        watched.args(["-c", end.watcher(), "sh"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => watched.env(key, value),
                None => watched.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            watched.current_dir(directory);
        }
        watched.stdin(Stdio::piped()).stdout(output()).stderr(output()).process_group(0);
        let child = watched.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), child, log, end }
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    /// When the server ends or `limit` passes before that.
    #[track_caller]
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) {
        let started = Instant::now();
        let outcome = poll::within(limit, || {
            self.exited()
                .map(|status| Err(format!("ended with {status}")))
                .or_else(|| ready().then_some(Ok(())))
        });
        let problem = match outcome {
            Some(Ok(())) => return,
            Some(Err(ended)) => ended,
            None => "was not ready".to_owned(),
        };
        let seconds = started.elapsed().as_secs_f32();
        panic!("{} {problem} after {seconds:.1} s; the end of its log:\n{}", self.name, self.log_tail());
    }

    /// The process's id, which is also that of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process, not to its children.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.group(), signal).expect("the process takes a signal");
    }

    /// How the process ended, if it did.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child is known")
    }

    /// What the process has written to standard output and standard error so far.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).expect("the log is readable")).into_owned()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        log.get(log.floor_char_boundary(log.len().saturating_sub(TAIL))..).unwrap_or_default().to_owned()
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of the log of {}:\n{}", self.name, self.log_tail());
        }
        if self.end == End::Terminate && kill_process(self.group(), Signal::TERM).is_ok() {
            poll::within(Duration::from_secs(30), || self.child.try_wait().ok().flatten());
        }
        // The watcher is in the group and keeps its number from being used again, so this hits no stranger.
        let _ = kill_process_group(self.group(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Runs a command to its end and gives what it printed to standard output.
///
/// # Panics
/// When it cannot be started or fails; the message shows the end of what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    let shown =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let tail = shown.get(shown.floor_char_boundary(shown.len().saturating_sub(TAIL))..).unwrap_or_default();
    assert!(output.status.success(), "{command:?} ended with {}:\n{tail}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command to its end, whatever that is, with nothing on its standard input.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()))
}

/// Whether a program of that name is on `PATH`.
pub fn on_path(program: impl AsRef<OsStr>) -> bool {
    let program = program.as_ref();
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// A TCP port of the loopback address that nothing uses.
///
/// It is taken from below the range that the system picks from for outgoing connections, and each one is given
/// out once per process, so neither a client nor a neighbouring test takes it before the server does.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 22_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 1000).unwrap_or_default() * 22;
    (0..COUNT)
        .map(|_| FIRST + (NEXT.fetch_add(1, Ordering::Relaxed) % COUNT + offset) % COUNT)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn forking_server() -> (Server, String) {
        let mut server = Server::spawn("forking", &shell("sleep 600 & echo $!; wait"), End::Kill);
        server.wait_ready(Duration::from_secs(10), || true);
        let worker = poll::until("the worker's id", Duration::from_secs(10), || {
            let log = server.log();
            log.strip_suffix('\n').map(|id| format!("/proc/{id}"))
        });
        assert!(fs::exists(&worker).unwrap());
        (server, worker)
    }

    fn wait_gone(process: &str) {
        poll::until("the worker to end", Duration::from_secs(10), || {
            // Whoever inherited the worker may not have collected it yet.
            let state = fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        });
    }

    #[test]
    fn dropping_a_server_ends_its_workers_too() {
        let (server, worker) = forking_server();
        drop(server);
        wait_gone(&worker);
    }

    #[test]
    fn a_server_ends_when_the_test_process_is_gone() {
        let (mut server, worker) = forking_server();
        // What the system does with the pipe of a process that ends.
        drop(server.child.stdin.take());
        wait_gone(&worker);
        assert!(poll::within(Duration::from_secs(10), || server.exited()).is_some());
    }

    #[test]
    #[should_panic(expected = "ended with exit status: 3 after 0")]
    fn a_server_that_ends_early_is_not_waited_for() {
        Server::start("early", &shell("echo sorry; exit 3"), Duration::from_secs(60), || false);
    }

    #[test]
    #[should_panic(expected = "the end of its log:\nstarting")]
    fn a_server_that_is_never_ready_shows_its_log() {
        Server::start("late", &shell("echo starting; exec sleep 600"), Duration::from_millis(500), || false);
    }

    #[test]
    fn ports_are_given_out_once() {
        let ports: std::collections::HashSet<_> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
    }
}
