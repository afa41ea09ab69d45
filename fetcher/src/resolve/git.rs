//! Resolves in a Git repository: a branch or a tag to its commit, and that to the files of a folder.
//!
//! The commit's name is the hash of what it says, and so on down to each file: whatever a server sends, it is held to the
//! commit. Of large files the commit has the SHA-256; of the others the size has to be asked for, where they are not small
//! enough to have come with it.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use handoff::Integrity;

use super::{Location, ResolveError};
use crate::connection::Connection;
use crate::manifest::{Manifest, ManifestFile, Others, PartDigest};
use crate::retry::{Budget, Failed};
use crate::store::git::Incoming;
use crate::store::git::client::{Client, Want};
use crate::store::git::pack::{Kind, Objects, Oid};
use crate::store::git::tree::{self, File, Pointer};
use crate::store::{Class, StoreError};
use crate::uri::StoreUri;
use crate::uri::git::{GitPart, GitUri, is_commit};
use crate::verify::content_digest::{Algorithm, ContentDigest};

/// How many files' sizes are asked for at the same time.
const QUESTIONS: usize = 8;

/// Resolves an address, in the words of whoever wrote it.
pub(super) async fn resolve(
    uri: &GitUri,
    connection: &Connection,
    budget: &Budget,
) -> Result<Location, ResolveError> {
    let failed = |source: Failed| ResolveError::Repository { uri: uri.to_string(), source };
    let client = budget.run(|| greeted(uri, connection)).await.map_err(failed)?;
    let commit = budget.run(|| commit(&client, uri)).await.map_err(failed)?;
    let objects = budget.run(|| objects(&client, commit)).await.map_err(failed)?;
    let files = in_folder(&objects, commit, uri).map_err(|error| failed(error.into()))?;
    let asked = stream::iter(files).map(|file| {
        let (client, objects, repository) = (&client, &objects, uri.at_repository(client.repository()));
        async move { budget.run(|| described(client, objects, &repository, &file)).await }
    });
    let files = asked.buffered(QUESTIONS).try_collect().await.map_err(failed)?;
    let manifest = Manifest { rung: Integrity::Registry, digest: None, files, others: Others::None };
    let uri = StoreUri::Git(uri.at(&commit.to_string()));
    Ok(Location { version: commit.to_string(), uri, manifest: Some(manifest) })
}

async fn greeted(uri: &GitUri, connection: &Connection) -> Result<Client, StoreError> {
    let mut client = Client::new(&uri.repository, connection);
    client.greet().await?;
    Ok(client)
}

async fn commit(client: &Client, uri: &GitUri) -> Result<Oid, StoreError> {
    let revision = uri.version();
    match revision.as_deref().filter(|revision| is_commit(revision)).map(str::parse) {
        Some(Ok(commit)) => Ok(commit),
        _ => {
            let found = client.commit(revision.as_deref()).await?;
            found.ok_or_else(|| StoreError::NotFound { what: uri.to_string() })
        }
    }
}

async fn objects(client: &Client, commit: Oid) -> Result<Objects, StoreError> {
    let pack = client.pack(commit, Want::Commit).await?.whole().await?;
    Objects::read(&pack).map_err(|reason| client.malformed(reason))
}

fn in_folder(objects: &Objects, commit: Oid, uri: &GitUri) -> Result<Vec<File>, StoreError> {
    let folder = match &uri.part {
        GitPart::Folder { folder, .. } => folder,
        GitPart::Object(_) => "",
    };
    let what = || uri.at(&commit.to_string()).to_string();
    let files = tree::files(objects, commit, folder);
    let files = files.map_err(|reason| StoreError::Malformed { what: what(), reason })?;
    files.ok_or_else(|| StoreError::NotFound { what: what() })
}

/// What the commit says of a file, and how large that is.
async fn described(
    client: &Client,
    objects: &Objects,
    repository: &GitUri,
    file: &File,
) -> Result<ManifestFile, StoreError> {
    let small = objects.get(file.oid, Kind::Blob);
    let (name, size, digest) = match small.and_then(Pointer::read) {
        Some(pointer) => (pointer.name(), pointer.size, pointer.sha256.into()),
        None => {
            let size = match small {
                Some(content) => u64::try_from(content.len()).unwrap_or(u64::MAX),
                None => Incoming::begin(client, file.oid).await?.size,
            };
            let digest = ContentDigest::new(Algorithm::GitBlob, &file.oid.0);
            let digest = digest.ok_or_else(|| client.malformed("a name is not a SHA-1".to_owned()))?;
            (file.oid.to_string(), size, digest)
        }
    };
    Ok(ManifestFile {
        path: file.path.clone(),
        size: Some(size),
        digests: vec![PartDigest { range: None, digest }],
        uri: Some(StoreUri::Git(repository.object(name))),
        unpack: None,
    })
}

impl ResolveError {
    /// What the user can do where a repository did not give what is asked for.
    pub(super) fn repository_hint(source: &Failed) -> Option<&'static str> {
        match source.class() {
            Class::NotFound => Some(
                "check the repository's address, and the branch, the tag, the commit of all its 40 digits, or the folder",
            ),
            Class::Denied => Some(
                "a private repository needs GIT_USERNAME and GIT_PASSWORD of who may read it; to others it may be one that is not there",
            ),
            _ => source.hint(),
        }
    }
}
