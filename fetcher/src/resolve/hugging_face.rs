//! Resolves on the Hugging Face Hub.
//!
//! A revision is a branch, a tag or a commit; it is asked for once, and what is fetched is of the commit that the hub names.
//! The tree of that commit says of each file its size and its digest: a SHA-256 for large ones, which are in LFS, and Git's
//! own hash for the rest. So every file is verified, whichever host its bytes come from.
//! <https://huggingface.co/docs/hub/api>

use handoff::text::shown;
use handoff::{Integrity, SafePath};
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{Location, ResolveError};
use crate::connection::Connection;
use crate::http::{join, read_bounded, send};
use crate::limits::Limits;
use crate::manifest::{Manifest, ManifestFile, Others, PartDigest};
use crate::name::{ModelName, VersionRef};
use crate::redact::Redacted;
use crate::retry::{Budget, Failed};
use crate::store::StoreError;
use crate::uri::{RegistryUri, StoreUri};
use crate::verify::content_digest::{Algorithm, ContentDigest, decode_hex};

/// What the hub means by a refusal, where the status alone does not say it.
const ERROR_CODE: &str = "x-error-code";
const COMMIT_DIGITS: usize = 40;

pub(super) struct Registry<'a> {
    hub: &'a Url,
    connection: &'a Connection,
    budget: &'a Budget,
    shown: String,
}

#[derive(Deserialize)]
struct Revision {
    sha: String,
}

#[derive(Deserialize)]
pub(crate) struct Entry {
    /// `file`, `directory` or `submodule`.
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    /// The SHA-256 of the content.
    oid: String,
    size: u64,
}

/// What a question led to, beside a failure that may pass.
enum Answer {
    Page { body: Vec<u8>, next: Option<Url> },
    NoRepository,
    NoRevision,
    Gated,
}

/// Whether a revision is a commit, which stays what it is.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == COMMIT_DIGITS
        && revision.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

impl<'a> Registry<'a> {
    pub(super) fn new(hub: &'a Url, connection: &'a Connection, budget: &'a Budget) -> Self {
        Self { hub, connection, budget, shown: RegistryUri::HuggingFace(hub.clone()).to_string() }
    }

    pub(super) async fn resolve(
        &self,
        name: &ModelName,
        version: &VersionRef,
    ) -> Result<Location, ResolveError> {
        let revision = version.to_string();
        let repository = || ["api", "models"].into_iter().chain(name.as_str().split('/'));
        let asked = join(self.hub, repository().chain(["revision", &revision]));
        let (body, _) = self.page(&asked, name, version).await?;
        let malformed = |reason: String| ResolveError::BadDescriptor {
            what: format!("revision `{revision}` of `{name}` in {}", self.shown),
            reason,
        };
        let answer: Revision =
            serde_json::from_slice(&body).map_err(|error| malformed(shown(&error.to_string())))?;
        let commit = answer.sha;
        if !is_commit(&commit) {
            return Err(malformed(format!("expected a commit, got `{}`", shown(&commit))));
        }
        let mut url = join(self.hub, repository().chain(["tree", &commit]));
        url.query_pairs_mut().append_pair("recursive", "true");
        let files = self.tree(url, name, version, &malformed).await?;
        let manifest = Manifest { rung: Integrity::Registry, digest: None, files, others: Others::None };
        let (hub, repository) = (self.hub.clone(), name.to_string());
        let uri = StoreUri::HuggingFace { hub, repository, commit: commit.clone() };
        Ok(Location { version: commit, uri, manifest: Some(manifest) })
    }

    /// Every file of a commit.
    async fn tree(
        &self,
        mut url: Url,
        name: &ModelName,
        version: &VersionRef,
        malformed: &impl Fn(String) -> ResolveError,
    ) -> Result<Vec<ManifestFile>, ResolveError> {
        let mut files = Vec::new();
        for _ in 0..Limits::DEFAULT.pages {
            let (body, next) = self.page(&url, name, version).await?;
            files.extend(files_of(&body).map_err(malformed)?);
            if files.len() > Limits::DEFAULT.files {
                return Err(malformed(format!("it has more than {} files", Limits::DEFAULT.files)));
            }
            match next {
                // The token goes with the question.
                Some(next) if next.origin() != self.hub.origin() => {
                    return Err(malformed("its next page is on another host".to_owned()));
                }
                Some(next) if next == url => {
                    return Err(malformed("the page after a page is that page again".to_owned()));
                }
                Some(next) => url = next,
                None => return Ok(files),
            }
        }
        Err(malformed(format!("it has more than {} pages", Limits::DEFAULT.pages)))
    }

    async fn page(
        &self,
        url: &Url,
        name: &ModelName,
        version: &VersionRef,
    ) -> Result<(Vec<u8>, Option<Url>), ResolveError> {
        let registry = || self.shown.clone();
        let answer = self.budget.run(|| self.ask(url)).await;
        match answer.map_err(|source: Failed| ResolveError::Registry { registry: registry(), source })? {
            Answer::Page { body, next } => Ok((body, next)),
            Answer::NoRepository => {
                Err(ResolveError::UnknownModel { name: name.clone(), registry: registry() })
            }
            Answer::NoRevision => Err(ResolveError::UnknownVersion {
                name: name.clone(),
                version: version.clone(),
                registry: registry(),
                hint: "looked for a branch, a tag and a commit of all its 40 digits",
            }),
            Answer::Gated => Err(ResolveError::Gated { name: name.clone(), registry: registry() }),
        }
    }

    async fn ask(&self, url: &Url) -> Result<Answer, StoreError> {
        let mut request = self.connection.client.get(url.clone());
        if let Some(token) = &self.connection.hugging_face {
            request = request.bearer_auth(token);
        }
        let refusals = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
        let response = send(request, url, &refusals).await?;
        if response.status().is_success() {
            let next = next_page(&response);
            let body = read_bounded(response, url, Limits::DEFAULT.document_bytes).await?;
            return Ok(Answer::Page { body, next });
        }
        meaning(response.status(), response.headers()).ok_or_else(|| {
            crate::http::classify(Redacted(url).to_string(), response.status(), response.headers())
        })
    }
}

/// What a refusal is about.
fn meaning(status: StatusCode, headers: &HeaderMap) -> Option<Answer> {
    match (headers.get(ERROR_CODE)?.to_str().ok()?, status) {
        // To who may not see it, a private repository is one that is not there.
        ("RepoNotFound", _) => Some(Answer::NoRepository),
        ("RevisionNotFound", _) => Some(Answer::NoRevision),
        ("GatedRepo", _) => Some(Answer::Gated),
        _ => None,
    }
}

/// The address in `Link: <address>; rel="next"`.
fn next_page(response: &Response) -> Option<Url> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|value| value.split(',')).find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once('<')?;
    response.url().join(rest.split('>').next()?).ok()
}

/// The files in a page of a tree.
pub(crate) fn files_of(page: &[u8]) -> Result<Vec<ManifestFile>, String> {
    let entries: Vec<Entry> = serde_json::from_slice(page).map_err(|error| shown(&error.to_string()))?;
    entries.iter().filter(|entry| entry.kind != "directory").map(file).collect()
}

fn file(entry: &Entry) -> Result<ManifestFile, String> {
    let path: SafePath = entry.path.parse().map_err(|error: handoff::path::PathError| error.to_string())?;
    if entry.kind != "file" {
        return Err(format!("{path} is a {}, expected a file", shown(&entry.kind)));
    }
    let (algorithm, digits, size) = match &entry.lfs {
        Some(Lfs { oid, size }) => (Algorithm::Sha256, oid, *size),
        None => (Algorithm::GitBlob, &entry.oid, entry.size),
    };
    let digest = decode_hex(digits).and_then(|bytes| ContentDigest::new(algorithm, &bytes));
    let digest = digest.ok_or_else(|| format!("{path} has no digest, but `{}`", shown(digits)))?;
    let digests = vec![PartDigest { range: None, digest }];
    Ok(ManifestFile { path, size: Some(size), digests, uri: None, unpack: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_known_by_sha256_and_small_ones_as_git_knows_them() {
        let (git, sha256) = ("8baef1b4abc478178b004d62031cf7fe6db6f903", "ab".repeat(32));
        let page = format!(
            r#"[{{"type":"directory","path":"onnx","oid":"{git}","size":0}},
                {{"type":"file","path":"config.json","oid":"{git}","size":4}},
                {{"type":"file","path":"onnx/model.onnx","oid":"{git}","size":9,"lfs":{{"oid":"{sha256}","size":9,"pointerSize":134}}}}]"#
        );
        let files = files_of(page.as_bytes()).unwrap();
        let told: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_str(), file.size, file.digests[0].digest.to_string()))
            .collect();
        let expected = [
            ("config.json", Some(4), format!("git-sha1:{git}")),
            ("onnx/model.onnx", Some(9), format!("sha256:{sha256}")),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_cannot_be_verified_or_placed_is_refused() {
        let refused = |entry: &str| files_of(format!("[{entry}]").as_bytes()).unwrap_err();
        assert!(refused(r#"{"type":"file","path":"../x","oid":"00","size":1}"#).contains(".."));
        assert_eq!(refused(r#"{"type":"file","path":"x","oid":"00","size":1}"#), "x has no digest, but `00`");
        assert_eq!(
            refused(r#"{"type":"submodule","path":"x","oid":"00"}"#),
            "x is a submodule, expected a file"
        );
        assert!(is_commit(&"0a".repeat(20)) && !is_commit("main") && !is_commit(&"0A".repeat(20)));
    }
}
