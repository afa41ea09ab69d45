//! The sidecar's own process, and a client of it that takes answers apart by itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests, outside #[test] functions")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::volume::{NAME, VERSION, Volume};

/// How long anything may take that is waited for. Long, since a test machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The binary, with nothing inherited from whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_health-sidecar"));
    command.env_clear();
    command
}

/// Asks again until `look` gives something, up to the deadline; then fails with what `last` says.
#[track_caller]
pub fn wait_for<T>(mut look: impl FnMut() -> Option<T>, last: impl FnOnce() -> String) -> T {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain; last seen: {}", last());
}

pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends `request` as it is and reads to the end.
pub fn exchange(address: SocketAddr, request: &str) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    Ok(Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

pub fn request(address: SocketAddr, method: &str, path: &str) -> std::io::Result<Reply> {
    exchange(address, &format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

pub struct Sidecar {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Sidecar {
    /// Starts the sidecar for the expected model and an MLflow server, on a port of its own, with quick
    /// probes. `settings` come on top.
    pub fn start(volume: &Volume, server: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = command();
        command
            .env("MODEL_NAME", NAME)
            .env("MODEL_VERSION", VERSION)
            .env("MODEL_DIR", volume.path())
            .env("HEALTH_LISTEN", "127.0.0.1:0")
            .env("HEALTH_SERVER", "mlflow")
            .env("HEALTH_SERVER_URL", server)
            .env("HEALTH_PROBE_PERIOD", "1600ms")
            .envs(settings.iter().copied());
        Self::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let written = Arc::clone(&log);
        thread::spawn(move || lines.for_each(|line| written.lock().unwrap().push_str(&(line + "\n"))));
        let address = wait_for(|| bound_address(&log.lock().unwrap()), || log.lock().unwrap().clone());
        Self { child, address, log }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn get(&self, path: &str) -> Reply {
        request(self.address, "GET", path).unwrap()
    }

    /// The status and the body of `/health`. The two must agree.
    pub fn health(&self) -> (u16, Value) {
        let reply = self.get("/health");
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        let status = if body["status"] == "ready" { 200 } else { 503 };
        assert_eq!(reply.status, status, "{body}");
        (reply.status, body)
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").body).unwrap()
    }

    /// Waits until `/health` gives this phase and a reason that starts so.
    #[track_caller]
    pub fn until(&self, phase: &str, reason: &str) -> Value {
        let hit = |body: &Value| {
            body["phase"] == phase && body["reason"].as_str().is_some_and(|text| text.starts_with(reason))
        };
        let look = || Some(self.health().1).filter(hit);
        wait_for(look, || format!("{}\n{}", self.health().1, self.log()))
    }

    /// Waits until `/status` is as wanted.
    #[track_caller]
    pub fn until_status(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(|| Some(self.status()).filter(&wanted), || self.status().to_string())
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Waits for the end.
    #[track_caller]
    pub fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for(|| child.try_wait().unwrap(), || "still running".to_owned())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bound_address(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    let text: String = rest.chars().take_while(|it| it.is_ascii_hexdigit() || "[]:.".contains(*it)).collect();
    rest.contains('\n').then(|| text.parse().unwrap())
}
