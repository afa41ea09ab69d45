//! The members of one archive, as files of the staging area.
//!
//! Here is decided what may become a file of the model: regular files, and other names of those, as copies. A link is none:
//! the volume holds no links, whoever reads it. Files are named by numbers until the archive is verified, and are
//! removed if it is not.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::sync::Arc;

use handoff::SafePath;

use super::layers::{self, Whiteouts};
use super::room::Room;
use crate::archive::{Kind, Member, Sink, Unpack, UnpackError};
use crate::confined::{Access, Directory, Place};
use crate::filter::Filter;
use crate::limits::Limits;
use crate::plan::PlannedFile;
use crate::transfer::staging_file::set_aside;
use crate::verify::Verifier;
use crate::verify::archived;

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;

/// What came out of an archive so far.
pub(super) struct Members {
    folder: Directory,
    archive: usize,
    /// The folder that the archive is in.
    into: Option<String>,
    below: Option<SafePath>,
    filter: Filter,
    files: BTreeMap<SafePath, archived::Member>,
    whiteouts: Whiteouts,
    room: Arc<Room>,
    /// What was taken of the room.
    taken: (usize, u64),
    /// Bytes of the names that are kept.
    names: usize,
    buffer: Vec<u8>,
}

impl Members {
    pub(super) fn new(
        folder: &Directory,
        archive: usize,
        file: &PlannedFile,
        unpack: &Unpack,
        filter: Filter,
        room: Arc<Room>,
    ) -> Self {
        Self {
            folder: folder.clone(),
            archive,
            // A layer of an image is not in a folder of the model.
            into: file.path.ancestors().next().filter(|_| !unpack.is_layer()).map(str::to_owned),
            below: unpack.below.clone(),
            filter,
            files: BTreeMap::new(),
            whiteouts: Whiteouts::default(),
            room,
            taken: (0, 0),
            names: 0,
            buffer: vec![0; BUFFER],
        }
    }

    /// So many bytes will come: whether there is room for them, on the volume too.
    pub(super) fn expect(&self, bytes: u64) -> Result<(), UnpackError> {
        self.room.has(bytes)?;
        let Ok(found) = rustix::fs::fstatvfs(self.folder.handle()) else { return Ok(()) };
        let free = found.f_bavail.saturating_mul(found.f_frsize.max(1));
        match bytes > free {
            true => Err(UnpackError::NoSpace { needed: bytes, free }),
            false => Ok(()),
        }
    }

    pub(super) fn into_parts(mut self) -> (Vec<archived::Member>, Whiteouts) {
        (std::mem::take(&mut self.files).into_values().collect(), std::mem::take(&mut self.whiteouts))
    }

    /// Where a member goes; nothing for one that is not of the model.
    fn path(&self, name: &str) -> Result<Option<SafePath>, UnpackError> {
        let Some(name) = layers::below(name, self.below.as_ref()) else { return Ok(None) };
        let path = match &self.into {
            Some(folder) => format!("{folder}/{name}"),
            None => name.to_owned(),
        };
        // Each by itself, so that a name cannot climb out of the folder either.
        let safe = name.parse::<SafePath>().and_then(|_| path.parse());
        match safe {
            Ok(path) => Ok(Some(path)),
            Err(error) => Err(UnpackError::member(name, format!("has a name that is refused: {error}"))),
        }
    }

    /// Names are kept to the end; a layer may have any number of whiteouts.
    fn keep_name(&mut self, name: &str) -> Result<(), UnpackError> {
        let limit = Limits::DEFAULT.archive_name_bytes;
        self.names = self.names.saturating_add(name.len());
        match self.names > limit {
            true => Err(UnpackError::Excessive(
                format!("names in it take more than {limit} bytes"),
                "pack fewer files",
            )),
            false => Ok(()),
        }
    }

    fn add(&mut self, path: SafePath, size: u64, content: &mut dyn Read) -> Result<(), UnpackError> {
        if self.files.contains_key(&path) {
            return Err(UnpackError::member(path.as_str(), "is there twice"));
        }
        self.keep_name(path.as_str())?;
        self.room.take(size)?;
        self.taken = (self.taken.0 + 1, self.taken.1.saturating_add(size));
        let place = Place::new(&self.folder, format!("{:06}-{:06}.part", self.archive, self.taken.0));
        let written = self.write(&place, &path, size, content);
        match written {
            Ok(verifier) => {
                self.files.insert(path.clone(), verifier.finish_member(path, place));
                Ok(())
            }
            Err(error) => {
                let _ = place.remove();
                Err(error)
            }
        }
    }

    fn write(
        &mut self,
        place: &Place,
        path: &SafePath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Verifier, UnpackError> {
        let failed = |source| UnpackError::Write { path: path.clone(), source };
        let mut file = place.file(Access::Write).map_err(failed)?;
        set_aside(&file, Some(size)).map_err(failed)?;
        let mut verifier = Verifier::default();
        loop {
            let read = match content.read(&mut self.buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(UnpackError::reading(error)),
            };
            let bytes = self.buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            file.write_all(bytes).map_err(failed)?;
            verifier.update(bytes);
        }
        match verifier.length() == size {
            true => Ok(verifier),
            false => Err(UnpackError::CutShort),
        }
    }

    /// Another name of a file that came before is a file of its own on the volume.
    fn copy(&mut self, path: &SafePath, target: &str) -> Result<(), UnpackError> {
        let known = self.path(target).ok().flatten().and_then(|target| self.files.get(&target));
        let Some(known) = known else {
            let reason = format!(
                "is a hard link to {}, which is no file that came before it and is wanted",
                target.chars().take(120).collect::<String>().escape_debug()
            );
            return Err(UnpackError::member(path.as_str(), reason));
        };
        let (size, staged) = (known.size(), known.staged().clone());
        let failed = |source| UnpackError::Write { path: path.clone(), source };
        let mut original = staged.file(Access::Read).map_err(failed)?;
        self.add(path.clone(), size, &mut original)
    }
}

impl Sink for Members {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<(), UnpackError> {
        let Member { name, kind, size } = member;
        if kind == Kind::Folder {
            return Ok(());
        }
        let plain = layers::plain(&name);
        if let Some(below) = &self.below
            && self.whiteouts.note(plain, below)
        {
            return self.keep_name(plain);
        }
        let Some(path) = self.path(plain)? else { return Ok(()) };
        let refused = |what: String| UnpackError::Member {
            name: path.as_str().escape_debug().to_string(),
            reason: format!("is {what}, expected a regular file"),
            hint: Some("a model holds regular files only; pack it with links followed (tar --dereference)"),
        };
        match kind {
            // What is not wanted takes no room; whether it could be a file of a model is told all the same.
            Kind::File | Kind::HardLink(_) if !self.filter.selects(&path) => Ok(()),
            Kind::File => self.add(path, size, content),
            Kind::HardLink(target) => self.copy(&path, layers::plain(&target)),
            Kind::SymbolicLink(target) => {
                let target = target.chars().take(120).collect::<String>();
                Err(refused(format!("a link to {}", target.escape_debug())))
            }
            Kind::Other(what) => Err(refused(what.to_owned())),
            Kind::Folder => Ok(()),
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        if self.files.is_empty() {
            return;
        }
        self.room.give_back(self.taken.0, self.taken.1);
        for file in self.files.values() {
            // What cannot be removed now is by the next run.
            let _ = file.staged().remove();
        }
    }
}
