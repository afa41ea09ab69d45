//! What the sidecar may cost, with room for a busy machine: enough to notice when it costs more than before. The numbers
//! themselves are made by `cargo run --locked --bin bench -- --scenario sidecar`.

use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_tests::load::Load;
use plimsoll_tests::ready_sidecar::{ReadySidecar, Resident, settles_at};
use plimsoll_tests::web_server::WebServer;
use plimsoll_tests::{binaries, http, poll};

/// What it may hold at any time, in KiB.
const MAX_RESIDENT_KIB: u64 = 6 * 1024;
/// What it may hold for a moment, while it checks the longest of receipts: the limit in `k8s/base`.
const MAX_CHECKING_KIB: u64 = 64 * 1024;
/// How many times longer than nginx half of the answers may take. The promise is about the slowest of a hundred, which a busy
/// machine makes slow for reasons of its own.
const MAX_RATIO: f64 = 3.0;
const ROUNDS: usize = 5;
/// How long it is left alone, and what it may use of a core then: five times what is promised, since time is counted in
/// hundredths of a second.
const IDLE: Duration = Duration::from_secs(10);
const MAX_IDLE_SHARE: f64 = 0.005;

fn sidecar() -> ReadySidecar {
    ReadySidecar::start(binaries::static_health_sidecar())
}

#[test]
fn ten_thousand_answers_leave_memory_as_it_was() {
    let sidecar = sidecar();
    let load = Load { address: sidecar.address(), path: "/health", clients: 8, requests: 625, keep: true };
    let at_rest = sidecar.resident();
    let found: Vec<Resident> = [true, false]
        .into_iter()
        .map(|keep| {
            assert_eq!(Load { keep, ..load }.run().count(), 5000);
            sidecar.resident()
        })
        .collect();
    println!("{at_rest:?}, then {found:?}");
    for resident in found.iter().chain([&at_rest]) {
        assert!(resident.peak <= MAX_RESIDENT_KIB, "{resident:?}");
    }
    assert!(found[1].now < at_rest.now + 1024, "{at_rest:?}, then {found:?}");
}

#[test]
fn with_nothing_to_do_it_does_next_to_nothing() {
    let sidecar = sidecar();
    let before = sidecar.processor_time();
    // Not a wait for something: the time in which nothing happens is what is measured.
    thread::sleep(IDLE);
    let used = sidecar.processor_time() - before;
    println!("{used:?} in {IDLE:?}");
    assert!(used <= IDLE.mul_f64(MAX_IDLE_SHARE), "{used:?}");
}

#[test]
fn an_answer_takes_not_much_longer_than_a_file_from_nginx() {
    let (sidecar, nginx) = (sidecar(), WebServer::nginx());
    let body = http::get(sidecar.address().port(), "/health").unwrap().body;
    fs::write(nginx.folder().join("health"), &body).unwrap();
    for keep in [true, false] {
        let ours = Load { address: sidecar.address(), path: "/health", clients: 4, requests: 500, keep };
        let theirs = Load { address: (Ipv4Addr::LOCALHOST, nginx.port()).into(), ..ours };
        let mut ratios: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let [ours, theirs] = [ours, theirs].map(|load| load.run().per_mille(500));
                ours.as_secs_f64() / theirs.as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("keep {keep}: {ratios:.2?}");
        assert!(ratios[ROUNDS / 2] <= MAX_RATIO, "keep {keep}: {ratios:.2?}");
    }
}

#[test]
fn a_receipt_of_a_hundred_thousand_files_keeps_nobody_waiting() {
    const FILES: usize = 100_000;
    let sidecar = sidecar();
    let port = sidecar.address().port();
    sidecar.put_model(FILES);
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    poll::until("the receipt to be accepted", Duration::from_secs(120), || {
        let began = Instant::now();
        assert_eq!(http::get(port, "/livez").unwrap().status, 200);
        slowest = slowest.max(began.elapsed());
        asked += 1;
        (http::get(port, "/status").unwrap().json()["receipt"]["files"] == FILES).then_some(())
    });
    let after = settles_at(&sidecar, MAX_RESIDENT_KIB);
    println!("the slowest of {asked} answers took {slowest:?}; {after:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(after.peak <= MAX_CHECKING_KIB, "{after:?}");
}
