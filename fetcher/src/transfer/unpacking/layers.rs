//! Layers of an image: each lies over those before it, and a whiteout in it hides what they have.
//!
//! OCI image specification, "Image Layer Filesystem Changeset". Archives that are no layers are merged by no rule: where two
//! of them have the same file, the plan's check of names says so.

use std::collections::BTreeSet;

use handoff::SafePath;

use crate::verify::VerifiedFile;
use crate::verify::archived::VerifiedArchive;

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// What a layer hides of those below, by paths in the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whiteouts {
    /// Everything.
    all: bool,
    /// These, and what is below them.
    paths: BTreeSet<String>,
    /// What is below these.
    folders: BTreeSet<String>,
}

impl Whiteouts {
    /// Takes a name of a layer; says whether it is a whiteout. `below` is the folder that counts.
    pub(super) fn note(&mut self, name: &str, below: &SafePath) -> bool {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let Some(hidden) = file.strip_prefix(WHITEOUT) else { return false };
        let is_opaque = file == OPAQUE;
        let path = match (is_opaque, folder) {
            (true, folder) => folder.to_owned(),
            (false, "") => hidden.to_owned(),
            (false, folder) => format!("{folder}/{hidden}"),
        };
        let is_above =
            path.is_empty() || path == below.as_str() || below.ancestors().any(|above| above == path);
        match self::below(&path, Some(below)) {
            _ if is_above => self.all = true,
            Some(inside) if is_opaque => drop(self.folders.insert(inside.to_owned())),
            Some(inside) => drop(self.paths.insert(inside.to_owned())),
            None => {}
        }
        true
    }

    fn hides(&self, path: &SafePath) -> bool {
        self.all
            || self.paths.contains(path.as_str())
            || path.ancestors().any(|above| self.paths.contains(above) || self.folders.contains(above))
    }
}

/// A name without the `./` that some programs put before each.
pub(super) fn plain(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("./") {
        name = rest.trim_start_matches('/');
    }
    name
}

/// A name without the folder it is below; nothing if it is elsewhere.
pub(super) fn below<'a>(name: &'a str, folder: Option<&SafePath>) -> Option<&'a str> {
    match folder {
        None => Some(name),
        Some(folder) => name.strip_prefix(folder.as_str())?.strip_prefix('/'),
    }
}

/// Lays every layer over those before it, and leaves other archives as they are.
pub(super) fn merge(archives: Vec<(VerifiedArchive, Option<Whiteouts>)>) -> Vec<VerifiedArchive> {
    let mut done: Vec<(VerifiedArchive, bool)> = Vec::new();
    for (archive, whiteouts) in archives {
        if let Some(whiteouts) = &whiteouts {
            let above: BTreeSet<_> = archive.files.iter().map(|file| file.entry().path.as_str()).collect();
            let folders: BTreeSet<_> =
                archive.files.iter().flat_map(|file| file.entry().path.ancestors()).collect();
            let is_hidden = |file: &VerifiedFile| {
                let path = &file.entry().path;
                whiteouts.hides(path)
                    || above.contains(path.as_str())
                    || folders.contains(path.as_str())
                    || path.ancestors().any(|folder| above.contains(folder))
            };
            for (lower, _) in done.iter_mut().filter(|(_, is_layer)| *is_layer) {
                let (hidden, rest) = std::mem::take(&mut lower.files).into_iter().partition(is_hidden);
                lower.files = rest;
                let hidden: Vec<VerifiedFile> = hidden;
                // What is hidden takes up no more space than it must.
                hidden.iter().for_each(|file| drop(file.staged().remove()));
            }
        }
        done.push((archive, whiteouts.is_some()));
    }
    done.into_iter().map(|(archive, _)| archive).collect()
}
