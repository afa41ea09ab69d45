//! The command line: flags, their environment variables and their help. No meaning is given to them here; that
//! is [`config`](crate::config).

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use handoff::{Integrity, ModelDigest, duration};

use crate::archive::Requested;
use crate::filter::{Patterns, Preset};
use crate::report::OutputFormat;
use crate::report::log::LogFormat;
use handoff::ByteSize;

/// Fetches a machine-learning model by name and version into a volume, verified.
///
/// Every flag can be given by its environment variable. Credentials come from where each ecosystem keeps them
/// (AWS_*, MLFLOW_TRACKING_*, DOCKER_CONFIG, PGUSER, PGPASSWORD, PGPASSFILE), never from flags. Exit codes: 0 done, 64 bad configuration, 65 integrity, 66 not
/// found, 69 unavailable, 70 internal error, 73 no space, 74 local I/O, 75 interrupted, 77 denied.
#[derive(Debug, Parser)]
#[command(name = "fetcher", version, arg_required_else_help = true, subcommand_precedence_over_arg = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// URI and destination pairs, as KServe's storage initializer is called; each is pulled in turn, with the
    /// settings of the environment.
    #[arg(value_name = "URI DEST")]
    pub pairs: Vec<String>,
    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch, verify and publish a model into a directory, with a receipt: the init container's command.
    Pull(PullArgs),
    /// Print the immutable plan that a pull would carry out; no weights are read.
    Resolve(ResolveArgs),
    /// Hash again what the receipt of a model directory lists, and what its signature does, where somebody is trusted.
    Verify(VerifyArgs),
    /// Print SHA256SUMS of a directory; the model digest goes to standard error.
    Digest(DigestArgs),
    /// Add a version to a catalog.
    Publish(PublishArgs),
}

/// Which model.
#[derive(Debug, Args)]
pub struct ReferenceArgs {
    /// Registry that knows the model: mlflow+http(s)://host, model-registry+http(s)://host, hf://,
    /// catalog+file:///dir, catalog+s3://bucket/prefix, catalog+gs://bucket/prefix, catalog+az://container/prefix,
    /// catalog+http(s)://host/path, oci://host/path, postgres://host/database.
    #[arg(long, env = "MODEL_REGISTRY", value_name = "URI")]
    pub registry: Option<String>,
    /// Name of the model.
    #[arg(long, env = "MODEL_NAME", value_name = "NAME")]
    pub model_name: Option<String>,
    /// Version, or @alias.
    #[arg(long, env = "MODEL_VERSION", value_name = "VERSION")]
    pub model_version: Option<String>,
    /// Address of the model instead of a registry: file://, s3://, gs://, az://, abfss://, wasbs://, hdfs://,
    /// webhdfs://host:port/path, https://host/name.git, git+https://host/name.git@revision#subdirectory=path, http(s):// (one
    /// file, a folder with SHA256SUMS and / at its end, or a container or a file share of Azure), oci://host/repository:tag,
    /// hf://owner/name@revision,
    /// model-registry://name/version, or in MLflow's words models:/name/version, models:/name@alias, models:/m-ID,
    /// runs:/RUN/path, mlflow-artifacts:/path. Name and version are then only labels.
    #[arg(long, env = "MODEL_URI", value_name = "URI")]
    pub uri: Option<String>,
}

/// Which files of the model are wanted.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Fetch only files whose path matches one of these patterns: with commas between, or a JSON array. `*` stands for `/`
    /// too [default: STORAGE_ALLOW_PATTERNS, or all].
    #[arg(long, env = "FETCHER_INCLUDE", value_name = "PATTERNS")]
    pub include: Option<Patterns>,
    /// Leave out files whose path matches one of these [default: STORAGE_IGNORE_PATTERNS, or none].
    #[arg(long, env = "FETCHER_EXCLUDE", value_name = "PATTERNS")]
    pub exclude: Option<Patterns>,
    /// Leave out the weights in other formats than this.
    #[arg(long, env = "FETCHER_PRESET", value_name = "FORMAT")]
    pub preset: Option<Preset>,
}

/// Which digest the model must have.
#[derive(Debug, Args)]
pub struct DigestPinArgs {
    /// Digest that the model, or what is fetched of it, must have; see `fetcher digest`.
    #[arg(long, env = "MODEL_DIGEST", value_name = "sha256:HEX")]
    pub digest: Option<ModelDigest>,
    /// Weakest acceptable evidence for a file: recorded, store, manifest, registry, signed, pinned.
    #[arg(long, env = "FETCHER_INTEGRITY", value_name = "RUNG", default_value_t = Integrity::Recorded)]
    pub integrity: Integrity,
    /// Most bytes that the whole model may have.
    #[arg(long, env = "FETCHER_MAX_SIZE", value_name = "SIZE", default_value = "4TiB")]
    pub max_size: ByteSize,
    /// Take a version that may mean another model tomorrow: latest, or a stage of MLflow. It is resolved once, and the
    /// receipt has the version that it was.
    #[arg(long, env = "FETCHER_ALLOW_FLOATING", value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = parse_switch)]
    pub allow_floating: bool,
    /// Which archives (.tar, .tar.gz, .tgz, .tar.zst, .tzst, .zip) are unpacked as they come in: never, single (a model
    /// that is one file), always (each, into the folder that it is in) [default: never; single for URI DEST].
    #[arg(long, env = "FETCHER_UNPACK", value_name = "WHICH", hide_possible_values = true)]
    pub unpack: Option<Requested>,
}

/// Empty, as a manifest's unset key is, means off.
fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Whose signature the model must have.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// File with public keys in PEM, on P-256, P-384 or P-521. The model must be signed by one of them, as OpenSSF
    /// Model Signing does it.
    #[arg(long, env = "FETCHER_TRUST_KEY", value_name = "FILE")]
    pub trust_key: Option<PathBuf>,
    /// File with certificate authorities in PEM. The model must be signed by a certificate that one of them vouches
    /// for; with --trust-key too, either will do.
    #[arg(long, env = "FETCHER_TRUST_CERT", value_name = "FILE")]
    pub trust_cert: Option<PathBuf>,
    /// File with a Sigstore's authorities and logs, its trusted_root.json. The model must be signed without a key, by
    /// whom --trust-identity and --trust-issuer name; with --trust-key or --trust-cert too, any will do.
    #[arg(long, env = "FETCHER_TRUST_ROOT", value_name = "FILE")]
    pub trust_root: Option<PathBuf>,
    /// Who must have signed without a key: the address of mail, or the URI of a workload, in the certificate.
    #[arg(long, env = "FETCHER_TRUST_IDENTITY", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub trust_identity: Option<String>,
    /// By whose word that is who: the address of a provider of identities, as it stands in the certificate.
    #[arg(long, env = "FETCHER_TRUST_ISSUER", value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub trust_issuer: Option<String>,
}

/// Where the model is on this machine.
#[derive(Debug, Args)]
pub struct VolumeArgs {
    /// Directory of the model.
    #[arg(long = "dest", env = "MODEL_DIR", value_name = "DIR", default_value = "/mnt/models")]
    pub model_dir: PathBuf,
    /// Directory of receipt, progress and partial files; on the same volume as the model
    /// [default: .plimsoll below the model's].
    #[arg(long = "state-dir", env = "MODEL_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// How hard to try.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Attempts at one request before giving up; bytes that arrive start the count anew.
    #[arg(long, env = "FETCHER_RETRY_ATTEMPTS", value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub retry_attempts: u32,
    /// Time for the whole run.
    #[arg(long, env = "FETCHER_DEADLINE", value_name = "DURATION", default_value = "6h",
          value_parser = parse_duration)]
    pub deadline: Duration,
    /// Longest silence on a connection before it is cut and asked again.
    #[arg(long, env = "FETCHER_STALL_TIMEOUT", value_name = "DURATION", default_value = "30s",
          value_parser = parse_duration)]
    pub stall_timeout: Duration,
    /// How to reach OCI registries.
    #[cfg(feature = "oci")]
    #[command(flatten)]
    pub oci: OciArgs,
    /// Headers for the web server that the model's address names, and no other: a file, if it begins with /, else
    /// `name: value` in each line; prefer a file for secrets [default: those of KServe's variable HOST-headers].
    #[arg(long, env = "FETCHER_HTTP_HEADERS", value_name = "FILE|LINES", hide_env_values = true)]
    pub http_headers: Option<String>,
    /// File for the one-line outcome. The default is written to only where it exists, as it does in a Pod.
    #[arg(long, env = "FETCHER_TERMINATION_LOG", value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
}

/// How to reach OCI registries.
#[cfg(feature = "oci")]
#[derive(Debug, Args)]
pub struct OciArgs {
    /// OCI registries that are spoken to without TLS, as host or host:port; those on this machine always are.
    #[arg(long, env = "FETCHER_OCI_INSECURE", value_name = "HOST", value_delimiter = ',')]
    pub oci_insecure: Vec<String>,
    /// Addresses, as http(s)://host:port, of mirrors that are asked before any OCI registry, or, as
    /// registry=address, before that one. What they send is verified.
    #[arg(long, env = "FETCHER_OCI_MIRRORS", value_name = "MIRROR", value_delimiter = ',')]
    pub oci_mirrors: Vec<String>,
}

/// How much to use.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// Most connections at the same time. It begins with few and takes more while that makes it faster.
    #[arg(long, env = "FETCHER_CONNECTIONS", value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub connections: u16,
    /// Most memory for buffers; an eighth of the container's limit where that is less.
    #[arg(long, env = "FETCHER_MEMORY", value_name = "SIZE", default_value = "8MiB")]
    pub memory: ByteSize,
    /// Bytes per second below which a connection is cut and asked again, once it was that slow for the stall timeout.
    #[arg(long, env = "FETCHER_MIN_SPEED", value_name = "SIZE", default_value = "16KiB")]
    pub slowest: ByteSize,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| format!("expected {}", duration::EXPECTED))
}

/// How to log, on standard error.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Form of the log.
    #[arg(long, env = "FETCHER_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// Least severe level that is shown: error, warn, info, debug, trace.
    #[arg(long, env = "FETCHER_LOG_LEVEL", value_name = "LEVEL", default_value = "info", global = true)]
    pub log_level: tracing::Level,
}

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Which model.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// Which of its files are wanted.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Which digest it must have.
    #[command(flatten)]
    pub pin: DigestPinArgs,
    /// Whose signature it must have.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Where to put it.
    #[command(flatten)]
    pub volume: VolumeArgs,
    /// How hard to try.
    #[command(flatten)]
    pub fetch: FetchArgs,
    /// How much to use.
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// Arguments of `resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// Which model.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// Which of its files are wanted.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Which digest it must have.
    #[command(flatten)]
    pub pin: DigestPinArgs,
    /// Whose signature it must have.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Form of the plan on standard output.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
    /// How hard to try.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Directory of the model.
    #[arg(value_name = "DIR", env = "MODEL_DIR")]
    pub model_dir: PathBuf,
    /// Directory of its receipt [default: .plimsoll below the model's].
    #[arg(long = "state-dir", env = "MODEL_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Whose signature it must have.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// File of the signature [default: model.sig in the model's directory].
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
}

/// Arguments of `digest`.
#[derive(Debug, Args)]
pub struct DigestArgs {
    /// Directory to hash.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Directory whose files become the version.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Which version to make.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// A measured quality to write into the descriptor; may be given several times.
    #[arg(long = "metric", value_name = "NAME=NUMBER")]
    pub metrics: Vec<String>,
    /// Where the version came from, such as commit=…, run=…, data=…; may be given several times.
    #[arg(long = "source", value_name = "KEY=TEXT")]
    pub source: Vec<String>,
    /// Alias to point at the new version; may be given several times.
    #[arg(long = "alias", value_name = "ALIAS")]
    pub aliases: Vec<String>,
    /// How hard to try.
    #[command(flatten)]
    pub fetch: FetchArgs,
}
