//! A flood of connections, heads that come byte by byte and requests without end, all at once: the kubelet, which comes
//! with a new connection each time and waits for a second, is answered every time, and memory stays bounded.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_tests::binaries;
use plimsoll_tests::ready_sidecar::{ReadySidecar, settles_at};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long it goes on.
const LENGTH: Duration = Duration::from_secs(12);
/// What the kubelet waits, unless a manifest says otherwise.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// More often than the kubelet, to have more to count.
const PROBE_PERIOD: Duration = Duration::from_millis(100);
/// Connections that say nothing.
const IDLE: usize = 2000;
/// Connections that say little.
const SLOW: usize = 200;
/// What the static release build may hold meanwhile.
const MAX_RESIDENT_KIB: u64 = 6 * 1024;

/// What attackers share.
struct Flood {
    address: SocketAddr,
    ended: AtomicBool,
    connections: AtomicUsize,
}

impl Flood {
    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    /// Does it again and again until the end, with a pause after each time. What fails is the attacker's loss.
    fn repeat(&self, pause: Duration, mut attack: impl FnMut() -> io::Result<()>) {
        while !self.ended.load(Ordering::Relaxed) {
            let _ = attack();
            thread::sleep(pause);
        }
    }

    /// Holds [`IDLE`] connections, and takes a new one for the oldest some hundred times a second.
    fn idle(&self) {
        let mut held = VecDeque::new();
        self.repeat(Duration::from_millis(50), || {
            let count = if held.len() < IDLE { 500 } else { 20 };
            for _ in 0..count {
                held.push_back(self.connect()?);
            }
            held.drain(..held.len().saturating_sub(IDLE));
            Ok(())
        });
    }

    /// Heads that come byte by byte, on [`SLOW`] connections, each of which is taken anew when it is cut.
    fn slow_heads(&self) {
        let mut held = VecDeque::new();
        self.repeat(Duration::from_millis(20), || {
            if held.len() < SLOW {
                let mut stream = self.connect()?;
                stream.write_all(b"GET /health HTTP/1.1\r\nX: ")?;
                held.push_back(stream);
            }
            held.retain_mut(|stream| stream.write_all(b"a").is_ok());
            Ok(())
        });
    }

    /// Two hundred requests a second, each over a connection of its own.
    fn requests(&self) {
        self.repeat(Duration::from_millis(5), || {
            let mut stream = self.connect()?;
            stream.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
    }

    /// Heads and bodies without end, and clients that read no answer.
    fn oversized(&self) {
        let head = [b"GET /health HTTP/1.1\r\nHost: x\r\nX: ".as_slice(), &[b'a'; 64 * 1024]].concat();
        let body =
            [b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n".as_slice(), &head];
        let (body, pipelined) = (body.concat(), b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500));
        let mut deaf = VecDeque::new();
        self.repeat(Duration::from_millis(10), || {
            for attack in [&head, &body] {
                // It is refused in the middle.
                let _ = self.connect()?.write_all(attack);
            }
            let mut stream = self.connect()?;
            stream.set_nonblocking(true)?;
            let _ = stream.write(&pipelined);
            deaf.push_back(stream);
            deaf.drain(..deaf.len().saturating_sub(SLOW));
            Ok(())
        });
    }
}

/// One probe as the kubelet makes it, and how long it took.
fn probe(address: SocketAddr) -> Result<Duration, String> {
    let began = Instant::now();
    let left = || {
        let left = PROBE_TIMEOUT.saturating_sub(began.elapsed());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT)?;
        stream.write_all(
            b"GET /health HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.34\r\nConnection: close\r\n\r\n",
        )?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        loop {
            stream.set_read_timeout(Some(left()?))?;
            match stream.read(&mut part)? {
                0 => return Ok(answer),
                count => answer.extend_from_slice(&part[..count]),
            }
        }
    };
    let answer = ask().map_err(|error: io::Error| format!("{error} after {:?}", began.elapsed()))?;
    let took = began.elapsed();
    if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"}\n") && took <= PROBE_TIMEOUT {
        Ok(took)
    } else {
        Err(format!("{took:?}: {}", String::from_utf8_lossy(&answer)))
    }
}

/// Each connection of the flood is a file of this process.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Some(8192).min(limit.maximum.or(Some(8192)));
    if limit.current.is_some_and(|current| Some(current) < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: wanted, ..limit }).unwrap();
    }
}

#[test]
fn the_kubelet_is_answered_within_a_second_in_any_flood() {
    allow_many_files();
    let sidecar = ReadySidecar::start(binaries::static_health_sidecar());
    let before = sidecar.resident();
    let flood =
        Flood { address: sidecar.address(), ended: AtomicBool::new(false), connections: AtomicUsize::new(0) };
    let mut probes = Vec::new();
    thread::scope(|scope| {
        for attack in [Flood::idle, Flood::slow_heads, Flood::requests, Flood::oversized] {
            let flood = &flood;
            scope.spawn(move || attack(flood));
        }
        let end = Instant::now() + LENGTH;
        while Instant::now() < end {
            probes.push(probe(sidecar.address()));
            thread::sleep(PROBE_PERIOD);
        }
        flood.ended.store(true, Ordering::Relaxed);
    });
    let during = sidecar.resident();
    let slowest = probes.iter().flatten().max().copied().unwrap_or_default();
    let failed: Vec<_> = probes.iter().filter_map(|probe| probe.as_ref().err()).collect();
    let connections = flood.connections.into_inner();
    println!(
        "{} probes among {connections} connections, the slowest in {slowest:?}; {before:?}, then {during:?}",
        probes.len()
    );
    assert!(failed.is_empty(), "{} of {} probes failed: {failed:?}", failed.len(), probes.len());
    assert!(connections > 2 * IDLE, "the flood was only {connections} connections");
    assert!(during.peak <= MAX_RESIDENT_KIB, "{during:?}");
    // What the flood took is given back, or used again by the next one.
    settles_at(&sidecar, MAX_RESIDENT_KIB);
}
