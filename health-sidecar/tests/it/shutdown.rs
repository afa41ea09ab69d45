//! The end: red at once, served a little longer, then exit 0.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{DEADLINE, Sidecar};
use crate::volume::Volume;

#[test]
fn either_signal_turns_health_red_and_ends_with_success_after_the_drain() {
    for signal in ["TERM", "INT"] {
        let volume = Volume::fetched();
        let server = ModelServer::start(Says::loaded());
        let mut sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_DRAIN", "2s")]);
        sidecar.until("ready", "loaded");
        let told = Instant::now();
        sidecar.signal(signal);
        // Served and red, alive all the same.
        sidecar.until("draining", "draining");
        assert_eq!(sidecar.get("/livez").status, 200);
        assert_eq!(sidecar.exit().code(), Some(0));
        assert!(told.elapsed() >= Duration::from_secs(2), "{:?}", told.elapsed());
        assert!(
            sidecar.log().ends_with("draining phase=\"draining\" code=\"draining\"\n"),
            "{}",
            sidecar.log()
        );
    }
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    let volume = Volume::empty();
    let mut sidecar = Sidecar::start(&volume, "http://127.0.0.1:9", &[("HEALTH_DRAIN", "1h")]);
    sidecar.signal("TERM");
    sidecar.until("draining", "draining");
    sidecar.signal("TERM");
    assert_eq!(sidecar.exit().code(), Some(0));
}

#[test]
fn a_probe_that_is_not_answered_does_not_delay_the_end() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::Nothing);
    let patient = [("HEALTH_PROBE_PERIOD", "1h"), ("HEALTH_PROBE_TIMEOUT", "15m"), ("HEALTH_DRAIN", "0s")];
    let mut sidecar = Sidecar::start(&volume, &server.url(), &patient);
    sidecar.until("loading", "loading: asking the server");
    sidecar.signal("TERM");
    assert_eq!(sidecar.exit().code(), Some(0));
}

#[test]
fn open_connections_end_with_the_process_and_do_not_hold_it() {
    let volume = Volume::empty();
    let mut sidecar = Sidecar::start(&volume, "http://127.0.0.1:9", &[("HEALTH_DRAIN", "0s")]);
    let mut idle = TcpStream::connect(sidecar.address()).unwrap();
    idle.set_read_timeout(Some(DEADLINE)).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut stuck = TcpStream::connect(sidecar.address()).unwrap();
    stuck.write_all(b"GET /livez HTTP/1.1\r\nHost: ").unwrap();
    sidecar.signal("TERM");
    assert_eq!(sidecar.exit().code(), Some(0));
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
}
