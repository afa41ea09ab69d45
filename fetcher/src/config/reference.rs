//! Which model a command line and its environment ask for.
//!
//! Either a registry, a name and a version, or one address; some addresses name a registered model in their own words.

use handoff::ModelId;
use url::Url;

use super::{ConfigError, given};
use crate::cli::ReferenceArgs;
use crate::credentials::{Environment, hugging_face};
use crate::name::{ModelName, VersionName, VersionRef};
use crate::reference::{ModelRef, is_latest, is_stage};
use crate::uri::{self, RegistryUri};

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
    if let Some(on_hub) = uri.strip_prefix("hf://") {
        return on_the_hub(on_hub, environment);
    }
    if let Some(in_registry) = uri.strip_prefix("model-registry://") {
        return model_registry_reference(in_registry, registry, environment, floating);
    }
    // KServe names what is on a mounted claim by its path.
    let located = if uri.starts_with('/') { uri::local(uri.into()) } else { uri.parse() };
    let uri = located.map_err(|source| ConfigError::Uri { setting: URI, source })?;
    let name = given(args.model_name).unwrap_or_else(|| uri.display_name());
    let version = given(args.model_version).or_else(|| own_version(&uri));
    let version = version.unwrap_or_else(|| UNVERSIONED.to_owned());
    Ok(ModelRef::Uri { uri, model: ModelId { name, version } })
}

/// The version that an address has in it.
fn own_version(uri: &uri::StoreUri) -> Option<String> {
    match uri {
        #[cfg(feature = "git")]
        uri::StoreUri::Git(uri) => uri.version(),
        #[cfg(feature = "oci")]
        uri::StoreUri::Oci(uri) => uri.version(),
        _ => None,
    }
}

fn registry(text: &str, environment: Environment<'_>) -> Result<RegistryUri, ConfigError> {
    if text == "hf://" {
        return hub(environment).map(RegistryUri::HuggingFace);
    }
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

/// `model-registry://name[/version]`, as KServe writes it.
fn model_registry_reference(
    text: &str,
    registry: Option<String>,
    environment: Environment<'_>,
    floating: bool,
) -> Result<ModelRef, ConfigError> {
    let by_kserve = || {
        let scheme = environment("MODEL_REGISTRY_SCHEME").unwrap_or_else(|| "http".to_owned());
        environment("MODEL_REGISTRY_BASE_URL").map(|host| format!("model-registry+{scheme}://{host}"))
    };
    let server = registry.or_else(by_kserve).ok_or(ConfigError::Missing {
        setting: REGISTRY,
        hint: "set MODEL_REGISTRY to model-registry+http(s)://host, or MODEL_REGISTRY_BASE_URL to the host",
    })?;
    let registry = self::registry(&server, environment)?;
    let (name, version) = match text.split_once('/') {
        Some((name, version)) => (name, version),
        None => (text, "latest"),
    };
    named(registry, Some(name.to_owned()), Some(version.to_owned()), floating)
}

fn hub(environment: Environment<'_>) -> Result<Url, ConfigError> {
    hugging_face::endpoint(environment).map_err(|problem| ConfigError::Unusable {
        problem: problem.to_owned(),
        hint: "set HF_ENDPOINT to http(s)://host, or leave it unset for huggingface.co",
    })
}

/// `hf://owner/name[@revision]`, or with `:` as KServe writes it.
fn on_the_hub(text: &str, environment: Environment<'_>) -> Result<ModelRef, ConfigError> {
    let (name, revision) = text.split_once(['@', ':']).unwrap_or((text, "main"));
    let named = |source| ConfigError::Name { setting: URI, source };
    let (name, version): (ModelName, VersionName) =
        (name.trim_end_matches('/').parse().map_err(named)?, revision.parse().map_err(named)?);
    is_a_model(&name, URI)?;
    let registry = RegistryUri::HuggingFace(hub(environment)?);
    Ok(ModelRef::Registered { registry, name, version: VersionRef::Named(version) })
}

/// The hub has other things than models, and names them in the same way.
fn is_a_model(name: &ModelName, setting: &str) -> Result<(), ConfigError> {
    let parts: Vec<_> = name.as_str().split('/').collect();
    let problem = match parts[..] {
        [kind @ ("datasets" | "spaces"), _, ..] => {
            format!("{setting} names one of the hub's {kind}, expected a model")
        }
        [_] | [_, _] => return Ok(()),
        _ => format!("{setting} names no model of the hub"),
    };
    let hint = "write owner/name, in an address hf://owner/name@revision for a branch, a tag or a commit";
    Err(ConfigError::Unusable { problem, hint })
}

/// A model by its name and version in a registry.
fn named(
    registry: RegistryUri,
    name: Option<String>,
    version: Option<String>,
    floating: bool,
) -> Result<ModelRef, ConfigError> {
    let (name, version) = name_and_version(name, version, floating)?;
    if let RegistryUri::HuggingFace(_) = registry {
        is_a_model(&name, NAME)?;
    }
    #[cfg(feature = "oci")]
    if let RegistryUri::Oci(registry) = &registry {
        let setting = "--model-name or --model-version (MODEL_NAME, MODEL_VERSION)";
        registry.uri(&name, &version).map_err(|source| ConfigError::Uri { setting, source })?;
    }
    let version = match (&registry, version) {
        (RegistryUri::Mlflow(_), VersionRef::Named(word))
            if floating && (is_latest(word.as_str()) || is_stage(word.as_str())) =>
        {
            VersionRef::Newest(word)
        }
        (RegistryUri::ModelRegistry(_), VersionRef::Named(word)) if is_latest(word.as_str()) => {
            VersionRef::Newest(word)
        }
        (_, version) => version,
    };
    Ok(ModelRef::Registered { registry, name, version })
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
