//! `fetcher publish`: adds a version to a catalog.
//!
//! Files are hashed, claimed, uploaded, and then described: `model.yaml` is put last, only if it is not there
//! yet. The claim holds the digest being published, so that two publishers of the same version go on side by side
//! only if they write the same bytes; of different ones, the second is turned away before it overwrites
//! anything. It also shows whether the store keeps the promise that a create-only write is one.

use std::path::Path;

use bytes::Bytes;
use handoff::{ModelDigest, SafePath};

use super::digest::{HashedFile, hash_directory};
use crate::catalog::{CLAIM, DESCRIPTOR, DescribedFile, Descriptor, NewVersion, alias_path, version_path};
use crate::config::Publish;
use crate::error::Error;
use crate::limits::Limits;
use crate::name::VersionName;
use crate::plan::paths;
use crate::report::now;
use crate::retry::{Budget, Failed};
use crate::store::{self, StoreError, WritableStore, read_small};
use crate::verify::hash_file;
use handoff::ByteSize;

pub(crate) async fn run(job: &Publish) -> Result<String, Error> {
    let files = hash_directory(&job.directory)?;
    // What no volume could hold is not published.
    paths::check(files.iter().map(|file| &file.path))?;
    let target = Target::open(job)?;
    target.check_files(&files)?;
    target.check_absent().await?;
    let digest = ModelDigest::of(files.iter().map(|file| (&file.path, file.sha256)));
    target.claim(digest).await?;
    // Again: between the first look and the claim, another publisher may have finished and removed its own.
    if let Err(error) = target.check_absent().await {
        target.remove_claim().await;
        return Err(error);
    }
    for file in &files {
        target.upload(&job.directory, file).await?;
    }
    target.describe(files, digest).await?;
    for alias in &job.aliases {
        target.point(alias).await?;
    }
    Ok(format!("published {} {} {digest}", job.name, job.version))
}

/// The version being published, in its catalog.
struct Target<'a> {
    job: &'a Publish,
    store: std::sync::Arc<dyn WritableStore>,
    budget: Budget,
}

impl<'a> Target<'a> {
    fn open(job: &'a Publish) -> Result<Self, Error> {
        let store = store::open_writable(&job.catalog, &job.network.connect()?).map_err(|error| {
            Error::Catalog { action: "open", catalog: job.catalog.to_string(), source: error.into() }
        })?;
        Ok(Self { job, store, budget: Budget::new(job.network.attempts, job.network.deadline) })
    }

    fn failed(&self, action: &'static str) -> impl Fn(Failed) -> Error + '_ {
        move |source| Error::Catalog { action, catalog: self.job.catalog.to_string(), source }
    }

    fn path(&self, file: &str) -> Result<SafePath, Error> {
        version_path(&self.job.name, &self.job.version, file)
            .map_err(|error| self.refused(&error.to_string()))
    }

    fn refused(&self, reason: &str) -> Error {
        let (what, reason) = (self.job.directory.display().to_string(), reason.to_owned());
        Error::Directory { directory: what.clone(), source: StoreError::Refused { what, reason } }
    }

    /// A catalog's own names cannot be a model's.
    fn check_files(&self, files: &[HashedFile]) -> Result<(), Error> {
        if files.is_empty() {
            return Err(self.refused("it holds no files"));
        }
        let own = files.iter().find(|file| [DESCRIPTOR, CLAIM].contains(&file.path.as_str()));
        match own {
            Some(file) => {
                Err(self.refused(&format!("{} is a name that a catalog keeps for itself", file.path)))
            }
            None => Ok(()),
        }
    }

    async fn read(&self, path: &SafePath) -> Result<Option<Vec<u8>>, Failed> {
        let limit = Limits::DEFAULT.document_bytes;
        match self.budget.run(|| read_small(self.store.as_ref(), path, limit)).await {
            Ok((content, _)) => Ok(Some(content)),
            Err(Failed::Final(StoreError::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn check_absent(&self) -> Result<(), Error> {
        match self.read(&self.path(DESCRIPTOR)?).await.map_err(self.failed("read from"))? {
            Some(_) => Err(self.exists()),
            None => Ok(()),
        }
    }

    fn exists(&self) -> Error {
        let version = format!("{} {}", self.job.name, self.job.version);
        Error::VersionExists { version, catalog: format!("catalog+{}", self.job.catalog) }
    }

    /// Puts the claim, or finds that it is there for the same content.
    async fn claim(&self, digest: ModelDigest) -> Result<(), Error> {
        let path = self.path(CLAIM)?;
        let content = Bytes::from(digest.to_string());
        // Twice: the second must be refused, or the store does not know create-only writes.
        for _ in 0..2 {
            match self.budget.run(|| self.store.create(&path, content.clone())).await {
                Ok(()) => {}
                Err(Failed::Final(StoreError::Exists { .. })) => {
                    let found = self.read(&path).await.map_err(self.failed("read from"))?;
                    return match found {
                        Some(found) if found != content => Err(Error::Claimed {
                            version: format!("{} {}", self.job.name, self.job.version),
                            claim: format!("{path} in {}", self.job.catalog),
                        }),
                        _ => Ok(()),
                    };
                }
                Err(error) => return Err(self.failed("write to")(error)),
            }
        }
        let _ = self.store.remove(&path).await;
        let catalog = self.job.catalog.to_string();
        Err(Error::UnfitCatalog { catalog, problem: "overwrites a file in answer to a create-only write" })
    }

    async fn upload(&self, directory: &Path, file: &HashedFile) -> Result<(), Error> {
        let source = match directory.is_file() {
            true => directory.to_owned(),
            false => file.path.below(directory),
        };
        let path = self.path(file.path.as_str())?;
        tracing::info!("uploading {} ({})", file.path, ByteSize(file.size));
        let uploaded = self.budget.run(|| self.store.upload(&path, &source)).await;
        uploaded.map_err(self.failed("write to"))?;
        // What was uploaded must be what will be described.
        match hash_file(&source) {
            Ok((size, sha256)) if (size, sha256) == (file.size, file.sha256) => Ok(()),
            _ => Err(Error::Unsteady { path: source.display().to_string() }),
        }
    }

    async fn describe(&self, files: Vec<HashedFile>, digest: ModelDigest) -> Result<(), Error> {
        let files = files.into_iter().map(|file| DescribedFile {
            path: file.path,
            size: file.size,
            sha256: file.sha256,
            uri: None,
        });
        let version = NewVersion {
            name: self.job.name.clone(),
            version: self.job.version.clone(),
            files: files.collect(),
            metrics: self.job.metrics.clone(),
            source: self.job.source.clone(),
        };
        let descriptor = Descriptor::new(version, now());
        let yaml = descriptor.to_yaml().map_err(|error| self.refused(&error.to_string()))?;
        let path = self.path(DESCRIPTOR)?;
        let created = self.budget.run(|| self.store.create(&path, Bytes::from(yaml.clone()))).await;
        match created {
            Ok(()) => {}
            Err(Failed::Final(StoreError::Exists { .. })) if self.is_ours(&path, digest).await? => {}
            Err(Failed::Final(StoreError::Exists { .. })) => return Err(self.exists()),
            Err(error) => return Err(self.failed("write to")(error)),
        }
        self.remove_claim().await;
        Ok(())
    }

    /// Left behind, a claim does no harm once the version exists: nothing is published to it again.
    async fn remove_claim(&self) {
        if let Ok(path) = self.path(CLAIM)
            && let Err(error) = self.store.remove(&path).await
        {
            tracing::warn!("cannot remove the claim: {error}");
        }
    }

    /// Whether the descriptor that is there describes the same content: our own earlier attempt whose answer was
    /// lost, or another publisher of the same files.
    async fn is_ours(&self, path: &SafePath, digest: ModelDigest) -> Result<bool, Error> {
        let found = self.read(path).await.map_err(self.failed("read from"))?.unwrap_or_default();
        let found = Descriptor::parse(&found, &self.job.name, &self.job.version);
        Ok(found.is_ok_and(|found| found.digest == digest))
    }

    /// Points an alias at the new version, by compare-and-swap.
    async fn point(&self, alias: &VersionName) -> Result<(), Error> {
        let path = alias_path(&self.job.name, alias).map_err(|error| self.refused(&error.to_string()))?;
        let mut attempts = self.budget.begin();
        loop {
            match self.point_once(&path).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    // Somebody moved it between our look and our write: look again, within the budget.
                    let again = match error {
                        StoreError::Changed { what } | StoreError::Exists { what } => {
                            let reason = "the alias was moved by somebody else".to_owned();
                            StoreError::Unavailable { what, reason, retry_after: None, source: None }
                        }
                        other => other,
                    };
                    attempts.pause_after(again).await.map_err(self.failed("write an alias to"))?;
                }
            }
        }
    }

    async fn point_once(&self, path: &SafePath) -> Result<(), StoreError> {
        let content = Bytes::from(format!("{}\n", self.job.version));
        match read_small(self.store.as_ref(), path, Limits::DEFAULT.document_bytes).await {
            Ok((found, _)) if found == content => Ok(()),
            Ok((_, Some(identity))) => self.store.swap(path, &identity, content).await,
            Ok((_, None)) => Err(StoreError::Refused {
                what: path.to_string(),
                reason: "the store gives no ETag, without which an alias cannot be moved safely".into(),
            }),
            Err(StoreError::NotFound { .. }) => self.store.create(path, content).await,
            Err(error) => Err(error),
        }
    }
}
