//! What Google Cloud Storage says of objects.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handoff::text::shown;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::store::{Identity, RemoteFile};
use crate::verify::content_digest::{Algorithm, ContentDigest};

/// A page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    #[serde(default)]
    items: Vec<Object>,
    next_page_token: Option<String>,
}

/// An object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    name: String,
    /// Numbers come as text.
    size: String,
    generation: String,
    crc32c: Option<String>,
    md5_hash: Option<String>,
}

/// Reads what was answered.
pub(crate) fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, String> {
    serde_json::from_slice(answer).map_err(|error| shown(&error.to_string()))
}

impl Page {
    /// The files below a prefix, and what the next page is asked for by, if there is one.
    pub(crate) fn below(self, prefix: &str) -> Result<(Vec<RemoteFile>, Option<String>), String> {
        let files = self.items.iter().filter_map(|object| object.below(prefix).transpose());
        Ok((files.collect::<Result<_, _>>()?, self.next_page_token.filter(|token| !token.is_empty())))
    }
}

impl Object {
    /// The object as a file below a prefix, or nothing for what stands for a folder.
    pub(crate) fn below(&self, prefix: &str) -> Result<Option<RemoteFile>, String> {
        let shown = || self.name.chars().take(300).collect::<String>().escape_debug().to_string();
        let Some(path) = self.name.strip_prefix(prefix) else {
            // Left out, it would be a file that the model lacks.
            return Err(format!("it lists {}, which is not below it", shown()));
        };
        let size = self.size.parse().map_err(|_| format!("the size of {} is no number", shown()))?;
        if size == 0 && (path.is_empty() || path.ends_with('/')) {
            return Ok(None);
        }
        let path = path.parse().map_err(|error: handoff::path::PathError| error.to_string())?;
        let identity = Some(Identity(self.generation.clone()));
        Ok(Some(RemoteFile { path, size: Some(size), identity, checksum: self.checksum() }))
    }

    /// The stronger of the checksums. An object that was put together from others has no MD5.
    pub(crate) fn checksum(&self) -> Option<ContentDigest> {
        let read = |algorithm, text: &Option<String>| {
            ContentDigest::new(algorithm, &BASE64_STANDARD.decode(text.as_ref()?).ok()?)
        };
        let of_each = [read(Algorithm::Crc32c, &self.crc32c), read(Algorithm::Md5, &self.md5_hash)];
        of_each.into_iter().flatten().max_by_key(ContentDigest::algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, size: &str) -> Object {
        let object = serde_json::json!({
            "name": name, "size": size, "generation": "7", "crc32c": "4waSgw==", "md5Hash": "kAFQmDzST7DWlj99KOF/cg=="
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn objects_become_files_and_those_that_stand_for_folders_do_not() {
        let file = object("a/b/c.bin", "3").below("a/").unwrap().unwrap();
        assert_eq!((file.path.as_str(), file.size), ("b/c.bin", Some(3)));
        assert_eq!(file.identity, Some(Identity("7".into())));
        assert_eq!(file.checksum.unwrap().to_string(), "crc32c:e3069283");
        for marker in ["a/", "a/b/"] {
            assert_eq!(object(marker, "0").below("a/"), Ok(None));
        }
        assert!(object("a/b", "0").below("a/").unwrap().is_some(), "an empty file is a file");
        assert!(object("a/b/", "1").below("a/").is_err(), "bytes would be left out");
        for (name, size) in [("b/c", "1"), ("a/../c", "1"), ("a/b", "-1"), ("a//b", "1")] {
            assert!(object(name, size).below("a/").is_err(), "{name} {size}");
        }
    }
}
