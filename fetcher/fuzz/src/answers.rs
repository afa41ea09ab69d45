//! Answers of registries and stores.

use fetcher::fuzzing;
use fetcher::manifest::{Manifest, Others};
use fetcher::store::ByteRange;
use fetcher::uri::StoreUri;
use handoff::{Integrity, SafePath};

use crate::{first_line, head_and_body, hold};

/// MLflow's answers about versions.
pub fn mlflow_registry(data: &[u8]) {
    hold::error(&fuzzing::mlflow_refusal(data));
    match fuzzing::mlflow_version(data) {
        Ok(version) => vouched(version),
        Err(error) => hold::error(&error),
    }
    match fuzzing::mlflow_search(data) {
        Ok(versions) => versions.into_iter().for_each(vouched),
        Err(error) => hold::error(&error),
    }
    let server = "http://mlflow:5000/prefix".parse().unwrap();
    match fuzzing::mlflow_location(data, &server) {
        Ok(Ok(uri)) => {
            // What is shown of it is as long as the registry makes it, but of one line.
            hold::message(uri.to_string().chars().take(200).collect::<String>());
            if let StoreUri::MlflowArtifacts { server: of, path, is_another } = uri {
                assert!(is_another || of == server, "credentials for the server go to that server only");
                hold::path(&path.parse().expect("a path that does not climb"));
            }
        }
        Ok(Err(error)) => hold::error(&error),
        Err(error) => hold::error(&error),
    }
}

fn vouched(version: Result<Option<Manifest>, String>) {
    match version {
        Ok(None) => {}
        Ok(Some(manifest)) => {
            assert_eq!(manifest.rung, Integrity::Registry);
            assert!(!matches!(manifest.others, Others::None), "the store is listed");
            manifest.files.iter().for_each(hold::manifest_file);
        }
        Err(reason) => hold::message(reason),
    }
}

/// A folder of MLflow's artifacts, which the first line names.
pub fn mlflow_artifacts(data: &[u8]) {
    if let Err(reason) = fuzzing::mlflow_presigned(data) {
        hold::message(reason);
    }
    let (folder, body) = first_line(data);
    let Ok(folder) = std::str::from_utf8(folder) else { return };
    if !folder.is_empty() && folder.parse::<SafePath>().is_err() {
        return;
    }
    match fuzzing::mlflow_artifacts(body, folder) {
        Ok(found) => {
            for (path, _) in found {
                hold::path(&path);
                assert!(folder.is_empty() || path.ancestors().any(|above| above == folder), "{path}");
            }
        }
        Err(reason) => hold::message(reason),
    }
}

/// A manifest of an OCI registry, after its challenge in the first line; also as Docker's file of credentials.
pub fn oci_manifest(data: &[u8]) {
    let (challenge, body) = first_line(data);
    fuzzing::oci_challenge(&String::from_utf8_lossy(challenge));
    if let Err(reason) = fuzzing::docker_login(body) {
        hold::message(reason);
    }
    match fuzzing::oci_manifest(body) {
        Ok(files) => {
            for file in &files {
                hold::manifest_file(file);
                assert!(file.size.is_some() && file.digests.len() == 1, "vouched for");
                assert!(
                    matches!(&file.uri, Some(StoreUri::Oci(uri)) if uri.digest.is_some()),
                    "by its digest"
                );
                assert!(file.unpack.is_none() || file.path.as_str().starts_with("layer-"));
            }
        }
        Err(reason) => hold::message(reason),
    }
}

/// What a Git server answers, and one for Git's large files.
pub fn git(data: &[u8]) {
    match fuzzing::git(data) {
        Ok((_, paths)) => paths.iter().for_each(hold::path),
        Err(reason) => hold::message(reason),
    }
    if let Some((name, read)) = fuzzing::git_large_file(data) {
        hold::path(&name.parse().expect("the name of an object is a file's"));
        if let Err(error) = read {
            hold::error(&error);
        }
    }
}

/// A page of a file share's listing; the first line is the marker that it was asked for by.
pub fn azure_files(data: &[u8]) {
    let (before, page) = first_line(data);
    let before = String::from_utf8_lossy(before);
    let before = Some(before.as_ref()).filter(|before| !before.is_empty());
    match fuzzing::azure_files(page, before) {
        Ok((files, folders, next)) => {
            files.iter().map(|file| &file.path).chain(&folders).for_each(hold::path);
            let mut paths = files.iter().map(|file| &file.path).chain(&folders);
            assert!(paths.all(|path| path.ancestors().any(|above| above == "a folder")));
            assert!(next.is_none_or(|next| !next.is_empty() && Some(next.as_str()) != before));
        }
        Err(reason) => hold::message(reason),
    }
}

/// What WebHDFS answers.
pub fn hdfs(data: &[u8]) {
    match fuzzing::hdfs(data) {
        Ok((files, checksum)) => {
            files.iter().for_each(|file| hold::path(&file.path));
            if let Some(digest) = checksum {
                assert_eq!(digest.as_bytes().len(), digest.algorithm().bytes());
            }
        }
        Err(error) => hold::error(&error),
    }
}

/// A page of a bucket's listing; the first line is the token that it was asked for by.
pub fn s3_page(data: &[u8]) {
    let (before, page) = first_line(data);
    let (before, page) = (String::from_utf8_lossy(before), String::from_utf8_lossy(page));
    let before = Some(before.as_ref()).filter(|before| !before.is_empty());
    let kept = fuzzing::without_folder_markers(&page);
    assert!(
        kept.len() <= page.len() && (kept == page || page.contains("/<")),
        "only what ends in a `/` goes"
    );
    match fuzzing::s3_page(&page, before) {
        Ok(()) => {
            // There is a way on, another than the one that led here, or the page is the last.
            let text = |name: &str| page.split(&format!("<{name}>")).nth(1)?.split('<').next();
            if text("IsTruncated") == Some("true") {
                let token = text("NextContinuationToken").expect("a token");
                assert!(!token.is_empty() && Some(token) != before);
            }
        }
        Err(reason) => hold::message(reason),
    }
}

/// A page of Google's listing; the first line is the prefix that it was asked for by.
pub fn gcs_page(data: &[u8]) {
    let (prefix, page) = first_line(data);
    let Ok(prefix) = std::str::from_utf8(prefix) else { return };
    match fuzzing::gcs_page(page, prefix) {
        Ok((files, next)) => {
            for file in &files {
                hold::path(&file.path);
                assert!(file.size.is_some() && file.identity.is_some(), "{}: a read is pinned", file.path);
                if let Some(checksum) = &file.checksum {
                    assert_eq!(checksum.as_bytes().len(), checksum.algorithm().bytes());
                    hold::again(checksum);
                }
            }
            assert!(next.is_none_or(|next| !next.is_empty()), "an empty token would begin anew");
        }
        Err(reason) => hold::message(reason),
    }
}

/// Headers with the checksum of an object.
pub fn checksums(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (headers, _) = head_and_body(&text);
    let Some(found) = fuzzing::checksum(&headers) else { return };
    assert_eq!(found.as_bytes().len(), found.algorithm().bytes());
    hold::again(&found);
    // A header more does not make it weaker, and the order of different ones does not matter.
    let is_once =
        |name: &str| headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count() == 1;
    if headers.iter().all(|(name, _)| is_once(name)) {
        let reversed: Vec<_> = headers.iter().rev().cloned().collect();
        assert_eq!(fuzzing::checksum(&reversed).map(|found| found.algorithm()), Some(found.algorithm()));
    }
    if is_once("x-amz-checksum-type") {
        let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-checksum-type"));
        let is_s3 = headers.iter().all(|(name, _)| name.to_ascii_lowercase().starts_with("x-amz-"));
        if let Some((_, kind)) = kind.filter(|_| is_s3) {
            assert_ne!(kind.trim(), "COMPOSITE", "which says nothing about the whole");
        }
    }
}

/// Status, length and range asked for in the first line, then headers.
pub fn answer_head(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (numbers, head) = text.split_once('\n').unwrap_or((&text, ""));
    let mut numbers = numbers.split(' ').map(|number| number.parse::<u64>().ok());
    let mut number = || numbers.next().flatten();
    let status = number().and_then(|status| u16::try_from(status).ok()).unwrap_or(206);
    let (length, start, end) = (number(), number().unwrap_or(0), number());
    let (headers, _) = head_and_body(head);
    let asked = ByteRange { start, end: end.filter(|end| *end > start) };
    match fuzzing::span_of_answer(status, &headers, length, asked) {
        Ok((starts_at, size)) => {
            assert!(starts_at == asked.start || status == 200 && starts_at == 0);
            if let (Some(size), 206) = (size, status) {
                assert!(starts_at < size, "a range from {starts_at} of a file of {size} bytes");
                let end = starts_at.checked_add(length.unwrap_or(0));
                assert!(end.is_some_and(|end| end <= size), "{length:?} bytes of {size} from {starts_at}");
            }
            if asked == ByteRange::WHOLE && status == 206 {
                assert_eq!(size, length.or(size), "the whole file");
            }
        }
        Err(error) => hold::error(&error),
    }
    if let Some(error) = fuzzing::refusal(status, &headers) {
        hold::error(&error);
        assert!(error.hint().is_none_or(|hint| !hint.is_empty()));
    }
    // Any time there is can be waited for, or told to be too long.
    let _ = fuzzing::retry_after(&headers).map(|wait| wait.checked_add(std::time::Duration::from_secs(1)));
}
