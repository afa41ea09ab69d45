//! Unpacks archives while they come in.
//!
//! ```text
//!  store ──request by request──▶ feed ──pieces──▶ decoder ──members──▶ staging area
//!                                 └─ verifier                └─ a hash each
//! ```
//!
//! An archive is one stream, so it has one connection. A task asks for its bytes, goes on where a request broke off, and
//! hashes them (`feed`); a thread decodes what it is fed and writes and hashes the members
//! (`members`). Between them is a short queue. Members are nobody's files until the archive is at its end and is what it
//! must be; whatever goes wrong before removes them. Bytes of the archive are never on the disk: it is filled by the
//! members alone. A run that was cut off starts its archives over.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{Stores, TransferError};
use crate::archive::meter::{Counted, Metered};
use crate::archive::zip::directory::Directory;
use crate::archive::{Format, Unpack, UnpackError, decode, tar, zip};
use crate::filter::Filter;
use crate::limits::Limits;
use crate::plan::{Plan, PlannedFile};
use crate::report::Tracker;
use crate::retry::Budget;
use crate::store::Store;
use crate::verify::archived::VerifiedArchive;

mod directory;
mod feed;
mod layers;
mod members;
mod room;
#[cfg(test)]
mod tests;

use super::staging::Staging;
use feed::{Fed, Feed, Feeder, PIECES};
use layers::Whiteouts;
use members::Members;
use room::Room;

/// What archives are unpacked with.
pub struct Unpacking {
    /// The stores of the plan.
    pub stores: Stores,
    /// How often and how long to try.
    pub budget: Budget,
    /// Which members are wanted.
    pub filter: Filter,
    /// Bytes that the model may have.
    pub largest: u64,
    /// Where progress is counted.
    pub tracker: Arc<Tracker>,
}

impl Unpacking {
    /// Unpacks every archive of the plan.
    ///
    /// # Errors
    /// The first archive that fails ends the others.
    pub async fn run(&self, plan: &Plan, staging: &Staging) -> Result<Vec<VerifiedArchive>, TransferError> {
        let room = Arc::new(Room::beside(plan, self.largest));
        let archives = plan.archives().enumerate().map(|(number, (file, unpack))| {
            let one = Archive { unpacking: self, number, file, unpack, room: &room, staging };
            async move { one.bring_in().await }
        });
        // In order, because layers lie over each other.
        let mut unpacked = stream::iter(archives).buffered(Limits::DEFAULT.archives_at_once);
        let mut all = Vec::new();
        while let Some(archive) = unpacked.next().await {
            all.push(archive?);
        }
        Ok(layers::merge(all))
    }
}

/// One archive under way.
struct Archive<'a> {
    unpacking: &'a Unpacking,
    number: usize,
    file: &'a PlannedFile,
    unpack: &'a Unpack,
    room: &'a Arc<Room>,
    staging: &'a Staging,
}

impl Archive<'_> {
    /// From its first byte to its members, however often its source has to start over.
    async fn bring_in(&self) -> Result<(VerifiedArchive, Option<Whiteouts>), TransferError> {
        let store = self.store()?;
        let mut feeder = Feeder::new(self.file, Arc::clone(&store), self.unpacking);
        let directory = match self.unpack.format {
            Format::Zip => {
                let read = directory::read(store.as_ref(), self.file, &self.unpacking.budget).await?;
                Some(Arc::new(read))
            }
            _ => None,
        };
        loop {
            let (pieces, feed) = mpsc::channel(PIECES);
            let (members, format) = (self.members(), self.unpack.format);
            let directory = directory.clone();
            let decoding = tokio::task::spawn_blocking(move || {
                decode_all(Feed::new(feed), format, directory.as_deref(), members)
            });
            let fed = feeder.feed(pieces).await;
            let decoded =
                decoding.await.map_err(|error| TransferError::Task { reason: error.to_string() })?;
            let failed = |source| TransferError::Unpack { path: self.file.path.clone(), source };
            match fed? {
                Fed::StartsOver => {}
                // Only because nobody took them.
                Fed::Stopped => return Err(failed(decoded.err().unwrap_or(UnpackError::CutShort))),
                Fed::Whole(verifier) => {
                    let members = decoded.map_err(failed)?;
                    let archive = verifier.finish_archive(self.file)?;
                    let (members, whiteouts) = members.into_parts();
                    let archive = archive.with(members);
                    self.unpacking.tracker.file_done();
                    return Ok((archive, self.unpack.is_layer().then_some(whiteouts)));
                }
            }
        }
    }

    fn members(&self) -> Members {
        let (filter, room) = (self.unpacking.filter.clone(), Arc::clone(self.room));
        Members::new(self.staging.members(), self.number, self.file, self.unpack, filter, room)
    }

    fn store(&self) -> Result<Arc<dyn Store>, TransferError> {
        let source = &self.file.source.store;
        let nothing = || TransferError::Task { reason: format!("no store is open for {source}") };
        self.unpacking.stores.get(source).cloned().ok_or_else(nothing)
    }
}

/// Decodes an archive, on a thread that may block.
fn decode_all(
    mut feed: Feed,
    format: Format,
    directory: Option<&Directory>,
    mut members: Members,
) -> Result<Members, UnpackError> {
    match (format, directory) {
        (Format::Zip, Some(directory)) => {
            members.expect(directory.total())?;
            zip::read(&mut feed, directory, &mut members)?;
        }
        (Format::Zip, None) => return Err(UnpackError::Damaged("it has no central directory".into())),
        (Format::Tar, _) => tar::read(&mut feed, &mut members)?,
        (Format::TarGzip | Format::TarZstd, _) => {
            let counted = Counted::new(&mut feed);
            let taken = counted.taken();
            let decoder = match format {
                Format::TarGzip => decode::gzip(counted)?,
                _ => decode::zstd(counted)?,
            };
            tar::read(&mut Metered::new(decoder, taken), &mut members)?;
        }
    }
    feed.must_be_at_its_end()?;
    Ok(members)
}
