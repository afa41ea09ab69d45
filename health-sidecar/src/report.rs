//! The JSON that people, probes and `health-sidecar check` read.

use handoff::{ModelDigest, Progress};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::condition::Record;
use crate::expected::Expected;
use crate::readiness::{Phase, Verdict};
use crate::reason::ReasonCode;
use crate::receipt_check::Accepted;
use crate::state::{ProbeRecord, SmokeRecord, State};

/// The one bit that a load balancer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The Pod may take traffic.
    Ready,
    /// It may not.
    NotReady,
}

/// The answer at `/health`.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Ready or not.
    pub status: Status,
    /// What the model is doing.
    pub phase: Phase,
    /// Why, as one of a closed list; see [`reason`](crate::reason).
    pub code: ReasonCode,
    /// Why, in one display-ready line.
    pub reason: String,
    /// Which model.
    pub model: Model,
    /// How far the fetch is; only while fetching.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Fetched>,
    /// When this phase began.
    pub since: Timestamp,
}

/// The model, as far as it is known: the receipt's word, else what is expected.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest over its files, once the receipt is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ModelDigest>,
}

/// How far the fetch is.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes there will be, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Whole percents, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// Seconds left, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
}

/// The answer at `/status`: that of `/health`, and everything behind it.
#[derive(Debug, Serialize)]
pub struct Whole<'a> {
    /// The answer at `/health`.
    #[serde(flatten)]
    pub health: Health,
    /// The model that this Pod is meant to serve.
    pub expected: &'a Expected,
    /// The receipt that counts.
    pub receipt: Option<&'a Accepted>,
    /// Why the receipt does not count, if there is one.
    pub refusal: Option<&'a str>,
    /// What the fetcher last said.
    pub fetcher: Option<&'a Progress>,
    /// How long the server took to load the model.
    pub load_seconds: Option<f64>,
    /// The last probes, oldest first.
    pub probes: Vec<&'a ProbeRecord>,
    /// What came of the smoke requests when they were last made.
    pub smoke: Option<&'a SmokeRecord>,
    /// What came of the reports to the cluster, if any are to be made.
    pub report: Option<&'a Record>,
    /// The phases so far, oldest first; the present one comes last.
    pub phases: Vec<Timing>,
}

/// How long a phase took, or is taking.
#[derive(Debug, Serialize)]
pub struct Timing {
    /// The phase.
    pub phase: Phase,
    /// When it began.
    pub since: Timestamp,
    /// How long it took, up to now if it is the present one.
    pub seconds: f64,
}

impl Health {
    /// The answer for this verdict.
    pub fn new(state: &State, verdict: Verdict) -> Self {
        let progress = state.fetcher_progress().filter(|_| verdict.phase == Phase::Fetching);
        Self {
            status: if verdict.phase == Phase::Ready { Status::Ready } else { Status::NotReady },
            phase: verdict.phase,
            code: verdict.code,
            reason: verdict.reason,
            model: match state.receipt() {
                Some(receipt) => Model {
                    name: Some(receipt.model.name.clone()),
                    version: Some(receipt.model.version.clone()),
                    digest: Some(receipt.digest),
                },
                None => Model {
                    name: state.expected().name.clone(),
                    version: state.expected().version.clone(),
                    digest: None,
                },
            },
            progress: progress.map(|progress| Fetched {
                bytes: progress.bytes,
                total_bytes: progress.total_bytes,
                percent: progress.percent(),
                eta_seconds: progress.eta_seconds,
            }),
            since: state.current().since,
        }
    }
}

impl<'a> Whole<'a> {
    /// The answer for this verdict.
    pub fn new(state: &'a State, verdict: Verdict) -> Self {
        Self {
            health: Health::new(state, verdict),
            expected: state.expected(),
            receipt: state.receipt(),
            refusal: state.refusal(),
            fetcher: state.fetcher_progress(),
            load_seconds: state.load().map(|load| load.as_secs_f64()),
            probes: state.probes().collect(),
            smoke: state.last_smoke(),
            report: state.reports(),
            phases: state
                .phases()
                .map(|(record, took)| Timing {
                    phase: record.phase,
                    since: record.since,
                    seconds: took.as_secs_f64(),
                })
                .collect(),
        }
    }
}
