//! Packs: what Git sends its objects in.
//!
//! A small one, with a commit, its folders and its small files, is read as a whole, and each object is kept under the SHA-1
//! of its content, so that whoever is known by that name is what it must be. A file comes alone in a pack of its own, and is
//! inflated as it comes in.
//! <https://git-scm.com/docs/pack-format>

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};
use sha1::{Digest as _, Sha1};

use crate::limits::Limits;
use crate::verify::content_digest::decode_hex;

const HEADER: usize = 12;
const OID: usize = 20;
/// The longest that stands before an object's content: its type and size.
const LONGEST_ENTRY_HEADER: usize = 10;
/// Bytes that are inflated at a time.
const PIECE: usize = 64 * 1024;

/// The name of an object: the SHA-1 of its type, size and content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Oid(pub(crate) [u8; OID]);

impl FromStr for Oid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        decode_hex(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// The objects of a pack.
#[derive(Debug, Default)]
pub(crate) struct Objects(HashMap<Oid, (Kind, Vec<u8>)>);

impl Objects {
    /// The content of an object of a kind.
    pub(crate) fn get(&self, oid: Oid, kind: Kind) -> Option<&[u8]> {
        self.0.get(&oid).filter(|(known, _)| *known == kind).map(|(_, content)| content.as_slice())
    }

    /// The names of all.
    pub(crate) fn names(&self) -> impl Iterator<Item = Oid> {
        self.0.keys().copied()
    }

    fn insert(&mut self, kind: Kind, content: Vec<u8>) {
        let mut hasher = Sha1::new();
        hasher.update(format!("{} {}\0", kind.name(), content.len()));
        hasher.update(&content);
        self.0.insert(Oid(hasher.finalize().into()), (kind, content));
    }

    /// Reads a whole pack, in which nothing refers to what is not in it.
    pub(crate) fn read(pack: &[u8]) -> Result<Self, String> {
        let count = header(pack)?;
        let mut rest = pack.get(HEADER..).unwrap_or_default();
        let mut room = Limits::DEFAULT.document_bytes;
        let mut objects = Self::default();
        let mut deltas = Vec::new();
        for _ in 0..count {
            let entry = entry(rest)?.ok_or("it ends within an object")?;
            let mut content_at = entry.length;
            let size = usize::try_from(entry.size).ok().filter(|size| *size <= room);
            let size = size.ok_or("its objects are larger than any that are read")?;
            room -= size;
            let base = match entry.kind {
                EntryKind::Object(_) => None,
                EntryKind::Delta => {
                    let base = rest.get(content_at..content_at + OID).and_then(|bytes| bytes.try_into().ok());
                    content_at += OID;
                    Some(Oid(base.ok_or("it ends within an object")?))
                }
            };
            let (content, used) = inflate(rest.get(content_at..).unwrap_or_default(), size)?;
            rest = rest.get(content_at + used..).unwrap_or_default();
            match (entry.kind, base) {
                (EntryKind::Object(kind), _) => objects.insert(kind, content),
                (EntryKind::Delta, Some(base)) => deltas.push((base, content)),
                (EntryKind::Delta, None) => {}
            }
        }
        objects.apply(deltas, room)?;
        Ok(objects)
    }

    /// Makes objects of what is told as a difference from others, which may be told so themselves.
    fn apply(&mut self, mut deltas: Vec<(Oid, Vec<u8>)>, mut room: usize) -> Result<(), String> {
        while !deltas.is_empty() {
            let before = deltas.len();
            let mut waiting = Vec::new();
            for (base, delta) in deltas {
                let Some((kind, content)) = self.0.get(&base) else {
                    waiting.push((base, delta));
                    continue;
                };
                let (kind, content) = (*kind, apply(content, &delta, room)?);
                room = room.saturating_sub(content.len());
                self.insert(kind, content);
            }
            if waiting.len() == before {
                return Err("an object is told as a difference from one that is not there".to_owned());
            }
            deltas = waiting;
        }
        Ok(())
    }
}

/// How many objects a pack has.
fn header(pack: &[u8]) -> Result<u32, String> {
    let wrong = || "expected a pack of version 2, got something else".to_owned();
    let (magic, rest) = pack.split_first_chunk::<8>().ok_or_else(wrong)?;
    let count = rest.first_chunk::<4>().copied().map(u32::from_be_bytes).ok_or_else(wrong)?;
    match magic == b"PACK\0\0\0\x02" {
        true => Ok(count),
        false => Err(wrong()),
    }
}

#[derive(Clone, Copy)]
enum EntryKind {
    Object(Kind),
    /// From the object whose name follows.
    Delta,
}

struct Entry {
    kind: EntryKind,
    /// Bytes of the content once it is inflated.
    size: u64,
    /// Bytes that say so.
    length: usize,
}

/// What stands before the content of an object; nothing, where more has to come in.
fn entry(bytes: &[u8]) -> Result<Option<Entry>, String> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let kind = match (first >> 4) & 7 {
        1 => EntryKind::Object(Kind::Commit),
        2 => EntryKind::Object(Kind::Tree),
        3 => EntryKind::Object(Kind::Blob),
        4 => EntryKind::Object(Kind::Tag),
        7 => EntryKind::Delta,
        other => return Err(format!("expected an object of a type from 1 to 4 or 7, got {other}")),
    };
    let (mut size, mut shift, mut length) = (u64::from(first & 15), 4, 1);
    let mut last = *first;
    while last & 0x80 != 0 {
        if length == LONGEST_ENTRY_HEADER {
            return Err("the size of an object has no end".to_owned());
        }
        let Some(next) = bytes.get(length) else { return Ok(None) };
        size |= u64::from(next & 0x7f).checked_shl(shift).unwrap_or(0);
        (last, shift, length) = (*next, shift + 7, length + 1);
    }
    Ok(Some(Entry { kind, size, length }))
}

/// Inflates content of that size, and says how many bytes it was.
fn inflate(bytes: &[u8], size: usize) -> Result<(Vec<u8>, usize), String> {
    let mut inflater = Decompress::new(true);
    // One more than there may be, so that its end is seen.
    let mut content = vec![0; size + 1];
    let status = inflater.decompress(bytes, &mut content, FlushDecompress::Finish);
    let ended = status.map_err(|error| error.to_string())? == Status::StreamEnd;
    let (used, produced) = (usize::try_from(inflater.total_in()), usize::try_from(inflater.total_out()));
    match (ended, used, produced) {
        (true, Ok(used), Ok(produced)) if produced == size => {
            content.truncate(size);
            Ok((content, used))
        }
        _ => Err(format!("an object of {size} bytes is not as long as it says")),
    }
}

/// Applies a difference: pieces of the base, and bytes of its own.
fn apply(base: &[u8], delta: &[u8], room: usize) -> Result<Vec<u8>, String> {
    let wrong = || "a difference between objects makes no sense".to_owned();
    let mut rest = delta;
    let base_size = varint(&mut rest).ok_or_else(wrong)?;
    let size = varint(&mut rest).filter(|size| *size <= room).ok_or_else(wrong)?;
    if base_size != base.len() {
        return Err(wrong());
    }
    let mut content = Vec::with_capacity(size);
    while let Some((instruction, more)) = rest.split_first() {
        rest = more;
        let piece = if instruction & 0x80 == 0 {
            let (own, more) = rest.split_at_checked(usize::from(*instruction)).ok_or_else(wrong)?;
            rest = more;
            own
        } else {
            let mut number = |first_bit: u32, bytes: u32| {
                let mut value = 0;
                for index in 0..bytes {
                    if instruction & (1 << (first_bit + index)) != 0 {
                        let (byte, more) = rest.split_first()?;
                        rest = more;
                        value |= usize::from(*byte) << (8 * index);
                    }
                }
                Some(value)
            };
            let offset = number(0, 4).ok_or_else(wrong)?;
            let length = number(4, 3).ok_or_else(wrong)?;
            let length = if length == 0 { 0x1_0000 } else { length };
            base.get(offset..).and_then(|from| from.get(..length)).ok_or_else(wrong)?
        };
        if piece.is_empty() || content.len() + piece.len() > size {
            return Err(wrong());
        }
        content.extend_from_slice(piece);
    }
    if content.len() == size { Ok(content) } else { Err(wrong()) }
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value: usize = 0;
    for shift in (0..usize::BITS - 7).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A pack with one file in it, inflated as it comes in.
pub(crate) struct Blob {
    /// What came in and was not looked at yet.
    waiting: BytesMut,
    /// The size of the file, once it is known.
    size: Option<u64>,
    inflater: Decompress,
    ended: bool,
}

impl Blob {
    pub(crate) fn new() -> Self {
        Self { waiting: BytesMut::new(), size: None, inflater: Decompress::new(true), ended: false }
    }

    /// The size of the file in bytes, once enough has come in.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Takes more of the pack.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.waiting.extend_from_slice(bytes);
        if self.size.is_some() || self.waiting.len() < HEADER {
            return Ok(());
        }
        let count = header(&self.waiting)?;
        if count != 1 {
            return Err(format!("expected one object, got {count}"));
        }
        match entry(self.waiting.get(HEADER..).unwrap_or_default())? {
            None => Ok(()),
            Some(Entry { kind: EntryKind::Object(Kind::Blob), size, length }) => {
                self.waiting.advance(HEADER + length);
                self.size = Some(size);
                Ok(())
            }
            Some(_) => Err("expected a file, got another object".to_owned()),
        }
    }

    /// The next bytes of the file; none, where more has to come in or all are out.
    pub(crate) fn pull(&mut self) -> Result<Option<Bytes>, String> {
        let Some(size) = self.size.filter(|_| !self.ended) else { return Ok(None) };
        let mut piece = vec![0; PIECE];
        let before = (self.inflater.total_in(), self.inflater.total_out());
        let status = self.inflater.decompress(&self.waiting, &mut piece, FlushDecompress::None);
        // A piece may also be none for lack of input, which is no error.
        let status = status.map_err(|error| error.to_string())?;
        let used = usize::try_from(self.inflater.total_in() - before.0).unwrap_or(usize::MAX);
        let produced = usize::try_from(self.inflater.total_out() - before.1).unwrap_or(usize::MAX);
        self.waiting.advance(used.min(self.waiting.len()));
        self.ended = status == Status::StreamEnd;
        let total = self.inflater.total_out();
        if total > size || (self.ended && total != size) {
            return Err(format!("expected a file of {size} bytes, got {total}"));
        }
        piece.truncate(produced);
        Ok((produced > 0).then(|| piece.into()))
    }

    /// Whether all of the file is out.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn deflated(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn entry(kind: u8, content: &[u8], base: Option<Oid>) -> Vec<u8> {
        let size = content.len();
        assert!(size < 2048, "two bytes of a header are enough here");
        let first = (kind << 4) | u8::try_from(size & 15).unwrap();
        let mut bytes = match u8::try_from(size >> 4).unwrap() {
            0 => vec![first],
            more => vec![first | 0x80, more],
        };
        bytes.extend(base.into_iter().flat_map(|base| base.0));
        bytes.extend(deflated(content));
        bytes
    }

    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
        [b"PACK\0\0\0\x02".to_vec(), count.to_vec(), entries.concat()].concat()
    }

    fn oid(text: &str) -> Oid {
        text.parse().unwrap()
    }

    /// The names are those of `git hash-object`.
    #[test]
    fn objects_and_differences_are_read_under_their_names() {
        let base = oid("8baef1b4abc478178b004d62031cf7fe6db6f903");
        // Four bytes of the base, and three of its own.
        let delta = [4, 7, 0x90, 4, 3, b'd', b'e', b'\n'];
        let of_delta = oid("ad8c375b34e8801d4575c37d4f5fb9961536e268");
        let bytes = pack(&[entry(7, &delta, Some(base)), entry(3, b"abc\n", None)]);
        let objects = Objects::read(&bytes).unwrap();
        assert_eq!(objects.get(base, Kind::Blob), Some(b"abc\n".as_slice()));
        assert_eq!(objects.get(base, Kind::Tree), None);
        assert_eq!(objects.get(of_delta, Kind::Blob), Some(b"abc\nde\n".as_slice()));
    }

    #[test]
    fn what_is_no_pack_is_refused() {
        let blob = entry(3, b"abc\n", None);
        let missing = entry(7, &[4, 4, 0x90, 4], Some(Oid([7; OID])));
        for bytes in [
            b"PACK".to_vec(),
            [b"PACK\0\0\0\x03".to_vec(), vec![0; 4]].concat(),
            pack(&[blob.clone(), vec![]]),
            pack(&[missing]),
            pack(&[vec![0x60, 1, 2]]),
            pack(&[entry(3, b"abc\n", None).into_iter().take(4).collect()]),
            pack(&[[vec![0x35], deflated(b"abc\n")].concat()]),
        ] {
            assert!(Objects::read(&bytes).is_err(), "{bytes:?}");
        }
        for delta in
            [vec![5, 4, 0x90, 4], vec![4, 9, 0x90, 4], vec![4, 4, 0x91, 4, 4], vec![4, 4, 0], vec![4]]
        {
            assert!(apply(b"abc\n", &delta, 100).is_err(), "{delta:?}");
        }
    }

    #[test]
    fn a_file_is_inflated_as_it_comes_in() {
        let content = vec![7; 2000];
        let bytes = pack(&[entry(3, &content, None)]);
        for step in [1, 7, bytes.len()] {
            let (mut blob, mut inflated) = (Blob::new(), Vec::new());
            for chunk in bytes.chunks(step) {
                blob.push(chunk).unwrap();
                while let Some(piece) = blob.pull().unwrap() {
                    inflated.extend_from_slice(&piece);
                }
            }
            assert!(blob.has_ended() && blob.size() == Some(2000) && inflated == content);
        }
        let mut two = Blob::new();
        assert!(two.push(&pack(&[entry(3, b"a", None), entry(3, b"b", None)])).is_err());
        let mut commit = Blob::new();
        assert!(commit.push(&pack(&[entry(1, b"a", None)])).is_err());
    }
}
