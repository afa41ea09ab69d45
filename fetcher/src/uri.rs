//! Where a registry or the bytes of a model are, as an address that has been checked.
//!
//! Credentials never travel in an address: one with a user name or password is refused, so that no later code
//! has to remember to hide them. Query strings (presigned URLs) are kept for the request and never printed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use handoff::SafePath;
use handoff::text::{is_harmful, shown};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::redact::Redacted;

pub mod azure;
#[cfg(feature = "postgres")]
pub mod database;
#[cfg(feature = "git")]
pub mod git;
#[cfg(feature = "hdfs")]
pub mod hdfs;
#[cfg(feature = "oci")]
pub mod oci;
mod registry;

pub use registry::RegistryUri;

/// A place that holds files: a folder, a bucket prefix, a web server's path, or a single file in one of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreUri {
    /// `file:///path`: a local folder or file.
    File(PathBuf),
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix without slashes at its ends; empty for the whole bucket.
        prefix: String,
        /// Which server has it, where a registry says so; else that of the environment.
        at: Option<S3Server>,
    },
    /// `gs://bucket/prefix`.
    Gcs {
        /// The bucket.
        bucket: String,
        /// The prefix without slashes at its ends; empty for the whole bucket.
        prefix: String,
    },
    /// `az://container/prefix`, a file share, or another spelling: see [`azure::AzureUri`].
    Azure(azure::AzureUri),
    /// `https://host/name.git`, or another spelling: see [`git::GitUri`].
    #[cfg(feature = "git")]
    Git(git::GitUri),
    /// `hdfs://path`, or another spelling: see [`hdfs::HdfsUri`].
    #[cfg(feature = "hdfs")]
    Hdfs(hdfs::HdfsUri),
    /// `http://` or `https://`. A query, such as a shared access signature, goes with every path below it.
    Http(Url),
    /// One file of a web server, by a URL that is taken to the letter: a presigned one allows no other spelling.
    HttpFile(Url),
    /// One commit of a repository of the Hugging Face Hub.
    HuggingFace {
        /// The hub.
        hub: Url,
        /// The repository, as `owner/name`.
        repository: String,
        /// The commit.
        commit: String,
    },
    /// Files behind an MLflow server's artifact proxy.
    MlflowArtifacts {
        /// The tracking server.
        server: Url,
        /// The path below its artifact root, without slashes at its ends.
        path: String,
        /// Whether it is another server than the one that said so, whose credentials are then none of its business.
        is_another: bool,
    },
    /// `oci://host/repository:tag` or `@sha256:…`: a manifest of an OCI registry, or a blob.
    #[cfg(feature = "oci")]
    Oci(oci::OciUri),
}

/// A server of the S3 protocol, as `s3://bucket/prefix?endpoint=…&defaultRegion=…` names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct S3Server {
    /// Its address.
    pub endpoint: Url,
    /// The region that requests are signed for.
    pub region: Option<String>,
}

/// Why an address was refused. The address is not repeated: it may hold a secret.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    /// It is not a URI.
    #[error("expected a URI such as `s3://bucket/prefix`, got something that does not parse as one")]
    Malformed,
    /// It could not be shown to anybody as it is.
    #[error("the URI holds a character that changes how text is shown, expected none")]
    Characters,
    /// Its scheme is not known here.
    #[error("unsupported scheme `{}`, expected {expected}", shown(scheme))]
    Scheme {
        /// The scheme found.
        scheme: String,
        /// The schemes understood.
        expected: &'static str,
    },
    /// It carries a user name or a password.
    #[error("the {} URI holds credentials, expected none", shown(scheme))]
    Credentials {
        /// The scheme.
        scheme: String,
    },
    /// A part that must be there is not.
    #[error("the {scheme} URI has no {part}")]
    Missing {
        /// The scheme.
        scheme: &'static str,
        /// What is missing.
        part: &'static str,
    },
    /// Its query says something that nobody understands.
    #[error("the {scheme} URI has a query that is not understood, expected {expected}")]
    Query {
        /// The scheme.
        scheme: &'static str,
        /// What may be there.
        expected: &'static str,
    },
    /// This build was made without what it takes.
    #[error("this fetcher was built without the feature `{feature}`")]
    Feature {
        /// The cargo feature.
        feature: &'static str,
    },
    /// A part is not written as it must be.
    #[error("the {part} in the {scheme} URI is not one, expected {expected}")]
    Part {
        /// The scheme.
        scheme: &'static str,
        /// Which part.
        part: &'static str,
        /// How it is written.
        expected: &'static str,
    },
}

const STORE_SCHEMES: &str =
    "file, s3, gs, az, abfss, wasbs, hdfs, webhdfs, swebhdfs, git+https, http, https or oci";

impl FromStr for StoreUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        // Whose addresses are not URLs as others are come first.
        #[cfg(feature = "git")]
        if let Some(place) = git::GitUri::read(text)? {
            return Ok(Self::Git(place));
        }
        #[cfg(feature = "hdfs")]
        if let Some(place) = hdfs::HdfsUri::read(text)? {
            return Ok(Self::Hdfs(place));
        }
        if let Some(place) = azure(text)? {
            return Ok(Self::Azure(place));
        }
        let url = parse_without_credentials(text)?;
        match url.scheme() {
            "file" => {
                let path = url.to_file_path();
                path.map_err(|()| UriError::Missing { scheme: "file", part: "absolute path" }).and_then(local)
            }
            "s3" => {
                let (bucket, prefix) = bucket_and_prefix(&url, text, "s3")?;
                Ok(Self::S3 { bucket, prefix, at: None })
            }
            "gs" => {
                let (bucket, prefix) = bucket_and_prefix(&url, text, "gs")?;
                Ok(Self::Gcs { bucket, prefix })
            }
            "https" => Ok(azure::AzureUri::from_web(&url).map_or(Self::Http(url), Self::Azure)),
            "http" => Ok(Self::Http(url)),
            #[cfg(feature = "oci")]
            "oci" => text.parse().map(Self::Oci),
            #[cfg(not(feature = "oci"))]
            "oci" => Err(UriError::Feature { feature: "oci" }),
            #[cfg(not(feature = "git"))]
            "git+https" | "git+http" => Err(UriError::Feature { feature: "git" }),
            #[cfg(not(feature = "hdfs"))]
            "hdfs" | "webhdfs" | "swebhdfs" => Err(UriError::Feature { feature: "hdfs" }),
            other => Err(UriError::Scheme { scheme: other.to_owned(), expected: STORE_SCHEMES }),
        }
    }
}

impl StoreUri {
    /// Splits the address of one file into the store to read it through and its name there.
    ///
    /// # Errors
    /// Fails when the address has no last component that could be a file's name.
    pub fn split_file(&self) -> Result<(Self, SafePath), UriError> {
        let missing = |scheme| UriError::Missing { scheme, part: "file name" };
        let name = |name: &str, scheme| match name.parse::<SafePath>() {
            Ok(path) if path.file_name() == name => Ok(path),
            _ => Err(missing(scheme)),
        };
        match self {
            Self::File(path) => {
                let file = path.file_name().and_then(|file| file.to_str()).ok_or(missing("file"))?;
                let folder = path.parent().ok_or(missing("file"))?;
                Ok((Self::File(folder.to_owned()), name(file, "file")?))
            }
            Self::S3 { bucket, prefix, at } => {
                let (folder, file) = prefix.rsplit_once('/').unwrap_or(("", prefix));
                let (bucket, prefix, at) = (bucket.clone(), folder.to_owned(), at.clone());
                let folder = Self::S3 { bucket, prefix, at };
                Ok((folder, name(file, "s3")?))
            }
            Self::Azure(place) => {
                let (folder, file) = place.prefix.rsplit_once('/').unwrap_or(("", &place.prefix));
                Ok((Self::Azure(place.at(folder)), name(file, "Azure")?))
            }
            Self::Gcs { bucket, prefix } => {
                let (folder, file) = prefix.rsplit_once('/').unwrap_or(("", prefix));
                let folder = Self::Gcs { bucket: bucket.clone(), prefix: folder.to_owned() };
                Ok((folder, name(file, "gs")?))
            }
            #[cfg(feature = "git")]
            Self::Git(uri) => {
                let (repository, name) = uri.split_object().ok_or(missing("git"))?;
                Ok((Self::Git(repository), name))
            }
            #[cfg(feature = "hdfs")]
            Self::Hdfs(uri) => {
                let (folder, name) = uri.split_file().ok_or(missing("hdfs"))?;
                Ok((Self::Hdfs(folder), name))
            }
            Self::Http(url) | Self::HttpFile(url) => {
                let last = url.path_segments().and_then(|mut segments| segments.next_back());
                let last =
                    percent_decode_str(last.unwrap_or("")).decode_utf8().map_err(|_| missing("http"))?;
                Ok((Self::HttpFile(url.clone()), name(&last, "http")?))
            }
            // Each is named by the resolver, with its commit.
            Self::HuggingFace { .. } => Err(missing("hf")),
            Self::MlflowArtifacts { server, path, is_another } => {
                let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
                let (server, path, is_another) = (server.clone(), folder.to_owned(), *is_another);
                let folder = Self::MlflowArtifacts { server, path, is_another };
                Ok((folder, name(file, "mlflow-artifacts")?))
            }
            #[cfg(feature = "oci")]
            Self::Oci(uri) => uri.split_blob().map(|(folder, blob)| (Self::Oci(folder), blob)),
        }
    }

    /// The address with its query, which may hold a secret: to be hashed or sent, never shown or stored.
    pub fn with_query(&self) -> String {
        match self {
            Self::Http(url) | Self::HttpFile(url) => url.to_string(),
            Self::Azure(place) => place.with_query(),
            other => other.to_string(),
        }
    }

    /// Whether there is more to the address than it shows of itself.
    pub fn hides_something(&self) -> bool {
        self.with_query() != self.to_string()
    }

    /// A name for people when the manifest gives none: the last component.
    pub fn display_name(&self) -> String {
        #[cfg(feature = "oci")]
        if let Self::Oci(uri) = self {
            return uri.display_name();
        }
        #[cfg(feature = "git")]
        if let Self::Git(uri) = self {
            return uri.display_name();
        }
        if let Self::Http(url) = self
            && url.path().ends_with('/')
            && let Some(folder) =
                url.path_segments().and_then(|mut segments| segments.rfind(|segment| !segment.is_empty()))
        {
            return folder.to_owned();
        }
        self.split_file().map_or_else(|_| self.to_string(), |(_, name)| name.as_str().to_owned())
    }
}

/// The place in Azure that is meant, if the scheme is one of Azure's own. What stands before the `@` there is no user.
fn azure(text: &str) -> Result<Option<azure::AzureUri>, UriError> {
    if text.chars().any(is_harmful) {
        return Err(UriError::Characters);
    }
    let url: Url = text.parse().map_err(|_| UriError::Malformed)?;
    let is_azure = matches!(url.scheme(), "az" | "abfs" | "abfss" | "wasb" | "wasbs");
    is_azure.then(|| azure::AzureUri::with_scheme(&url, text)).transpose()
}

/// The parts of a bucket's address. The prefix is taken as it was written: the name of an object is not percent-encoded.
fn bucket_and_prefix(url: &Url, text: &str, scheme: &'static str) -> Result<(String, String), UriError> {
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or(UriError::Missing { scheme, part: "bucket" })?.to_owned();
    let prefix = text.splitn(4, '/').nth(3).unwrap_or("").trim_matches('/').to_owned();
    Ok((bucket, prefix))
}

/// A local path, which gets into messages as it is.
pub(crate) fn local(path: PathBuf) -> Result<StoreUri, UriError> {
    match path.to_string_lossy().chars().any(is_harmful) {
        true => Err(UriError::Characters),
        false => Ok(StoreUri::File(path)),
    }
}

fn parse_without_credentials(text: &str) -> Result<Url, UriError> {
    if text.chars().any(is_harmful) {
        return Err(UriError::Characters);
    }
    let url: Url = text.parse().map_err(|_| UriError::Malformed)?;
    if url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err(UriError::Credentials { scheme: url.scheme().to_owned() })
    }
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::S3 { bucket, prefix, at } => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "s3://{bucket}{slash}{prefix}")?;
                at.as_ref().map_or(Ok(()), |at| write!(f, " at {}", Redacted(&at.endpoint)))
            }
            Self::Azure(place) => place.fmt(f),
            #[cfg(feature = "git")]
            Self::Git(uri) => uri.fmt(f),
            #[cfg(feature = "hdfs")]
            Self::Hdfs(uri) => uri.fmt(f),
            Self::Gcs { bucket, prefix } if prefix.is_empty() => write!(f, "gs://{bucket}"),
            Self::Gcs { bucket, prefix } => write!(f, "gs://{bucket}/{prefix}"),
            Self::Http(url) | Self::HttpFile(url) => Redacted(url).fmt(f),
            Self::HuggingFace { hub, repository, commit } => {
                write!(f, "hf://{repository}@{commit}")?;
                match hub.host_str() {
                    Some("huggingface.co") => Ok(()),
                    _ => write!(f, " at {}", Redacted(hub)),
                }
            }
            Self::MlflowArtifacts { server, path, .. } => {
                let shown = Redacted(server).to_string();
                write!(f, "mlflow-artifacts of {}: {path}", shown.trim_end_matches('/'))
            }
            #[cfg(feature = "oci")]
            Self::Oci(uri) => uri.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_print() {
        for (text, shown) in [
            ("file:///srv/models", "file:///srv/models"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/a b/ü/", "s3://bucket/a b/ü"),
            ("https://host/x.bin?sig=secret", "https://host/x.bin?…"),
        ] {
            assert_eq!(text.parse::<StoreUri>().unwrap().to_string(), shown);
        }
        for text in [
            "mlflow+http://mlflow.mlops:5000",
            "model-registry+https://registry.kubeflow:8080/ml",
            "catalog+s3://b/models",
            "catalog+file:///srv/m",
            "postgres://db/ml",
        ] {
            assert_eq!(text.parse::<RegistryUri>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn addresses_with_credentials_are_refused_without_repeating_them() {
        for text in ["https://user:hunter2@host/x", "s3://hunter2@bucket/x"] {
            let error = text.parse::<StoreUri>().unwrap_err().to_string();
            assert!(error.contains("holds credentials") && !error.contains("hunter2"), "{error}");
        }
        for text in ["mlflow+https://a:b@host", "postgres://a:b@host/ml", "postgres://a@host/ml"] {
            assert!(matches!(text.parse::<RegistryUri>(), Err(UriError::Credentials { .. })), "{text}");
        }
    }

    #[test]
    fn unknown_schemes_name_the_known_ones() {
        let error = "ftp://host/x".parse::<StoreUri>().unwrap_err().to_string();
        assert_eq!(error, format!("unsupported scheme `ftp`, expected {STORE_SCHEMES}"));
        let error = "catalog+ftp://host/x".parse::<RegistryUri>().unwrap_err().to_string();
        assert!(error.starts_with("unsupported scheme `catalog+ftp`, expected mlflow+http"), "{error}");
        assert!("file://relative".parse::<StoreUri>().is_err());
        assert!("s3:///prefix".parse::<StoreUri>().is_err());
        assert_eq!("nothing".parse::<StoreUri>(), Err(UriError::Malformed));
        for text in ["s3://bucket/a\nb", "file:///srv/a%1b[2J", "https://host/\u{202e}a"] {
            assert_eq!(text.parse::<StoreUri>(), Err(UriError::Characters), "{text:?}");
        }
        let error = "catalog-\u{1b}://x".parse::<RegistryUri>().unwrap_err().to_string();
        assert!(error.starts_with(r"unsupported scheme `catalog-\u{1b}`"), "{error}");
    }

    #[test]
    fn a_file_is_split_from_its_folder() {
        let split = |text: &str| {
            let (folder, name) = text.parse::<StoreUri>().unwrap().split_file().unwrap();
            (folder.to_string(), name.as_str().to_owned())
        };
        assert_eq!(split("s3://b/a/m.bin"), ("s3://b/a".into(), "m.bin".into()));
        assert_eq!(split("s3://b/m.bin"), ("s3://b".into(), "m.bin".into()));
        assert_eq!(split("file:///a/m.bin"), ("file:///a".into(), "m.bin".into()));
        assert_eq!(split("https://h/a/m%20x.bin?sig=1").1, "m x.bin");
        assert!("https://h/".parse::<StoreUri>().unwrap().split_file().is_err());
        assert!("https://h/%2e%2e".parse::<StoreUri>().unwrap().split_file().is_err());
        assert!("https://h/a%2Fb".parse::<StoreUri>().unwrap().split_file().is_err());
    }
}
