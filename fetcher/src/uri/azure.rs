//! The addresses of Azure Blob Storage and of Azure's file shares, in all the spellings that people have for them.
//!
//! | spelling | of |
//! |---|---|
//! | `https://account.blob.core.windows.net/container/path`, also `.dfs.` | the portal, KServe |
//! | `https://account.file.core.windows.net/share/path` | the portal, KServe |
//! | `https://account.z12.blob.storage.azure.net/container/path`, and its like | accounts with a DNS zone |
//! | `abfs[s]://container@account.dfs.core.windows.net/path` | Hadoop, Spark |
//! | `wasb[s]://container@account.blob.core.windows.net/path` | MLflow |
//! | `az://container/path` | `fsspec`, Terraform; the account is that of the environment |

use std::fmt;

use handoff::text::is_harmful;
use percent_encoding::percent_decode_str;
use url::Url;

use super::UriError;

/// The services' domains in the clouds that there are. Tokens are sent to no other.
const DOMAINS: [&str; 3] = ["core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net"];
/// That of accounts whose hosts are in one of a hundred zones.
const ZONED: &str = "storage.azure.net";

/// Which of an account's services has the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Blob Storage, with or without a hierarchical namespace.
    Blobs,
    /// File shares.
    Files,
}

/// A place in a container, or in a file share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AzureUri {
    /// Which service has it.
    pub service: Service,
    /// The host of the account's blobs or files, such as `account.blob.core.windows.net`; that of the environment where
    /// there is none.
    pub host: Option<String>,
    /// The container, or the share.
    pub container: String,
    /// The prefix without slashes at its ends; empty for the whole container.
    pub prefix: String,
    /// The query of its address: a shared access signature, which is a secret.
    pub signature: Option<String>,
}

impl AzureUri {
    /// Reads `az`, `abfs`, `abfss`, `wasb` and `wasbs`, whose paths are taken as they were written.
    pub(super) fn with_scheme(url: &Url, text: &str) -> Result<Self, UriError> {
        let missing = |part| UriError::Missing { scheme: "Azure", part };
        let host = url.host_str().filter(|host| !host.is_empty());
        let prefix = text.splitn(4, '/').nth(3).unwrap_or("").trim_matches('/').to_owned();
        let (host, container) = match (url.scheme(), url.username()) {
            ("az", "") => (None, host.ok_or(missing("container"))?),
            // What looks like a user is the container.
            (_, "") => return Err(missing("container")),
            ("az", _) => return Err(UriError::Credentials { scheme: "az".into() }),
            (_, container) => {
                let host = host.and_then(service_host).filter(|(service, _)| *service == Service::Blobs);
                let (_, host) = host.ok_or(missing("account of Azure Blob Storage"))?;
                (Some(host), container)
            }
        };
        if url.password().is_some() {
            return Err(UriError::Credentials { scheme: url.scheme().to_owned() });
        }
        let container = container.to_owned();
        Ok(Self { service: Service::Blobs, host, container, prefix, signature: None })
    }

    /// Reads the address of a web server, if it is one of Azure's. A signature for a single blob is left to be used to
    /// the letter: it allows nothing else.
    pub(super) fn from_web(url: &Url) -> Option<Self> {
        let known = url.host_str().and_then(service_host).filter(|_| url.scheme() == "https");
        let (service, host) = known?;
        if service == Service::Blobs && url.query_pairs().any(|(key, value)| key == "sr" && value == "b") {
            return None;
        }
        // What could not be shown as it is stays as it is written, on a web server.
        let path = percent_decode_str(url.path()).decode_utf8().ok()?;
        let path = (!path.chars().any(is_harmful)).then_some(path)?;
        let path = path.trim_matches('/');
        let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
        let signature = url.query().map(str::to_owned);
        let (container, prefix) = (container.to_owned(), prefix.to_owned());
        (!container.is_empty()).then_some(Self { service, host: Some(host), container, prefix, signature })
    }

    /// The same account and container with another prefix.
    pub fn at(&self, prefix: &str) -> Self {
        Self { prefix: prefix.trim_matches('/').to_owned(), ..self.clone() }
    }

    /// The address with what it keeps to itself.
    pub(super) fn with_query(&self) -> String {
        let shown = Self { signature: None, ..self.clone() }.to_string();
        match &self.signature {
            None => shown,
            Some(signature) => format!("{shown}?{signature}"),
        }
    }
}

/// The service at a host and how that is spelt here; `dfs` is another way to the blobs.
fn service_host(host: &str) -> Option<(Service, String)> {
    let (account, rest) = host.split_once('.')?;
    let zone = rest.split_once('.').map(|(zone, _)| zone).filter(|zone| is_zone(zone));
    let (service, domain) = match zone {
        Some(zone) => rest.strip_prefix(zone)?.strip_prefix('.')?.split_once('.')?,
        None => rest.split_once('.')?,
    };
    let is_known = if zone.is_some() { domain == ZONED } else { DOMAINS.contains(&domain) };
    let (service, name) = match service {
        "blob" | "dfs" => (Service::Blobs, "blob"),
        "file" => (Service::Files, "file"),
        _ => return None,
    };
    let host = [Some(account), zone, Some(name), Some(domain)];
    let host = host.into_iter().flatten().collect::<Vec<_>>().join(".");
    (!account.is_empty() && is_known).then_some((service, host))
}

/// Whether this is `z` and one or two digits.
fn is_zone(label: &str) -> bool {
    let digits = label.strip_prefix('z').unwrap_or_default();
    matches!(digits.len(), 1 | 2) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

impl fmt::Display for AzureUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = [self.container.as_str(), self.prefix.as_str()];
        let path = path.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let hidden = if self.signature.is_some() { "?…" } else { "" };
        match self.host.as_ref().map(|host| format!("https://{host}").parse::<Url>()) {
            None => write!(f, "az://{path}{hidden}"),
            Some(Ok(url)) => write!(f, "{}{hidden}", crate::http::join(&url, path.split('/'))),
            Some(Err(_)) => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Service;
    use crate::uri::{StoreUri, UriError};

    #[test]
    fn every_spelling_is_the_same_place() {
        let place = "https://acme.blob.core.windows.net/models/a%20b/v1";
        for text in [
            place,
            "https://acme.dfs.core.windows.net/models/a%20b/v1/",
            "abfss://models@acme.dfs.core.windows.net/a b/v1",
            "wasbs://models@acme.blob.core.windows.net/a b/v1/",
        ] {
            let uri: StoreUri = text.parse().unwrap();
            assert!(matches!(uri, StoreUri::Azure(_)), "{text}");
            assert_eq!(uri.to_string(), place, "{text}");
            assert_eq!(uri.to_string().parse::<StoreUri>().unwrap(), uri);
        }
        assert_eq!("az://models/a b".parse::<StoreUri>().unwrap().to_string(), "az://models/a b");
        let (folder, name) = place.parse::<StoreUri>().unwrap().split_file().unwrap();
        assert_eq!((folder.to_string().as_str(), name.as_str()), (&place[..place.len() - 3], "v1"));
    }

    #[test]
    fn a_signature_is_kept_and_not_shown() {
        let text = "https://acme.blob.core.windows.net/models/a?sv=1&sr=c&sig=canary";
        let uri: StoreUri = text.parse().unwrap();
        assert_eq!(uri.to_string(), "https://acme.blob.core.windows.net/models/a?…");
        assert_eq!(uri.with_query(), text);
        assert!(uri.hides_something());
        let blob = "https://acme.blob.core.windows.net/models/a?sr=b&sig=canary".parse::<StoreUri>();
        assert!(matches!(blob, Ok(StoreUri::Http(_))));
    }

    #[test]
    fn a_file_share_is_told_from_a_container() {
        for (text, service) in [
            ("https://acme.file.core.windows.net/models/a%20b/v1", Service::Files),
            ("https://acme.z07.file.storage.azure.net/models", Service::Files),
            ("https://acme.z7.blob.storage.azure.net/models/a", Service::Blobs),
        ] {
            let Ok(StoreUri::Azure(place)) = text.parse::<StoreUri>() else { panic!("{text}") };
            assert_eq!((place.service, place.container.as_str()), (service, "models"));
            assert_eq!(place.to_string(), text);
        }
        // What is signed for one file of a share is read as any other: the service knows no conditions.
        let text = "https://acme.file.core.windows.net/models/a/model.bin?sr=f&sig=canary";
        let (folder, name) = text.parse::<StoreUri>().unwrap().split_file().unwrap();
        assert_eq!(folder.with_query(), "https://acme.file.core.windows.net/models/a?sr=f&sig=canary");
        assert_eq!(name.as_str(), "model.bin");
    }

    #[test]
    fn other_hosts_are_not_azure() {
        for text in [
            "https://acme.blob.core.evil.example/models/a",
            "https://blob.core.windows.net/models",
            "https://acme.queue.core.windows.net/models",
            "https://acme.file.storage.azure.net/models",
            "https://acme.z100.file.storage.azure.net/models",
            "https://acme.z07.file.core.windows.net/models",
        ] {
            assert!(matches!(text.parse(), Ok(StoreUri::Http(_))), "{text}");
        }
        for text in [
            "abfss://models@acme.dfs.evil.example/a",
            "abfss://models@acme.file.core.windows.net/a",
            "abfss://acme.dfs.core.windows.net/a",
            "az:///a",
        ] {
            assert!(matches!(text.parse::<StoreUri>(), Err(UriError::Missing { .. })), "{text}");
        }
        for text in ["abfss://models:canary@acme.dfs.core.windows.net/a", "az://canary@models/a"] {
            assert!(matches!(text.parse::<StoreUri>(), Err(UriError::Credentials { .. })), "{text}");
        }
    }
}
