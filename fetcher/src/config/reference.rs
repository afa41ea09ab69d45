//! Which model a command line and its environment ask for.
//!
//! Either a registry, a name and a version, or one address; some addresses name a registered model in their own words.

use handoff::{ModelId, SafePath};
use url::Url;

use super::{ConfigError, given};
use crate::cli::ReferenceArgs;
use crate::credentials::{Environment, hugging_face};
use crate::name::{ModelName, VersionName, VersionRef};
use crate::reference::{MlflowArtifact, ModelRef};
use crate::uri::{self, RegistryUri};

/// What stands for the version of a model that was named by its address alone.
const UNVERSIONED: &str = "unversioned";

pub(super) const REGISTRY: &str = "--registry (MODEL_REGISTRY)";
const NAME: &str = "--model-name (MODEL_NAME)";
pub(super) const VERSION: &str = "--model-version (MODEL_VERSION)";
const URI: &str = "--uri (MODEL_URI)";

/// What is asked for.
pub(super) fn reference(args: ReferenceArgs, environment: Environment<'_>) -> Result<ModelRef, ConfigError> {
    let registry = given(args.registry);
    let floating = args.allow_floating;
    let Some(uri) = given(args.uri) else {
        let registry = registry.ok_or(ConfigError::Missing {
            setting: REGISTRY,
            hint: "name a registry, or give the model's address with --uri (MODEL_URI)",
        })?;
        let registry = self::registry(&registry, environment)?;
        let (name, version) = name_and_version(&registry, args.model_name, args.model_version, floating)?;
        return Ok(ModelRef::Registered { registry, name, version });
    };
    let labels = (given(args.model_name), given(args.model_version));
    if let Some(in_registry) = uri.strip_prefix("models:/") {
        let server = mlflow_server(registry, environment)?;
        return match in_registry.starts_with("m-") && !in_registry.contains(['/', '@']) {
            true => logged_model(in_registry, server, labels),
            false => registered_model(in_registry, server, floating),
        };
    }
    if let Some(on_hub) = uri.strip_prefix("hf://") {
        return on_the_hub(on_hub, environment);
    }
    if let Some(in_registry) = uri.strip_prefix("model-registry://") {
        return model_registry_reference(in_registry, registry, environment, floating);
    }
    if let Some(of_a_run) = uri.strip_prefix("runs:/") {
        return artifact_of_a_run(of_a_run, mlflow_server(registry, environment)?, labels);
    }
    // KServe names what is on a mounted claim by its path.
    let located = if uri.starts_with('/') { uri::local(uri.into()) } else { uri.parse() };
    let uri = located.map_err(|source| ConfigError::Uri { setting: URI, source })?;
    let model = labelled(labels, uri.display_name(), UNVERSIONED.to_owned());
    Ok(ModelRef::Uri { uri, model })
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
    let (name, version) =
        name_and_version(&registry, Some(name.to_owned()), Some(version.to_owned()), floating)?;
    Ok(ModelRef::Registered { registry, name, version })
}

fn hub(environment: Environment<'_>) -> Result<Url, ConfigError> {
    hugging_face::endpoint(environment).map_err(|problem| ConfigError::Unusable {
        problem: problem.to_owned(),
        hint: "set HF_ENDPOINT to http(s)://host, or leave it unset for huggingface.co",
    })
}

/// `hf://owner/name[@revision]`, or with `:` as KServe writes it.
fn on_the_hub(text: &str, environment: Environment<'_>) -> Result<ModelRef, ConfigError> {
    let hint = "write hf://owner/name, or hf://owner/name@revision for a branch, a tag or a commit";
    let kind = text.split('/').next().unwrap_or_default();
    if ["datasets", "spaces"].contains(&kind) {
        let problem = format!("{URI} names one of the hub's {kind}, expected a model");
        return Err(ConfigError::Unusable { problem, hint });
    }
    let (name, revision) = text.split_once(['@', ':']).unwrap_or((text, "main"));
    let named = |source| ConfigError::Name { setting: URI, source };
    let (name, version): (ModelName, VersionName) =
        (name.trim_end_matches('/').parse().map_err(named)?, revision.parse().map_err(named)?);
    if name.as_str().split('/').count() > 2 {
        return Err(ConfigError::Unusable { problem: format!("{URI} names no model of the hub"), hint });
    }
    let registry = RegistryUri::HuggingFace(hub(environment)?);
    Ok(ModelRef::Registered { registry, name, version: VersionRef::Named(version) })
}

/// A name and a version that are given beside an address.
type Labels = (Option<String>, Option<String>);

/// What to call a model that is not named in a registry.
fn labelled((name, version): Labels, otherwise: String, unversioned: String) -> ModelId {
    ModelId { name: name.unwrap_or(otherwise), version: version.unwrap_or(unversioned) }
}

fn registry(text: &str, environment: Environment<'_>) -> Result<RegistryUri, ConfigError> {
    if text == "hf://" {
        return hub(environment).map(RegistryUri::HuggingFace);
    }
    let registry = text.parse().map_err(|source| ConfigError::Uri { setting: REGISTRY, source })?;
    // Postgres' own clients would ask the system who runs them, and an image knows no names.
    if text.starts_with("postgres") && environment("PGUSER").is_none() {
        let hint = "name a role that may read the view, and its password in PGPASSWORD or PGPASSFILE";
        return Err(ConfigError::Missing { setting: "PGUSER", hint });
    }
    if matches!(registry, RegistryUri::Mlflow(_)) {
        refuse_of_mlflow(environment)?;
    }
    Ok(registry)
}

/// Refuses what MLflow's own client does on demand and this does not, rather than to pass over it.
fn refuse_of_mlflow(environment: Environment<'_>) -> Result<(), ConfigError> {
    let is_on = |name: &str| {
        environment(name).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    };
    let refused = |setting: &str, hint| {
        Err(ConfigError::Unusable { problem: format!("{setting} is not supported"), hint })
    };
    if is_on("MLFLOW_TRACKING_INSECURE_TLS") {
        let hint =
            "name the server's certificate authority in MLFLOW_TRACKING_SERVER_CERT_PATH or SSL_CERT_FILE";
        return refused("MLFLOW_TRACKING_INSECURE_TLS", hint);
    }
    if is_on("MLFLOW_TRACKING_AWS_SIGV4") {
        return refused(
            "MLFLOW_TRACKING_AWS_SIGV4",
            "give MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN",
        );
    }
    match environment("MLFLOW_TRACKING_AUTH").as_deref() {
        None | Some("kubernetes" | "kubernetes-namespaced") => Ok(()),
        Some(_) => refused(
            "MLFLOW_TRACKING_AUTH",
            "set it to `kubernetes` or `kubernetes-namespaced`, or give a password or token",
        ),
    }
}

/// The MLflow server that the addresses of MLflow's own are about.
fn mlflow_server(registry: Option<String>, environment: Environment<'_>) -> Result<Url, ConfigError> {
    let server = registry
        .or_else(|| environment("MLFLOW_TRACKING_URI").map(|server| format!("mlflow+{server}")))
        .ok_or(ConfigError::Missing {
            setting: REGISTRY,
            hint: "set MODEL_REGISTRY or MLFLOW_TRACKING_URI",
        })?;
    match self::registry(&server, environment)? {
        RegistryUri::Mlflow(server) => Ok(server),
        _ => Err(ConfigError::Unusable {
            problem: format!("{URI} is an address of MLflow's, and {REGISTRY} is not an MLflow server"),
            hint: "set MODEL_REGISTRY to mlflow+http(s)://host, or unset it and set MLFLOW_TRACKING_URI",
        }),
    }
}

/// `models:/name/version` or `models:/name@alias`, as MLflow writes them.
fn registered_model(text: &str, server: Url, floating: bool) -> Result<ModelRef, ConfigError> {
    let (name, version) = match (text.rsplit_once('@'), text.rsplit_once('/')) {
        (Some((name, alias)), _) => (name, format!("@{alias}")),
        (None, Some((name, version))) => (name, version.to_owned()),
        (None, None) => {
            return Err(ConfigError::Unusable {
                problem: format!("{URI} names no version"),
                hint: "write models:/name/version, models:/name@alias or models:/m-<id>",
            });
        }
    };
    let registry = RegistryUri::Mlflow(server);
    let (name, version) = name_and_version(&registry, Some(name.to_owned()), Some(version), floating)?;
    Ok(ModelRef::Registered { registry, name, version })
}

/// `models:/m-<id>`, as MLflow 3 writes it.
fn logged_model(id: &str, server: Url, labels: Labels) -> Result<ModelRef, ConfigError> {
    let id: VersionName = id.parse().map_err(|source| ConfigError::Name { setting: URI, source })?;
    let model = labelled(labels, id.to_string(), UNVERSIONED.to_owned());
    Ok(ModelRef::MlflowArtifact { server, artifact: MlflowArtifact::LoggedModel(id), model })
}

/// `runs:/<id>/path`, as MLflow writes it.
fn artifact_of_a_run(text: &str, server: Url, labels: Labels) -> Result<ModelRef, ConfigError> {
    let parts = text.split_once('/').map(|(run, path)| (run, path.trim_end_matches('/')));
    let (run, path) = parts.filter(|(_, path)| !path.is_empty()).ok_or_else(|| ConfigError::Unusable {
        problem: format!("{URI} names no artifact of the run"),
        hint: "write runs:/<run id>/path/of/the/model",
    })?;
    let run: VersionName = run.parse().map_err(|source| ConfigError::Name { setting: URI, source })?;
    let path: SafePath = path.parse().map_err(|error: handoff::path::PathError| ConfigError::Unusable {
        problem: format!("{URI} is not usable: {error}"),
        hint: "write runs:/<run id>/path/of/the/model",
    })?;
    let model = labelled(labels, path.file_name().to_owned(), run.to_string());
    Ok(ModelRef::MlflowArtifact { server, artifact: MlflowArtifact::Run { run, path }, model })
}

fn name_and_version(
    registry: &RegistryUri,
    name: Option<String>,
    version: Option<String>,
    floating: bool,
) -> Result<(ModelName, VersionRef), ConfigError> {
    let missing = |setting| ConfigError::Missing { setting, hint: "name the model and its version" };
    let name = given(name).ok_or(missing(NAME))?;
    let version = given(version).ok_or(missing(VERSION))?;
    let name = name.parse().map_err(|source| ConfigError::Name { setting: NAME, source })?;
    let knows_the_newest = matches!(registry, RegistryUri::Mlflow(_) | RegistryUri::ModelRegistry(_));
    let knows_stages = matches!(registry, RegistryUri::Mlflow(_));
    match VersionRef::floating(&version) {
        Some(VersionRef::Newest) if knows_the_newest && floating => return Ok((name, VersionRef::Newest)),
        Some(VersionRef::Stage(stage)) if knows_stages && floating => {
            return Ok((name, VersionRef::Stage(stage)));
        }
        // A stage may also be the name of an alias or the value of a tag, so that one is looked for.
        Some(VersionRef::Newest) => {
            return Err(ConfigError::Unusable {
                problem: format!("{VERSION} is `latest`, which may mean another model tomorrow"),
                hint: "name a version, or an alias as `@alias`; with MLflow and Kubeflow's registry, FETCHER_ALLOW_FLOATING=true lets it be",
            });
        }
        _ => {}
    }
    let version = version.parse().map_err(|source| ConfigError::Name { setting: VERSION, source })?;
    Ok((name, version))
}
