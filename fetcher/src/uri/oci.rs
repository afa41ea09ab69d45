//! Addresses in an OCI registry: a repository, and a tag or a digest in it.
//!
//! `oci://host[:port]/repository`, with `:tag`, `@sha256:…` or both. By a digest a manifest is meant, or, where a plan says
//! where a file is, a blob. What is not written as the distribution specification has it is refused: all of it gets into URLs.

use std::fmt;
use std::str::FromStr;

use handoff::{SafePath, Sha256Digest};

use super::{UriError, parse_without_credentials};
use crate::name::{ModelName, VersionRef};

const SCHEME: &str = "oci";
/// Longest name of a repository, and longest tag.
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;
/// Longest host, as names have it, with a port.
const MAX_HOST: usize = 253 + 6;
const REPOSITORY: &str = "lower-case letters and digits, with `.`, `_` or `-` between them, and `/`";

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// The registry's host, with its port if that is given.
    pub host: String,
    /// The name there.
    pub name: String,
}

/// What is in a repository, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OciUri {
    /// The repository.
    pub repository: Repository,
    /// A tag, which may be on another manifest tomorrow.
    pub tag: Option<String>,
    /// The digest of a manifest or of a blob. It counts more than a tag.
    pub digest: Option<Sha256Digest>,
}

/// A registry, or a part of one: the repositories of models are below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciRegistry {
    host: String,
    /// Without slashes at its ends; may be empty.
    path: String,
}

impl Repository {
    fn new(host: &str, name: &str) -> Result<Self, UriError> {
        let inner = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || "._-".contains(character)
        };
        let ends = |component: &str, end: fn(&str) -> Option<char>| {
            end(component).is_some_and(|character| character.is_ascii_alphanumeric())
        };
        let component = |component: &str| {
            component.chars().all(inner)
                && ends(component, |text| text.chars().next())
                && ends(component, |text| text.chars().next_back())
        };
        match name.len() <= MAX_REPOSITORY && name.split('/').all(component) {
            true => Ok(Self { host: host.to_owned(), name: name.to_owned() }),
            false => {
                Err(UriError::Part { scheme: SCHEME, part: "name of a repository", expected: REPOSITORY })
            }
        }
    }

    /// A blob in it.
    pub fn blob(&self, digest: Sha256Digest) -> OciUri {
        OciUri { repository: self.clone(), tag: None, digest: Some(digest) }
    }
}

impl OciUri {
    /// Reads an address without its scheme: `host/repository`, with a tag or a digest.
    ///
    /// # Errors
    /// Says which part is missing or is not written as it must be.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let missing = |part| UriError::Missing { scheme: SCHEME, part };
        let (host, rest) = text.split_once('/').ok_or(missing("repository"))?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(self::digest(digest)?)),
            None => (rest, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => (name, Some(self::tag(tag)?)),
            None => (rest, None),
        };
        if tag.is_none() && digest.is_none() {
            return Err(missing("tag or digest"));
        }
        let host = self::host(host)?;
        // As its clients have it, the official images of Docker's own registry are one level down.
        let name = match host.as_str() {
            "docker.io" if !name.contains('/') => format!("library/{name}"),
            _ => name.to_owned(),
        };
        Ok(Self { repository: Repository::new(&host, &name)?, tag, digest })
    }

    /// The same by a digest alone.
    pub fn at(&self, digest: Sha256Digest) -> Self {
        self.repository.blob(digest)
    }

    /// Whether it may mean something else tomorrow.
    pub fn is_floating(&self) -> bool {
        self.digest.is_none()
    }

    /// Whether an address, as it is shown, is what this one led to.
    pub fn led_to(&self, shown: &str) -> bool {
        match self.digest {
            Some(digest) => self.at(digest).to_string() == shown,
            None => shown.split_once('@').is_some_and(|(folder, _)| folder == self.root().to_string()),
        }
    }

    /// What stands for the version: its tag, or its digest.
    pub fn version(&self) -> Option<String> {
        self.tag.clone().or(self.digest.map(|digest| format!("{digest:?}")))
    }

    /// A name for people: the last component of the repository's.
    pub fn display_name(&self) -> String {
        self.repository.name.rsplit('/').next().unwrap_or(&self.repository.name).to_owned()
    }

    /// Splits the address of a blob into its repository and the digest in hexadecimal, which is its name there.
    pub(super) fn split_blob(&self) -> Result<(Self, SafePath), UriError> {
        let missing = UriError::Missing { scheme: SCHEME, part: "digest" };
        let digest = self.digest.ok_or(missing.clone())?;
        Ok((self.root(), digest.to_string().parse().map_err(|_| missing)?))
    }

    fn root(&self) -> Self {
        Self { repository: self.repository.clone(), tag: None, digest: None }
    }
}

impl FromStr for OciUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        without_query(text).and_then(Self::parse)
    }
}

impl OciRegistry {
    /// The version of a model: its repository is named as it is, the version is a tag, or a digest as `sha256:…`.
    ///
    /// # Errors
    /// Says what no registry would take for a name.
    pub fn uri(&self, name: &ModelName, version: &VersionRef) -> Result<OciUri, UriError> {
        let name = format!("{}/{name}", self.path);
        let repository = Repository::new(&self.host, name.trim_start_matches('/'))?;
        let text = match version {
            // `latest` is a tag like any other, here.
            VersionRef::Named(tag) | VersionRef::Alias(tag) | VersionRef::Newest(tag) => tag.as_str(),
        };
        let (tag, digest) = match text.contains(':') {
            true => (None, Some(self::digest(text)?)),
            false => (Some(self::tag(text)?), None),
        };
        Ok(OciUri { repository, tag, digest })
    }
}

impl FromStr for OciRegistry {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (host, path) = match without_query(text)?.split_once('/') {
            Some((host, path)) => (host, path.trim_matches('/')),
            None => (without_query(text)?, ""),
        };
        let host = self::host(host)?;
        if !path.is_empty() {
            Repository::new(&host, path)?;
        }
        Ok(Self { host, path: path.to_owned() })
    }
}

/// What comes after the scheme, when there are neither credentials nor a query in it.
fn without_query(text: &str) -> Result<&str, UriError> {
    let url = parse_without_credentials(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UriError::Query { scheme: SCHEME, expected: "none" });
    }
    text.split_once("://").map(|(_, rest)| rest).ok_or(UriError::Malformed)
}

fn host(text: &str) -> Result<String, UriError> {
    let bad = UriError::Part { scheme: SCHEME, part: "host", expected: "`host` or `host:port`" };
    let url: url::Url = format!("https://{text}/").parse().map_err(|_| bad.clone())?;
    let is_plain =
        text.len() <= MAX_HOST && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_plain || !url.username().is_empty() || url.password().is_some() {
        return Err(bad);
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(bad)?;
    // The port that the scheme has anyhow is left out of a URL, but not of what a Docker config calls the registry.
    let port = text.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    Ok(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn tag(text: &str) -> Result<String, UriError> {
    let inner = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let is_tag =
        (1..=MAX_TAG).contains(&text.len()) && text.chars().all(inner) && !text.starts_with(['.', '-']);
    let expected = "at most 128 letters, digits, `_`, `.` and `-`, the last two not at the start";
    is_tag.then(|| text.to_owned()).ok_or(UriError::Part { scheme: SCHEME, part: "tag", expected })
}

/// Reads `sha256:…`.
pub(crate) fn digest(text: &str) -> Result<Sha256Digest, UriError> {
    let bad =
        UriError::Part { scheme: SCHEME, part: "digest", expected: "`sha256:` and 64 hexadecimal digits" };
    text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok()).ok_or(bad)
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}://{}/{}", self.host, self.name)
    }
}

impl fmt::Display for OciUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OciRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.path.is_empty() { "" } else { "/" };
        write!(f, "{SCHEME}://{}{slash}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn addresses_read_and_print() {
        for text in ["oci://ghcr.io/team/fraud:v1", "oci://localhost:5000/a/b-c/d_e.f:V_1"] {
            let uri: OciUri = text.parse().unwrap();
            assert!(uri.is_floating() && uri.to_string() == text, "{uri}");
            assert!(uri.led_to(&uri.at(digest(DIGEST).unwrap()).to_string()));
        }
        for text in [format!("oci://[::1]:443/a@{DIGEST}"), format!("oci://host/a:v1@{DIGEST}")] {
            let uri: OciUri = text.parse().unwrap();
            assert!(!uri.is_floating() && uri.to_string() == text, "{uri}");
            assert_eq!(uri.split_blob().unwrap().1.as_str(), &DIGEST[7..]);
        }
        let hub: OciUri = "oci://docker.io/model:v1".parse().unwrap();
        assert_eq!(hub.to_string(), "oci://docker.io/library/model:v1");
    }

    #[test]
    fn addresses_that_no_registry_would_take_are_refused() {
        for bad in [
            "oci://host",
            "oci://host/a",
            "oci:///a:v1",
            "oci://host/A:v1",
            "oci://host/a//b:v1",
            "oci://host/../b:v1",
            "oci://host/a-:v1",
            "oci://host/a:",
            "oci://host/a:.v1",
            "oci://host/a:v1?x=y",
            "oci://me:secret@host/a:v1",
            "oci://host/a@sha512:00",
            "oci://host/a@e3b0",
            "oci://ho st/a:v1",
            "oci://host:port/a:v1",
        ] {
            assert!(bad.parse::<OciUri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_registry_names_the_repositories_below_it() {
        let registry: OciRegistry = "oci://host:5000/models/".parse().unwrap();
        let uri = |name: &str, version: &str| {
            registry.uri(&name.parse().unwrap(), &version.parse().unwrap()).map(|uri| uri.to_string())
        };
        assert_eq!(uri("a/b", "v1").unwrap(), "oci://host:5000/models/a/b:v1");
        assert_eq!(uri("a", "@best").unwrap(), "oci://host:5000/models/a:best");
        assert_eq!(uri("a", DIGEST).unwrap(), format!("oci://host:5000/models/a@{DIGEST}"));
        assert!(uri("Fraud", "v1").is_err() && uri("a", "v 1").is_err() && uri("a", "md5:1").is_err());
        let whole: OciRegistry = "oci://host".parse().unwrap();
        assert_eq!(whole.to_string(), "oci://host");
        assert!("oci://a:b@host".parse::<OciRegistry>().is_err());
    }
}
