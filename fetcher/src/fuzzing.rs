//! Ways in for the fuzz targets, to what reads bytes from outside and is otherwise nobody's business.
//!
//! Each function hands its bytes to the code that reads them in a run, and gives back what that made of them.

use std::path::Path;
use std::time::Duration;

use handoff::SafePath;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::catalog::DescribedFile;
use crate::manifest::{Manifest, ManifestFile};
use crate::name::VersionName;
use crate::resolve::{catalog, mlflow};
use crate::signature::bundle::{self, Material};
use crate::signature::{SignatureError, SignedManifest, statement};
#[cfg(any(feature = "azure", feature = "gcs", feature = "hdfs"))]
use crate::store::RemoteFile;
use crate::store::http::{Head, span};
use crate::store::mlflow_artifacts::{self, Found};
use crate::store::s3::pages;
use crate::store::{ByteRange, StoreError, checksum};
use crate::uri::{StoreUri, UriError};
use crate::verify::content_digest::ContentDigest;
use crate::{http, memory};

/// MLflow's answer about one version: what its tags vouch for.
///
/// # Errors
/// Why it is not one.
pub fn mlflow_version(body: &[u8]) -> Result<Result<Option<Manifest>, String>, StoreError> {
    let answer: mlflow::VersionAnswer = mlflow::read("a version".to_owned(), body)?;
    Ok(mlflow::vouched(&answer.model_version))
}

/// A page of MLflow's answer to a search: what the tags of each version vouch for.
///
/// # Errors
/// Why it is not one.
pub fn mlflow_search(body: &[u8]) -> Result<Vec<Result<Option<Manifest>, String>>, StoreError> {
    let answer: mlflow::SearchAnswer = mlflow::read("a search".to_owned(), body)?;
    Ok(answer.model_versions.iter().map(mlflow::vouched).collect())
}

/// MLflow's answer to where the bytes are.
///
/// # Errors
/// Why it is not one.
pub fn mlflow_location(body: &[u8], server: &Url) -> Result<Result<StoreUri, UriError>, StoreError> {
    let answer: mlflow::UriAnswer = mlflow::read("an address".to_owned(), body)?;
    Ok(mlflow::location(&answer.artifact_uri, server))
}

/// What MLflow says when it refuses.
pub fn mlflow_refusal(body: &[u8]) -> StoreError {
    mlflow::refusal("a question".to_owned(), StatusCode::BAD_REQUEST, body)
}

/// What is in a folder of MLflow's artifacts: files with their sizes, and folders.
///
/// # Errors
/// Why the answer is not one.
pub fn mlflow_artifacts(body: &[u8], folder: &str) -> Result<Vec<(SafePath, Option<u64>)>, String> {
    let entry = |found| match found {
        Found::Folder(path) => (path, None),
        Found::File { path, size } => (path, size),
    };
    Ok(mlflow_artifacts::found(body, folder)?.into_iter().map(entry).collect())
}

/// Whether an answer is an address that an MLflow server signed.
///
/// # Errors
/// Why it is none.
pub fn mlflow_presigned(body: &[u8]) -> Result<(), String> {
    crate::store::presigned::Presigned::read(body).map(drop)
}

/// The files of a model, as a manifest of an OCI registry has them; of an index nothing but whether one can be chosen.
///
/// # Errors
/// Why there are none.
#[cfg(feature = "oci")]
pub fn oci_manifest(body: &[u8]) -> Result<Vec<ManifestFile>, String> {
    use crate::resolve::oci::document::Document;
    use crate::resolve::oci::layers::{Files, Kind};
    let document = Document::parse(body)?;
    if document.is_index(None) {
        return document.choose().map(|_| Vec::new());
    }
    let kind = Kind::of(&document, None)?;
    let uri: crate::uri::oci::OciUri =
        "oci://host/a:v1".parse().map_err(|error: UriError| error.to_string())?;
    let mut files = Files::default();
    files.add(&document, kind, &uri.repository, false)?;
    Ok(files.files)
}

/// Whether a header makes a registry's wish to know who we are understood.
#[cfg(feature = "oci")]
pub fn oci_challenge(header: &str) -> bool {
    let headers = headers(&[("www-authenticate".to_owned(), header.to_owned())]);
    crate::store::oci::challenge::Challenge::of(&headers).is_some()
}

/// Whether Docker's file of credentials has some for a registry.
///
/// # Errors
/// Why it cannot be used.
#[cfg(feature = "oci")]
pub fn docker_login(file: &[u8]) -> Result<bool, String> {
    crate::credentials::docker::find(file, "host", "a").map(|login| login.is_some())
}

/// What a Git server answers: as lines with a pack between them, as a pack of one file, which gives its bytes, and as a pack
/// with a commit, which gives paths.
///
/// # Errors
/// Why it is none of these.
#[cfg(feature = "git")]
pub fn git(body: &[u8]) -> Result<(Vec<u8>, Vec<SafePath>), String> {
    use crate::store::git::pack::{Blob, Objects};
    use crate::store::git::{lines, tree};
    let (mut buffer, mut pack) = (bytes::BytesMut::from(body), Vec::new());
    while let Ok(Some(line)) = lines::take(&mut buffer) {
        if let lines::Line::Data(line) = line
            && let Ok(lines::Band::Pack(bytes)) = lines::band(line)
        {
            pack.extend_from_slice(&bytes);
        }
    }
    let pack = if pack.is_empty() { body } else { &pack };
    let (mut blob, mut file) = (Blob::new(), Vec::new());
    if blob.push(pack).is_ok() {
        while let Some(piece) = blob.pull()? {
            file.extend_from_slice(&piece);
        }
    }
    let objects = Objects::read(pack)?;
    let mut paths = Vec::new();
    for commit in objects.names() {
        if let Ok(Some(files)) = tree::files(&objects, commit, "") {
            paths.extend(files.into_iter().map(|file| file.path));
        }
    }
    Ok((file, paths))
}

/// What a server for Git's large files answers, and what stands for one: its name, and whether an address was read.
#[cfg(feature = "git")]
pub fn git_large_file(body: &[u8]) -> Option<(String, Result<(), StoreError>)> {
    use crate::store::git::{large_files, tree::Pointer};
    let (pointer, answer) = body.split_at(body.iter().position(|byte| *byte == b'{').unwrap_or(body.len()));
    let pointer = Pointer::read(pointer)?;
    let read = large_files::read(answer, &pointer, "a large file".to_owned());
    (Pointer::of_name(&pointer.name()) == Some(pointer)).then(|| (pointer.name(), read.map(drop)))
}

/// The files in a folder of HDFS, and what a NameNode says that it has of one, as its checksum.
///
/// # Errors
/// Why the answer is none, or what it says that went wrong.
#[cfg(feature = "hdfs")]
pub fn hdfs(body: &[u8]) -> Result<(Vec<RemoteFile>, Option<ContentDigest>), StoreError> {
    use crate::store::hdfs::answer::{self, Checksum, Folder, RemoteException};
    if let Some(exception) = RemoteException::read(body) {
        return Err(exception.classed("a question".to_owned(), StatusCode::BAD_REQUEST, &HeaderMap::new()));
    }
    if let Ok(answer) = answer::read::<Checksum>(body, "a checksum") {
        return Ok((Vec::new(), answer.file_checksum.digest()));
    }
    let files = answer::read::<Folder>(body, "a folder")?.files();
    let named = files.iter().map(|status| status.named(&status.path_suffix, &status.path_suffix));
    named.collect::<Result<_, _>>().map(|files| (files, None))
}

/// Files and folders of a file share, and where the listing goes on.
#[cfg(feature = "azure")]
pub type FilesPage = (Vec<RemoteFile>, Vec<SafePath>, Option<String>);

/// The files and folders in a page of a file share's listing, asked for by the marker `before`, and where it goes on.
///
/// # Errors
/// Why it is none.
#[cfg(feature = "azure")]
pub fn azure_files(page: &[u8], before: Option<&str>) -> Result<FilesPage, String> {
    let page = crate::store::azure::files::listing::Page::read(page, "a folder", before)?;
    Ok((page.files, page.folders, page.next))
}

/// Whether a page of a bucket's listing, asked for by the token `before`, is one to go on from.
///
/// # Errors
/// Why it is not.
pub fn s3_page(page: &str, before: Option<&str>) -> Result<(), String> {
    pages::check(page, before)
}

/// The page of a bucket's or a container's listing without what stands for folders.
pub fn without_folder_markers(page: &str) -> String {
    pages::without_folder_markers(page)
}

/// The files below a prefix in a page of Google's listing, and what the next one is asked for by.
///
/// # Errors
/// Why it is none.
#[cfg(feature = "gcs")]
pub fn gcs_page(page: &[u8], prefix: &str) -> Result<(Vec<RemoteFile>, Option<String>), String> {
    use crate::store::gcs::object;
    object::read::<object::Page>(page)?.below(prefix)
}

/// The checksum of a whole object in the headers of an answer.
pub fn checksum(headers: &[(String, String)]) -> Option<ContentDigest> {
    checksum::of_whole_object(&self::headers(headers))
}

/// Where an answer begins in its file and how large that is; and how long it asks to wait.
///
/// # Errors
/// Why it is not what was asked for.
pub fn span_of_answer(
    status: u16,
    headers: &[(String, String)],
    length: Option<u64>,
    asked: ByteRange,
) -> Result<(u64, Option<u64>), StoreError> {
    let failed = |reason: &str| StoreError::Refused { what: "a test".to_owned(), reason: reason.to_owned() };
    let status = StatusCode::from_u16(status).map_err(|_| failed("status"))?;
    let url: Url = "http://host/file".parse().map_err(|_| failed("url"))?;
    span(&Head { status, headers: &self::headers(headers), length }, &url, asked)
}

/// The error that an answer stands for which is no success.
pub fn refusal(status: u16, headers: &[(String, String)]) -> Option<StoreError> {
    let status = StatusCode::from_u16(status).ok()?;
    Some(http::classify("a question".to_owned(), status, &self::headers(headers)))
}

/// How long an answer asks to wait.
pub fn retry_after(headers: &[(String, String)]) -> Option<Duration> {
    http::retry_after(&self::headers(headers))
}

/// Those that HTTP lets through.
fn headers(pairs: &[(String, String)]) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    pairs.iter().filter_map(pair).collect()
}

/// A signature's payload and the certificates that it brings.
///
/// # Errors
/// Why it is no bundle.
pub fn bundle(bytes: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), SignatureError> {
    let bundle = bundle::parse(bytes)?;
    let certificates = match bundle.material {
        Material::Chain(certificates) => certificates,
        Material::Key { .. } | Material::Keyless => Vec::new(),
    };
    Ok((bundle.envelope.payload, certificates))
}

/// What a payload vouches for.
///
/// # Errors
/// Why it is not usable.
pub fn statement(payload: &[u8]) -> Result<SignedManifest, SignatureError> {
    statement::parse(payload, "somebody".to_owned())
}

/// The version that an alias of a catalog names.
///
/// # Errors
/// Why it is none.
pub fn alias(content: &[u8]) -> Result<VersionName, String> {
    catalog::parse_alias(content)
}

/// A file as a catalog at `root` describes it.
///
/// # Errors
/// Why it cannot be used.
pub fn described(file: DescribedFile, root: &StoreUri) -> Result<ManifestFile, String> {
    catalog::manifest_file(file, root)
}

/// The container's memory limit, as the kernel's files say it.
pub fn memory_limit(cgroup: &str, mountinfo: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    memory::limit(cgroup, mountinfo, read)
}
