//! A model server that speaks as much of the Open Inference Protocol (KServe v2) as one model and its health
//! check ask for: `GET /v2/models/<name>`, `GET …/ready`, `POST …/infer`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::Classifier;

const MAX_BODY: u64 = 64 * 1024;

/// Serves until the process ends.
pub fn serve(port: u16, name: &str, classifier: &Classifier) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    for stream in listener.incoming().map_while(Result::ok) {
        // A client that goes away is no reason to stop.
        let _ = handle(&stream, name, classifier);
    }
}

fn handle(mut stream: &TcpStream, name: &str, classifier: &Classifier) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.by_ref().take(MAX_BODY).read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.by_ref().take(MAX_BODY).read_line(&mut header)?;
        match header.trim().split_once(':') {
            Some((key, value)) if key.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    reader.take(MAX_BODY.min(length)).read_to_end(&mut body)?;

    let path = request.split(' ').nth(1).unwrap_or_default();
    let rest = path.strip_prefix("/v2/models/").and_then(|rest| rest.strip_prefix(name));
    let (status, answer) = match rest {
        Some("/ready") => ("200 OK", json!({"name": name, "ready": true})),
        Some("") => ("200 OK", json!({"name": name, "platform": "demo", "inputs": [], "outputs": []})),
        Some("/infer") => match infer(&body, classifier) {
            Some(label) => {
                let output = json!({"name": "kind", "datatype": "BYTES", "shape": [1], "data": [label]});
                ("200 OK", json!({"model_name": name, "outputs": [output]}))
            }
            None => ("400 Bad Request", json!({"error": "expected inputs[0].data to hold length and width"})),
        },
        _ => ("404 Not Found", json!({"error": "unknown model"})),
    };
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn infer<'a>(body: &[u8], classifier: &'a Classifier) -> Option<&'a str> {
    let request: Value = serde_json::from_slice(body).ok()?;
    let data = request.pointer("/inputs/0/data")?;
    Some(classifier.predict([data.get(0)?.as_f64()?, data.get(1)?.as_f64()?]))
}
