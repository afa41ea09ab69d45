//! Credentials for OCI registries, from a `config.json` as Docker writes it and as an `imagePullSecret` holds it.
//!
//! An entry is for a host, or a host and the beginning of a repository's name; parts of the host may be `*`, as for the
//! kubelet. The entry that says most of where it is for wins. The file is read when a registry wants to know who we are: what
//! lies there may be renewed. Programs that the file names as keepers of credentials are not run: the image has none.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handoff::text::shown;
use serde::Deserialize;

use super::Environment;
use crate::limits::Limits;
use crate::store::StoreError;

/// What Docker calls its own registry in the file.
const HUB: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// The files that may hold credentials.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig {
    /// The first that is there is read.
    files: Vec<PathBuf>,
    /// Whether one must be there.
    is_required: bool,
    /// Whether they are where nobody said: somebody else's home is none of our business.
    is_guessed: bool,
}

/// Who to be in a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A token that is exchanged for others.
    Identity(String),
    /// A token that is sent as it is.
    Bearer(String),
}

#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
    #[serde(default, rename = "registrytoken")]
    registry_token: String,
}

impl DockerConfig {
    /// Finds out where the files are: `KSERVE_OCI_DOCKER_CONFIG` names one, `DOCKER_CONFIG` a folder, and else there may be
    /// one in the home folder. In a folder an `imagePullSecret` may be mounted as it is.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        if let Some(file) = environment("KSERVE_OCI_DOCKER_CONFIG") {
            return Self { files: vec![file.into()], is_required: true, is_guessed: false };
        }
        let named = environment("DOCKER_CONFIG").map(PathBuf::from);
        let is_guessed = named.is_none();
        let folder = named.or_else(|| environment("HOME").map(|home| Path::new(&home).join(".docker")));
        let files = folder
            .iter()
            .flat_map(|folder| ["config.json", ".dockerconfigjson"].map(|name| folder.join(name)));
        Self { files: files.collect(), is_required: false, is_guessed }
    }

    /// What to say to a registry.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or names a program instead.
    pub fn login(&self, host: &str, repository: &str) -> Result<Option<Login>, StoreError> {
        for path in &self.files {
            let local = |source| StoreError::Local { path: path.clone(), source };
            let mut text = Vec::new();
            let most = Limits::DEFAULT.document_bytes.try_into().unwrap_or(u64::MAX);
            match File::open(path).and_then(|file| file.take(most).read_to_end(&mut text)) {
                Ok(_) => {
                    let refused = |reason| StoreError::Refused { what: path.display().to_string(), reason };
                    return find(&text, host, repository).map_err(refused);
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !self.is_required => {}
                Err(error) if error.kind() == ErrorKind::PermissionDenied && self.is_guessed => {}
                Err(error) => return Err(local(error)),
            }
        }
        Ok(None)
    }
}

/// Finds the entry that says most of where it is for.
pub(crate) fn find(text: &[u8], host: &str, repository: &str) -> Result<Option<Login>, String> {
    // What the parser says might repeat a secret.
    let content: Content = serde_json::from_slice(text)
        .map_err(|error| format!("expected what Docker writes there, see its line {}", error.line()))?;
    let fits = |key: &&String| is_for(key, host, repository);
    if let Some(helper) = content.helpers.iter().find(|(key, _)| fits(key)).map(|(_, helper)| helper) {
        return Err(helped(host, helper));
    }
    let entries = content.auths.iter().filter(|(key, _)| fits(key));
    let best =
        entries.max_by_key(|(key, _)| (plain(key).matches('/').count(), !key.contains('*'), key.len()));
    let Some((_, entry)) = best else { return Ok(None) };
    match (entry.login()?, content.store) {
        (None, Some(helper)) => Err(helped(host, &helper)),
        (login, _) => Ok(login),
    }
}

fn helped(host: &str, helper: &str) -> String {
    let helper = shown(helper);
    format!(
        "the credentials for {host} are kept by the program `docker-credential-{helper}`, expected them in the file"
    )
}

impl Entry {
    fn login(&self) -> Result<Option<Login>, String> {
        if !self.identity_token.is_empty() {
            return Ok(Some(Login::Identity(self.identity_token.clone())));
        }
        if !self.registry_token.is_empty() {
            return Ok(Some(Login::Bearer(self.registry_token.clone())));
        }
        let basic = |username: &str, password: &str| {
            let (username, password) = (username.to_owned(), password.trim_end_matches('\0').to_owned());
            Some(Login::Basic { username, password })
        };
        if self.auth.is_empty() {
            return Ok(if self.username.is_empty() { None } else { basic(&self.username, &self.password) });
        }
        let decoded = BASE64_STANDARD.decode(&self.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (username, password) = pair.ok_or("expected `user:password` in base64 in an `auth`")?;
        Ok(basic(username, password))
    }
}

/// A key without what some programs put around the host.
fn plain(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    ["/v1", "/v2"].iter().find_map(|version| key.strip_suffix(version)).unwrap_or(key)
}

/// Whether an entry is for a repository.
fn is_for(key: &str, host: &str, repository: &str) -> bool {
    let key = plain(key);
    let (key_host, path) = key.split_once('/').unwrap_or((key, ""));
    let key_host = if HUB.contains(&key_host) { "docker.io" } else { key_host };
    let is_below = repository
        .strip_prefix(path)
        .is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'));
    is_below && host_matches(key_host, host)
}

/// Part by part, with `*` for any number of characters within one.
fn host_matches(pattern: &str, host: &str) -> bool {
    let (patterns, parts): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    patterns.len() == parts.len() && patterns.iter().zip(parts).all(|(pattern, part)| glob(pattern, part))
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces: Vec<_> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Identity(_) => "Identity",
            Self::Bearer(_) => "Bearer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str, host: &str, repository: &str) -> Option<String> {
        match find(text.as_bytes(), host, repository).unwrap()? {
            Login::Basic { username, .. } => Some(username),
            Login::Identity(token) | Login::Bearer(token) => Some(token),
        }
    }

    #[test]
    fn the_entry_that_says_most_wins() {
        let text = r#"{"auths": {
            "*.example": {"username": "glob", "password": "p"},
            "https://reg.example/v2/": {"username": "host", "password": "p"},
            "reg.example/team": {"auth": "dGVhbTpwOnA="},
            "reg.example:5000": {"identitytoken": "identity"},
            "https://index.docker.io/v1/": {"registrytoken": "hub"}}}"#;
        for (host, repository, expected) in [
            ("reg.example", "team/a", Some("team")),
            ("reg.example", "team", Some("team")),
            ("reg.example", "teams/a", Some("host")),
            ("other.example", "a", Some("glob")),
            ("a.b.example", "a", None),
            ("reg.example:5000", "a", Some("identity")),
            ("reg.example:5001", "a", None),
            ("docker.io", "library/a", Some("hub")),
        ] {
            assert_eq!(user(text, host, repository).as_deref(), expected, "{host}/{repository}");
        }
        let Some(Login::Basic { password, .. }) = find(text.as_bytes(), "reg.example", "team").unwrap()
        else {
            panic!("expected a password");
        };
        assert_eq!(password, "p:p");
    }

    #[test]
    fn patterns_match_within_a_part() {
        for (pattern, text, expected) in [
            ("*", "a", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*c", "abd", false),
            ("*a", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn helpers_are_refused_where_they_would_be_asked() {
        let text = r#"{"auths": {"a": {}, "c": {"username": "u"}}, "credsStore": "desktop",
            "credHelpers": {"b": "ecr-login"}}"#;
        for (host, helper) in [("a", "docker-credential-desktop"), ("b", "docker-credential-ecr-login")] {
            assert!(find(text.as_bytes(), host, "x").unwrap_err().contains(helper), "{host}");
        }
        assert_eq!(user(text, "c", "x").as_deref(), Some("u"));
        assert_eq!(user(text, "d", "x"), None);
        assert_eq!(user("{}", "d", "x"), None);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_repeating_it() {
        for text in [r#"{"auths": {"a": {"auth": "c4n4ry"}}}"#, r#"{"auths": "c4n4ry"}"#, "c4n4ry"] {
            let error = find(text.as_bytes(), "a", "x").unwrap_err();
            assert!(!error.contains("c4n4ry"), "{error}");
        }
    }
}
