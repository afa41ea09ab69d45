//! What the server answers, to good clients and to bad ones.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{DEADLINE, Sidecar, command, exchange, request};
use crate::volume::{NAME, VERSION, Volume, receipt};

/// A sidecar that waits for a fetcher.
fn waiting() -> (Volume, Sidecar) {
    let volume = Volume::empty();
    let sidecar = Sidecar::start(&volume, "http://127.0.0.1:9", &[]);
    (volume, sidecar)
}

#[test]
fn every_endpoint_answers_get_and_head_and_ends_in_a_newline() {
    let (_volume, sidecar) = waiting();
    for (path, status) in [
        ("/health", 503),
        ("/readyz", 503),
        ("/livez", 200),
        ("/status", 200),
        ("/metrics", 200),
        ("/health?verbose=1", 503),
        ("/", 200),
        ("/?x", 200),
        ("/health/", 404),
        ("/favicon.ico", 404),
    ] {
        let get = sidecar.get(path);
        assert_eq!(get.status, status, "{path}");
        assert!(get.body.ends_with('\n') && get.body.len() > 1, "{path}: {}", get.body);
        let head = request(sidecar.address(), "HEAD", path).unwrap();
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{path}");
        // Those that tell how long something has been going on may grow from one answer to the next.
        if !["/status", "/", "/?x", "/metrics"].contains(&path) {
            let length = format!("content-length: {}", get.body.len());
            assert!(head.head.contains(&length), "{path}: {} lacks {length}", head.head);
        }
        assert!(get.head.contains("x-content-type-options: nosniff"), "{path}: {}", get.head);
        if path.starts_with("/?") || path == "/" {
            assert!(get.head.contains("content-type: text/html; charset=utf-8"), "{path}: {}", get.head);
            assert!(get.head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"));
        } else if path != "/metrics" {
            assert!(get.head.contains("content-type: application/json"), "{path}: {}", get.head);
            serde_json::from_str::<Value>(&get.body).unwrap();
        }
    }
    assert_eq!(sidecar.get("/readyz").body, sidecar.get("/health").body);
}

#[test]
fn other_methods_are_refused() {
    let (_volume, sidecar) = waiting();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let reply = request(sidecar.address(), method, "/health").unwrap();
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.head.contains("allow: get, head"), "{method}: {}", reply.head);
        assert_eq!(reply.body, "{\"error\":\"expected method GET or HEAD\"}\n", "{method}");
    }
    assert_eq!(request(sidecar.address(), "POST", "/nothing").unwrap().status, 404);
}

#[test]
fn status_tells_everything() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let status =
        sidecar.until_status(|status| status["probes"].as_array().is_some_and(|probes| probes.len() == 10));
    let receipt = receipt(VERSION);
    assert_eq!(status["phase"], "ready");
    assert_eq!(status["expected"]["name"], NAME);
    assert_eq!(status["receipt"]["digest"], receipt.digest.to_string());
    assert_eq!(status["receipt"]["files"], receipt.files.len());
    assert_eq!(status["receipt"]["bytes"], receipt.bytes);
    assert_eq!(status["receipt"]["integrity"], "registry");
    assert_eq!(status["receipt"]["resolved"]["version"], "7");
    assert!(status["load_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{status}");
    assert!(status["probes"][0]["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{status}");
    let phases: Vec<_> = status["phases"].as_array().unwrap().iter().map(|it| &it["phase"]).collect();
    assert_eq!(phases, ["waiting", "loading", "ready"]);
    // An eleventh probe takes the place of the first.
    let first = status["probes"][0]["at"].clone();
    let later = sidecar.until_status(|status| status["probes"][0]["at"] != first);
    assert_eq!(later["probes"].as_array().unwrap().len(), 10);
}

#[test]
fn slow_clients_do_not_keep_others_waiting() {
    let (_volume, sidecar) = waiting();
    let mut slow: Vec<_> = (0..20).map(|_| TcpStream::connect(sidecar.address()).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: ").unwrap();
    }
    assert_eq!(sidecar.get("/livez").status, 200);
    // Each of them is cut in the end, answered or not.
    for mut stream in slow {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 503"));
    }
}

#[test]
fn more_idle_clients_than_places_only_delay_the_next() {
    let (_volume, sidecar) = waiting();
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(sidecar.address()).unwrap()).collect();
    assert_eq!(sidecar.get("/livez").status, 200);
    drop(idle);
}

#[test]
fn an_oversized_head_is_refused() {
    let (_volume, sidecar) = waiting();
    let long = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024));
    // The answer may be lost to the reset that follows it.
    if let Ok(reply) = exchange(sidecar.address(), &long) {
        assert_eq!(reply.status, 431);
    }
    let many = format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(exchange(sidecar.address(), &many).unwrap().status, 431);
    assert_eq!(sidecar.get("/livez").status, 200);
}

#[test]
fn the_default_address_takes_ipv4_and_ipv6() {
    let volume = Volume::empty();
    let sidecar = Sidecar::start(&volume, "http://127.0.0.1:9", &[("HEALTH_LISTEN", "[::]:0")]);
    let port = sidecar.address().port();
    let alive = |address: SocketAddr| request(address, "GET", "/livez").unwrap().status;
    assert_eq!(alive((Ipv4Addr::LOCALHOST, port).into()), 200);
    // Where the machine has no IPv6, the sidecar must have said that it serves IPv4 alone.
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        assert_eq!(alive((Ipv6Addr::LOCALHOST, port).into()), 200);
    } else {
        assert!(sidecar.address().is_ipv4());
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command().env("HEALTH_SERVER", "mlflow").env("HEALTH_LISTEN", &address).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with(&format!("error: cannot listen on {address}: Address already in use")),
        "{text}"
    );
    assert!(text.contains("\nhint: "), "{text}");
}

#[test]
fn a_client_that_never_reads_does_not_keep_others_waiting() {
    let (_volume, sidecar) = waiting();
    let mut deaf = TcpStream::connect(sidecar.address()).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Answers pile up unread until the sidecar reads no more requests either.
    let _ = deaf.write_all(&b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000));
    assert_eq!(sidecar.get("/livez").status, 200);
}
