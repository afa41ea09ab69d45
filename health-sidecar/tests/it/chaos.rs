//! Chaos: the server is killed, hangs, is started again with another model, fails or loads; the receipt is removed,
//! replaced, or is for another version. At random, over a thousand times, with several sidecars at once.
//!
//! What is true is known, since it is done here; so two promises can be held to every single answer of `/health`. It is never
//! 200 when nothing was right for longer than the probe period before. And whenever all is right, it is 200 after
//! at most one probe period.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::sidecar::Sidecar;
use crate::volume::{NAME, VERSION, Volume, receipt};

/// Sidecars at the same time, each with a server and a volume of its own.
const SCENES: usize = 16;
/// Changes of what is true, for each.
const CHANGES: u32 = 70;
/// `HEALTH_PROBE_PERIOD`.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a situation lasts at the most.
const LONGEST: Duration = Duration::from_millis(2200);
/// Between two looks at `/health`.
const LOOK: Duration = Duration::from_millis(15);
/// What a busy machine may add to the way from red to green. Nothing is added to the way from green to red.
const SLACK: Duration = Duration::from_millis(500);

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Serve,
    ServeAnother,
    Load,
    Fail,
    Hang,
    Nothing,
}

/// What is on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Receipt,
    OtherVersion,
    Nothing,
}

/// A server of the Open Inference Protocol that can be killed and hang.
struct ChaosServer {
    port: u16,
    does: Arc<Mutex<Option<Does>>>,
}

impl ChaosServer {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let does = Arc::new(Mutex::new(Some(Does::Nothing)));
        let of_thread = Arc::clone(&does);
        drop(listener);
        thread::spawn(move || listen(port, &of_thread));
        Self { port, does }
    }

    /// Does this from now on; waits until a port that is to be closed or open is.
    fn set(&self, does: Does) {
        *self.does.lock().unwrap() = Some(does);
        let is_open = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
        while is_open() != (does != Does::Nothing) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for ChaosServer {
    fn drop(&mut self) {
        *self.does.lock().unwrap() = None;
    }
}

/// Listens while there is anything to be done but nothing, until there is no more to do.
fn listen(port: u16, does: &Arc<Mutex<Option<Does>>>) {
    let mut listener = None;
    loop {
        let now = *does.lock().unwrap();
        match now {
            None => return,
            Some(Does::Nothing) => listener = None,
            Some(_) if listener.is_none() => {
                listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
                if let Some(listener) = &listener {
                    listener.set_nonblocking(true).unwrap();
                }
            }
            Some(_) => {}
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((stream, _))) => {
                let does = Arc::clone(does);
                // A client that hangs up ends its thread.
                thread::spawn(move || drop(answer(&stream, &does)));
            }
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn answer(mut stream: &TcpStream, does: &Mutex<Option<Does>>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(8192));
    reader.read_line(&mut line)?;
    let mut rest = String::new();
    while rest != "\r\n" {
        rest.clear();
        if reader.read_line(&mut rest)? == 0 {
            return Ok(());
        }
    }
    // What it does when it answers counts, and not what it did when it was asked.
    let begun = Instant::now();
    while *does.lock().unwrap() == Some(Does::Hang) && begun.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(5));
    }
    let is_known = line.contains(&format!("/v2/models/{NAME}"));
    let does = does.lock().unwrap();
    let (status, body) = match *does {
        Some(Does::Serve) if is_known => ("200 OK", format!("{{\"name\": \"{NAME}\", \"ready\": true}}")),
        Some(Does::Serve | Does::ServeAnother) => ("404 Not Found", "{}".to_owned()),
        Some(Does::Load) => ("503 Service Unavailable", "{\"error\": \"loading\"}".to_owned()),
        Some(Does::Fail) => ("500 Internal Server Error", "{}".to_owned()),
        Some(Does::Hang | Does::Nothing) | None => return Ok(()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A time in which all was right: from when it surely was, until when it surely no longer was.
#[derive(Clone, Copy, Debug)]
struct Right {
    from: Instant,
    until: Instant,
}

/// An answer of `/health`.
#[derive(Clone, Copy, Debug)]
struct Look {
    asked: Instant,
    answered: Instant,
    green: bool,
}

/// What came of a scene.
#[derive(Debug, Default)]
struct Seen {
    changes: u32,
    looks: usize,
    to_green: usize,
    slowest_to_green: Duration,
    slowest_to_red: Duration,
    problems: Vec<String>,
}

/// Numbers without a pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

fn scene(seed: u64) -> Seen {
    let (volume, server) = (Volume::fetched(), ChaosServer::start());
    let url = format!("http://127.0.0.1:{}", server.port);
    let period = format!("{}ms", PERIOD.as_millis());
    let settings = [("HEALTH_SERVER", "kserve-v2"), ("HEALTH_PROBE_PERIOD", &period)];
    let sidecar = Sidecar::start(&volume, &url, &settings);
    let (mut dice, mut does, mut has) = (Dice(seed), Does::Nothing, Has::Receipt);
    let (mut rights, mut looks): (Vec<Right>, Vec<Look>) = (Vec::new(), Vec::new());
    for _ in 0..CHANGES {
        let was_right = does == Does::Serve && has == Has::Receipt;
        // As often right as wrong, so that there is a way in both directions.
        let before = Instant::now();
        if !was_right && dice.below(2) == 0 {
            if has != Has::Receipt {
                has = Has::Receipt;
                volume.put_receipt(&receipt(VERSION));
            }
            does = Does::Serve;
            server.set(does);
        } else if dice.below(4) == 0 {
            let next =
                [Has::Receipt, Has::OtherVersion, Has::Nothing][usize::try_from(dice.below(3)).unwrap()];
            match next {
                Has::Receipt => volume.put_receipt(&receipt(VERSION)),
                Has::OtherVersion => volume.put_receipt(&receipt("v2.2")),
                Has::Nothing if has != Has::Nothing => volume.remove_receipt(),
                Has::Nothing => {}
            }
            has = next;
        } else {
            let all = [Does::ServeAnother, Does::Load, Does::Fail, Does::Hang, Does::Nothing, Does::Serve];
            does = all[usize::try_from(dice.below(6)).unwrap()];
            server.set(does);
        }
        let after = Instant::now();
        let is_right = does == Does::Serve && has == Has::Receipt;
        if was_right && let Some(last) = rights.last_mut() {
            last.until = after;
        }
        let lasts = LONGEST.mul_f64(f64::from(u32::try_from(dice.below(1000)).unwrap()) / 1000.0);
        if is_right {
            let from = if was_right { before } else { after };
            rights.push(Right { from, until: after + lasts });
        }
        while after.elapsed() < lasts {
            let asked = Instant::now();
            let green = sidecar.get("/health").status == 200;
            looks.push(Look { asked, answered: Instant::now(), green });
            thread::sleep(LOOK);
        }
        // What was right stayed so until now.
        if is_right && let Some(last) = rights.last_mut() {
            last.until = Instant::now();
        }
    }
    judge(&rights, &looks, &sidecar)
}

fn judge(rights: &[Right], looks: &[Look], sidecar: &Sidecar) -> Seen {
    let mut seen = Seen { changes: CHANGES, looks: looks.len(), ..Seen::default() };
    for look in looks.iter().filter(|look| look.green) {
        let earliest = look.asked.checked_sub(PERIOD).unwrap();
        let is_backed = rights.iter().any(|right| right.from <= look.answered && right.until >= earliest);
        if !is_backed {
            seen.problems.push(format!("green without right for a period, {:?}\n{}", look, sidecar.log()));
        }
        let last = rights.iter().filter(|right| right.from <= look.answered).map(|right| right.until).max();
        if let Some(last) = last {
            seen.slowest_to_red = seen.slowest_to_red.max(look.asked.saturating_duration_since(last));
        }
    }
    // Times that follow each other without a wrong one between them are one, but for the moments of a new receipt.
    for right in rights {
        let within = |look: &&Look| look.asked >= right.from && look.answered < right.until;
        let first = looks.iter().filter(within).find(|look| look.green);
        if let Some(first) = first {
            seen.to_green += 1;
            seen.slowest_to_green = seen.slowest_to_green.max(first.answered - right.from);
        }
        let late =
            looks.iter().filter(within).find(|look| !look.green && look.asked > right.from + PERIOD + SLACK);
        if let Some(late) = late {
            let after = late.asked - right.from;
            seen.problems.push(format!("still red after {after:?} of all being right\n{}", sidecar.log()));
        }
    }
    seen
}

#[test]
fn whatever_happens_health_is_green_within_a_period_and_red_within_a_period() {
    let scenes: Vec<_> = (0..SCENES)
        .map(|number| {
            thread::spawn(move || scene(0x9e37_79b9_7f4a_7c15 ^ (u64::try_from(number).unwrap() << 20)))
        })
        .collect();
    let seen: Vec<Seen> = scenes.into_iter().map(|scene| scene.join().unwrap()).collect();
    let problems: Vec<_> = seen.iter().flat_map(|seen| &seen.problems).collect();
    assert!(problems.is_empty(), "{} problems, the first:\n{}", problems.len(), problems[0]);
    let changes: u32 = seen.iter().map(|seen| seen.changes).sum();
    let (looks, to_green): (usize, usize) =
        seen.iter().fold((0, 0), |sum, seen| (sum.0 + seen.looks, sum.1 + seen.to_green));
    let slowest = |of: fn(&Seen) -> Duration| seen.iter().map(of).max().unwrap_or_default();
    eprintln!(
        "{changes} changes, {looks} looks, {to_green} times green; slowest to green {:?}, to red {:?}",
        slowest(|seen| seen.slowest_to_green),
        slowest(|seen| seen.slowest_to_red)
    );
    assert!(changes >= 1000 && to_green >= 200 && looks > 10_000, "{changes} {to_green} {looks}");
}
