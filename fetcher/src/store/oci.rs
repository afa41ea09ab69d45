//! An OCI registry as a store: the blobs of a repository, each named by its digest in hexadecimal.
//!
//! A registry has no folders. Which blobs are a model's, and what they are called there, is in a manifest;
//! [`resolve`](crate::resolve) reads it.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::{SafePath, Sha256Digest};

use super::{Body, ByteRange, Identity, Listing, Store, StoreError};
use crate::connection::Connection;
use crate::uri::oci::Repository;

mod access;
pub(crate) mod challenge;
mod registry;

pub use access::Access;
pub(crate) use registry::{Manifest, Registry};

/// The blobs of a repository.
pub struct OciStore {
    registry: Registry,
}

impl OciStore {
    /// The blobs of `repository`.
    ///
    /// # Errors
    /// As for a registry.
    pub fn new(repository: &Repository, connection: &Connection) -> Result<Self, StoreError> {
        Ok(Self { registry: Registry::new(repository, connection)? })
    }

    fn refused(&self, reason: &str) -> StoreError {
        StoreError::Refused { what: self.registry.repository().to_string(), reason: reason.to_owned() }
    }
}

impl Store for OciStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        std::future::ready(Err(
            self.refused("expected a manifest to say what is in it, and nobody asked for one")
        ))
        .boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        async move {
            let digest: Sha256Digest =
                path.as_str().parse().map_err(|_| self.refused("expected the name of a blob"))?;
            self.registry.blob(digest, identity, range).await
        }
        .boxed()
    }
}
