//! Which model a command line and its environment ask for.
//!
//! Either a registry, a name and a version, or one address; some addresses name a registered model in their own words.

use handoff::ModelId;

use super::{ConfigError, given};
use crate::cli::ReferenceArgs;
use crate::credentials::Environment;
use crate::name::{ModelName, VersionRef};
use crate::reference::ModelRef;
use crate::uri::{RegistryUri, StoreUri};

/// What stands for the version of a model that was named by its address alone.
const UNVERSIONED: &str = "unversioned";

pub(super) const REGISTRY: &str = "--registry (MODEL_REGISTRY)";
const NAME: &str = "--model-name (MODEL_NAME)";
pub(super) const VERSION: &str = "--model-version (MODEL_VERSION)";
const URI: &str = "--uri (MODEL_URI)";

/// What is asked for.
pub(super) fn reference(args: ReferenceArgs, environment: Environment<'_>) -> Result<ModelRef, ConfigError> {
    let registry = given(args.registry);
    let Some(uri) = given(args.uri) else {
        let registry = registry.ok_or(ConfigError::Missing {
            setting: REGISTRY,
            hint: "name a registry, or give the model's address with --uri (MODEL_URI)",
        })?;
        let registry = self::registry(&registry, environment)?;
        let (name, version) = name_and_version(args.model_name, args.model_version)?;
        #[cfg(feature = "oci")]
        if let RegistryUri::Oci(registry) = &registry {
            let setting = "--model-name or --model-version (MODEL_NAME, MODEL_VERSION)";
            registry.uri(&name, &version).map_err(|source| ConfigError::Uri { setting, source })?;
        }
        return Ok(ModelRef::Registered { registry, name, version });
    };
    if let Some(in_registry) = uri.strip_prefix("models:/") {
        return mlflow_reference(in_registry, registry, environment);
    }
    let uri: StoreUri = uri.parse().map_err(|source| ConfigError::Uri { setting: URI, source })?;
    let name = given(args.model_name).unwrap_or_else(|| uri.display_name());
    let version = given(args.model_version).or_else(|| own_version(&uri));
    let version = version.unwrap_or_else(|| UNVERSIONED.to_owned());
    Ok(ModelRef::Uri { uri, model: ModelId { name, version } })
}

/// The version that an address has in it.
fn own_version(uri: &StoreUri) -> Option<String> {
    match uri {
        #[cfg(feature = "oci")]
        StoreUri::Oci(uri) => uri.version(),
        _ => None,
    }
}

fn registry(text: &str, environment: Environment<'_>) -> Result<RegistryUri, ConfigError> {
    let registry = text.parse().map_err(|source| ConfigError::Uri { setting: REGISTRY, source })?;
    // Postgres' own clients would ask the system who runs them, and an image knows no names.
    if text.starts_with("postgres") && environment("PGUSER").is_none() {
        let hint = "name a role that may read the view, and its password in PGPASSWORD or PGPASSFILE";
        return Err(ConfigError::Missing { setting: "PGUSER", hint });
    }
    Ok(registry)
}

/// `models:/name/version` or `models:/name@alias`, as MLflow writes them.
fn mlflow_reference(
    text: &str,
    registry: Option<String>,
    environment: Environment<'_>,
) -> Result<ModelRef, ConfigError> {
    let server = registry
        .or_else(|| environment("MLFLOW_TRACKING_URI").map(|server| format!("mlflow+{server}")))
        .ok_or(ConfigError::Missing {
            setting: REGISTRY,
            hint: "set MODEL_REGISTRY or MLFLOW_TRACKING_URI",
        })?;
    let registry = self::registry(&server, environment)?;
    let (name, version) = match (text.rsplit_once('@'), text.rsplit_once('/')) {
        (Some((name, alias)), _) => (name, format!("@{alias}")),
        (None, Some((name, version))) => (name, version.to_owned()),
        (None, None) => {
            return Err(ConfigError::Unusable {
                problem: format!("{URI} names no version"),
                hint: "write models:/name/version or models:/name@alias",
            });
        }
    };
    let (name, version) = name_and_version(Some(name.to_owned()), Some(version))?;
    Ok(ModelRef::Registered { registry, name, version })
}

fn name_and_version(
    name: Option<String>,
    version: Option<String>,
) -> Result<(ModelName, VersionRef), ConfigError> {
    let missing = |setting| ConfigError::Missing { setting, hint: "name the model and its version" };
    let name = given(name).ok_or(missing(NAME))?;
    let version = given(version).ok_or(missing(VERSION))?;
    let name = name.parse().map_err(|source| ConfigError::Name { setting: NAME, source })?;
    if version == "latest" {
        return Err(ConfigError::Unusable {
            problem: format!("{VERSION} is `latest`, which may mean another model tomorrow"),
            hint: "name a version, or an alias as `@alias`",
        });
    }
    let version = version.parse().map_err(|source| ConfigError::Name { setting: VERSION, source })?;
    Ok((name, version))
}
