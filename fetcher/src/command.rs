//! The subcommands, each in a file of its own. Here the stages are put together; nothing is decided.

pub mod digest;
pub mod publish;
pub mod pull;
pub mod resolve;
pub mod verify;

use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use crate::config::{TrustFiles, TrustedIdentity, Wanted};
use crate::connection::Connection;
use crate::error::Error;
use crate::evidence::Reader;
use crate::limits::Limits;
use crate::manifest::Others;
use crate::plan::{self, Input, Plan, PlannedFile};
use crate::resolve::Location;
use crate::retry::Budget;
use crate::signature::{Sigstore, Trust};
use crate::store::{self, Listing, Store};
use crate::transfer::Stores;
use crate::uri::StoreUri;

/// Asks the registry and the store, and makes the plan.
async fn plan(wanted: &Wanted, connection: &Connection, budget: &Budget) -> Result<Plan, Error> {
    let trust = wanted.trusted.as_ref().map(trust).transpose()?;
    let location = crate::resolve::resolve(&wanted.reference, connection, budget).await?;
    let registered = location.manifest.as_ref();
    let listing = match registered {
        Some(manifest) if manifest.others == Others::None => Listing::Folder(Vec::new()),
        _ => list(&location, connection, budget).await?,
    };
    let files = plan::files(&location, &listing, wanted.unpack);
    // Before anything is asked of names that are none.
    plan::paths::check(files.iter().map(|file| &file.path)).map_err(Error::Plan)?;
    let stores = stores(&files, connection)?;
    let reader = Reader { files: &files, stores: &stores, budget };
    let mut manifests = Vec::new();
    let mut signer = None;
    if let Some(trust) = &trust {
        let (manifest, by) = reader.signature(trust).await?;
        manifests.push(manifest);
        signer = Some(by);
    }
    if registered.is_none_or(|manifest| manifest.others != Others::None) {
        manifests.extend(reader.sums().await?);
        // A digest over the whole vouches for every file, if all are fetched.
        let whole = files.iter().all(|file| file.is_wanted(&wanted.filter));
        let digest = registered.and_then(|manifest| manifest.digest).filter(|_| whole);
        if wanted.pinned.or(digest).is_none() {
            let known: Vec<_> = manifests.iter().chain(registered).collect();
            manifests.extend(reader.checksums(&listing, &known, &wanted.filter).await?);
        }
    }
    Ok(Plan::make(Input {
        model: wanted.reference.id(),
        registry: wanted.reference.registry(),
        location,
        listing,
        manifests,
        signer,
        filter: wanted.filter.clone(),
        pinned: wanted.pinned,
        least: wanted.least,
        largest: wanted.largest,
        unpack: wanted.unpack,
    })?)
}

/// Opens the stores that a plan reads from.
fn stores(files: &[PlannedFile], connection: &Connection) -> Result<Stores, Error> {
    let mut stores = Stores::new();
    for file in files {
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

async fn list(location: &Location, connection: &Connection, budget: &Budget) -> Result<Listing, Error> {
    let store = open(&location.uri, connection)?;
    let listing = budget.run(|| store.list()).await;
    listing.map_err(|source| Error::List { uri: location.uri.to_string(), source })
}

/// Prints to standard output; a reader that has gone is an error like any other, not a panic.
fn print(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Error::Output)
}

/// Whom the named files say to trust.
fn trust(files: &TrustFiles) -> Result<Trust, Error> {
    let read = |file: &Path| {
        bounded(file).map_err(|source| Error::TrustFile { file: file.display().to_string(), source })
    };
    let keys = files.key.as_deref().map(read).transpose()?;
    let authorities = files.certificate.as_deref().map(read).transpose()?;
    let root = files.identity.as_ref().map(|identity| read(&identity.root)).transpose()?;
    let sigstore = root
        .as_deref()
        .zip(files.identity.as_ref())
        .map(|(root, TrustedIdentity { identity, issuer, .. })| Sigstore { root, identity, issuer });
    Ok(Trust::new(keys.as_deref(), authorities.as_deref(), sigstore)?)
}

/// A small file; one that is too large for a document is refused.
fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let limit = Limits::DEFAULT.document_bytes;
    let mut content = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut content)?;
    match content.len() > limit {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(content),
    }
}
