//! Every reason that the sidecar can give, by a code.
//!
//! The words of a reason name what was seen: a file, an answer, a percentage. The code says which kind of situation it
//! is, from a list that is closed: it is the label of a metric, and the row of the table in `REASONS.md`, which a test
//! holds to this file. Codes are stable: alerts and runbooks use them.

use std::fmt;

use serde::Serialize;

/// Which kind of situation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "`told` says of each what it is")]
pub enum ReasonCode {
    WaitingForFetcher,
    ProgressUnusable,
    Resolving,
    Fetching,
    Verifying,
    Publishing,
    FetcherSilent,
    FetchFailed,
    CheckingReceipt,
    ReceiptMissing,
    ReceiptUnreadable,
    ReceiptInconsistent,
    OtherModel,
    FileNotInPlace,
    OtherBoot,
    AskingServer,
    ServerNotLoaded,
    ServerUnclear,
    ServerConfirming,
    ServerSilent,
    SmokeRunning,
    SmokeFailed,
    Loaded,
    LoadedInDoubt,
    Draining,
}

/// What people are told of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name in JSON, in metrics and in the table.
    pub name: &'static str,
    /// How its words look; `…` stands for what was seen.
    pub words: &'static str,
    /// What it comes from.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl ReasonCode {
    /// Every code, in the order in which a Pod that starts meets them.
    pub const ALL: [Self; 25] = [
        Self::WaitingForFetcher,
        Self::ProgressUnusable,
        Self::Resolving,
        Self::Fetching,
        Self::Verifying,
        Self::Publishing,
        Self::FetcherSilent,
        Self::FetchFailed,
        Self::CheckingReceipt,
        Self::ReceiptMissing,
        Self::ReceiptUnreadable,
        Self::ReceiptInconsistent,
        Self::OtherModel,
        Self::FileNotInPlace,
        Self::OtherBoot,
        Self::AskingServer,
        Self::ServerNotLoaded,
        Self::ServerUnclear,
        Self::ServerConfirming,
        Self::ServerSilent,
        Self::SmokeRunning,
        Self::SmokeFailed,
        Self::Loaded,
        Self::LoadedInDoubt,
        Self::Draining,
    ];

    /// Its name in JSON, metrics and logs.
    pub fn name(self) -> &'static str {
        self.told().name
    }

    /// What people are told of it.
    pub fn told(self) -> Told {
        let told = |name, words, cause, remedy| Told { name, words, cause, remedy };
        match self {
            Self::WaitingForFetcher => told(
                "waiting_for_fetcher",
                "waiting for the fetcher",
                "the fetcher has not begun, or its image is still being pulled",
                "look at the init containers of the Pod; both containers must mount the same volume at `MODEL_DIR`",
            ),
            Self::ProgressUnusable => told(
                "progress_unusable",
                "… is malformed · the fetcher's progress is for …",
                "`progress.json` is of another model or version than this container expects, or of a newer format",
                "give both containers the same `MODEL_NAME` and `MODEL_VERSION`, and images of the same release",
            ),
            Self::Resolving => told(
                "resolving",
                "resolving",
                "the fetcher asks the registry which files the version has",
                "wait; if it stays, the registry is slow or not reached: see the log of the fetcher",
            ),
            Self::Fetching => told(
                "fetching",
                "fetching 63 % at … /s, … left (attempt 2)",
                "the bytes are coming in",
                "wait; an attempt above 1 says that the container was restarted, and why is in its last state",
            ),
            Self::Verifying => told("verifying", "verifying", "the model as a whole is checked", "wait"),
            Self::Publishing => told(
                "publishing",
                "publishing · checking the receipt",
                "files are moved into place, and the receipt is written and read",
                "wait",
            ),
            Self::FetcherSilent => told(
                "fetcher_silent",
                "…; no word from the fetcher for …",
                "the fetcher was killed (most often for memory), is frozen, or cannot write to the volume",
                "see the last state of the fetcher's container: `OOMKilled` wants a higher memory limit",
            ),
            Self::FetchFailed => told(
                "fetch_failed",
                "failed: …",
                "the fetcher gave up; the words are its own",
                "do what the words say; the exit codes are explained in the README. The kubelet starts it again by itself",
            ),
            Self::CheckingReceipt => told(
                "checking_receipt",
                "checking the receipt",
                "there is a receipt, and its files are looked at",
                "wait",
            ),
            Self::ReceiptMissing => told(
                "receipt_missing",
                "the fetcher is done, but there is no receipt",
                "somebody removed the receipt, or the state directories of the two containers differ",
                "give both containers the same `MODEL_STATE_DIR`, and delete the Pod",
            ),
            Self::ReceiptUnreadable => told(
                "receipt_unreadable",
                "cannot read … · … is malformed · … has schema …",
                "the receipt is not readable for this user, was damaged, or is of a newer release",
                "set `fsGroup`; use images of the same release; delete the Pod to have the volume filled anew",
            ),
            Self::ReceiptInconsistent => told(
                "receipt_inconsistent",
                "the receipt contradicts itself: …",
                "somebody else changed the receipt",
                "mount the volume read-only in every container but the fetcher, and delete the Pod",
            ),
            Self::OtherModel => told(
                "other_model",
                "receipt is for …, expected …",
                "the volume holds another model or version than this container expects",
                "give both containers the same `MODEL_NAME` and `MODEL_VERSION`",
            ),
            Self::FileNotInPlace => told(
                "file_not_in_place",
                "model file … is missing · model file … has … bytes, expected …",
                "a file of the model was removed or changed after it was verified, or the volume is mounted elsewhere",
                "mount the volume read-only in every container but the fetcher, and delete the Pod",
            ),
            Self::OtherBoot => told(
                "other_boot",
                "the receipt is from before the node was restarted: …",
                "what was not on the disk yet may be lost, so the fetcher has to check the files again",
                "wait for the fetcher, which runs again after a restart of the node",
            ),
            Self::AskingServer => told(
                "asking_server",
                "loading: asking the server",
                "the receipt counts, and the server has not been asked since",
                "wait",
            ),
            Self::ServerNotLoaded => told(
                "server_not_loaded",
                "loading: GET …: … · no longer loaded: GET …: …",
                "the server itself says that this model is not loaded, or nobody listens there",
                "wait while it loads; if it stays, see the log of the server, and whether `HEALTH_SERVER`, `HEALTH_SERVER_URL` and `HEALTH_SERVER_MODEL` are those of this server",
            ),
            Self::ServerUnclear => told(
                "server_unclear",
                "loading: GET …: … · no longer loaded: GET …: …",
                "the server does not answer in time, closes the connection, or answers with an error of its own",
                "see whether the server is overloaded or hangs; raise `HEALTH_PROBE_TIMEOUT` and `HEALTH_PROBE_PERIOD` if it is only slow",
            ),
            Self::ServerConfirming => told(
                "server_confirming",
                "loaded, … of … times in a row",
                "the server has to say so `HEALTH_PROBE_SUCCESSES` times in a row",
                "wait",
            ),
            Self::ServerSilent => told(
                "server_silent",
                "no longer loaded: no word from the server for …",
                "the server's last good word is older than `HEALTH_PROBE_PERIOD`; this container may have had no processor time",
                "see whether the node is overloaded; give this container a processor request",
            ),
            Self::SmokeRunning => told(
                "smoke_running",
                "loaded; asking the smoke requests (…)",
                "the model is loaded, and is asked what it must be able to answer",
                "wait",
            ),
            Self::SmokeFailed => told(
                "smoke_failed",
                "smoke request \"…\": … · failed: smoke request \"…\": …",
                "the model is loaded and answers otherwise than the smoke requests say, or too late",
                "the model is not the one that the requests were written for, or its server is set up otherwise: compare, and roll back",
            ),
            Self::Loaded => told("loaded", "loaded · loaded: …", "all is well", "nothing"),
            Self::LoadedInDoubt => told(
                "loaded_in_doubt",
                "loaded; … of … answers unclear: GET …: …",
                "the server did not answer, but not often enough in a row to be taken out of service",
                "see whether the server is overloaded",
            ),
            Self::Draining => told("draining", "draining", "the Pod is being shut down", "nothing"),
        }
    }

    /// The table of all of them, as Markdown.
    pub fn table() -> String {
        let mut table = "| code | words | cause | remedy |\n|---|---|---|---|\n".to_owned();
        for code in Self::ALL {
            let Told { name, words, cause, remedy } = code.told();
            table.push_str(&format!("| `{name}` | {words} | {cause} | {remedy} |\n"));
        }
        table
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_code_has_one_name_everywhere() {
        for code in ReasonCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
        let names: BTreeSet<_> = ReasonCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), ReasonCode::ALL.len());
    }

    #[test]
    fn the_document_has_the_table() {
        let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/REASONS.md")).unwrap();
        assert!(
            document.contains(&ReasonCode::table()),
            "expected this table in REASONS.md:\n{}",
            ReasonCode::table()
        );
    }
}
