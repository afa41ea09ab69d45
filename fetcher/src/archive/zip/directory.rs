//! The central directory of a ZIP archive, at its end.

use super::{Kind, UnpackError};
use crate::limits::Limits;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const END_64: &[u8] = b"PK\x06\x06";
const END_64_BYTES: usize = 56;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL_HEADER_BYTES: u64 = 30;
/// Bytes from the end in which the end's own records are: with a comment as long as it can be, and room for what the
/// 64-bit record may have behind.
pub const TAIL_BYTES: u64 = (1 << 16) + 4096;
/// Flags of a member.
const ENCRYPTED: u16 = 1;
const STRONGLY_ENCRYPTED: u16 = 1 << 6;
const MASKED: u16 = 1 << 13;
/// The extra field with 64-bit numbers.
const EXTRA_64: u64 = 1;
/// Kinds of a member, as Unix has them.
const FORMAT: u64 = 0o170_000;
const REGULAR: u64 = 0o100_000;
const FOLDER: u64 = 0o040_000;
const LINK: u64 = 0o120_000;

/// Where the central directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub starts_at: u64,
    /// The byte after its last.
    pub ends_at: u64,
    /// How many members it names.
    pub count: u64,
}

/// What the central directory says.
#[derive(Debug)]
pub struct Directory {
    /// The members, in the order of their bytes.
    pub entries: Vec<Entry>,
    /// Where it begins.
    pub starts_at: u64,
    /// All that is from there to the end of the archive.
    pub bytes: Vec<u8>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How it is compressed.
    pub method: u16,
    /// The CRC-32 of its content.
    pub crc: u32,
    /// Bytes of it in the archive.
    pub compressed: u64,
    /// Bytes of its content.
    pub size: u64,
    /// Where its header begins.
    pub offset: u64,
}

impl Place {
    /// Finds it in the last bytes of an archive of `size` bytes.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub fn find(tail: &[u8], size: u64) -> Result<Self, UnpackError> {
        let damaged = |what: &str| UnpackError::Damaged(what.to_owned());
        let is_end = |at: &usize| {
            tail.get(*at..*at + 4) == Some(END)
                && *at + END_BYTES + in_memory(number(tail, at + 20, 2)) == tail.len()
        };
        let last = tail.len().saturating_sub(END_BYTES);
        let end = (0..=last).rev().find(is_end);
        let end = end.ok_or_else(|| damaged("it has no central directory at its end"))?;
        if number(tail, end + 4, 2) != number(tail, end + 6, 2) {
            return Err(damaged("it is one of several volumes"));
        }
        let (count, length, starts_at) =
            (number(tail, end + 10, 2), number(tail, end + 12, 4), number(tail, end + 16, 4));
        let place = match end.checked_sub(LOCATOR_BYTES).filter(|at| tail.get(*at..*at + 4) == Some(LOCATOR))
        {
            None => (count, length, starts_at),
            Some(locator) => {
                let from_end = size.saturating_sub(number(tail, locator + 8, 8));
                let at = tail.len().checked_sub(in_memory(from_end));
                let at =
                    at.filter(|at| tail.get(*at..*at + 4) == Some(END_64) && at + END_64_BYTES <= locator);
                let at = at.ok_or_else(|| damaged("its 64-bit end is not where it says"))?;
                (number(tail, at + 32, 8), number(tail, at + 40, 8), number(tail, at + 48, 8))
            }
        };
        let (count, length, starts_at) = place;
        match starts_at.checked_add(length) {
            Some(ends_at) if ends_at <= size => Ok(Self { starts_at, ends_at, count }),
            _ => Err(damaged("its central directory is outside of it")),
        }
    }

    /// Bytes from its beginning to the end of an archive of `size` bytes, if they may be kept in memory.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub fn bytes_to_end(&self, size: u64) -> Result<u64, UnpackError> {
        let (bytes, limit) = (size.saturating_sub(self.starts_at), Limits::DEFAULT.zip_directory_bytes);
        match in_memory(bytes) <= limit {
            true => Ok(bytes),
            false => {
                let problem = format!("its central directory has {bytes} bytes, expected at most {limit}");
                Err(UnpackError::Excessive(problem, "pack fewer files"))
            }
        }
    }
}

impl Directory {
    /// Reads it, from its beginning to the end of the archive.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub fn parse(bytes: Vec<u8>, place: Place) -> Result<Self, UnpackError> {
        let damaged = || UnpackError::Damaged("its central directory ends early, or late".into());
        let length = in_memory(place.ends_at.saturating_sub(place.starts_at));
        let mut rest = bytes.get(..length).ok_or_else(damaged)?;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let limit = Limits::DEFAULT.archive_members;
            if entries.len() >= limit {
                return Err(UnpackError::Excessive(
                    format!("it has more than {limit} members"),
                    "pack fewer files",
                ));
            }
            let (entry, length) = entry(rest)?;
            rest = rest.get(length..).ok_or_else(damaged)?;
            entries.push(entry);
        }
        if u64::try_from(entries.len()) != Ok(place.count) {
            return Err(damaged());
        }
        entries.sort_by_key(|entry| entry.offset);
        let ends = entries.iter().skip(1).map(|next| next.offset).chain([place.starts_at]);
        for (entry, end) in entries.iter().zip(ends) {
            let header =
                LOCAL_HEADER_BYTES.saturating_add(u64::try_from(entry.name.len()).unwrap_or(u64::MAX));
            let last = entry.offset.saturating_add(header).saturating_add(entry.compressed);
            if last > end {
                return Err(UnpackError::member(&entry.name, "overlaps what follows it"));
            }
        }
        Ok(Self { entries, starts_at: place.starts_at, bytes })
    }

    /// Bytes of all contents.
    pub fn total(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add)
    }
}

/// The first entry, and how long it is.
fn entry(bytes: &[u8]) -> Result<(Entry, usize), UnpackError> {
    let damaged = || UnpackError::Damaged("its central directory is not a list of members".into());
    if bytes.get(..4) != Some(ENTRY) || bytes.len() < ENTRY_BYTES {
        return Err(damaged());
    }
    let length = |at: usize| in_memory(number(bytes, at, 2));
    let (name_ends, extra_ends) = (ENTRY_BYTES + length(28), ENTRY_BYTES + length(28) + length(30));
    let name = bytes.get(ENTRY_BYTES..name_ends).ok_or_else(damaged)?;
    let extra = bytes.get(name_ends..extra_ends).ok_or_else(damaged)?;
    let name = match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => return Err(UnpackError::member(&String::from_utf8_lossy(name), "is not a name in UTF-8")),
    };
    let small = |at: usize| u16::try_from(number(bytes, at, 2)).unwrap_or(u16::MAX);
    if small(8) & (ENCRYPTED | STRONGLY_ENCRYPTED | MASKED) != 0 {
        let reason = format!("{} is encrypted", name.escape_debug());
        return Err(UnpackError::Unsupported { reason, hint: "pack the model without a password" });
    }
    let mut wide = Wide::new(extra);
    let size = wide.number(number(bytes, 24, 4)).ok_or_else(damaged)?;
    let compressed = wide.number(number(bytes, 20, 4)).ok_or_else(damaged)?;
    let offset = wide.number(number(bytes, 42, 4)).ok_or_else(damaged)?;
    let crc = u32::try_from(number(bytes, 16, 4)).unwrap_or_default();
    let is_unix = number(bytes, 5, 1) == 3;
    let mode = if is_unix { number(bytes, 40, 2) & FORMAT } else { 0 };
    let kind = match mode {
        LINK => Kind::SymbolicLink("a path".into()),
        _ if name.ends_with('/') => Kind::Folder,
        FOLDER => Kind::Folder,
        0 | REGULAR => Kind::File,
        _ => Kind::Other("neither a file nor a folder"),
    };
    let entry = Entry { name, kind, method: small(10), crc, compressed, size, offset };
    Ok((entry, extra_ends + length(32)))
}

/// The 64-bit numbers of a member, in place of those that did not fit.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    fn new(mut extra: &'a [u8]) -> Self {
        while extra.len() >= 4 {
            let length = in_memory(number(extra, 2, 2));
            if number(extra, 0, 2) == EXTRA_64 {
                return Self(extra.get(4..4 + length).unwrap_or_default());
            }
            extra = extra.get(4 + length..).unwrap_or_default();
        }
        Self(&[])
    }

    /// The number itself, or the next of the wide ones if it says that it did not fit.
    fn number(&mut self, narrow: u64) -> Option<u64> {
        if narrow != u64::from(u32::MAX) {
            return Some(narrow);
        }
        let (wide, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(number(wide, 0, 8))
    }
}

/// A number of up to eight bytes, the least significant first; zeros where there are none.
pub(super) fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let digits = bytes.get(at..).unwrap_or_default().iter().take(length);
    digits.rev().fold(0, |number, digit| (number << 8) | u64::from(*digit))
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
