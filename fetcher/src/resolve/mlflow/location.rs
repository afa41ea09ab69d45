//! Where MLflow says that files are.

use handoff::SafePath;
use handoff::text::is_harmful;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::http::join;
use crate::uri::{StoreUri, UriError, local};

/// What stands between a server's address and a path of its artifacts.
const INTERFACE: &str = "/api/2.0/mlflow-artifacts/artifacts/";

/// An artifact URI with a path appended. MLflow keeps a path percent-encoded where it is a URL's.
pub(super) fn below(text: &str, path: Option<&SafePath>) -> String {
    let Some(path) = path else { return text.to_owned() };
    let is_url = ["http://", "https://", "file://"].iter().any(|scheme| text.starts_with(scheme));
    match text.parse::<Url>() {
        Ok(url) if is_url => join(&url, path.as_str().split('/')).to_string(),
        _ => format!("{}/{path}", text.trim_end_matches('/')),
    }
}

/// Reads an artifact URI as MLflow writes them. `mlflow-artifacts:` without a host means the tracking server; with one it may
/// be another, which has its own address as well, with what its interface for artifacts is called in it.
pub(crate) fn location(text: &str, server: &Url) -> Result<StoreUri, UriError> {
    let missing = |part| UriError::Missing { scheme: "mlflow-artifacts", part };
    if text.chars().any(is_harmful) {
        return Err(UriError::Characters);
    }
    if let Some(rest) = text.strip_prefix("mlflow-artifacts:") {
        let (other, path) = match rest.strip_prefix("//") {
            Some(with_host) => {
                let (host, path) = with_host.split_once('/').ok_or(missing("path"))?;
                let other = format!("{}://{host}", server.scheme());
                (Some(other).filter(|_| !host.is_empty()), path)
            }
            None => (None, rest),
        };
        let other = other.map(|other| other.parse::<Url>()).transpose();
        let other = other.map_err(|_| missing("usable host"))?;
        return artifacts(other.filter(|other| other.origin() != server.origin()), path, server);
    }
    if text.starts_with('/') {
        return local(text.into());
    }
    if matches!(text.split_once("://"), Some(("http" | "https", _)))
        && let Some((other, path)) = text.split_once(INTERFACE)
        && !path.contains(['?', '#'])
    {
        let other: Url = other.parse().map_err(|_| UriError::Malformed)?;
        let path = percent_decode_str(path).decode_utf8().map_err(|_| missing("usable path"))?;
        return artifacts(Some(other).filter(|other| other.origin() != server.origin()), &path, server);
    }
    text.parse()
}

/// Files behind the tracking server, or behind another one.
fn artifacts(other: Option<Url>, path: &str, server: &Url) -> Result<StoreUri, UriError> {
    let missing = |part| UriError::Missing { scheme: "mlflow-artifacts", part };
    if other.as_ref().is_some_and(|other| !other.username().is_empty() || other.password().is_some()) {
        return Err(UriError::Credentials { scheme: "mlflow-artifacts".to_owned() });
    }
    let path = path.trim_matches('/');
    // The path goes into URLs segment by segment; one that climbs has no business here.
    path.parse::<SafePath>().map_err(|_| missing("usable path"))?;
    let is_another = other.is_some();
    Ok(StoreUri::MlflowArtifacts {
        server: other.unwrap_or_else(|| server.clone()),
        path: path.to_owned(),
        is_another,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(text: &str) -> Result<String, UriError> {
        location(text, &"http://mlflow:5000/prefix".parse().unwrap()).map(|uri| uri.to_string())
    }

    #[test]
    fn artifact_uris_are_read_as_mlflow_writes_them() {
        let proxied = "mlflow-artifacts of http://mlflow:5000/prefix: 1/models/m-1/artifacts";
        assert_eq!(located("mlflow-artifacts:/1/models/m-1/artifacts").unwrap(), proxied);
        assert_eq!(located("mlflow-artifacts://mlflow:5000/1/models/m-1/artifacts").unwrap(), proxied);
        let here = "http://mlflow:5000/prefix/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts";
        assert_eq!(located(here).unwrap(), proxied);
        assert_eq!(located("s3://bucket/1/a b").unwrap(), "s3://bucket/1/a b");
        assert_eq!(located("/srv/mlruns/1").unwrap(), "file:///srv/mlruns/1");
        assert_eq!(located("file:///srv/mlruns/1").unwrap(), "file:///srv/mlruns/1");
    }

    #[test]
    fn another_server_is_one_that_is_not_to_know_who_asks() {
        let tracking: Url = "http://mlflow:5000/prefix".parse().unwrap();
        let read = |text: &str| match location(text, &tracking).unwrap() {
            StoreUri::MlflowArtifacts { server, path, is_another } => (server.to_string(), path, is_another),
            other => panic!("{other}"),
        };
        let ours = ("http://mlflow:5000/prefix".to_owned(), "1/a b".to_owned(), false);
        assert_eq!(read("http://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/1/a%20b"), ours);
        assert_eq!(read("mlflow-artifacts://mlflow:5000/1/a b"), ours);
        let other = |server: &str| (server.to_owned(), "1".to_owned(), true);
        assert_eq!(read("https://files/p/api/2.0/mlflow-artifacts/artifacts/1/"), other("https://files/p"));
        assert_eq!(read("mlflow-artifacts://files:5500/1"), other("http://files:5500/"));
    }

    #[test]
    fn artifact_uris_that_lead_elsewhere_are_refused() {
        for bad in [
            "mlflow-artifacts:/1/../../2",
            "mlflow-artifacts://me:secret@other:5000/1",
            "http://other/api/2.0/mlflow-artifacts/artifacts/1/%2e%2e/2",
            "dbfs:/x",
            "mlflow-artifacts:",
            "/srv/a\nb",
            "mlflow-artifacts:/1\n",
        ] {
            assert!(located(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_appended_as_its_scheme_writes_it() {
        let below = |text| below(text, Some(&"a b/c".parse().unwrap()));
        assert_eq!(below("s3://bucket/1/"), "s3://bucket/1/a b/c");
        assert_eq!(below("mlflow-artifacts:/1"), "mlflow-artifacts:/1/a b/c");
        assert_eq!(below("file:///srv/1"), "file:///srv/1/a%20b/c");
        assert_eq!(below("/srv/1"), "/srv/1/a b/c");
    }
}
