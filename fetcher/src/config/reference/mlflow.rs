//! Addresses in MLflow's own words: `models:/name/version`, `models:/name@alias`, `models:/m-<id>`,
//! `runs:/<run id>/<path>` and `mlflow-artifacts:/<path>`. They name a tracking server or leave it to the settings.

use handoff::{ModelId, SafePath};

use super::{REGISTRY, URI, named, registry};
use crate::config::ConfigError;
use crate::credentials::{Environment, MlflowSettings};
use crate::name::VersionName;
use crate::reference::{MlflowItem, ModelRef};
use crate::resolve::mlflow::location;
use crate::uri::{RegistryUri, UriError};

const TRACKING: &str = "MLFLOW_TRACKING_URI";
const FORMS: &str = "write models:/name/version, models:/name@alias, models:/m-<id>, runs:/<run id>/<path> or mlflow-artifacts:/<path>";

/// Whether an address is one of MLflow's.
pub(super) fn is_of_mlflow(uri: &str) -> bool {
    ["models:", "runs:", "mlflow-artifacts:"].iter().any(|scheme| uri.starts_with(scheme))
}

/// Refuses settings of MLflow's client that are not honoured here.
pub(super) fn check(environment: Environment<'_>) -> Result<(), ConfigError> {
    match MlflowSettings::unsupported(environment) {
        None => Ok(()),
        Some((problem, hint)) => Err(ConfigError::Unusable { problem: problem.to_owned(), hint }),
    }
}

/// The server that an address of MLflow's means.
pub(super) fn server(
    given: Option<String>,
    environment: Environment<'_>,
) -> Result<RegistryUri, ConfigError> {
    if let Some(given) = given {
        return registry(&given, environment);
    }
    let server = environment(TRACKING).ok_or(ConfigError::Missing {
        setting: REGISTRY,
        hint: "set MODEL_REGISTRY or MLFLOW_TRACKING_URI",
    })?;
    check(environment)?;
    if !["http://", "https://"].iter().any(|scheme| server.starts_with(scheme)) {
        return Err(ConfigError::Unusable {
            problem: format!("{TRACKING} is not the http or https address of a tracking server"),
            hint: "write http(s)://host[:port][/prefix]",
        });
    }
    format!("mlflow+{server}").parse().map_err(|source| ConfigError::Uri { setting: TRACKING, source })
}

/// What an address of MLflow's means.
pub(super) fn reference(
    uri: &str,
    registry: RegistryUri,
    name: Option<&str>,
    version: Option<&str>,
    floating: bool,
) -> Result<ModelRef, ConfigError> {
    let unusable = |problem: &str| ConfigError::Unusable { problem: format!("{URI} {problem}"), hint: FORMS };
    let label = |name_of: &str, version_of: &str| ModelId {
        name: name.filter(|name| !name.is_empty()).unwrap_or(name_of).to_owned(),
        version: version.filter(|version| !version.is_empty()).unwrap_or(version_of).to_owned(),
    };
    let server = || match &registry {
        RegistryUri::Mlflow(server) => Ok(server.clone()),
        _ => Err(ConfigError::Unusable {
            problem: format!("{URI} is an address of MLflow, and {REGISTRY} is no MLflow server"),
            hint: "name the server as MODEL_REGISTRY=mlflow+http(s)://host, or in MLFLOW_TRACKING_URI alone",
        }),
    };
    if let Some(model) = uri.strip_prefix("models:/") {
        return match (model.rsplit_once('@'), model.rsplit_once('/')) {
            _ if model.starts_with('/') => Err(unusable("names a server, which is not understood")),
            (Some((name, alias)), _) => {
                named(registry, Some(name.into()), Some(format!("@{alias}")), floating)
            }
            (None, Some((name, version))) => {
                named(registry, Some(name.into()), Some(version.into()), floating)
            }
            (None, None) if is_id(model) && model.starts_with("m-") => {
                let id = model.parse().map_err(|source| ConfigError::Name { setting: URI, source })?;
                let (server, model) = (server()?, label(model, model));
                Ok(ModelRef::Mlflow { server, item: MlflowItem::LoggedModel(id), model })
            }
            (None, None) => Err(unusable("names no version")),
        };
    }
    if let Some(artifact) = uri.strip_prefix("runs:/") {
        let (run, path) = artifact.split_once('/').ok_or_else(|| unusable("names no path in the run"))?;
        let run: VersionName =
            run.parse().ok().filter(|_| is_id(run)).ok_or_else(|| unusable("names no run"))?;
        let path: SafePath =
            path.trim_end_matches('/').parse().map_err(|_| unusable("names no usable path in the run"))?;
        let (server, model) = (server()?, label(path.file_name(), run.as_str()));
        return Ok(ModelRef::Mlflow { server, item: MlflowItem::RunArtifact { run, path }, model });
    }
    if uri.starts_with("mlflow-artifacts:") {
        let uri = location(uri, &server()?).map_err(|source| ConfigError::Uri { setting: URI, source })?;
        let model = label(&uri.display_name(), super::UNVERSIONED);
        return Ok(ModelRef::Uri { uri, model });
    }
    match uri.chars().any(handoff::text::is_harmful) {
        true => Err(ConfigError::Uri { setting: URI, source: UriError::Characters }),
        false => Err(unusable("is not an address of MLflow")),
    }
}

/// An identifier as MLflow makes them.
fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() <= 256 && text.bytes().all(is_plain) && text.starts_with(|first: char| first.is_alphanumeric())
}
