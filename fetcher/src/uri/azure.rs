//! The addresses of Azure Blob Storage, in all the spellings that people have for them.
//!
//! | spelling | of |
//! |---|---|
//! | `https://account.blob.core.windows.net/container/path`, also `.dfs.` | the portal, KServe |
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

/// A place in a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AzureUri {
    /// The host of the account's blobs, such as `account.blob.core.windows.net`; that of the environment where there
    /// is none.
    pub host: Option<String>,
    /// The container.
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
                let host = host.and_then(blob_host).ok_or(missing("account of Azure Blob Storage"))?;
                (Some(host), container)
            }
        };
        if url.password().is_some() {
            return Err(UriError::Credentials { scheme: url.scheme().to_owned() });
        }
        Ok(Self { host, container: container.to_owned(), prefix, signature: None })
    }

    /// Reads the address of a web server, if it is one of Azure's. A signature for a single blob is left to be used to
    /// the letter: it allows nothing else.
    pub(super) fn from_web(url: &Url) -> Option<Self> {
        let host = url.host_str().and_then(blob_host).filter(|_| url.scheme() == "https")?;
        if url.query_pairs().any(|(key, value)| key == "sr" && value == "b") {
            return None;
        }
        // What could not be shown as it is stays as it is written, on a web server.
        let path = percent_decode_str(url.path()).decode_utf8().ok()?;
        let path = (!path.chars().any(is_harmful)).then_some(path)?;
        let path = path.trim_matches('/');
        let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
        let signature = url.query().map(str::to_owned);
        let (container, prefix) = (container.to_owned(), prefix.to_owned());
        (!container.is_empty()).then_some(Self { host: Some(host), container, prefix, signature })
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

/// The host of an account's blobs, given that or the one of its files.
fn blob_host(host: &str) -> Option<String> {
    let (account, rest) = host.split_once('.')?;
    let domain = rest.strip_prefix("blob.").or_else(|| rest.strip_prefix("dfs."))?;
    let is_known = !account.is_empty() && DOMAINS.contains(&domain);
    is_known.then(|| format!("{account}.blob.{domain}"))
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
    fn other_hosts_are_not_azure() {
        for text in ["https://acme.blob.core.evil.example/models/a", "https://blob.core.windows.net/models"] {
            assert!(matches!(text.parse(), Ok(StoreUri::Http(_))), "{text}");
        }
        for text in
            ["abfss://models@acme.dfs.evil.example/a", "abfss://acme.dfs.core.windows.net/a", "az:///a"]
        {
            assert!(matches!(text.parse::<StoreUri>(), Err(UriError::Missing { .. })), "{text}");
        }
        for text in ["abfss://models:canary@acme.dfs.core.windows.net/a", "az://canary@models/a"] {
            assert!(matches!(text.parse::<StoreUri>(), Err(UriError::Credentials { .. })), "{text}");
        }
    }
}
