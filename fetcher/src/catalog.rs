//! The catalog: a registry that is nothing but files beside the weights.
//!
//! `<root>/<name>/<version>/model.yaml` describes a version. It is written last and never again, so its
//! presence is the commit mark and a version is immutable. `<root>/<name>/aliases/<alias>` holds the name of a
//! version. This module has the format and the paths; reading is in [`resolve`](crate::resolve), writing in
//! the `publish` command.

use std::collections::BTreeMap;

use handoff::path::PathError;
use handoff::text::shown;
use handoff::{ModelDigest, SafePath, Sha256Digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{ModelName, VersionName};

/// Name of the folder of aliases; no version can be called that.
pub const ALIASES: &str = "aliases";
/// Name of the descriptor.
pub const DESCRIPTOR: &str = "model.yaml";
/// Name of the mark that a publish is under way; it holds the digest that is being published.
pub const CLAIM: &str = ".publishing";

const API_VERSION: &str = "plimsoll.dev/v1";
const KIND: &str = "Model";

/// `model.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    api_version: String,
    kind: String,
    /// The model.
    pub name: String,
    /// The version.
    pub version: String,
    /// When it was published.
    pub created_at: Timestamp,
    /// The digest over all files.
    pub digest: ModelDigest,
    /// The files, sorted by path.
    pub files: Vec<DescribedFile>,
    /// Measured qualities.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Where it came from, in whatever terms the publisher chose.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub source: BTreeMap<String, String>,
}

/// One file of a described version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedFile {
    /// Where it goes.
    pub path: SafePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// Where its bytes are, if not beside the descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// What a publisher knows of a version.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: VersionName,
    /// The files.
    pub files: Vec<DescribedFile>,
    /// Measured qualities.
    pub metrics: BTreeMap<String, f64>,
    /// Where it came from.
    pub source: BTreeMap<String, String>,
}

impl Descriptor {
    /// Describes a version that is published at `created_at`.
    pub fn new(version: NewVersion, created_at: Timestamp) -> Self {
        let mut files = version.files;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            name: version.name.to_string(),
            version: version.version.to_string(),
            created_at,
            digest: ModelDigest::of(files.iter().map(|file| (&file.path, file.sha256))),
            files,
            metrics: version.metrics,
            source: version.source,
        }
    }

    /// Reads a descriptor and checks that it is one, that it describes `name` and `version`, and that its
    /// digest is that of the files it lists.
    ///
    /// # Errors
    /// Says what is wrong, for people.
    pub fn parse(text: &[u8], name: &ModelName, version: &VersionName) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let descriptor: Self = serde_saphyr::from_str(text).map_err(|error| one_line(&error.to_string()))?;
        let expect = |field: &str, expected: &str, got: &str| match expected == got {
            true => Ok(()),
            false => Err(format!("expected {field} `{expected}`, got `{}`", shown(got))),
        };
        expect("apiVersion", API_VERSION, &descriptor.api_version)?;
        expect("kind", KIND, &descriptor.kind)?;
        expect("name", name.as_str(), &descriptor.name)?;
        expect("version", version.as_str(), &descriptor.version)?;
        let listed = ModelDigest::of(descriptor.files.iter().map(|file| (&file.path, file.sha256)));
        expect("digest", &listed.to_string(), &descriptor.digest.to_string())?;
        Ok(descriptor)
    }

    /// The descriptor as YAML.
    ///
    /// # Errors
    /// Fails only as the YAML library does.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        serde_saphyr::to_string(self)
    }
}

/// YAML errors come with a drawing of the place; messages here are one line.
fn one_line(text: &str) -> String {
    shown(text.lines().next().unwrap_or_default())
}

/// Where a file of a version is, below the catalog's root.
///
/// # Errors
/// Fails when the whole path is longer or deeper than a path may be.
pub fn version_path(name: &ModelName, version: &VersionName, file: &str) -> Result<SafePath, PathError> {
    format!("{name}/{version}/{file}").parse()
}

/// Where an alias is, below the catalog's root.
///
/// # Errors
/// As [`version_path`].
pub fn alias_path(name: &ModelName, alias: &VersionName) -> Result<SafePath, PathError> {
    format!("{name}/{ALIASES}/{alias}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Descriptor {
        let file = |path: &str, content: &[u8]| DescribedFile {
            path: path.parse().unwrap(),
            size: u64::try_from(content.len()).unwrap(),
            sha256: Sha256Digest::of(content),
            uri: None,
        };
        let version = NewVersion {
            name: "team/fraud".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            files: vec![file("z: [odd] name.bin", b"z"), file("a", b"a")],
            metrics: BTreeMap::from([("f1".to_owned(), 0.93)]),
            source: BTreeMap::from([("run".to_owned(), "yes".to_owned())]),
        };
        Descriptor::new(version, "2026-11-20T10:00:00Z".parse().unwrap())
    }

    fn parse(text: &str) -> Result<Descriptor, String> {
        Descriptor::parse(text.as_bytes(), &"team/fraud".parse().unwrap(), &"1.0".parse().unwrap())
    }

    #[test]
    fn a_descriptor_reads_back_even_where_its_words_look_like_yaml() {
        let yaml = descriptor().to_yaml().unwrap();
        assert_eq!(parse(&yaml), Ok(descriptor()), "{yaml}");
    }

    #[test]
    fn a_descriptor_for_something_else_is_refused() {
        let yaml = descriptor().to_yaml().unwrap();
        for (from, to, word) in [
            ("plimsoll.dev/v1", "plimsoll.dev/v2", "apiVersion"),
            ("team/fraud", "team/other", "name"),
            ("kind: Model", "kind: Dataset", "kind"),
        ] {
            let error = parse(&yaml.replace(from, to)).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let tampered = yaml.replace(&Sha256Digest::of(b"a").to_string(), &Sha256Digest::of(b"b").to_string());
        assert!(parse(&tampered).unwrap_err().starts_with("expected digest"));
        let escaping = yaml.replace("path: a\n", "path: ../a\n");
        assert!(parse(&escaping).is_err());
    }

    #[test]
    fn an_expanding_document_is_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let previous = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![previous; 10].join(","));
        }
        assert!(parse(&bomb).is_err());
    }
}
