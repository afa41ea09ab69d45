//! A stand-in for the Hugging Face Hub, which cannot be reached from a test: one repository, whose large files are on a
//! content network, that is on another port. The tests have the official client read from it too, so that it does what
//! the hub does as far as a client can tell.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use handoff::Sha256Digest;
use serde_json::json;

use crate::fault_server::{Answer, FaultServer, Request};
use crate::process;

/// The repository.
pub const REPOSITORY: &str = "shop/recommendation";
/// What is larger is on the content network.
const SMALL: usize = 1000;

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
struct State {
    commits: BTreeMap<String, Files>,
    branches: BTreeMap<String, String>,
    /// Who may read, if not everybody.
    token: Option<String>,
    /// Whether even the tree is shown to nobody else.
    hidden: bool,
    /// What is sent instead of a file.
    damaged: Files,
    page: usize,
    content: String,
    /// After how many bytes the content network breaks off.
    cut: Option<usize>,
    /// How many questions to the hub, and as many to the content network, come too soon.
    throttled: [u32; 2],
    /// What is said to be the commit of a file, whichever it is of.
    told: Option<String>,
}

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    hub: FaultServer,
    content: FaultServer,
}

impl Default for Hub {
    fn default() -> Self {
        Self::start()
    }
}

impl Hub {
    /// Starts a hub with an empty repository.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { page: 1000, ..State::default() }));
        let (of_hub, of_content) = (Arc::clone(&state), Arc::clone(&state));
        let content = FaultServer::start(move |_, request| content(&mut lock(&of_content), request));
        lock(&state).content = content.url();
        let hub = FaultServer::start(move |_, request| answer(&mut lock(&of_hub), request));
        Self { state, hub, content }
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.hub.url()
    }

    /// What the hub was asked.
    pub fn requests(&self) -> Vec<Request> {
        self.hub.requests()
    }

    /// What the content network was asked.
    pub fn content_requests(&self) -> Vec<Request> {
        self.content.requests()
    }

    /// Makes a commit of the files of a folder, and moves `branch` to it.
    pub fn commit(&self, folder: &Path, branch: &str) -> String {
        let mut files = Files::new();
        let listed = process::run(
            Command::new("find").args([".", "-type", "f", "-printf", "%P\\n"]).current_dir(folder),
        );
        for name in listed.lines() {
            files.insert(name.to_owned(), std::fs::read(folder.join(name)).expect("the file is readable"));
        }
        let all: Vec<u8> =
            files.iter().flat_map(|(name, content)| [name.as_bytes(), content].concat()).collect();
        let commit: String = Sha256Digest::of(&all).to_string().chars().take(40).collect();
        let mut state = lock(&self.state);
        state.commits.insert(commit.clone(), files);
        state.branches.insert(branch.to_owned(), commit.clone());
        commit
    }

    /// Shows the tree to nobody but the bearer of the token either.
    pub fn hide(&self) {
        lock(&self.state).hidden = true;
    }

    /// Lets only the bearer of a token read files, while everybody sees which there are.
    pub fn gate(&self, token: &str) {
        lock(&self.state).token = Some(token.to_owned());
    }

    /// Sends something else than a file from now on.
    pub fn damage(&self, name: &str, content: &[u8]) {
        lock(&self.state).damaged.insert(name.to_owned(), content.to_vec());
    }

    /// Breaks off after so many bytes of a large file from now on, or no longer.
    pub fn cut(&self, bytes: Option<usize>) {
        lock(&self.state).cut = bytes;
    }

    /// Asks for a second's patience so many times, and so does the content network.
    pub fn throttle(&self, times: u32) {
        lock(&self.state).throttled = [times; 2];
    }

    /// Says from now on that files are of this commit.
    pub fn tell(&self, commit: &str) {
        lock(&self.state).told = Some(commit.to_owned());
    }

    /// Gives the tree in pages of so many entries.
    pub fn page(&self, entries: usize) {
        lock(&self.state).page = entries;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no answer panicked")
}

/// Git's own hash of some content, by Git.
fn git_hash(content: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file for Git");
    std::fs::write(file.path(), content).expect("the file can be written");
    process::run(Command::new("git").args(["hash-object", "--no-filters"]).arg(file.path())).trim().to_owned()
}

fn document(value: &serde_json::Value) -> Answer {
    let answer = Answer { body: value.to_string().into_bytes(), ..Answer::status("200 OK") };
    answer.with("Content-Type", "application/json")
}

fn refusal(status: &str, code: &str) -> Answer {
    let body = json!({"error": code}).to_string().into_bytes();
    Answer { body, ..Answer::status(status) }.with("X-Error-Code", code).with("X-Error-Message", code)
}

/// Whether it is too soon for a question to the one or the other.
fn too_soon(left: &mut u32) -> Option<Answer> {
    *left = left.checked_sub(1)?;
    Some(Answer::status("429 Too Many Requests").with("Retry-After", "1"))
}

fn answer(state: &mut State, request: &Request) -> Answer {
    match too_soon(&mut state.throttled[0]) {
        Some(answer) => answer,
        None => answer_to_head(request, found(state, request)),
    }
}

fn found(state: &State, request: &Request) -> Answer {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let (api, file) = (format!("/api/models/{REPOSITORY}/"), format!("/{REPOSITORY}/resolve/"));
    let rest = match (path.strip_prefix(&api), path.strip_prefix(&file)) {
        (Some(rest), _) => rest.to_owned(),
        (None, Some(rest)) => format!("resolve/{rest}"),
        (None, None) => return refusal("401 Unauthorized", "RepoNotFound"),
    };
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let (what, rest) = rest.split_once('/').unwrap_or((&rest, ""));
    let (revision, name) = rest.split_once('/').unwrap_or((rest, ""));
    let commit = state.branches.get(revision).map_or(revision, String::as_str);
    let Some(files) = state.commits.get(commit) else { return refusal("404 Not Found", "RevisionNotFound") };
    // Everybody sees that there is a repository, and those who may what is in it.
    let may_read = state.token.as_deref().is_none_or(|token| bearer == Some(token));
    match what {
        "revision" => {
            let names: Vec<_> = files.keys().map(|name| json!({"rfilename": name})).collect();
            let gated = if state.token.is_some() { json!("manual") } else { json!(false) };
            document(
                &json!({"id": REPOSITORY, "modelId": REPOSITORY, "sha": commit, "private": false, "gated": gated,
                             "disabled": false, "downloads": 0, "likes": 0, "tags": [], "siblings": names}),
            )
        }
        "tree" if !state.hidden => tree(state, files, path, query, request),
        _ if !may_read => {
            refusal(if bearer.is_some() { "403 Forbidden" } else { "401 Unauthorized" }, "GatedRepo")
        }
        "tree" => tree(state, files, path, query, request),
        _ => resolve(state, files, commit, name, request),
    }
}

fn tree(state: &State, files: &Files, path: &str, query: &str, request: &Request) -> Answer {
    let entry = |(name, content): (&String, &Vec<u8>)| {
        let mut entry =
            json!({"type": "file", "path": name, "size": content.len(), "oid": git_hash(content)});
        if content.len() > SMALL {
            let sha256 = Sha256Digest::of(content).to_string();
            entry["lfs"] = json!({"oid": sha256, "size": content.len(), "pointerSize": 134});
        }
        entry
    };
    let first =
        query.split('&').find_map(|pair| pair.strip_prefix("cursor=")?.parse().ok()).unwrap_or(0_usize);
    let page: Vec<_> = files.iter().skip(first).take(state.page).map(entry).collect();
    let answer = document(&json!(page));
    let next = first + state.page;
    match next < files.len() {
        true => {
            let host = request.header("host").unwrap_or_default();
            answer.with("Link", &format!("<http://{host}{path}?recursive=true&cursor={next}>; rel=\"next\""))
        }
        false => answer,
    }
}

fn resolve(state: &State, files: &Files, commit: &str, name: &str, request: &Request) -> Answer {
    let name = percent_decoded(name);
    let Some(content) = files.get(&name) else { return refusal("404 Not Found", "EntryNotFound") };
    let commit = state.told.as_deref().unwrap_or(commit);
    if content.len() > SMALL {
        let sha256 = Sha256Digest::of(content).to_string();
        let location =
            format!("{}/{sha256}?name={}", state.content, name.replace('/', "%2F").replace(' ', "%20"));
        return Answer::status("302 Found")
            .with("Location", &location)
            .with("X-Repo-Commit", commit)
            .with("X-Linked-Etag", &format!("\"{sha256}\""))
            .with("X-Linked-Size", &content.len().to_string());
    }
    let sent = state.damaged.get(&name).unwrap_or(content);
    Answer::file(request, sent, &format!("\"{}\"", git_hash(content))).with("X-Repo-Commit", commit)
}

fn content(state: &mut State, request: &Request) -> Answer {
    if let Some(answer) = too_soon(&mut state.throttled[1]) {
        return answer;
    }
    let digest = request.target.trim_start_matches('/').split('?').next().unwrap_or_default();
    let files = state.commits.values().flatten();
    let found = files.into_iter().find(|(_, content)| Sha256Digest::of(content).to_string() == digest);
    match found {
        Some((name, content)) => {
            let sent = state.damaged.get(name).unwrap_or(content);
            let answer = Answer::file(request, sent, &format!("\"{digest}\""));
            match state.cut {
                Some(bytes) => answer.cut(bytes),
                None => answer_to_head(request, answer),
            }
        }
        None => Answer::status("404 Not Found"),
    }
}

fn answer_to_head(request: &Request, answer: Answer) -> Answer {
    match request.method.as_str() {
        "HEAD" => Answer { announced: Some(answer.body.len()), body: Vec::new(), ..answer },
        _ => answer,
    }
}

pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = (byte == b'%').then(|| [rest.next(), rest.next()]);
        match digits {
            Some([Some(high), Some(low)]) => {
                let digits = [high, low].map(char::from).into_iter().collect::<String>();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
