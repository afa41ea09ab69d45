//! Gathers what vouches for a model beside its registry: the manifests that lie among its files, and the checksums
//! that the store keeps.
//!
//! The strongest word on a file decides what is good enough, but all that is found has to hold. The store is asked for
//! checksums only where nobody else vouches for a file: that is a request for each.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use handoff::{Integrity, SafePath, Sha256Digest};

use crate::filter::Filter;
use crate::limits::Limits;
use crate::manifest::{Manifest, ManifestFile, Others, PartDigest, SHA256SUMS, parse_sha256sums};
use crate::plan::PlannedFile;
use crate::retry::{Budget, Failed};
use crate::signature::{self, Method, SIGNATURE_NAME, SignatureError, SignedDigest, SignedFile, Trust};
use crate::store::{self, Class, Listing};
use crate::transfer::Stores;
use crate::verify::content_digest::ContentDigest;

/// How many files' checksums are asked for at the same time.
const QUESTIONS: usize = 16;

/// Why the evidence could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A manifest could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The manifest.
        path: SafePath,
        /// Why.
        source: Failed,
    },
    /// A manifest is not one.
    #[error("{path} is not usable: {reason}")]
    Manifest {
        /// The manifest.
        path: SafePath,
        /// Why.
        reason: String,
    },
    /// There is no signature where one must be.
    #[error("the model has no {SIGNATURE_NAME}, expected one, since somebody is trusted")]
    Unsigned,
    /// The signature does not vouch for the model.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// There are too many manifests.
    #[error("the model has {count} files named {SHA256SUMS}, expected at most {limit}")]
    TooMany {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// The store did not say which checksum it keeps.
    #[error("cannot ask for the checksum of {path}")]
    Checksum {
        /// The file.
        path: SafePath,
        /// Why.
        source: Failed,
    },
}

impl EvidenceError {
    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } | Self::Checksum { source, .. } => source.class(),
            Self::Manifest { .. } | Self::Unsigned | Self::Signature(_) => Class::Integrity,
            Self::TooMany { .. } => Class::Fatal,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read { source, .. } | Self::Checksum { source, .. } if source.class() == Class::Denied => {
                Some("check the store's credentials and that they may read this model")
            }
            Self::Read { source, .. } | Self::Checksum { source, .. } => source.hint(),
            Self::Signature(error) => error.hint(),
            Self::Unsigned => Some(
                "sign the model, or unset FETCHER_TRUST_KEY, _CERT, _ROOT, _IDENTITY and _ISSUER to do without",
            ),
            Self::Manifest { .. } | Self::TooMany { .. } => None,
        }
    }
}

/// Reads the files of a model, as they are planned, that say something about others.
pub struct Reader<'a> {
    /// The files.
    pub files: &'a [PlannedFile],
    /// Where they are.
    pub stores: &'a Stores,
    /// How often and how long to try.
    pub budget: &'a Budget,
}

impl Reader<'_> {
    /// Reads the signature, checks it, and gives what it vouches for and who made it.
    ///
    /// # Errors
    /// See [`EvidenceError`].
    pub async fn signature(&self, trust: &Trust) -> Result<(Manifest, String), EvidenceError> {
        let file = self.files.iter().find(|file| file.path.as_str() == SIGNATURE_NAME);
        let file = file.ok_or(EvidenceError::Unsigned)?;
        let content = self.read(file, Limits::DEFAULT.document_bytes).await?;
        let signed = signature::verify(&content, trust)?;
        let mut files: Vec<_> = signed.files().iter().map(manifest_file).collect();
        // What is fetched is what was read here.
        files.push(ManifestFile::new(file.path.clone(), Sha256Digest::of(&content)));
        if matches!(signed.method(), Method::Shards { .. }) {
            // An empty file has no shard, so it cannot be listed; there is only one content that it can have.
            let unlisted = |file: &&PlannedFile| {
                file.size == Some(0) && signed.file(&file.path).is_none() && !signed.leaves_out(&file.path)
            };
            let empty = |file: &PlannedFile| ManifestFile {
                size: Some(0),
                ..ManifestFile::new(file.path.clone(), Sha256Digest::of(b""))
            };
            files.extend(self.files.iter().filter(unlisted).map(empty));
        }
        let paths = self.files.iter().map(|file| &file.path);
        let ignored = paths.filter(|path| signed.leaves_out(path)).cloned().collect();
        let others = Others::Refused { ignored };
        let manifest = Manifest { rung: Integrity::Signed, digest: None, files, others };
        Ok((manifest, signed.signer().to_owned()))
    }

    /// Reads every `SHA256SUMS`, in whatever folder. The file itself is added to what it vouches for, so that what is
    /// fetched is what was read here.
    ///
    /// # Errors
    /// See [`EvidenceError`].
    pub async fn sums(&self) -> Result<Option<Manifest>, EvidenceError> {
        let sums: Vec<_> = self.files.iter().filter(|file| file.path.file_name() == SHA256SUMS).collect();
        let limit = Limits::DEFAULT.manifests;
        if sums.len() > limit {
            return Err(EvidenceError::TooMany { count: sums.len(), limit });
        }
        let mut files = Vec::new();
        // Together no larger than one may be.
        let mut room = Limits::DEFAULT.document_bytes;
        for file in sums {
            let content = self.read(file, room).await?;
            room = room.saturating_sub(content.len());
            let bad = |reason| EvidenceError::Manifest { path: file.path.clone(), reason };
            files.extend(parse_sha256sums(&content, &file.path).map_err(bad)?);
            files.push(ManifestFile::new(file.path.clone(), Sha256Digest::of(&content)));
        }
        Ok((!files.is_empty()).then(|| Manifest::of_some(Integrity::Manifest, files)))
    }

    /// The store's checksums of the files that are wanted and that none of the `manifests` names.
    ///
    /// # Errors
    /// See [`EvidenceError`].
    pub async fn checksums(
        &self,
        listing: &Listing,
        manifests: &[&Manifest],
        wanted: &Filter,
    ) -> Result<Option<Manifest>, EvidenceError> {
        let named: BTreeSet<_> =
            manifests.iter().flat_map(|manifest| &manifest.files).map(|file| &file.path).collect();
        let listed: BTreeMap<_, _> =
            listing.files().iter().map(|file| (&file.path, &file.checksum)).collect();
        let unknown = |file: &&PlannedFile| file.is_wanted(wanted) && !named.contains(&file.path);
        let questions = self.files.iter().filter(unknown).map(|file| {
            let known = listed.get(&file.path).and_then(|checksum| checksum.as_ref());
            async move {
                let checksum = match known {
                    Some(checksum) => Some(checksum.clone()),
                    None => self.ask(file).await?,
                };
                Ok(checksum.map(|digest| ManifestFile::new(file.path.clone(), digest)))
            }
        });
        let answers = stream::iter(questions).buffer_unordered(QUESTIONS);
        let answers = answers.collect::<Vec<Result<Option<ManifestFile>, EvidenceError>>>().await;
        let files: Vec<_> = answers.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok((!files.is_empty()).then(|| Manifest::of_some(Integrity::Store, files)))
    }

    async fn ask(&self, file: &PlannedFile) -> Result<Option<ContentDigest>, EvidenceError> {
        let Some(store) = self.stores.get(&file.source.store) else { return Ok(None) };
        let asked = || store.checksum(&file.source.path, file.source.identity.as_ref());
        let failed = |source| EvidenceError::Checksum { path: file.path.clone(), source };
        self.budget.run(asked).await.map_err(failed)
    }

    async fn read(&self, file: &PlannedFile, limit: usize) -> Result<Vec<u8>, EvidenceError> {
        let Some(store) = self.stores.get(&file.source.store) else { return Ok(Vec::new()) };
        let read = self.budget.run(|| store::read_small(store.as_ref(), &file.source.path, limit)).await;
        let failed = |source| EvidenceError::Read { path: file.path.clone(), source };
        Ok(read.map_err(failed)?.0)
    }
}

fn manifest_file(signed: &SignedFile) -> ManifestFile {
    let digest = |SignedDigest { range, digest }: &SignedDigest| PartDigest {
        range: range.clone(),
        digest: digest.clone(),
    };
    ManifestFile {
        path: signed.path.clone(),
        size: signed.size(),
        digests: signed.digests.iter().map(digest).collect(),
        uri: None,
        unpack: None,
    }
}
