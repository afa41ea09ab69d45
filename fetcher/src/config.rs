//! What a run is to do, checked as a whole before any socket or file is touched.

use clap::Parser as _;
use handoff::{Layout, Selection};
use url::Url;

use crate::archive::Requested;
use crate::cli::{
    Cli, Command, DigestPinArgs, FetchArgs, FilterArgs, PublishArgs, PullArgs, ReferenceArgs, ResolveArgs,
    TrustArgs, VerifyArgs,
};
use crate::connection::Network;
#[cfg(feature = "git")]
use crate::credentials::GitCredentials;
#[cfg(feature = "hdfs")]
use crate::credentials::HdfsSettings;
use crate::credentials::{
    AzureSettings, Environment, GoogleSettings, HttpSettings, HuggingFaceSettings, MlflowSettings,
    ModelRegistryToken, PostgresCredentials, S3Settings,
};
use crate::filter::{Filter, Patterns, Preset};
use crate::name::{NameError, VersionRef};
use crate::reference::ModelRef;
use crate::signature::SIGNATURE_NAME;
use crate::uri::{RegistryUri, StoreUri, UriError};

mod job;
mod kserve;
#[cfg(feature = "oci")]
pub mod oci;
mod reference;

pub use job::{
    Job, Publish, Pull, Resolve, Signed, TERMINATION_LOG, TerminationLog, TrustFiles, TrustedIdentity,
    Verify, Wanted,
};
use reference::{REGISTRY, VERSION, reference};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting that is needed is missing.
    #[error("{setting} is not set")]
    Missing {
        /// The setting's flag and variable.
        setting: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A name is not one.
    #[error("{setting} is not usable")]
    Name {
        /// The setting's flag and variable.
        setting: &'static str,
        /// Why.
        source: NameError,
    },
    /// An address is not one.
    #[error("{setting} is not usable")]
    Uri {
        /// The setting's flag and variable.
        setting: &'static str,
        /// Why.
        source: UriError,
    },
    /// A combination that makes no sense, or a value in the wrong form.
    #[error("{problem}")]
    Unusable {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
}

/// Variables with files of certificates to trust; each of them counts for every connection.
const ROOTS: [&str; 2] = ["SSL_CERT_FILE", "AWS_CA_BUNDLE"];
const NO_CREDENTIALS: &str = "give credentials by the environment: MLFLOW_TRACKING_USERNAME and _PASSWORD, AWS_ACCESS_KEY_ID …, or PGUSER …";

impl ConfigError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { hint, .. } | Self::Unusable { hint, .. } => Some(hint),
            Self::Uri { source: UriError::Credentials { .. }, .. } => Some(NO_CREDENTIALS),
            Self::Uri { source: UriError::Feature { .. }, .. } => {
                Some("take an image that was built with it; images/README.md says how")
            }
            Self::Uri { .. } => Some("`fetcher pull --help` shows how addresses are written"),
            Self::Name { .. } => None,
        }
    }
}

/// Gives the command line its meaning.
///
/// # Errors
/// See [`ConfigError`].
pub fn job(cli: Cli, environment: Environment<'_>) -> Result<Job, ConfigError> {
    let by_kserve = kserve::variables(environment)?;
    let environment: Environment<'_> = &|name| by_kserve.get(name).cloned().or_else(|| environment(name));
    match cli.command {
        None => pairs(&cli.pairs, environment).map(Job::Pull),
        Some(Command::Pull(args)) => pull(args, environment).map(|pull| Job::Pull(vec![pull])),
        Some(Command::Resolve(args)) => resolve(args, environment).map(Box::new).map(Job::Resolve),
        Some(Command::Verify(args)) => verify(args).map(Job::Verify),
        Some(Command::Digest(args)) => Ok(Job::Digest(args.directory)),
        Some(Command::Publish(args)) => publish(args, environment).map(Box::new).map(Job::Publish),
    }
}

fn pull(args: PullArgs, environment: Environment<'_>) -> Result<Pull, ConfigError> {
    let wanted = wanted(args.reference, args.filter, &args.pin, args.trust, environment)?;
    Ok(Pull {
        network: network(&args.fetch, web_server_of(&wanted.reference), environment)?,
        wanted,
        layout: Layout::new(args.volume.model_dir, args.volume.state_dir),
        connections: usize::from(args.transfer.connections),
        memory: args.transfer.memory.0,
        slowest: args.transfer.slowest.0,
        termination_log: termination_log(&args.fetch),
    })
}

fn resolve(args: ResolveArgs, environment: Environment<'_>) -> Result<Resolve, ConfigError> {
    let wanted = wanted(args.reference, args.filter, &args.pin, args.trust, environment)?;
    Ok(Resolve {
        network: network(&args.fetch, web_server_of(&wanted.reference), environment)?,
        wanted,
        output: args.output,
        termination_log: termination_log(&args.fetch),
    })
}

fn verify(args: VerifyArgs) -> Result<Verify, ConfigError> {
    let layout = Layout::new(args.model_dir, args.state_dir);
    let signed = match (trust_files(args.trust)?, args.signature) {
        (Some(trusted), signature) => {
            let signature = signature.unwrap_or_else(|| layout.model_dir().join(SIGNATURE_NAME));
            Some(Signed { trusted, signature })
        }
        (None, None) => None,
        (None, Some(_)) => {
            let hint = "set FETCHER_TRUST_KEY, FETCHER_TRUST_CERT, or FETCHER_TRUST_ROOT, _IDENTITY and _ISSUER as well";
            return Err(ConfigError::Unusable {
                problem: "--signature is given, and nobody is trusted".into(),
                hint,
            });
        }
    };
    Ok(Verify { layout, signed })
}

fn trust_files(args: TrustArgs) -> Result<Option<TrustFiles>, ConfigError> {
    let TrustArgs { trust_key: key, trust_cert: certificate, trust_root, trust_identity, trust_issuer } =
        args;
    let identity = match (trust_root, trust_identity, trust_issuer) {
        (None, None, None) => None,
        (Some(root), Some(identity), Some(issuer)) => Some(TrustedIdentity { root, identity, issuer }),
        (root, identity, _) => {
            let setting = match (root, identity) {
                (None, _) => "--trust-root (FETCHER_TRUST_ROOT)",
                (_, None) => "--trust-identity (FETCHER_TRUST_IDENTITY)",
                _ => "--trust-issuer (FETCHER_TRUST_ISSUER)",
            };
            let hint = "a signer without a key is named by Sigstore's trusted root, an identity and its issuer, all three";
            return Err(ConfigError::Missing { setting, hint });
        }
    };
    let somebody = key.is_some() || certificate.is_some() || identity.is_some();
    Ok(somebody.then_some(TrustFiles { key, certificate, identity }))
}

/// KServe's contract: `URI DEST [URI DEST]…`. Each pair is a `pull`, with the settings of the environment; a model that is
/// a single archive is unpacked, unless they say otherwise.
fn pairs(words: &[String], environment: Environment<'_>) -> Result<Vec<Pull>, ConfigError> {
    let unusable = |problem| ConfigError::Unusable {
        problem,
        hint: "call `fetcher URI DEST [URI DEST]…` or one of the subcommands, see `fetcher --help`",
    };
    let (pairs, rest) = words.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        let problem = format!("expected pairs of a URI and a destination, got {} arguments", words.len());
        return Err(unusable(problem));
    }
    let single = ["MODEL_DIGEST", "MODEL_STATE_DIR"].into_iter().find(|name| environment(name).is_some());
    if let (Some(name), [_, _, ..]) = (single, pairs) {
        return Err(unusable(format!("{name} is for one model, got {} pairs", pairs.len())));
    }
    let one = |[uri, destination]: &[String; 2]| {
        let words = ["fetcher", "pull", "--uri", uri, "--dest", destination];
        match Cli::try_parse_from(words).map(|cli| cli.command) {
            Ok(Some(Command::Pull(mut args))) => {
                args.pin.unpack.get_or_insert(Requested::Single);
                pull(args, environment)
            }
            Ok(_) => Err(unusable("expected a URI and a destination".to_owned())),
            Err(error) => Err(unusable(error.kind().to_string())),
        }
    };
    pairs.iter().map(one).collect()
}

fn wanted(
    args: ReferenceArgs,
    filter_args: FilterArgs,
    pin: &DigestPinArgs,
    trust: TrustArgs,
    environment: Environment<'_>,
) -> Result<Wanted, ConfigError> {
    Ok(Wanted {
        reference: reference(args, pin.allow_floating, environment)?,
        filter: filter(filter_args, environment)?,
        pinned: pin.digest,
        least: pin.integrity,
        trusted: trust_files(trust)?,
        largest: pin.max_size.0,
        unpack: pin.unpack.unwrap_or_default(),
    })
}

/// Which files are wanted: by our own settings, else by those that KServe gives a storage initializer.
fn filter(args: FilterArgs, environment: Environment<'_>) -> Result<Filter, ConfigError> {
    let unusable = |problem: String| ConfigError::Unusable {
        problem,
        hint: "write patterns as in `*.safetensors,*.json`, or as a JSON array of texts",
    };
    let patterns = |given: Option<Patterns>, setting: &'static str, of_kserve: &'static str| match given {
        Some(patterns) => Ok((setting, patterns.0)),
        None => {
            let text = environment(of_kserve).unwrap_or_default();
            let read = text.parse::<Patterns>().map_err(|reason| unusable(format!("{of_kserve}: {reason}")));
            read.map(|patterns| (of_kserve, patterns.0))
        }
    };
    let (include_from, include) =
        patterns(args.include, "--include (FETCHER_INCLUDE)", "STORAGE_ALLOW_PATTERNS")?;
    let (exclude_from, mut exclude) =
        patterns(args.exclude, "--exclude (FETCHER_EXCLUDE)", "STORAGE_IGNORE_PATTERNS")?;
    for (setting, patterns) in [(include_from, &include), (exclude_from, &exclude)] {
        Filter::new(Selection::new(patterns.clone(), Vec::new()))
            .map_err(|reason| unusable(format!("{setting}: {reason}")))?;
    }
    exclude.extend(args.preset.into_iter().flat_map(Preset::exclude));
    Filter::new(Selection::new(include, exclude)).map_err(unusable)
}

fn publish(args: PublishArgs, environment: Environment<'_>) -> Result<Publish, ConfigError> {
    let hint = "publish to catalog+file://, catalog+s3://, catalog+gs://, catalog+az:// or catalog+http(s)://, with a name and a version";
    let unusable = |problem: String| ConfigError::Unusable { problem, hint };
    let (catalog, name, version) = match reference(args.reference, false, environment)? {
        ModelRef::Registered {
            registry: RegistryUri::Catalog(catalog),
            name,
            version: VersionRef::Named(version),
        } => (catalog, name, version),
        ModelRef::Registered { registry: RegistryUri::Catalog(_), .. } => {
            return Err(unusable(format!("{VERSION} is an alias, expected a version")));
        }
        _ => return Err(unusable(format!("{REGISTRY} is not a catalog"))),
    };
    if version.as_str() == crate::catalog::ALIASES {
        return Err(unusable(format!("{VERSION} is `aliases`, which a catalog keeps for itself")));
    }
    let metrics = args.metrics.iter().map(|pair| {
        let (name, value) = key_and_value("--metric", pair)?;
        match value.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok((name, number)),
            _ => Err(unusable(format!("--metric {name}: expected a number, got `{}`", value.escape_debug()))),
        }
    });
    let metrics = metrics.collect::<Result<_, _>>()?;
    let source = args.source.iter().map(|pair| key_and_value("--source", pair));
    let aliases = args.aliases.iter().map(|alias| {
        let alias = alias.strip_prefix('@').unwrap_or(alias);
        alias.parse().map_err(|source| ConfigError::Name { setting: "--alias", source })
    });
    let network = network(&args.fetch, web_server(&catalog), environment)?;
    Ok(Publish {
        directory: args.directory,
        catalog,
        name,
        version,
        metrics,
        source: source.collect::<Result<_, _>>()?,
        aliases: aliases.collect::<Result<_, _>>()?,
        network,
    })
}

fn key_and_value(flag: &str, pair: &str) -> Result<(String, String), ConfigError> {
    let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
        let problem = format!("{flag}: expected `key=value`, got `{}`", pair.escape_debug());
        ConfigError::Unusable { problem, hint: "see `fetcher publish --help`" }
    })?;
    Ok((key.to_owned(), value.to_owned()))
}

fn network(
    fetch: &FetchArgs,
    asked: Option<&Url>,
    environment: Environment<'_>,
) -> Result<Network, ConfigError> {
    let given = fetch.http_headers.as_deref().filter(|given| !given.is_empty());
    let http = HttpSettings::from_environment(given, asked, environment);
    let http = http.map_err(|problem| ConfigError::Unusable {
        problem,
        hint: "write `name: value` in each line, or as KServe does {\"name\": \"value\"}",
    })?;
    Ok(Network {
        http,
        attempts: fetch.retry_attempts,
        deadline: fetch.deadline,
        stall: fetch.stall_timeout,
        extra_roots: ROOTS.iter().filter_map(|name| Some((*name, environment(name)?.into()))).collect(),
        mlflow: MlflowSettings::from_environment(environment),
        hugging_face: HuggingFaceSettings::from_environment(environment),
        model_registry: ModelRegistryToken::from_environment(environment),
        postgres: PostgresCredentials::from_environment(environment),
        #[cfg(feature = "oci")]
        oci: oci::settings(&fetch.oci, environment)?,
        s3: S3Settings::from_environment(environment),
        google: GoogleSettings::from_environment(environment),
        azure: AzureSettings::from_environment(environment),
        #[cfg(feature = "git")]
        git: GitCredentials::from_environment(environment),
        #[cfg(feature = "hdfs")]
        hdfs: HdfsSettings::from_environment(environment),
    })
}

/// The web server that was asked for by its address, if one was.
fn web_server_of(reference: &ModelRef) -> Option<&Url> {
    match reference {
        ModelRef::Uri { uri, .. } | ModelRef::Registered { registry: RegistryUri::Catalog(uri), .. } => {
            web_server(uri)
        }
        _ => None,
    }
}

fn web_server(uri: &StoreUri) -> Option<&Url> {
    match uri {
        StoreUri::Http(url) | StoreUri::HttpFile(url) => Some(url),
        _ => None,
    }
}

fn termination_log(fetch: &FetchArgs) -> TerminationLog {
    match &fetch.termination_log {
        Some(path) => TerminationLog::Always(path.clone()),
        None => TerminationLog::IfPresent(TERMINATION_LOG.into()),
    }
}

/// An empty value, as a manifest's unset key gives, counts as none.
fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
