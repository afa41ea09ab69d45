//! The command line. It only collects texts; [`config`](crate::config) checks them, so that a variable and its
//! flag are checked alike.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Where a model server usually is.
const SERVER_URL: &str = "http://127.0.0.1:8080";

/// Serves /health: green only while the model is fetched, verified and loaded by the model server.
#[derive(Debug, Parser)]
#[command(name = "health-sidecar", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// What to do; `serve` if nothing else is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`.
    #[command(flatten)]
    pub serve: Box<ServeFlags>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve /health, /livez, /status, /metrics and a page for people at / (the default)
    Serve(Box<ServeFlags>),
    /// Ask a running sidecar; exit with 0 when the model is ready and 69 when not
    Check(CheckFlags),
    /// Copy this program into a folder, as `health-sidecar`; for an exec probe in a container of another image
    Install(InstallFlags),
}

/// The flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeFlags {
    /// Name of the model to expect; without it, a receipt for any name is accepted
    #[arg(long, env = "MODEL_NAME", value_name = "NAME")]
    pub model_name: Option<String>,
    /// Version of the model to expect; without it, a receipt for any version is accepted
    #[arg(long, env = "MODEL_VERSION", value_name = "VERSION")]
    pub model_version: Option<String>,
    /// Where the model's files are
    #[arg(long, env = "MODEL_DIR", value_name = "DIR", default_value = "/mnt/models")]
    pub model_dir: OsString,
    /// Where the fetcher leaves its receipt and progress [default: .plimsoll in the model's directory]
    #[arg(long, env = "MODEL_STATE_DIR", value_name = "DIR")]
    pub model_state_dir: Option<OsString>,

    /// Address to serve on; the default is every address, IPv4 and IPv6 alike
    #[arg(long, env = "HEALTH_LISTEN", value_name = "ADDRESS:PORT", default_value = "[::]:8090")]
    pub listen: String,
    /// Kind of model server: auto (find out which), kserve-v2 (Open Inference Protocol), kserve-v1, triton,
    /// tensorflow-serving, torchserve, openai (vLLM, SGLang, TGI, llama.cpp), ollama, mlflow, http (see --http-path),
    /// grpc (see --grpc-service) or tcp (proves least); required
    #[arg(long, env = "HEALTH_SERVER", value_name = "KIND")]
    pub server: Option<String>,
    /// Address of the model server; of the management API for torchserve
    #[arg(long, env = "HEALTH_SERVER_URL", value_name = "URL", default_value = SERVER_URL)]
    pub server_url: String,
    /// Name by which the server knows the model, where it is asked by name [default: the model's name]
    #[arg(long, env = "HEALTH_SERVER_MODEL", value_name = "NAME")]
    pub server_model: Option<String>,
    /// Version as the server numbers it; for kserve-v2, triton, tensorflow-serving, torchserve and auto [default: any]
    #[arg(long, env = "HEALTH_SERVER_MODEL_VERSION", value_name = "VERSION")]
    pub server_model_version: Option<String>,
    /// File of smoke requests that the model server must answer as expected before the first green
    #[arg(long, env = "HEALTH_SMOKE", value_name = "FILE")]
    pub smoke: Option<OsString>,

    /// Headers to send with each question: a file, if it begins with /, else `name: value` in each line; prefer a
    /// file for secrets [default: none]
    #[arg(long, env = "HEALTH_HTTP_HEADERS", value_name = "FILE|LINES", hide_env_values = true)]
    pub http_headers: Option<String>,
    /// For http: GET, HEAD, POST or PUT [default: GET, POST with a body]
    #[arg(long, env = "HEALTH_HTTP_METHOD", value_name = "METHOD")]
    pub http_method: Option<String>,
    /// For http: path to ask for [default: /health]
    #[arg(long, env = "HEALTH_HTTP_PATH", value_name = "PATH")]
    pub http_path: Option<String>,
    /// For http: the request's body, as JSON unless a header says otherwise [default: none]
    #[arg(long, env = "HEALTH_HTTP_BODY", value_name = "TEXT", hide_env_values = true)]
    pub http_body: Option<String>,
    /// For http: statuses that mean "loaded", with commas between them [default: 200]
    #[arg(long, env = "HEALTH_HTTP_STATUS", value_name = "STATUS")]
    pub http_status: Option<String>,
    /// For http: JSON pointer to what the answer must have, such as /data/0/id [default: none, any body will do]
    #[arg(long, env = "HEALTH_HTTP_POINTER", value_name = "POINTER")]
    pub http_pointer: Option<String>,
    /// For http: value that must be at the pointer, as JSON or as plain text [default: any but null]
    #[arg(long, env = "HEALTH_HTTP_VALUE", value_name = "VALUE")]
    pub http_value: Option<String>,
    /// For grpc and auto: service whose health to ask for [default: the server as a whole; for auto the model's name]
    #[arg(long, env = "HEALTH_GRPC_SERVICE", value_name = "NAME")]
    pub grpc_service: Option<String>,

    /// How long the model server's word that the model is loaded counts: /health is never green for longer beside a
    /// server that has lost it. The server is asked so often that the unclear answers below fit in; at least twice a
    /// second while it loads
    #[arg(long, env = "HEALTH_PROBE_PERIOD", value_name = "DURATION", default_value = "10s")]
    pub probe_period: String,
    /// How long the model server may take to answer; at most the period divided by one more than the failures
    /// [default: 2s, or as much as that]
    #[arg(long, env = "HEALTH_PROBE_TIMEOUT", value_name = "DURATION")]
    pub probe_timeout: Option<String>,
    /// How many unclear answers in a row (none in time, cut off, an error of the server's own) end ready; a definite no
    /// does at once
    #[arg(long, env = "HEALTH_PROBE_FAILURES", value_name = "COUNT", default_value = "3")]
    pub probe_failures: String,
    /// How many times in a row the server must say that the model is loaded
    #[arg(long, env = "HEALTH_PROBE_SUCCESSES", value_name = "COUNT", default_value = "1")]
    pub probe_successes: String,
    /// How long /health stays red and served after SIGTERM
    #[arg(long, env = "HEALTH_DRAIN", value_name = "DURATION", default_value = "5s")]
    pub drain: String,

    /// Report to the cluster as the condition plimsoll.dev/ModelReady: pod (on this Pod) or deployment (on the Deployment
    /// that it belongs to) [default: do not]
    #[arg(long, env = "HEALTH_REPORT", value_name = "WHERE")]
    pub report: Option<String>,
    /// For deployment: its name [default: what --pod-name begins with]
    #[arg(long, env = "HEALTH_REPORT_NAME", value_name = "NAME")]
    pub report_name: Option<String>,
    /// Least time between two reports [default: 5s]
    #[arg(long, env = "HEALTH_REPORT_INTERVAL", value_name = "DURATION")]
    pub report_interval: Option<String>,
    /// Folder with token, ca.crt and namespace of the service account that reports
    /// [default: /var/run/secrets/kubernetes.io/serviceaccount]
    #[arg(long, env = "HEALTH_REPORT_CREDENTIALS", value_name = "DIR")]
    pub report_credentials: Option<OsString>,
    /// For reports: name of this Pod, from the field metadata.name
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// For reports: its namespace, from the field metadata.namespace [default: the service account's]
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pub pod_namespace: Option<String>,
    /// For pod: its UID, from the field metadata.uid
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pub pod_uid: Option<String>,
    /// For deployment: hash of its ReplicaSet, from the field metadata.labels['pod-template-hash']
    #[arg(long, env = "POD_TEMPLATE_HASH", value_name = "HASH")]
    pub pod_template_hash: Option<String>,
    /// For reports: host of the cluster's API, as the kubelet sets it
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", value_name = "HOST")]
    pub kubernetes_service_host: Option<String>,
    /// For reports: port of the cluster's API, as the kubelet sets it
    #[arg(long, env = "KUBERNETES_SERVICE_PORT", value_name = "PORT")]
    pub kubernetes_service_port: Option<String>,

    /// How to log: text or json
    #[arg(long, env = "HEALTH_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: String,
    /// What to log: error, warn, info, debug or trace
    #[arg(long, env = "HEALTH_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct CheckFlags {
    /// What to ask; `none` to ask no sidecar and only send the smoke requests
    #[arg(long, env = "HEALTH_URL", value_name = "URL", default_value = "http://127.0.0.1:8090/health")]
    pub url: String,
    /// How long to wait for the model to become ready; a failed fetch ends the wait
    #[arg(long, env = "HEALTH_WAIT", value_name = "DURATION", default_value = "0s")]
    pub wait: String,
    /// Once it is ready, send the model server the requests of this file, too [default: $HEALTH_SMOKE]
    // Only when asked for: where the sidecar has the variable, an exec probe is not to send them every time.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub smoke: Option<Option<OsString>>,
    /// Address of the model server, for --smoke
    #[arg(long, env = "HEALTH_SERVER_URL", value_name = "URL", default_value = SERVER_URL)]
    pub server_url: String,
}

/// The flags of `install`.
#[derive(Debug, Args)]
pub struct InstallFlags {
    /// The folder, such as a volume that the other container mounts
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
