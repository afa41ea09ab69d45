//! What KServe tells a storage initializer by its environment in words of its own, in the words of everybody else.
//!
//! `STORAGE_CONFIG` is one entry of the Secret `storage-config`, as JSON: an address and credentials, which KServe's own
//! initializer turns into the variables of the AWS SDKs, or into the keys of its Secret for HDFS. `STORAGE_OVERRIDE_CONFIG` has what an `InferenceService` says
//! otherwise. `CA_BUNDLE_CONFIGMAP_NAME` says that certificate authorities are mounted.
//! <https://github.com/kserve/kserve/blob/master/python/storage/kserve_storage/kserve_storage.py>

use std::collections::BTreeMap;
use std::path::Path;

#[cfg(feature = "hdfs")]
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::ConfigError;
use crate::credentials::Environment;
#[cfg(feature = "hdfs")]
use crate::credentials::hdfs;

const CONFIG: &str = "STORAGE_CONFIG";
const OVERRIDE: &str = "STORAGE_OVERRIDE_CONFIG";
/// The keys of an entry of type `s3`, and the variables that they stand for.
const S3: [(&str, &str); 7] = [
    ("endpoint_url", "AWS_ENDPOINT_URL"),
    ("access_key_id", "AWS_ACCESS_KEY_ID"),
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("region", "AWS_DEFAULT_REGION"),
    ("ca_bundle", CA_BUNDLE),
    ("verify_ssl", "S3_VERIFY_SSL"),
    ("anonymous", "awsAnonymousCredential"),
];
/// The types that an entry may have.
#[cfg(feature = "hdfs")]
const TYPES: &str = "`s3`, `hdfs` or `webhdfs`";
#[cfg(not(feature = "hdfs"))]
const TYPES: &str = "`s3`";
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// Where KServe mounts its authorities, if it does not say.
const CA_FOLDER: &str = "/etc/ssl/custom-certs";
const CA_FILE: &str = "cabundle.crt";

/// The variables that KServe's own stand for. They win over those of the same name, as they do there.
///
/// # Errors
/// [`ConfigError::Unusable`] when the JSON is none, or is for a store that cannot be read.
pub(super) fn variables(environment: Environment<'_>) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let mut entry = object(CONFIG, environment)?;
    entry.extend(object(OVERRIDE, environment)?);
    let text = |key: &str| match entry.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
        Some(other) => Some(other.to_string()),
    };
    let mut variables = BTreeMap::new();
    match text("type").as_deref() {
        // Without one, KServe's initializer makes nothing of it.
        None => {}
        Some("s3") => {
            variables.extend(S3.into_iter().filter_map(|(key, variable)| Some((variable, text(key)?))));
        }
        #[cfg(feature = "hdfs")]
        Some("hdfs" | "webhdfs") => {
            for (key, variable) in hdfs::KEYS {
                let value = match (text(key), hdfs::FILES.contains(&key)) {
                    (Some(value), true) => Some(decoded(key, &value)?),
                    (value, _) => value,
                };
                variables.extend(value.map(|value| (variable, value)));
            }
        }
        Some(other) => {
            return Err(ConfigError::Unusable {
                problem: format!("{CONFIG} has the type `{}`, expected {TYPES}", other.escape_debug()),
                hint: "other stores are given credentials by variables of their own, see README.md",
            });
        }
    }
    if environment("CA_BUNDLE_CONFIGMAP_NAME").is_some()
        && environment(CA_BUNDLE).is_none()
        && !variables.contains_key(CA_BUNDLE)
    {
        let folder = environment("CA_BUNDLE_VOLUME_MOUNT_POINT").unwrap_or_else(|| CA_FOLDER.to_owned());
        variables.insert(CA_BUNDLE, Path::new(&folder).join(CA_FILE).display().to_string());
    }
    Ok(variables)
}

/// What a Secret has as a file, which is in base64 there.
#[cfg(feature = "hdfs")]
fn decoded(key: &str, value: &str) -> Result<String, ConfigError> {
    let decoded = BASE64_STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| ConfigError::Unusable {
        problem: format!("{CONFIG} has no text in base64 as {key}"),
        hint: "encode the file with `base64 -w0`",
    })
}

fn object(
    variable: &str,
    environment: Environment<'_>,
) -> Result<serde_json::Map<String, Value>, ConfigError> {
    let Some(text) = environment(variable) else { return Ok(serde_json::Map::new()) };
    // What is wrong with it is told without what is in it: it holds a secret.
    serde_json::from_str(&text).map_err(|error| ConfigError::Unusable {
        problem: format!(
            "{variable} is not a JSON object, by line {}, column {}",
            error.line(),
            error.column()
        ),
        hint: "KServe writes it from the Secret `storage-config`; check the entry that `storage.key` names",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, String> {
        let value =
            |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        variables(&value).map(|found| found.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_of_a_storage_secret_is_read_as_kserve_does() {
        let entry = r#"{"type": "s3", "access_key_id": "id", "secret_access_key": "key", "bucket": "b", "region": "",
            "endpoint_url": "http://minio:9000", "verify_ssl": false}"#;
        let expected = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_ENDPOINT_URL", "http://ceph:7480"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
            ("S3_VERIFY_SSL", "false"),
        ];
        let otherwise = r#"{"endpoint_url": "http://ceph:7480"}"#;
        let found = read(&[(CONFIG, entry), (OVERRIDE, otherwise)]).unwrap();
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(read(&[(CONFIG, r#"{"access_key_id": "id"}"#)]).unwrap(), []);
        assert_eq!(read(&[]).unwrap(), []);
    }

    #[test]
    fn authorities_are_where_kserve_mounts_them() {
        let bundle = |pairs: &[(&str, &str)]| {
            read(pairs).unwrap().into_iter().map(|(_, path)| path).collect::<Vec<_>>()
        };
        let named = ("CA_BUNDLE_CONFIGMAP_NAME", "authorities");
        assert_eq!(bundle(&[named]), ["/etc/ssl/custom-certs/cabundle.crt"]);
        assert_eq!(bundle(&[named, ("CA_BUNDLE_VOLUME_MOUNT_POINT", "/ca")]), ["/ca/cabundle.crt"]);
        assert_eq!(bundle(&[named, (CA_BUNDLE, "/own.pem")]), [""; 0]);
        assert_eq!(bundle(&[named, (CONFIG, r#"{"type": "s3", "ca_bundle": "/own.pem"}"#)]), ["/own.pem"]);
        assert_eq!(bundle(&[("CA_BUNDLE_VOLUME_MOUNT_POINT", "/ca")]), [""; 0]);
    }

    #[test]
    fn what_is_wrong_with_it_is_told_without_its_secrets() {
        let error = read(&[(CONFIG, "{\"type\": \"s3\", \"secret_access_key\": \"hunter2\"")]).unwrap_err();
        assert_eq!(error, "STORAGE_CONFIG is not a JSON object, by line 1, column 45");
        assert_eq!(
            read(&[(OVERRIDE, "[]")]).unwrap_err(),
            "STORAGE_OVERRIDE_CONFIG is not a JSON object, by line 1, column 0"
        );
        let error = read(&[(CONFIG, r#"{"type": "gs"}"#)]).unwrap_err();
        assert_eq!(error, format!("STORAGE_CONFIG has the type `gs`, expected {TYPES}"));
    }

    #[cfg(feature = "hdfs")]
    #[test]
    fn an_entry_for_hdfs_stands_for_the_keys_of_its_secret() {
        let entry = r#"{"type": "webhdfs", "HDFS_NAMENODE": "http://nn:9870", "USER_PROXY": "me", "TLS_CA": "cGVt",
            "N_THREADS": "2"}"#;
        let found = read(&[(CONFIG, entry)]).unwrap();
        let expected =
            [("HDFS_NAMENODE", "http://nn:9870"), ("HDFS_TLS_CA", "pem"), ("HDFS_USER_PROXY", "me")];
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
        let error = read(&[(CONFIG, r#"{"type": "hdfs", "TLS_KEY": "hunter2!"}"#)]).unwrap_err();
        assert_eq!(error, "STORAGE_CONFIG has no text in base64 as TLS_KEY");
    }
}
