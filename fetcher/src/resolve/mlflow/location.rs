//! Where MLflow says that files are.

use handoff::SafePath;
use handoff::text::is_harmful;
use url::Url;

use crate::http::join;
use crate::uri::{StoreUri, UriError, local};

/// An artifact URI with a path appended. MLflow keeps a path percent-encoded where it is a URL's.
pub(super) fn below(text: &str, path: Option<&SafePath>) -> String {
    let Some(path) = path else { return text.to_owned() };
    let is_url = ["http://", "https://", "file://"].iter().any(|scheme| text.starts_with(scheme));
    match text.parse::<Url>() {
        Ok(url) if is_url => join(&url, path.as_str().split('/')).to_string(),
        _ => format!("{}/{path}", text.trim_end_matches('/')),
    }
}

/// Reads an artifact URI as MLflow writes them. `mlflow-artifacts:` without a host means the tracking server.
pub(crate) fn location(text: &str, server: &Url) -> Result<StoreUri, UriError> {
    let missing = |part| UriError::Missing { scheme: "mlflow-artifacts", part };
    if text.chars().any(is_harmful) {
        return Err(UriError::Characters);
    }
    if let Some(rest) = text.strip_prefix("mlflow-artifacts:") {
        let (server, path) = match rest.strip_prefix("//") {
            Some(with_host) => {
                let (host, path) = with_host.split_once('/').ok_or(missing("path"))?;
                let other: Url =
                    format!("{}://{host}", server.scheme()).parse().map_err(|_| missing("usable host"))?;
                // Credentials for the tracking server go to that server only.
                if host.is_empty() || other.host() == server.host() && other.port() == server.port() {
                    (server.clone(), path)
                } else {
                    return Err(UriError::Scheme {
                        scheme: format!("mlflow-artifacts://{host}"),
                        expected: "artifacts on the tracking server itself",
                    });
                }
            }
            None => (server.clone(), rest),
        };
        let path = path.trim_matches('/');
        // The path goes into URLs segment by segment; one that climbs has no business here.
        path.parse::<SafePath>().map_err(|_| missing("usable path"))?;
        return Ok(StoreUri::MlflowArtifacts { server, path: path.to_owned() });
    }
    if text.starts_with('/') {
        return local(text.into());
    }
    text.parse()
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
        assert_eq!(located("s3://bucket/1/a b").unwrap(), "s3://bucket/1/a b");
        assert_eq!(located("/srv/mlruns/1").unwrap(), "file:///srv/mlruns/1");
        assert_eq!(located("file:///srv/mlruns/1").unwrap(), "file:///srv/mlruns/1");
    }

    #[test]
    fn artifact_uris_that_lead_elsewhere_are_refused() {
        for bad in [
            "mlflow-artifacts:/1/../../2",
            "mlflow-artifacts://other:5000/1",
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
