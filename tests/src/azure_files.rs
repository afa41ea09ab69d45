//! A stand-in for the file shares of an account of Azure's, which no emulator has: what is in a folder, for those whose
//! signature is right. The tests have the official client read from it too, by KServe's initializer, so that it does what Azure does
//! as far as a client can tell; what is signed with a shared access signature is signed by that client.
//! <https://learn.microsoft.com/en-us/rest/api/storageservices/file-service-rest-api>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handoff::Sha256Digest;

use crate::fault_server::{Answer, FaultServer, Request};
use crate::hugging_face::percent_decoded;
use crate::{process, tools};

/// The account.
pub const ACCOUNT: &str = "plimsoll";
/// `not a secret of anyone`.
pub const KEY: &str = "bm90IGEgc2VjcmV0IG9mIGFueW9uZQ==";

/// What a request's own headers add to what is signed, in order, but for the date and what Azure calls by its own names.
const SIGNED: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];
/// What of a shared access signature's fields comes before and after the place that it is for.
const SIGNED_BEFORE: [&str; 3] = ["sp", "st", "se"];
const SIGNED_AFTER: [&str; 9] = ["si", "sip", "spr", "sv", "rscc", "rscd", "rsce", "rscl", "rsct"];

#[derive(Debug)]
struct State {
    folder: PathBuf,
    page: usize,
    /// Files whose MD5 whoever uploaded them has set.
    with_md5: BTreeSet<String>,
    /// What is sent instead of a file.
    damaged: BTreeMap<String, Vec<u8>>,
    /// Files that are others once they were listed, by the method that is told so.
    overwritten: BTreeSet<(String, String)>,
    /// Who may read but for the owners of the key.
    token: Option<String>,
    /// Whether a folder that is asked for as a file is called one of another type, or none at all.
    tells_types: bool,
}

/// The shares of a running server: each is a folder.
#[derive(Debug)]
pub struct FileShares {
    state: Arc<Mutex<State>>,
    server: FaultServer,
}

impl FileShares {
    /// Starts a server with what is in `folder`: shares, with folders and files in them.
    pub fn start(folder: &Path) -> Self {
        let state = State {
            folder: folder.to_owned(),
            page: 5000,
            with_md5: BTreeSet::new(),
            damaged: BTreeMap::new(),
            overwritten: BTreeSet::new(),
            token: None,
            tells_types: false,
        };
        let state = Arc::new(Mutex::new(state));
        let of_server = Arc::clone(&state);
        let server = FaultServer::start(move |_, request| {
            let answer = answer(&lock(&of_server), request)
                .unwrap_or_else(|(status, code)| Answer::status(status).with("x-ms-error-code", code));
            match request.method.as_str() {
                "HEAD" => Answer { announced: Some(answer.body.len()), body: Vec::new(), ..answer },
                _ => answer,
            }
        });
        Self { state, server }
    }

    /// The address of the account.
    pub fn url(&self) -> String {
        format!("{}/{ACCOUNT}", self.server.url())
    }

    /// What it was asked.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// Gives folders in pages of so many entries.
    pub fn page(&self, entries: usize) {
        lock(&self.state).page = entries;
    }

    /// Keeps the MD5 of a file, named with its share.
    pub fn keep_md5(&self, name: &str) {
        lock(&self.state).with_md5.insert(name.to_owned());
    }

    /// Sends something else than a file from now on.
    pub fn damage(&self, name: &str, content: &[u8]) {
        lock(&self.state).damaged.insert(name.to_owned(), content.to_vec());
    }

    /// Has somebody overwrite a file after it was listed, before it is asked for by `method`.
    pub fn overwrite(&self, method: &str, name: &str) {
        lock(&self.state).overwritten.insert((method.to_owned(), name.to_owned()));
    }

    /// Lets the bearer of a token in.
    pub fn admit(&self, token: &str) {
        lock(&self.state).token = Some(token.to_owned());
    }

    /// Says of a folder that is asked for as a file that it is something else, instead of that there is none.
    pub fn tell_types(&self) {
        lock(&self.state).tells_types = true;
    }
}

/// Signs for a share, or for the one file of it at `path`, for so many hours, by the official client.
///
/// # Panics
/// When it fails.
pub fn sign(share: &str, path: Option<&str>, hours: i32) -> String {
    const SIGN: &str = "import sys
from datetime import datetime, timedelta, timezone
from azure.storage.fileshare import generate_file_sas, generate_share_sas
account, key, share, hours, *path = sys.argv[1:]
until = {'permission': 'r' if path else 'rl', 'expiry': datetime.now(timezone.utc) + timedelta(hours=int(hours))}
print(generate_file_sas(account, share, path, key, **until) if path else generate_share_sas(account, share, key, **until))";
    let mut client = tools::kserve_python().command("python");
    client.args(["-c", SIGN, ACCOUNT, KEY, share, &hours.to_string()]);
    process::run(client.args(path.into_iter().flat_map(|path| path.split('/')))).trim().to_owned()
}

type Refusal = (&'static str, &'static str);
type Query = BTreeMap<String, String>;

const NOT_LET_IN: Refusal = ("403 Forbidden", "AuthenticationFailed");
const NOT_THERE: Refusal = ("404 Not Found", "ResourceNotFound");

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no answer panicked")
}

fn answer(state: &State, request: &Request) -> Result<Answer, Refusal> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query: Query = pairs.map(|(name, value)| (name.to_owned(), percent_decoded(value))).collect();
    let name = percent_decoded(path.strip_prefix(&format!("/{ACCOUNT}/")).ok_or(NOT_THERE)?);
    let is_listing = query.get("comp").is_some_and(|value| value == "list");
    check(state, request, path, &query, &name, is_listing)?;
    if request.headers.iter().any(|(header, _)| header.starts_with("if-")) {
        return Err(("400 Bad Request", "ConditionHeadersNotSupported"));
    }
    let name = match request.header("x-ms-allow-trailing-dot") {
        Some("true") => name,
        _ => name.split('/').map(|part| part.trim_end_matches('.')).collect::<Vec<_>>().join("/"),
    };
    let place = state.folder.join(&name);
    if !state.folder.join(name.split('/').next().unwrap_or_default()).is_dir() {
        return Err(("404 Not Found", "ShareNotFound"));
    }
    match (is_listing, place.is_dir()) {
        (true, true) => Ok(listing(state, &name, &query)),
        (true, false) => Err(NOT_THERE),
        (false, true) if state.tells_types => Err(("409 Conflict", "ResourceTypeMismatch")),
        (false, _) => file(state, request, &name),
    }
}

/// Whether who asks may.
fn check(
    state: &State,
    request: &Request,
    path: &str,
    query: &Query,
    name: &str,
    is_listing: bool,
) -> Result<(), Refusal> {
    let version = request.header("x-ms-version").unwrap_or_default();
    let is_right = match (request.header("authorization"), query.get("sig")) {
        (None, Some(signature)) => {
            let sign = shared_access(query, name, is_listing).ok_or(NOT_LET_IN)?;
            *signature == hmac(&sign)
        }
        (Some(_), _) if version.is_empty() => return Err(("400 Bad Request", "MissingRequiredHeader")),
        (Some(header), _) if header.starts_with("Bearer ") => {
            if request.header("x-ms-file-request-intent") != Some("backup") {
                return Err(("400 Bad Request", "MissingRequiredHeader"));
            }
            header.strip_prefix("Bearer ") == state.token.as_deref()
        }
        (Some(header), _) => {
            header == format!("SharedKey {ACCOUNT}:{}", hmac(&shared_key(request, path, query)))
        }
        (None, None) => return Err(("401 Unauthorized", "NoAuthenticationInformation")),
    };
    if is_right { Ok(()) } else { Err(NOT_LET_IN) }
}

/// What the owner of the key signs of a request.
/// <https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-shared-key>
fn shared_key(request: &Request, path: &str, query: &Query) -> String {
    let mut text = format!("{}\n", request.method);
    for name in SIGNED {
        let value = request.header(name).unwrap_or_default();
        let is_left_out = match name {
            "content-length" => value == "0",
            "date" => request.header("x-ms-date").is_some(),
            _ => false,
        };
        text += if is_left_out { "" } else { value };
        text.push('\n');
    }
    let own: BTreeMap<_, _> = request.headers.iter().map(|(name, value)| (name, value)).collect();
    for (name, value) in own.into_iter().filter(|(name, _)| name.starts_with("x-ms-")) {
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "/{ACCOUNT}{path}");
    for (name, value) in query {
        let _ = write!(text, "\n{name}:{value}");
    }
    text
}

/// What was signed for a share or a file, if that is what is asked for, and its time is not over.
/// <https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas>
fn shared_access(query: &Query, name: &str, is_listing: bool) -> Option<String> {
    let value = |field: &str| query.get(field).map_or("", String::as_str);
    let now = process::run(Command::new("date").args(["-u", "+%FT%TZ"]));
    let may = value("sp").contains(if is_listing { 'l' } else { 'r' });
    let place = match value("sr") {
        "s" => name.split('/').next()?,
        "f" => name,
        _ => return None,
    };
    let place = format!("/file/{ACCOUNT}/{place}");
    let before = SIGNED_BEFORE.into_iter().map(value);
    let lines: Vec<_> = before.chain([place.as_str()]).chain(SIGNED_AFTER.into_iter().map(value)).collect();
    (may && value("se") > now.trim()).then(|| lines.join("\n"))
}

/// HMAC with SHA-256 (RFC 2104), whose blocks are longer than the key.
fn hmac(text: &str) -> String {
    let mut key = BASE64_STANDARD.decode(KEY).expect("the key is in Base64");
    key.resize(64, 0);
    let padded = |pad: u8| key.iter().map(|byte| byte ^ pad).collect::<Vec<_>>();
    let inner = Sha256Digest::of(&[padded(0x36).as_slice(), text.as_bytes()].concat());
    BASE64_STANDARD.encode(Sha256Digest::of(&[padded(0x5c).as_slice(), inner.as_bytes()].concat()).as_bytes())
}

fn listing(state: &State, folder: &str, query: &Query) -> Answer {
    let entries = fs::read_dir(state.folder.join(folder)).expect("the folder is readable");
    let names = entries.map(|entry| entry.expect("the folder is readable").file_name());
    let names: BTreeSet<_> = names.map(|name| name.into_string().expect("names are UTF-8")).collect();
    let first =
        query.get("marker").and_then(|marker| marker.strip_prefix("2!+/=")?.parse().ok()).unwrap_or(0);
    let include = query.get("include").map_or("", String::as_str);
    let mut page = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
                    ServiceEndpoint=\"https://plimsoll.file.core.windows.net/\" ShareName=\"models\" \
                    DirectoryPath=\"\"><DirectoryId>0</DirectoryId><Entries>"
        .to_owned();
    for name in names.iter().skip(first).take(state.page) {
        let path = format!("{folder}/{name}");
        let place = state.folder.join(&path);
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        if place.is_dir() {
            let _ =
                write!(page, "<Directory><FileId>1</FileId><Name>{name}</Name><Properties /></Directory>");
            continue;
        }
        let content = fs::read(place).expect("the file is readable");
        let _ = write!(
            page,
            "<File><FileId>2</FileId><Name>{name}</Name><Properties><Content-Length>{}</Content-Length>",
            content.len()
        );
        if include.split(',').any(|what| what == "Etag") {
            let _ = write!(page, "<Etag>{}</Etag>", etag(&content));
        }
        page += "</Properties></File>";
    }
    let next = first + state.page;
    let next = if next < names.len() { format!("2!+/={next}") } else { String::new() };
    let _ = write!(page, "</Entries><NextMarker>{next}</NextMarker></EnumerationResults>");
    Answer { body: page.into_bytes(), ..Answer::status("200 OK") }.with("Content-Type", "application/xml")
}

fn file(state: &State, request: &Request, name: &str) -> Result<Answer, Refusal> {
    let place = state.folder.join(name);
    let content = fs::read(&place).map_err(|_| NOT_THERE)?;
    let sent = state.damaged.get(name).unwrap_or(&content);
    let is_overwritten = state.overwritten.contains(&(request.method.clone(), name.to_owned()));
    let etag = if is_overwritten { "\"0x2\"".to_owned() } else { etag(&content) };
    // Azure has its own name for what is also called a range.
    let mut request = request.clone();
    if let Some(range) = request.header("x-ms-range").map(str::to_owned) {
        request.headers.push(("range".to_owned(), range));
    }
    let range = request.range();
    if range.is_some_and(|(first, _)| first >= content.len()) {
        return Err(("416 Range Not Satisfiable", "InvalidRange"));
    }
    let mut answer = Answer::file(&request, sent, &etag)
        .with("Last-Modified", "Fri, 27 Nov 2026 12:00:00 GMT")
        .with("Content-Type", "application/octet-stream")
        .with("x-ms-type", "File");
    if state.with_md5.contains(name) {
        let header = if range.is_some() { "x-ms-content-md5" } else { "Content-MD5" };
        answer = answer.with(header, &md5(&place));
    }
    Ok(answer)
}

fn etag(content: &[u8]) -> String {
    let digest = Sha256Digest::of(content).to_string();
    format!("\"0x{}\"", digest.chars().take(15).collect::<String>().to_uppercase())
}

/// A file's MD5 by coreutils, as Azure writes it.
fn md5(file: &Path) -> String {
    let digits = process::run(Command::new("md5sum").arg("--").arg(file));
    let digits = digits.trim_start_matches('\\').as_bytes().get(..32).expect("md5sum prints a digest");
    let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("two digits");
    BASE64_STANDARD.encode(digits.chunks(2).map(byte).collect::<Vec<_>>())
}
