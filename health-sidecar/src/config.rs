//! Turns flags and variables into settings that cannot be wrong, before any socket is touched, and no file but
//! the one that holds settings itself, the smoke requests.
//!
//! An empty value is an error, never "not set": an empty `MODEL_VERSION` is most likely a template that was
//! not filled in, and to accept any version then would defeat the sidecar's purpose.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use handoff::{Layout, duration};
use tracing::Level;

use crate::cli::{CheckFlags, ServeFlags};
use crate::condition::Reporter;
use crate::expected::Expected;
use crate::http_headers::HeadersError;
use crate::http_url::{HttpUrl, UrlError};
use crate::logging::{LogFormat, Logging};
use crate::one_line;
use crate::probe::Probe;
use crate::readiness::Rules;
use crate::smoke::file::{self, FileError};
use crate::smoke::{Smoke, SmokeRequest};

mod reporter;
mod server;

/// Longest model name or version, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// How long a server may take to answer, where nothing else is said and there is as much time between questions.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings of `serve`.
#[derive(Debug)]
pub struct ServeConfig {
    /// The model to expect.
    pub expected: Expected,
    /// Where the fetcher's files are.
    pub layout: Layout,
    /// Where to serve.
    pub listen: SocketAddr,
    /// What to ask the model server.
    pub probe: Probe,
    /// What else it has to answer before the first green, if anything.
    pub smoke: Option<Smoke>,
    /// When its word counts.
    pub rules: Rules,
    /// Whom in the cluster to tell, if anybody.
    pub reporter: Option<Reporter>,
    /// How long to serve red after a signal.
    pub drain: Duration,
    /// How to log.
    pub logging: Logging,
}

/// The settings of `check`.
#[derive(Debug)]
pub struct CheckConfig {
    /// The sidecar to ask, if any.
    pub url: Option<HttpUrl>,
    /// How long to wait.
    pub wait: Duration,
    /// What to ask the model server, if anything. It is there when there is no sidecar to ask.
    pub smoke: Option<Smoke>,
}

/// A setting, by the name of its variable. Prints with its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting(&'static str);

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = self.0.trim_start_matches("HEALTH_").to_ascii_lowercase().replace('_', "-");
        write!(f, "{} (--{flag})", self.0)
    }
}

/// What is wrong with a setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It has to be set.
    #[error("{setting} is not set")]
    Missing {
        /// The setting.
        setting: Setting,
        /// What to set it to.
        hint: &'static str,
    },
    /// Its value does not do.
    #[error("{setting}: expected {expected}, got `{got}`")]
    Invalid {
        /// The setting.
        setting: Setting,
        /// What would do.
        expected: String,
        /// Its value.
        got: String,
    },
    /// Its value is not an address to ask.
    #[error("{setting} is not an address that can be asked")]
    Url {
        /// The setting.
        setting: Setting,
        /// Why.
        source: UrlError,
    },
    /// Its value is not a list of headers. That is not quoted: it holds secrets.
    #[error("{setting} cannot be used")]
    Headers {
        /// The setting.
        setting: Setting,
        /// Why.
        source: HeadersError,
    },
    /// It names a file that will not do.
    #[error("{setting}: {}", one_line::of(&.path.to_string_lossy(), 80))]
    File {
        /// The setting.
        setting: Setting,
        /// Its value.
        path: PathBuf,
        /// What is wrong with the file.
        source: FileError,
    },
    /// It has no effect as things are, which cannot be what was meant.
    #[error("{setting} has no effect without {without}")]
    Idle {
        /// The setting.
        setting: Setting,
        /// What would give it one.
        without: &'static str,
    },
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { hint, .. } => hint,
            Self::Invalid { .. } => {
                "`health-sidecar --help` explains every setting; an unset one has its default"
            }
            Self::Url { .. } => "the model server and the sidecar are asked over plain HTTP, within the Pod",
            Self::Headers { .. } => {
                "one header in each line, as `name: value`, or the path of a file with such lines"
            }
            Self::File { .. } => "the README has the format, under \"Smoke requests\"",
            Self::Idle { .. } => "unset it, or set what it belongs to",
        }
    }
}

impl ServeConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn new(flags: ServeFlags) -> Result<Self, ConfigError> {
        let smoke = match flags.smoke.clone() {
            None => None,
            Some(file) => Some(Smoke {
                server: url(Setting("HEALTH_SERVER_URL"), &flags.server_url)?,
                requests: smoke_requests(file)?,
            }),
        };
        let rules = Rules {
            period: duration_within(
                Setting("HEALTH_PROBE_PERIOD"),
                &flags.probe_period,
                Duration::from_millis(200)..=Duration::from_secs(3600),
            )?,
            failures: number(Setting("HEALTH_PROBE_FAILURES"), &flags.probe_failures, 1..=100)?,
            successes: number(Setting("HEALTH_PROBE_SUCCESSES"), &flags.probe_successes, 1..=100)?,
            smoke_requests: smoke.as_ref().map_or(0, |smoke| smoke.requests.len()),
        };
        // An answer is there, or too late, before the next question.
        let longest = rules.interval();
        let timeout = match &flags.probe_timeout {
            None => PROBE_TIMEOUT.min(longest),
            Some(text) => {
                let allowed = Duration::from_millis(10).min(longest)..=longest;
                duration_within(Setting("HEALTH_PROBE_TIMEOUT"), text, allowed)?
            }
        };
        Ok(Self {
            expected: Expected {
                name: name(Setting("MODEL_NAME"), flags.model_name.clone())?,
                version: name(Setting("MODEL_VERSION"), flags.model_version.clone())?,
            },
            listen: parsed(
                Setting("HEALTH_LISTEN"),
                &flags.listen,
                "an address and a port, such as `[::]:8090`",
            )?,
            probe: server::probe(&flags, timeout)?,
            reporter: reporter::reporter(&flags)?,
            smoke,
            rules,
            drain: duration_within(
                Setting("HEALTH_DRAIN"),
                &flags.drain,
                Duration::ZERO..=Duration::from_secs(3600),
            )?,
            logging: Logging {
                format: match flags.log_format.as_str() {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    other => return Err(invalid(Setting("HEALTH_LOG_FORMAT"), "`text` or `json`", other)),
                },
                level: level(&flags.log_level)?,
            },
            layout: Layout::new(
                directory(Setting("MODEL_DIR"), flags.model_dir)?,
                flags.model_state_dir.map(|it| directory(Setting("MODEL_STATE_DIR"), it)).transpose()?,
            ),
        })
    }
}

impl CheckConfig {
    /// Checks every setting. `smoke` is the file of smoke requests that the environment names.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn new(flags: CheckFlags, smoke: Option<OsString>) -> Result<Self, ConfigError> {
        let wait = duration_within(Setting("HEALTH_WAIT"), &flags.wait, Duration::ZERO..=duration::LONGEST)?;
        let smoke = match flags.smoke {
            None => None,
            Some(named) => Some(Smoke {
                server: url(Setting("HEALTH_SERVER_URL"), &flags.server_url)?,
                requests: smoke_requests(named.or(smoke).ok_or(ConfigError::Missing {
                    setting: Setting("HEALTH_SMOKE"),
                    hint: "name a file: `--smoke FILE`",
                })?)?,
            }),
        };
        let url = match flags.url.as_str() {
            "none" if smoke.is_none() => {
                return Err(ConfigError::Missing {
                    setting: Setting("HEALTH_SMOKE"),
                    hint: "without a sidecar to ask (`--url none`), `--smoke FILE` is all there is to do",
                });
            }
            "none" if !wait.is_zero() => {
                return Err(ConfigError::Idle {
                    setting: Setting("HEALTH_WAIT"),
                    without: "a sidecar to ask",
                });
            }
            "none" => None,
            text => Some(url(Setting("HEALTH_URL"), text)?),
        };
        Ok(Self { url, wait, smoke })
    }
}

fn smoke_requests(path: OsString) -> Result<Vec<SmokeRequest>, ConfigError> {
    let setting = Setting("HEALTH_SMOKE");
    if path.is_empty() {
        return Err(invalid(setting, "a file", ""));
    }
    let path = PathBuf::from(path);
    file::read(&path).map_err(|source| ConfigError::File { setting, path, source })
}

fn name(setting: Setting, value: Option<String>) -> Result<Option<String>, ConfigError> {
    match value {
        Some(text) if text.is_empty() || text.len() > MAX_NAME_BYTES || text.contains(char::is_control) => {
            Err(invalid(setting, "1 to 256 bytes without control characters", &text))
        }
        value => Ok(value),
    }
}

fn directory(setting: Setting, path: OsString) -> Result<PathBuf, ConfigError> {
    if path.is_empty() { Err(invalid(setting, "a directory", "")) } else { Ok(path.into()) }
}

fn url(setting: Setting, text: &str) -> Result<HttpUrl, ConfigError> {
    text.parse().map_err(|source| ConfigError::Url { setting, source })
}

fn duration_within(
    setting: Setting,
    text: &str,
    allowed: RangeInclusive<Duration>,
) -> Result<Duration, ConfigError> {
    let duration = duration::parse(text).ok_or_else(|| invalid(setting, duration::EXPECTED, text))?;
    if allowed.contains(&duration) {
        return Ok(duration);
    }
    let [shortest, longest] = [allowed.start(), allowed.end()].map(|&bound| duration::print(bound));
    Err(invalid(setting, &format!("from {shortest} to {longest}"), text))
}

fn number(setting: Setting, text: &str, allowed: RangeInclusive<u32>) -> Result<u32, ConfigError> {
    text.parse().ok().filter(|number| allowed.contains(number)).ok_or_else(|| {
        invalid(setting, &format!("a number from {} to {}", allowed.start(), allowed.end()), text)
    })
}

fn level(text: &str) -> Result<Level, ConfigError> {
    match text {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        other => {
            Err(invalid(Setting("HEALTH_LOG_LEVEL"), "`error`, `warn`, `info`, `debug` or `trace`", other))
        }
    }
}

fn parsed<T: std::str::FromStr>(setting: Setting, text: &str, expected: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| invalid(setting, expected, text))
}

fn invalid(setting: Setting, expected: &str, got: &str) -> ConfigError {
    ConfigError::Invalid { setting, expected: expected.to_owned(), got: one_line::of(got, 80) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn smoke_requests_go_to_the_server_that_is_probed() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/smoke.yaml");
        let arguments =
            ["health-sidecar", "--server", "mlflow", "--server-url", "http://h:1", "--smoke", file];
        let config = ServeConfig::new(*Cli::parse_from(arguments).serve).unwrap();
        let smoke = config.smoke.unwrap();
        assert_eq!((smoke.server, smoke.requests.len()), (config.probe.target.server, 3));
        let config = ServeConfig::new(*Cli::parse_from(&arguments[..5]).serve).unwrap();
        assert!(config.smoke.is_none());
    }
}
