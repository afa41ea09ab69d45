//! Objects of a Git repository, each a file: by Git's own name, from a pack of its own, or as a large file from its server.
//!
//! The resolver knows the commit, and of each file the name that it is asked for by, which is its digest as well; so nothing
//! else has to tell one content from another. A pack has no ranges: a broken read begins again. Large files have.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use handoff::SafePath;

use self::client::{Client, Pack, Want};
use self::pack::{Blob, Oid};
use self::tree::Pointer;
use super::presigned::{Addresses, Presigned};
use super::{Body, ByteRange, Identity, Listing, Store, StoreError};
use crate::connection::Connection;
use crate::uri::git::GitUri;

pub(crate) mod client;
pub(crate) mod large_files;
pub(crate) mod lines;
pub(crate) mod pack;
pub(crate) mod tree;

/// The objects of a repository.
pub struct GitStore {
    client: Client,
    /// For large files: without credentials of ours, and without following redirects.
    store_client: reqwest::Client,
    addresses: Addresses,
}

impl GitStore {
    /// The objects of a repository.
    pub fn new(uri: &GitUri, connection: &Connection) -> Self {
        Self {
            client: Client::new(&uri.repository, connection),
            store_client: connection.signing_client.clone(),
            addresses: Addresses::default(),
        }
    }

    /// Reads a large file. An address that is refused may be over, so there is another one, once.
    async fn read_large(
        &self,
        path: &SafePath,
        pointer: &Pointer,
        range: ByteRange,
    ) -> Result<Body, StoreError> {
        let read = |address: Presigned| async move {
            let request = large_files::request(&self.client, &self.store_client, &address);
            super::http::get(request, &address.url, None, range).await
        };
        let address = match self.addresses.get(path) {
            Some(address) => address,
            None => self.address(path, pointer).await?,
        };
        let body = match read(address).await {
            Err(StoreError::Denied { .. }) => read(self.address(path, pointer).await?).await?,
            other => other?,
        };
        // Whichever host answers may have an ETag of its own.
        Ok(Body { identity: None, ..body })
    }

    async fn address(&self, path: &SafePath, pointer: &Pointer) -> Result<Presigned, StoreError> {
        let address = large_files::address(&self.client, pointer).await?;
        self.addresses.keep(path, &address);
        Ok(address)
    }
}

/// A file that comes in, up to where its size is known.
pub(crate) struct Incoming {
    pack: Pack,
    blob: Blob,
    /// The size of the file in bytes.
    pub(crate) size: u64,
    what: String,
}

impl Incoming {
    /// Asks for a file.
    pub(crate) async fn begin(client: &Client, oid: Oid) -> Result<Self, StoreError> {
        let (mut pack, mut blob) = (client.pack(oid, Want::Object).await?, Blob::new());
        let what = format!("{oid} in {}", client.shown());
        loop {
            if let Some(size) = blob.size() {
                return Ok(Self { pack, blob, size, what });
            }
            let malformed = |reason| StoreError::Malformed { what: what.clone(), reason };
            match pack.next().await? {
                Some(bytes) => blob.push(&bytes).map_err(malformed)?,
                None => return Err(malformed("the pack ends before the file begins".to_owned())),
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let malformed = |what: &String, reason| StoreError::Malformed { what: what.clone(), reason };
        loop {
            if let Some(piece) = self.blob.pull().map_err(|reason| malformed(&self.what, reason))? {
                return Ok(Some(piece));
            }
            match self.pack.next().await? {
                Some(bytes) if !self.blob.has_ended() => {
                    self.blob.push(&bytes).map_err(|reason| malformed(&self.what, reason))?;
                }
                // The checksum of the pack, of which nothing is needed: the file has its own.
                Some(_) => {}
                None if self.blob.has_ended() => return Ok(None),
                None => return Err(malformed(&self.what, "the pack ends within the file".to_owned())),
            }
        }
    }

    fn chunks(self) -> BoxStream<'static, Result<Bytes, StoreError>> {
        stream::try_unfold(self, |mut incoming| async move {
            Ok(incoming.next().await?.map(|bytes| (bytes, incoming)))
        })
        .boxed()
    }
}

impl Store for GitStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        let reason = "its files are named by its commit".to_owned();
        std::future::ready(Err(StoreError::Refused { what: self.client.shown(), reason })).boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        _identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        async move {
            if let Some(pointer) = Pointer::of_name(path.as_str()) {
                return self.read_large(path, &pointer, range).await;
            }
            let Ok(oid) = path.as_str().parse::<Oid>() else {
                return Err(StoreError::NotFound { what: format!("{path} in {}", self.client.shown()) });
            };
            let incoming = Incoming::begin(&self.client, oid).await?;
            let size = Some(incoming.size);
            Ok(Body { starts_at: 0, identity: None, size, ends_at: size, chunks: incoming.chunks() })
        }
        .boxed()
    }
}
