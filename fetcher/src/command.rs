//! The subcommands, each in a file of its own. Here the stages are put together; nothing is decided.

pub mod digest;
pub mod publish;
pub mod pull;
pub mod resolve;
pub mod verify;

use std::collections::hash_map::Entry;
use std::io::Write as _;
use std::sync::Arc;

use crate::config::Wanted;
use crate::connection::Connection;
use crate::error::Error;
use crate::limits::Limits;
use crate::plan::{Input, Plan, SHA256SUMS, parse_sha256sums};
use crate::resolve::{Location, Manifest};
use crate::retry::Budget;
use crate::store::{self, Listing, Store};
use crate::transfer::Stores;
use crate::uri::StoreUri;

/// Asks the registry and the store, and makes the plan.
async fn plan(wanted: &Wanted, connection: &Connection, budget: &Budget) -> Result<Plan, Error> {
    let location = crate::resolve::resolve(&wanted.reference, connection, budget).await?;
    let (listing, sums) = match location.manifest {
        Some(_) => (Listing::Folder(Vec::new()), None),
        None => list(&location, connection, budget).await?,
    };
    Ok(Plan::make(Input {
        model: wanted.reference.id(),
        registry: wanted.reference.registry(),
        location,
        listing,
        sums,
        pinned: wanted.pinned,
        least: wanted.least,
    })?)
}

/// Opens the stores that a plan reads from.
fn stores(plan: &Plan, connection: &Connection) -> Result<Stores, Error> {
    let mut stores = Stores::new();
    for file in &plan.files {
        if let Entry::Vacant(vacant) = stores.entry(file.source.store.clone()) {
            let store = open(vacant.key(), connection)?;
            vacant.insert(store);
        }
    }
    Ok(stores)
}

fn open(uri: &StoreUri, connection: &Connection) -> Result<Arc<dyn Store>, Error> {
    store::open(uri, connection).map_err(|error| Error::List { uri: uri.to_string(), source: error.into() })
}

async fn list(
    location: &Location,
    connection: &Connection,
    budget: &Budget,
) -> Result<(Listing, Option<Manifest>), Error> {
    let failed = |source| Error::List { uri: location.uri.to_string(), source };
    let store = open(&location.uri, connection)?;
    let listing = budget.run(|| store.list()).await.map_err(failed)?;
    let sums = match &listing {
        Listing::Folder(files) => files.iter().find(|file| file.path.as_str() == SHA256SUMS),
        Listing::Single(_) => None,
    };
    let Some(sums) = sums else { return Ok((listing, None)) };
    let limit = Limits::DEFAULT.document_bytes;
    let read = budget.run(|| store::read_small(store.as_ref(), &sums.path, limit)).await;
    let (content, _) = read.map_err(failed)?;
    let bad = |reason| Error::Manifest { manifest: format!("{SHA256SUMS} at {}", location.uri), reason };
    let manifest = parse_sha256sums(&content).map_err(bad)?;
    Ok((listing, Some(manifest)))
}

/// Prints to standard output; a reader that has gone is an error like any other, not a panic.
fn print(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Error::Output)
}
