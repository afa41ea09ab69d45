//! Which files the layers of a manifest are: by what kind of artifact it is. No I/O.
//!
//! | kind | told by | layers |
//! |---|---|---|
//! | ModelPack | `vnd.cncf.model`, or `vnd.cnai.model` as it was called before | a file under its `filepath`, or an archive |
//! | KitOps' ModelKit | its config, the Kitfile | archives |
//! | an image, such as KServe's modelcar | its config | archives over each other; the model is the folder `models` |
//! | what ORAS pushes | titles of layers | a file under its title, or an archive of a folder |
//!
//! Datasets are left out: nobody serves them, and they may be larger than the model. Documents stay, as licences are among
//! them. An archive gets a name that says which layer it is, so that the plan has them in order.

use handoff::SafePath;
use handoff::text::shown;

use super::document::{Descriptor, Document};
use crate::archive::{Format, Unpack};
use crate::manifest::ManifestFile;
use crate::uri::StoreUri;
use crate::uri::oci::Repository;

const KITFILE: &str = "application/vnd.kitops.modelkit.config.v1+json";
const KIT_LAYER: &str = "application/vnd.kitops.modelkit.";
const MODEL_PACK: [&str; 2] = ["application/vnd.cncf.model.", "application/vnd.cnai.model."];
const FILEPATH: [&str; 2] = ["org.cncf.model.filepath", "org.cnai.model.filepath"];
const IMAGES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const TITLE: &str = "org.opencontainers.image.title";
const UNPACK: &str = "io.deis.oras.content.unpack";
/// Where an image has the model, as KServe has it.
const MODELS: &str = "models";
const DATASET: &str = "dataset";

/// What kind of artifact a manifest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ModelPack,
    ModelKit,
    Image,
    Titled,
}

/// Collects the files of one model, from one manifest or from several.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) files: Vec<ManifestFile>,
    archives: usize,
}

/// How a layer is kept.
enum Content {
    File(SafePath),
    Archive(Unpack),
}

impl Kind {
    /// What kind a manifest is of.
    pub(crate) fn of(document: &Document, told: Option<&str>) -> Result<Self, String> {
        let config = document.config.as_ref().map_or("", |config| config.media_type.as_str());
        let types = [document.artifact_type.as_deref().unwrap_or_default(), config];
        let is_model_pack = |media_type: &str| MODEL_PACK.iter().any(|kind| media_type.starts_with(kind));
        if types.iter().any(|media_type| is_model_pack(media_type)) {
            return Ok(Self::ModelPack);
        }
        if config == KITFILE {
            return Ok(Self::ModelKit);
        }
        if document.layers.iter().any(|layer| layer.annotations.contains_key(TITLE)) {
            return Ok(Self::Titled);
        }
        if IMAGES.contains(&config) {
            return Ok(Self::Image);
        }
        let found = types.into_iter().find(|text| !text.is_empty()).unwrap_or(document.media_type(told));
        Err(format!(
            "expected a ModelPack, a ModelKit, an image with a folder `{MODELS}` or layers with titles, got {}",
            shown(found)
        ))
    }
}

impl Files {
    /// Adds the files of a manifest. Of what a kit is built upon, only the model counts.
    pub(crate) fn add(
        &mut self,
        document: &Document,
        kind: Kind,
        repository: &Repository,
        is_parent: bool,
    ) -> Result<(), String> {
        for layer in &document.layers {
            let content = match kind {
                Kind::ModelPack => model_pack(layer),
                Kind::ModelKit => model_kit(layer, is_parent),
                Kind::Image => image(layer).map(Some),
                Kind::Titled => titled(layer),
            };
            let Some(content) = content? else { continue };
            let digest = layer.sha256()?;
            let (path, unpack) = match content {
                Content::File(path) => (path, None),
                Content::Archive(unpack) => (self.archive(unpack.format)?, Some(unpack)),
            };
            let uri = Some(StoreUri::Oci(repository.blob(digest)));
            let size = Some(layer.size);
            self.files.push(ManifestFile { size, uri, unpack, ..ManifestFile::new(path, digest) });
        }
        Ok(())
    }

    /// A name for the next archive, which sorts behind those before it.
    fn archive(&mut self, format: Format) -> Result<SafePath, String> {
        self.archives += 1;
        let ending = match format {
            Format::Tar => "tar",
            Format::TarGzip => "tar.gz",
            Format::TarZstd => "tar.zst",
            Format::Zip => "zip",
        };
        safe(&format!("layer-{:06}.{ending}", self.archives))
    }
}

fn model_pack(layer: &Descriptor) -> Result<Option<Content>, String> {
    let media_type = layer.media_type.as_str();
    let rest = MODEL_PACK.iter().find_map(|kind| media_type.strip_prefix(kind));
    let (part, written) = rest.and_then(|rest| rest.split_once(".v1.")).ok_or(unknown(layer))?;
    if part == DATASET {
        return Ok(None);
    }
    let path = || {
        let named = FILEPATH.iter().chain([&TITLE]).find_map(|name| layer.annotations.get(*name));
        named.ok_or(format!("a layer has no annotation `{}` to say which file it is", FILEPATH[0]))
    };
    Ok(Some(match written {
        "raw" => Content::File(safe(path()?)?),
        other => archive(other).ok_or(unknown(layer))?,
    }))
}

fn model_kit(layer: &Descriptor, is_parent: bool) -> Result<Option<Content>, String> {
    let rest = layer.media_type.strip_prefix(KIT_LAYER).and_then(|rest| rest.split_once(".v1."));
    let (part, written) = rest.ok_or(unknown(layer))?;
    match (part, is_parent) {
        (DATASET, _) => Ok(None),
        ("model" | "modelpart", _) | (_, false) => archive(written).map(Some).ok_or(unknown(layer)),
        (_, true) => Ok(None),
    }
}

fn image(layer: &Descriptor) -> Result<Content, String> {
    let written = ["application/vnd.oci.image.layer.v1.", "application/vnd.docker.image.rootfs.diff."]
        .iter()
        .find_map(|kind| layer.media_type.strip_prefix(kind))
        .ok_or(unknown(layer))?;
    let Some(Content::Archive(unpack)) = archive(written) else { return Err(unknown(layer)) };
    Ok(Content::Archive(Unpack { below: Some(safe(MODELS)?), ..unpack }))
}

fn titled(layer: &Descriptor) -> Result<Option<Content>, String> {
    let Some(title) = layer.annotations.get(TITLE) else { return Ok(None) };
    if layer.annotations.get(UNPACK).is_some_and(|value| value == "true") {
        return Ok(Some(Content::Archive(Unpack { format: Format::TarGzip, below: None })));
    }
    safe(title).map(|path| Some(Content::File(path)))
}

/// What media types say of how an archive is written.
fn archive(written: &str) -> Option<Content> {
    let format = match written {
        "tar" => Format::Tar,
        "tar+gzip" | "tar.gzip" => Format::TarGzip,
        "tar+zstd" | "tar.zstd" => Format::TarZstd,
        _ => return None,
    };
    Some(Content::Archive(Unpack { format, below: None }))
}

fn unknown(layer: &Descriptor) -> String {
    format!("it has a layer of a kind that is not understood, {}", shown(&layer.media_type))
}

fn safe(path: &str) -> Result<SafePath, String> {
    let path = path.strip_prefix("./").unwrap_or(path);
    path.parse().map_err(|error: handoff::path::PathError| error.to_string())
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
