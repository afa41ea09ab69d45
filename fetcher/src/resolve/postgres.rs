//! Resolves in a metadata database: one row of the view `plimsoll.models`, by one query.
//!
//! The view is the contract; what is behind it is the database's own affair, and `fetcher/migrations` has tables for
//! who has none:
//!
//! | column | |
//! |---|---|
//! | `name`, `version` | text; one row for each |
//! | `aliases` | array of text, or null: what `@alias` finds |
//! | `uri` | text: where the bytes are, in a store that is not the local disk |
//! | `digest` | text, or null: of the whole model, as `fetcher digest` prints it |
//! | `metadata` | JSON, or null: in `sha256sums` the text of a `SHA256SUMS`; the rest is nobody's business here |

use handoff::text::shown;

use self::question::Question;
use super::{Location, ResolveError, vouched};
use crate::connection::Connection;
use crate::name::{ModelName, VersionName, VersionRef};
use crate::retry::Budget;
use crate::uri::database::DatabaseUri;
use crate::uri::{StoreUri, UriError};

mod question;

pub(super) async fn resolve(
    database: &DatabaseUri,
    name: &ModelName,
    version: &VersionRef,
    connection: &Connection,
    budget: &Budget,
) -> Result<Location, ResolveError> {
    let registry = database.to_string();
    let question = Question { database, name, version, connection };
    let answer = budget.run(|| question.ask()).await;
    let answer = answer.map_err(|source| ResolveError::Registry { registry: registry.clone(), source })?;
    let rows = answer.map_err(|reason| ResolveError::View { registry: registry.clone(), reason })?;
    if rows.is_empty() {
        return Err(ResolveError::UnknownModel { name: name.clone(), registry });
    }
    let mut wanted: Vec<_> = rows.into_iter().filter(|row| row.wanted).collect();
    if wanted.len() > 1 {
        let found: Vec<_> = wanted.iter().map(|row| shown(&row.version)).collect();
        let (name, version, found) = (name.clone(), version.clone(), found.join(", "));
        return Err(ResolveError::Ambiguous { name, version, registry, found });
    }
    let Some(row) = wanted.pop() else {
        let hint = "looked for a row of that `version`, or for `@alias` for one with it in `aliases`";
        return Err(ResolveError::UnknownVersion {
            name: name.clone(),
            version: version.clone(),
            registry,
            hint,
        });
    };
    let bad = |reason| ResolveError::BadDescriptor {
        what: format!("the row of {} {} in {registry}", name, shown(&row.version)),
        reason,
    };
    // It gets into messages and the receipt.
    row.version.parse::<VersionName>().map_err(|error| bad(error.to_string()))?;
    let manifest = vouched(row.digest.as_deref(), row.sums.as_deref()).map_err(bad)?;
    let uri = location(&row.uri).map_err(|source| {
        let (name, registry) = (name.to_string(), registry.clone());
        ResolveError::BadLocation { name, registry, source }
    })?;
    Ok(Location { version: row.version, uri, manifest })
}

/// A database must not be able to have local files read.
fn location(text: &str) -> Result<StoreUri, UriError> {
    match text.parse()? {
        StoreUri::File(_) => {
            Err(UriError::Scheme { scheme: "file".to_owned(), expected: "s3, http or https from a database" })
        }
        uri => Ok(uri),
    }
}
