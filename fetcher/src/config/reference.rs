//! Which model a command line and its environment ask for.
//!
//! Either a registry, a name and a version, or one address; some addresses name a registered model in their own words.

use handoff::ModelId;

use super::{ConfigError, given};
use crate::cli::ReferenceArgs;
use crate::credentials::Environment;
use crate::name::{ModelName, VersionRef};
use crate::reference::{MlflowItem, ModelRef, is_latest, is_stage};
use crate::uri::{RegistryUri, StoreUri};

mod mlflow;

/// What stands for the version of a model that was named by its address alone.
const UNVERSIONED: &str = "unversioned";

pub(super) const REGISTRY: &str = "--registry (MODEL_REGISTRY)";
const NAME: &str = "--model-name (MODEL_NAME)";
pub(super) const VERSION: &str = "--model-version (MODEL_VERSION)";
const URI: &str = "--uri (MODEL_URI)";

/// What is asked for.
pub(super) fn reference(
    args: ReferenceArgs,
    floating: bool,
    environment: Environment<'_>,
) -> Result<ModelRef, ConfigError> {
    let registry = given(args.registry);
    let Some(uri) = given(args.uri) else {
        let registry = registry.ok_or(ConfigError::Missing {
            setting: REGISTRY,
            hint: "name a registry, or give the model's address with --uri (MODEL_URI)",
        })?;
        let registry = self::registry(&registry, environment)?;
        return named(registry, args.model_name, args.model_version, floating);
    };
    if mlflow::is_of_mlflow(&uri) {
        let server = mlflow::server(registry, environment)?;
        return mlflow::reference(
            &uri,
            server,
            args.model_name.as_deref(),
            args.model_version.as_deref(),
            floating,
        );
    }
    let uri: StoreUri = uri.parse().map_err(|source| ConfigError::Uri { setting: URI, source })?;
    let name = given(args.model_name).unwrap_or_else(|| uri.display_name());
    let version = given(args.model_version).unwrap_or_else(|| UNVERSIONED.to_owned());
    Ok(ModelRef::Uri { uri, model: ModelId { name, version } })
}

fn registry(text: &str, environment: Environment<'_>) -> Result<RegistryUri, ConfigError> {
    if text.starts_with("mlflow+") {
        mlflow::check(environment)?;
    }
    let registry = text.parse().map_err(|source| ConfigError::Uri { setting: REGISTRY, source })?;
    // Postgres' own clients would ask the system who runs them, and an image knows no names.
    if text.starts_with("postgres") && environment("PGUSER").is_none() {
        let hint = "name a role that may read the view, and its password in PGPASSWORD or PGPASSFILE";
        return Err(ConfigError::Missing { setting: "PGUSER", hint });
    }
    Ok(registry)
}

/// A model by its name and version in a registry.
fn named(
    registry: RegistryUri,
    name: Option<String>,
    version: Option<String>,
    floating: bool,
) -> Result<ModelRef, ConfigError> {
    let (name, version) = name_and_version(name, version, floating)?;
    match (registry, version) {
        (RegistryUri::Mlflow(server), VersionRef::Named(stage))
            if floating && (is_latest(stage.as_str()) || is_stage(stage.as_str())) =>
        {
            let model = ModelId { name: name.to_string(), version: stage.to_string() };
            Ok(ModelRef::Mlflow { server, item: MlflowItem::Newest { name, stage }, model })
        }
        (registry, version) => Ok(ModelRef::Registered { registry, name, version }),
    }
}

fn name_and_version(
    name: Option<String>,
    version: Option<String>,
    floating: bool,
) -> Result<(ModelName, VersionRef), ConfigError> {
    let missing = |setting| ConfigError::Missing { setting, hint: "name the model and its version" };
    let name = given(name).ok_or(missing(NAME))?;
    let version = given(version).ok_or(missing(VERSION))?;
    let name = name.parse().map_err(|source| ConfigError::Name { setting: NAME, source })?;
    if is_latest(&version) && !floating {
        return Err(ConfigError::Unusable {
            problem: format!("{VERSION} is `{version}`, which may mean another model tomorrow"),
            hint: "name a version, or an alias as `@alias`, or allow it with FETCHER_ALLOW_FLOATING=true",
        });
    }
    let version = version.parse().map_err(|source| ConfigError::Name { setting: VERSION, source })?;
    Ok((name, version))
}
