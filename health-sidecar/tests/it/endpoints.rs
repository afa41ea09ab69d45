//! What the server answers, to good clients and to bad ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside #[test] functions")]

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use health_sidecar::connection::{MAX_SILENT, MAX_SPEAKING};
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

/// What is left to read of a connection that the sidecar ends, however it does.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => rest,
    }
}

#[test]
fn where_there_is_no_room_the_one_that_was_silent_for_longest_has_to_go() {
    let (_volume, sidecar) = waiting();
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    };
    let mut silent = TcpStream::connect(sidecar.address()).unwrap();
    let mut kept = TcpStream::connect(sidecar.address()).unwrap();
    ask(&mut kept);
    let began = Instant::now();
    let mut slow: VecDeque<_> = (0..MAX_SPEAKING + 10)
        .map(|_| {
            let mut stream = TcpStream::connect(sidecar.address()).unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: ").unwrap();
            // Heard, since who came before is answered.
            assert_eq!(sidecar.get("/livez").status, 200);
            stream
        })
        .collect();
    // Those that say little push each other out, and the one that asked before them; not who has said nothing yet.
    assert!(rest(kept).starts_with(b"\r\n") || !slow.is_empty());
    assert_eq!(rest(slow.pop_front().unwrap()), b"");
    ask(&mut silent);
    let idle: Vec<_> = (0..MAX_SILENT + 10).map(|_| TcpStream::connect(sidecar.address()).unwrap()).collect();
    assert_eq!(sidecar.get("/livez").status, 200);
    assert_eq!(rest(idle.into_iter().next().unwrap()), b"");
    // Not by the timeout, which is longer.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn requests_in_one_piece_are_answered_one_by_one() {
    let (_volume, sidecar) = waiting();
    let mut pipelined = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    pipelined.push_str("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(sidecar.address()).unwrap();
    stream.write_all(pipelined.as_bytes()).unwrap();
    let answers = String::from_utf8(rest(stream)).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 51);
    assert_eq!(answers.matches("{\"status\":\"alive\"}\n").count(), 51);
}

#[test]
fn a_body_is_not_read_to_its_end() {
    let (_volume, sidecar) = waiting();
    for head in ["Content-Length: 1000000000000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(sidecar.address()).unwrap();
        stream.write_all(format!("POST /health HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 405", "{head}");
        // It is answered, and whatever comes goes nowhere: what the kernel takes is soon refused.
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let part = [b'a'; 64 * 1024];
        let taken = (0..1000).take_while(|_| stream.write_all(&part).is_ok()).count();
        assert!(taken < 1000, "{head}");
    }
}

#[test]
fn an_older_client_is_understood_and_what_is_not_http_is_not() {
    let (_volume, sidecar) = waiting();
    let old = exchange(sidecar.address(), "GET /livez HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((old.status, old.body.as_str()), (200, "{\"status\":\"alive\"}\n"));
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(7000));
    assert_eq!(
        exchange(sidecar.address(), &long.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
            .unwrap()
            .status,
        404
    );
    let longer = long.replace("GET /", &format!("GET /{}", "a".repeat(2000)));
    let refused: [&[u8]; 6] = [
        longer.as_bytes(),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
    ];
    for request in refused {
        let mut stream = TcpStream::connect(sidecar.address()).unwrap();
        stream.write_all(request).unwrap();
        let answer = String::from_utf8(rest(stream)).unwrap();
        let shown = String::from_utf8_lossy(&request[..request.len().min(40)]).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
    }
    assert_eq!(sidecar.get("/livez").status, 200);
}

#[test]
fn a_client_that_has_finished_sending_is_answered_all_the_same() {
    let (_volume, sidecar) = waiting();
    // Of two requests at once, the second is answered a turn later, when the end has been seen already.
    let mut half = TcpStream::connect(sidecar.address()).unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2).as_slice()).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let answers = String::from_utf8(rest(half)).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    // And one that never said anything, or never will, is let go at once.
    let silent = TcpStream::connect(sidecar.address()).unwrap();
    silent.shutdown(Shutdown::Write).unwrap();
    let began = Instant::now();
    assert_eq!(rest(silent), b"");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_model_server_that_never_answers_keeps_nobody_waiting() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::Nothing);
    let patient = [("HEALTH_PROBE_PERIOD", "80s"), ("HEALTH_PROBE_TIMEOUT", "20s")];
    let sidecar = Sidecar::start(&volume, &server.url(), &patient);
    sidecar.until("loading", "loading: asking the server");
    let began = Instant::now();
    for (path, status) in [("/livez", 200), ("/health", 503), ("/status", 200), ("/metrics", 200), ("/", 200)]
    {
        assert_eq!(sidecar.get(path).status, status, "{path}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
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
