//! Asks a server for the names and objects of a repository, by Git's protocol of version 2 over HTTP.
//!
//! Nothing is sent but questions: a pack is asked for by the names of what is wanted, and with nothing known on our side it
//! refers to nothing outside of it.
//! <https://git-scm.com/docs/protocol-v2>, <https://git-scm.com/docs/gitprotocol-http>

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use handoff::text::{cut, shown};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};
use url::Url;

use super::lines::{self, Band, Line};
use super::pack::Oid;
use super::tree::POINTER;
use crate::connection::Connection;
use crate::credentials::{GitCredentials, HttpCredentials};
use crate::http::{join, send};
use crate::limits::Limits;
use crate::redact::Redacted;
use crate::scrub::scrub;
use crate::store::StoreError;
use crate::store::http::chunks;

const VERSION: (&str, &str) = ("git-protocol", "version=2");
const AGENT: &str = concat!("agent=plimsoll-fetcher/", env!("CARGO_PKG_VERSION"));

/// A repository on a server.
#[derive(Clone)]
pub(crate) struct Client {
    repository: Url,
    client: reqwest::Client,
    credentials: GitCredentials,
    netrc: HttpCredentials,
}

/// What of a repository is to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Want {
    /// A commit with its folders and its small files.
    Commit,
    /// One object.
    Object,
}

impl Client {
    pub(crate) fn new(repository: &Url, connection: &Connection) -> Self {
        Self {
            repository: repository.clone(),
            // Names and passwords are for that server.
            client: connection.bound_client.clone(),
            credentials: connection.git.clone(),
            netrc: connection.http.clone(),
        }
    }

    /// The repository's address, for people.
    pub(crate) fn shown(&self) -> String {
        Redacted(&self.repository).to_string()
    }

    /// Where the repository is.
    pub(crate) fn repository(&self) -> &Url {
        &self.repository
    }

    /// An address below the repository's.
    pub(crate) fn url(&self, below: &[&str]) -> Url {
        let mut url = join(&self.repository, below.iter().copied());
        // Fails only for addresses that cannot have one.
        let _ = url.set_username("");
        url
    }

    /// A request to the server as whoever we are.
    pub(crate) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match self.credentials.are_there(&self.repository) {
            true => self.credentials.apply(request, &self.repository),
            false => self.netrc.apply(request, &self.repository),
        }
    }

    pub(crate) fn post(&self, url: &Url) -> RequestBuilder {
        self.authorized(self.client.post(url.clone()))
    }

    pub(crate) fn malformed(&self, reason: String) -> StoreError {
        StoreError::Malformed { what: self.shown(), reason }
    }

    /// Asks whether the server has what is needed, and follows it to where the repository is now.
    pub(crate) async fn greet(&mut self) -> Result<(), StoreError> {
        let mut url = self.url(&["info", "refs"]);
        url.query_pairs_mut().append_pair("service", "git-upload-pack");
        let request = self.client.get(url.clone()).header(VERSION.0, VERSION.1);
        let response = send(self.authorized(request), &url, &[]).await?;
        if let Some(moved) = response.url().path().strip_suffix("/info/refs") {
            self.repository.set_path(moved);
        }
        let greeting = self.lines(response).await?;
        let refused = |reason: &str| StoreError::Refused { what: self.shown(), reason: reason.to_owned() };
        let says = |text: &str| greeting.iter().any(|line| line == text);
        let fetch = greeting.iter().find_map(|line| line.strip_prefix("fetch="));
        match fetch {
            _ if !says("version 2") => Err(refused(
                "expected a Git server that speaks version 2 of the protocol (Git 2.18), got none",
            )),
            _ if greeting
                .iter()
                .any(|line| line.starts_with("object-format=") && line != "object-format=sha1") =>
            {
                Err(refused("its objects are named by another hash, expected SHA-1"))
            }
            Some(features) if features.split(' ').any(|feature| feature == "filter") => Ok(()),
            _ => Err(refused(
                "the server sends commits with all their files only; have it set `uploadpack.allowFilter`",
            )),
        }
    }

    /// What a branch or a tag points to, or the repository's own branch.
    pub(crate) async fn commit(&self, revision: Option<&str>) -> Result<Option<Oid>, StoreError> {
        let names = match revision {
            None => vec!["HEAD".to_owned()],
            Some(name) => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}"), name.to_owned()],
        };
        let mut request = Vec::new();
        lines::write(&mut request, "command=ls-refs");
        lines::write(&mut request, AGENT);
        lines::write_delimiter(&mut request);
        lines::write(&mut request, "peel");
        names.iter().for_each(|name| lines::write(&mut request, &format!("ref-prefix {name}")));
        lines::write_flush(&mut request);
        let answer = self.upload_pack(request).await?;
        let found = self.lines(answer).await?;
        Ok(names.iter().find_map(|name| found.iter().find_map(|line| points_to(line, name))))
    }

    /// Asks for a pack.
    pub(crate) async fn pack(&self, oid: Oid, want: Want) -> Result<Pack, StoreError> {
        let mut request = Vec::new();
        lines::write(&mut request, "command=fetch");
        lines::write(&mut request, AGENT);
        lines::write_delimiter(&mut request);
        lines::write(&mut request, "no-progress");
        if matches!(want, Want::Commit) {
            lines::write(&mut request, "deepen 1");
            lines::write(&mut request, &format!("filter blob:limit={POINTER}"));
        }
        lines::write(&mut request, &format!("want {oid}"));
        lines::write(&mut request, "done");
        lines::write_flush(&mut request);
        let response = self.upload_pack(request).await?;
        let (what, wanted) = (self.shown(), oid.to_string());
        Ok(Pack {
            chunks: chunks(response, what.clone()),
            buffer: BytesMut::new(),
            is_in_pack: false,
            what,
            wanted,
        })
    }

    async fn upload_pack(&self, body: Vec<u8>) -> Result<Response, StoreError> {
        let url = self.url(&["git-upload-pack"]);
        let request = self.post(&url).header(VERSION.0, VERSION.1);
        let request = request.header(CONTENT_TYPE, "application/x-git-upload-pack-request");
        let request = request.header(ACCEPT, "application/x-git-upload-pack-result").body(body);
        send(request, &url, &[]).await
    }

    /// All lines of an answer.
    async fn lines(&self, response: Response) -> Result<Vec<String>, StoreError> {
        let url = response.url().clone();
        let body = crate::http::read_bounded(response, &url, Limits::DEFAULT.document_bytes).await?;
        let mut buffer = BytesMut::from(body.as_slice());
        let mut found = Vec::new();
        while let Some(line) = lines::take(&mut buffer).map_err(|reason| self.malformed(reason))? {
            if let Line::Data(line) = line {
                let text = lines::text(&line);
                if let Some(reason) = text.strip_prefix("ERR ") {
                    return Err(refused(self.shown(), reason));
                }
                found.push(text);
            }
        }
        Ok(found)
    }
}

/// What a line says that a name points to: to the commit, where that is a tag with words of its own.
fn points_to(line: &str, name: &str) -> Option<Oid> {
    let mut words = line.split(' ');
    let (oid, found) = (words.next()?, words.next()?);
    if found != name {
        return None;
    }
    let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
    peeled.unwrap_or(oid).parse().ok()
}

/// What a server says when it does not send what is wanted.
fn refused(what: String, reason: &str) -> StoreError {
    match reason.contains("not our ref") {
        true => StoreError::NotFound { what },
        false => StoreError::Refused { what, reason: shown(&cut(&scrub(reason), 200)) },
    }
}

/// A pack as it comes in.
pub(crate) struct Pack {
    chunks: BoxStream<'static, Result<Bytes, StoreError>>,
    buffer: BytesMut,
    is_in_pack: bool,
    what: String,
    wanted: String,
}

impl Pack {
    /// The next bytes of the pack; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let malformed = |what: &String, reason| StoreError::Malformed { what: what.clone(), reason };
        loop {
            match lines::take(&mut self.buffer).map_err(|reason| malformed(&self.what, reason))? {
                Some(Line::Data(line)) if self.is_in_pack => {
                    match lines::band(line).map_err(|reason| malformed(&self.what, reason))? {
                        Band::Pack(bytes) => return Ok(Some(bytes)),
                        Band::Progress => {}
                        Band::Error(reason) => return Err(refused(self.what.clone(), &reason)),
                    }
                }
                Some(Line::Data(line)) => {
                    let text = lines::text(&line);
                    if let Some(reason) = text.strip_prefix("ERR ") {
                        return Err(refused(format!("{} in {}", self.wanted, self.what), reason));
                    }
                    self.is_in_pack = text == "packfile";
                }
                Some(Line::Delimiter) => {}
                Some(Line::Flush) => return Ok(None),
                None => match self.chunks.next().await {
                    Some(chunk) => self.buffer.extend_from_slice(&chunk?),
                    None => {
                        let (what, reason) = (self.what.clone(), "the answer is cut".to_owned());
                        return Err(StoreError::Unavailable {
                            what,
                            reason,
                            retry_after: None,
                            source: None,
                        });
                    }
                },
            }
        }
    }

    /// All of it.
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>, StoreError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > Limits::DEFAULT.document_bytes {
                let limit = Limits::DEFAULT.document_bytes;
                return Err(StoreError::TooLarge { what: format!("the commit {}", self.wanted), limit });
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_points_to_a_commit_and_a_tag_through_its_words() {
        let (tag, commit) = ("1a".repeat(20), "2b".repeat(20));
        let line = format!("{tag} refs/tags/v1 peeled:{commit}");
        assert_eq!(points_to(&line, "refs/tags/v1").unwrap().to_string(), commit);
        assert_eq!(points_to(&format!("{tag} HEAD"), "HEAD").unwrap().to_string(), tag);
        assert_eq!(points_to(&line, "refs/tags/v"), None);
        assert_eq!(points_to("unborn HEAD symref-target:refs/heads/main", "HEAD"), None);
    }
}
