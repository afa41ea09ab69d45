//! `fetcher pull`: the main job. Resolve, plan, transfer, verify, publish, receipt.

use std::io::Read as _;
use std::sync::Arc;

use handoff::{FileEntry, Integrity, Phase, Receipt, Sha256Digest, receipt};

use crate::archive::Requested;
use crate::chain;
use crate::config::Pull;
use crate::confined::Access;
use crate::error::Error;
use crate::memory::{self, Memory};
use crate::plan::{self, Plan, PlanError};
use crate::report::ticker::Ticker;
use crate::report::{Tracker, now};
use crate::retry::Budget;
use crate::signature::{self, SIGNATURE_NAME, Trust};
use crate::transfer::staging::Staging;
use crate::transfer::unpacking::Unpacking;
use crate::transfer::{self, Transfer};
use crate::verify::archived::VerifiedArchive;
use crate::verify::{VerifiedModel, seal};
use crate::volume::{Volume, failed};
use handoff::ByteSize;

/// Fetches one model, or finds it in place. Returns the line for people.
pub(crate) async fn run(job: &Pull) -> Result<String, Error> {
    let volume = Arc::new(Volume::open(job.layout.clone())?);
    let tracker = Arc::new(Tracker::new(job.wanted.reference.id(), volume.attempt()));
    let ticker = Ticker::start(Arc::clone(&tracker), volume.layout().progress());
    let outcome = tokio::select! {
        outcome = fetch(job, &volume, &tracker) => outcome,
        () = tokio::time::sleep(job.network.deadline) => Err(Error::Deadline { limit: job.network.deadline }),
        signal = crate::signal::received() => Err(Error::Interrupted { signal, progress: progress(&tracker) }),
    };
    match &outcome {
        Ok(_) => tracker.phase(Phase::Fetched),
        Err(error) => tracker.failed(error.exit_code().code(), failure_line(job, error)),
    }
    ticker.finish();
    outcome
}

/// The line that people see of a failed pull.
pub(crate) fn failure_line(job: &Pull, error: &Error) -> String {
    let line = format!("{}: {}", job.wanted.reference.id(), error.chain());
    crate::report::termination::fit(&crate::scrub::scrub(&line))
}

/// The line that people see of a model that is in place.
pub(crate) fn success_line(receipt: &Receipt, how: &str) -> String {
    let digest: String = receipt.digest.to_string().chars().take("sha256:".len() + 12).collect();
    format!("{} {digest} {} {how}", receipt.model, ByteSize(receipt.bytes))
}

/// How many files reached which rung, strongest first.
fn by_rung(receipt: &Receipt) -> String {
    let count = |rung: Integrity| (receipt.files.iter().filter(|file| file.checked == rung).count(), rung);
    let counts = Integrity::ALL.into_iter().rev().map(count).filter(|(count, _)| *count > 0);
    counts.map(|(count, rung)| format!("{count} {rung}")).collect::<Vec<_>>().join(", ")
}

fn took(seconds: f64) -> String {
    if seconds < 10.0 { format!("in {seconds:.1} s") } else { format!("in {seconds:.0} s") }
}

fn progress(tracker: &Tracker) -> String {
    let seen = tracker.snapshot(crate::report::Rate::default());
    match seen.percent() {
        Some(percent) => format!("at {percent} %"),
        None => format!("after {}", ByteSize(seen.bytes)),
    }
}

async fn fetch(job: &Pull, volume: &Arc<Volume>, tracker: &Arc<Tracker>) -> Result<String, Error> {
    // A receipt for something else is not worth a look at its files.
    let found = volume.receipt().filter(|receipt| is_wanted(job, receipt));
    let trust = job.wanted.trusted.as_ref().map(super::trust).transpose()?;
    let found = found.filter(|receipt| trust.as_ref().is_none_or(|trust| is_signed(volume, receipt, trust)));
    if let Some(receipt) = &found
        && !job.wanted.reference.is_floating()
        && holds(volume, receipt).await
    {
        return already_there(volume, receipt);
    }
    tracker.phase(Phase::Resolving);
    let budget = Budget::new(job.network.attempts, job.network.deadline);
    let connection = job.network.connect()?;
    let plan = super::plan(&job.wanted, &connection, &budget).await?;
    if let Some(receipt) = &found
        && job.wanted.reference.is_floating()
        && receipt.resolved == plan.resolved
        && plan.digest.is_none_or(|whole| whole.digest == receipt.digest)
        && holds(volume, receipt).await
    {
        return already_there(volume, receipt);
    }
    tracing::info!(
        version = plan.resolved.version,
        uri = plan.resolved.uri,
        files = plan.files.len(),
        bytes = plan.total_bytes(),
        "resolved {}",
        plan.model
    );
    tracker.planned(plan.total_bytes(), plan.files.len());
    let area = volume.staging()?;
    let staging = Staging::open(&area, &plan, volume.boot_id(), volume.unclaimed());
    let staging = staging.map_err(failed("open", area.path()))?;
    let allocated = staging.allocated().map_err(failed("look at", area.path()))?;
    let memory_limit = memory::container_limit();
    volume.check_space(plan.least_sizes(), allocated, memory_limit)?;
    volume.invalidate()?;

    tracker.phase(Phase::Fetching);
    // The connections of one client stay with the thread that opened them, so each thread has a client.
    let connections = memory::affordable(memory_limit, job.connections);
    let threads = transfer::threads(connections);
    let stores = (0..threads).map(|_| super::stores(&plan.files, &connection.apart()?));
    let transfer = Transfer {
        stores: stores.collect::<Result<_, Error>>()?,
        connections,
        memory: Memory::divide(memory_limit, job.memory, connections, plan.total_bytes()),
        budget,
        stall: job.network.stall,
        slowest: job.slowest,
        largest: job.wanted.largest,
        tracker: Arc::clone(tracker),
    };
    memory::keep_freed_buffers();
    let unpacking = Unpacking {
        stores: super::stores(&plan.files, &connection.apart()?)?,
        budget,
        filter: job.wanted.filter.clone(),
        largest: job.wanted.largest,
        tracker: Arc::clone(tracker),
    };
    let fetched = bring_in(transfer, &unpacking, &plan, &staging).await;
    let model = fetched.inspect_err(|_| {
        // What this leaves the next run does.
        let _ = staging.discard_members();
    })?;
    tracker.phase(Phase::Publishing);
    let receipt = receipt(job, &plan, &model, volume, tracker);
    crate::publish::publish(volume, &model, &receipt)?;
    for file in &receipt.files {
        tracing::debug!(size = file.size, sha256 = %file.sha256, checked = %file.checked, "{}", file.path);
    }
    let (integrity, resumed_bytes) = (receipt.integrity, receipt.resumed_bytes);
    tracing::info!(%integrity, resumed_bytes, "every file is verified: {}", by_rung(&receipt));
    Ok(success_line(&receipt, &took(receipt.seconds)))
}

/// Everything that is fetched, verified.
async fn bring_in(
    transfer: Transfer,
    unpacking: &Unpacking,
    plan: &Plan,
    staging: &Staging,
) -> Result<VerifiedModel, Error> {
    let (files, archives) = tokio::try_join!(transfer.run(plan, staging), unpacking.run(plan, staging))?;
    unpacking.tracker.phase(Phase::Verifying);
    check_members(plan, &archives)?;
    Ok(seal(files, archives, plan).inspect_err(|_| {
        // Which file is wrong nobody knows. If this fails too, the next run ends as this one did.
        let _ = staging.forget();
    })?)
}

/// The names that archives brought are held to what the plan's are.
fn check_members(plan: &Plan, archives: &[VerifiedArchive]) -> Result<(), Error> {
    if archives.is_empty() {
        return Ok(());
    }
    let members = archives.iter().flat_map(|archive| &archive.files).map(|file| &file.entry().path);
    let paths = plan.plain().map(|file| &file.path).chain(members);
    if paths.clone().next().is_none() {
        return Err(PlanError::Empty { uri: plan.resolved.uri.clone() }.into());
    }
    Ok(plan::paths::check(paths)?)
}

/// Whether a receipt is for what is asked for.
fn is_wanted(job: &Pull, receipt: &Receipt) -> bool {
    let asked = &job.wanted;
    receipt.model == asked.reference.id()
        && is_unpacked(asked.unpack, receipt)
        && match asked.pinned {
            Some(pinned) => receipt.digest == pinned,
            None => {
                receipt.selection == *asked.filter.selection()
                    && receipt.integrity >= asked.least
                    && asked.reference.led_to(&receipt.resolved)
            }
        }
}

/// Whether the archives of a model in place were unpacked as is asked for now.
fn is_unpacked(asked: Requested, receipt: &Receipt) -> bool {
    let is_archive = |file: &FileEntry| asked.format(file.path.file_name(), receipt.files.len()).is_some();
    match &receipt.unpacked {
        Some(unpacked) => asked.given().as_ref() == Some(unpacked),
        None => !receipt.files.iter().any(is_archive),
    }
}

/// Whether a model in place was signed by somebody who is trusted now. Its files were held to the signature that is
/// among them when they were fetched, so that one is looked at again.
fn is_signed(volume: &Volume, receipt: &Receipt, trust: &Trust) -> bool {
    let Some(entry) = receipt.files.iter().find(|file| file.path.as_str() == SIGNATURE_NAME) else {
        return false;
    };
    let mut bundle = Vec::new();
    let read = volume.model().file(SIGNATURE_NAME, Access::Read);
    let read = read.and_then(|file| file.take(entry.size).read_to_end(&mut bundle));
    let is_the_one = read.is_ok() && receipt.signer.is_some() && Sha256Digest::of(&bundle) == entry.sha256;
    match signature::verify(&bundle, trust) {
        Ok(_) => is_the_one,
        Err(error) => {
            tracing::warn!("fetching anew: {}", chain::line(&error));
            false
        }
    }
}

/// Whether the files are what a receipt says.
async fn holds(volume: &Arc<Volume>, receipt: &Receipt) -> bool {
    let (volume, receipt) = (Arc::clone(volume), receipt.clone());
    // May hash the whole model, and a signal must still be heard.
    match tokio::task::spawn_blocking(move || volume.check_files(&receipt)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!("fetching anew: {}", chain::line(&error));
            false
        }
        Err(_) => false,
    }
}

/// Vouches for a model that is in place. A receipt from an earlier boot was checked in full and is renewed.
fn already_there(volume: &Volume, receipt: &Receipt) -> Result<String, Error> {
    if receipt.boot_id != volume.boot_id() {
        let renewed = Receipt { boot_id: volume.boot_id().to_owned(), ..receipt.clone() };
        let path = volume.layout().receipt();
        renewed.write(&path).map_err(failed("write", &path))?;
    }
    // There is one if the run that wrote the receipt was cut off right after. The model is whole all the same.
    if let Err(error) = volume.clear_staging() {
        tracing::warn!("{}", chain::line(&error));
    }
    Ok(success_line(receipt, "already in place"))
}

fn receipt(job: &Pull, plan: &Plan, model: &VerifiedModel, volume: &Volume, tracker: &Tracker) -> Receipt {
    let files: Vec<_> = model.files().iter().map(|file| file.entry().clone()).collect();
    Receipt {
        schema: receipt::SCHEMA,
        model: plan.model.clone(),
        resolved: plan.resolved.clone(),
        selection: plan.selection.clone(),
        digest: model.digest(),
        integrity: model.integrity(),
        signer: plan.signer.clone(),
        unpacked: plan.archives().next().and_then(|_| job.wanted.unpack.given()),
        bytes: files.iter().map(|file| file.size).sum(),
        files,
        resumed_bytes: tracker.resumed_bytes(),
        seconds: (tracker.seconds() * 1000.0).round() / 1000.0,
        fetcher: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: volume.boot_id().to_owned(),
        completed_at: now(),
    }
}
