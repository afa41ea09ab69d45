//! What a registry keeps under a tag or a digest: a manifest, or an index of manifests for several platforms.
//!
//! OCI image specification 1.1, "Image Manifest" and "Image Index", and the documents of Docker that those come from.

use std::collections::BTreeMap;

use handoff::Sha256Digest;
use handoff::text::shown;
use serde::Deserialize;

use crate::limits::Limits;

/// The platform whose manifest is taken where there are several; a model is the same on all of them.
const PLATFORM: (&str, &str) = ("linux", "amd64");
/// What is an index, beside what has no layers and names manifests.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// What a blob or a manifest is, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What kind of content it is.
    pub(crate) media_type: String,
    /// `sha256:…`, or a digest that is of no use here.
    pub(crate) digest: String,
    /// Its bytes.
    pub(crate) size: u64,
    /// What else is said of it.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

/// Either of the two.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    media_type: Option<String>,
    /// What kind of artifact it is.
    pub(crate) artifact_type: Option<String>,
    /// What its layers are part of.
    pub(crate) config: Option<Descriptor>,
    /// Its content, in order.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    manifests: Vec<Descriptor>,
}

/// Takes `null` for nothing, as programs write it that have nothing to say.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Descriptor {
    /// The digest, if it is one that vouches for anything here.
    pub(crate) fn sha256(&self) -> Result<Sha256Digest, String> {
        crate::uri::oci::digest(&self.digest)
            .map_err(|_| format!("expected a digest by sha256, got `{}`", shown(&self.digest)))
    }
}

impl Document {
    /// Reads one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Self = serde_json::from_slice(bytes).map_err(|error| shown(&error.to_string()))?;
        let limit = Limits::DEFAULT.oci_layers;
        match document.layers.len().max(document.manifests.len()) > limit {
            true => Err(format!("it has more than {limit} layers or manifests")),
            false => Ok(document),
        }
    }

    /// What it says that it is; `told` is what the registry says.
    pub(crate) fn media_type<'a>(&'a self, told: Option<&'a str>) -> &'a str {
        self.media_type.as_deref().or(told).unwrap_or("a document without a media type")
    }

    /// Whether it is an index; `told` is what the registry says that it is.
    pub(crate) fn is_index(&self, told: Option<&str>) -> bool {
        INDEXES.contains(&self.media_type(told)) || (self.config.is_none() && !self.manifests.is_empty())
    }

    /// The manifest of an index that is taken: the only one, or that of our platform.
    pub(crate) fn choose(&self) -> Result<Sha256Digest, String> {
        let platform = |manifest: &Descriptor| {
            let platform = manifest.platform.clone().unwrap_or_default();
            (platform.os, platform.architecture)
        };
        // What builders add about how an image was made runs nowhere.
        let is_content = |manifest: &&Descriptor| platform(manifest).0 != "unknown";
        let content: Vec<_> = self.manifests.iter().filter(is_content).collect();
        if let [only] = content.as_slice() {
            return only.sha256();
        }
        let ours = |manifest: &&&Descriptor| {
            let (os, architecture) = platform(manifest);
            (os.as_str(), architecture.as_str()) == PLATFORM
        };
        let (os, architecture) = PLATFORM;
        content.iter().find(ours).map(|manifest| manifest.sha256()).unwrap_or_else(|| {
            Err(format!(
                "expected one manifest, or one for {os}/{architecture}, got {} for other platforms",
                content.len()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, &str)]) -> Document {
        let manifests = platforms.iter().enumerate().map(|(number, (os, architecture))| {
            serde_json::json!({"mediaType": "m", "size": 1, "digest": format!("sha256:{number:064x}"),
                "platform": {"os": os, "architecture": architecture}})
        });
        let text = serde_json::json!({"manifests": manifests.collect::<Vec<_>>(), "layers": null});
        Document::parse(text.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_only_manifest_is_taken_or_that_of_our_platform() {
        let choose =
            |platforms: &[(&str, &str)]| index(platforms).choose().map(|digest| digest.as_bytes()[31]);
        assert!(index(&[("linux", "arm64")]).is_index(None));
        assert_eq!(choose(&[("linux", "arm64"), ("unknown", "unknown")]), Ok(0));
        assert_eq!(choose(&[("linux", "arm64"), ("linux", "amd64")]), Ok(1));
        for none in [&[][..], &[("linux", "arm64"), ("windows", "amd64")]] {
            assert!(choose(none).unwrap_err().starts_with("expected one manifest"), "{none:?}");
        }
    }
}
