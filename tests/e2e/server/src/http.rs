//! As much of the Open Inference Protocol, version 2, as one model and its health check ask for:
//! `GET /v2/models/<name>`, `GET …/ready`, `POST …/infer`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::Model;

const MAX_BYTES: u64 = 64 * 1024;

/// Loads the model in `file` and serves it until the process ends.
pub fn serve(file: &Path, port: &str) -> Result<(), String> {
    let port: u16 = port.parse().map_err(|_| format!("expected a port, got {port}"))?;
    let model = Model::load(file)?;
    println!("loaded {}", model.name());
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).map_err(|error| error.to_string())?;
    for stream in listener.incoming().map_while(Result::ok) {
        // A client that goes away is no reason to stop.
        let _ = handle(&stream, &model);
    }
    Ok(())
}

/// Answers one request.
fn handle(mut stream: &TcpStream, model: &Model) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(stream).take(MAX_BYTES);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim().split_once(':') {
            Some((key, value)) if key.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if !model.may_answer() {
        // As a server whose only thread waits for a lock: it accepts, and that is all.
        loop {
            thread::park();
        }
    }
    let (status, answer) = answer(&request, &body, model);
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn answer(request: &str, body: &[u8], model: &Model) -> (&'static str, Value) {
    let name = model.name();
    let path = request.split(' ').nth(1).unwrap_or_default();
    match path.strip_prefix("/v2/models/").and_then(|rest| rest.strip_prefix(name)) {
        Some("/ready") => ("200 OK", json!({"name": name, "ready": true})),
        Some("") => ("200 OK", json!({"name": name, "platform": "linear", "inputs": [], "outputs": []})),
        Some("/infer") => match input(body) {
            Some(input) => {
                let data = [model.predict(input)];
                let output = json!({"name": "y", "datatype": "FP64", "shape": [1], "data": data});
                ("200 OK", json!({"model_name": name, "outputs": [output]}))
            }
            None => ("400 Bad Request", json!({"error": "expected inputs[0].data to hold one number"})),
        },
        _ => ("404 Not Found", json!({"error": format!("unknown model; this server has {name}")})),
    }
}

fn input(body: &[u8]) -> Option<f64> {
    serde_json::from_slice::<Value>(body).ok()?.pointer("/inputs/0/data/0")?.as_f64()
}
