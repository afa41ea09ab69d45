//! What registries have let us in with, and which mirrors are of no use: known once, for all threads of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;

use crate::config::oci::OciSettings;

/// What is sent with a request.
#[derive(Clone)]
pub(super) enum Authorization {
    Basic { username: String, password: String },
    Bearer(String),
}

impl Authorization {
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic { username, password } => request.basic_auth(username, Some(password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

/// What is known of OCI registries, and how they are reached.
#[derive(Default)]
pub struct Access {
    pub(super) settings: OciSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By registry and repository, with the time until which it counts.
    known: BTreeMap<(String, String), (Authorization, Option<Instant>)>,
    useless: BTreeSet<String>,
}

impl Access {
    /// Nothing is known yet.
    pub fn new(settings: OciSettings) -> Self {
        Self { settings, state: Mutex::default() }
    }

    /// What lets us into a repository, if that is known and still counts.
    pub(super) fn known(&self, place: &(String, String)) -> Option<Authorization> {
        let state = self.state();
        let (authorization, until) = state.known.get(place)?;
        until.is_none_or(|until| until > Instant::now()).then(|| authorization.clone())
    }

    /// Remembers what lets us into a repository.
    pub(super) fn learn(
        &self,
        place: &(String, String),
        authorization: &Authorization,
        lifetime: Option<Duration>,
    ) {
        let until = lifetime.map(|lifetime| Instant::now() + lifetime);
        self.state().known.insert(place.clone(), (authorization.clone(), until));
    }

    /// Whether a mirror has failed us in this run.
    pub(super) fn is_useless(&self, mirror: &str) -> bool {
        self.state().useless.contains(mirror)
    }

    /// Does without a mirror for the rest of the run.
    pub(super) fn give_up(&self, mirror: &str) {
        self.state().useless.insert(mirror.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("settings", &self.settings).finish_non_exhaustive()
    }
}
