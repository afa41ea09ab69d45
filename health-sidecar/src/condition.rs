//! What `/health` says, as the condition `plimsoll.dev/ModelReady` in the cluster, for those who ask for that.
//!
//! Whoever looks at a Pod or a Deployment, and Argo CD, sees "fetching 63 %" or the cause of a failure there, and needs
//! nothing but read access to what they look at. It is off unless it is asked for, since it takes a permission that
//! nothing else here needs. [`mod@decide`] says when to write, [`patch`] what; [`cluster`] sends it.
//!
//! It is a service to people and never a condition of anything: whatever the cluster answers, or does not, readiness knows
//! nothing of it, nothing waits for it, and what went wrong stands in `/status`, in a metric, and once in the log. All is
//! bounded: one request at a time, of [`TIMEOUT`] at most, no two within the configured interval, and after a failure
//! ever fewer, down to one in about five minutes, for as long as there is something to tell.
//!
//! **What can be reported to.** A Pod keeps conditions that the kubelet does not know, and a Deployment's controller those
//! that it does not know. A StatefulSet's controller writes its status anew each time, and would drop ours. A Rollout of
//! Argo is a custom resource, whose conditions can only be replaced as a whole; to do so beside its controller would lose
//! what that has written in between. The Pods of both can be reported to.
//!
//! **Several Pods of one Deployment** write the same condition, and the last one wins. So each writes while it is not
//! ready, and once when it is; the last that becomes ready has the last word. The words begin with the Pod's name, and a
//! second condition, `plimsoll.dev/ModelReplicaSet`, has the ReplicaSet's as its message. A new rollout finds the words of
//! the old one there; whoever reads them compares that name with the one in the message of the condition `Progressing`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::pending;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use handoff::Progress;
use jiff::Timestamp;
use tokio::time;

use crate::readiness::Phase;
use crate::state::State;

pub mod cluster;
pub mod decide;
pub mod failure;
pub mod patch;
pub mod record;

pub use cluster::Cluster;
pub use patch::Target;
pub use record::Record;

use decide::{Decision, Step, Told};
use patch::Condition;

/// How often to look whether there is something to tell.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request may take, from the first file that is read for it on.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to tell, and how often.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// Whose condition it is.
    pub target: Target,
    /// Where to write it.
    pub cluster: Cluster,
    /// Least time between two requests.
    pub interval: Duration,
}

/// Tells the cluster what there is to tell, until the future is dropped.
pub async fn keep(reporter: Option<&Reporter>, state: &RefCell<State>) -> Infallible {
    let Some(Reporter { target, cluster, interval }) = reporter else { return pending().await };
    let mut decision = Decision::new(*interval);
    let (mut was_ready, mut since) = (None, Timestamp::now());
    loop {
        let (verdict, percent) = {
            let mut state = state.borrow_mut();
            (state.verdict(), state.fetcher_progress().and_then(Progress::percent))
        };
        let is_ready = verdict.phase == Phase::Ready;
        if was_ready.replace(is_ready) != Some(is_ready) {
            since = Timestamp::now();
        }
        let told = Told::new(&verdict, percent);
        match decision.step(Instant::now(), &told) {
            Step::Rest => time::sleep(LOOK).await,
            Step::Wait(until) => time::sleep_until((Instant::now() + LOOK).min(until).into()).await,
            Step::Write => {
                let condition = Condition { verdict, since, now: Timestamp::now() };
                let outcome = cluster.patch(target, &condition).await;
                match &outcome {
                    Ok(()) => decision.written(told, Instant::now()),
                    Err(failure) => decision.failed(failure.retry_after(), Instant::now(), random()),
                }
                state.borrow_mut().reported(condition, &outcome);
            }
        }
    }
}

/// A number that nobody can foresee: the Pods of a rollout must not all come back at the same time.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
