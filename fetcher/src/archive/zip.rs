//! Reads a ZIP archive as its bytes pass, once, from the first to the last.
//!
//! What its members are stands at its end, in the central directory, which is read beforehand by [`directory`]. Sizes
//! and places are taken from there alone; what stands before each member must not say otherwise. Members may not
//! overlap, so what all of them unpack to is bounded by what the directory says. The end is compared, as it
//! passes, with what was read beforehand: where a digest vouches for the archive, it vouches for that too. APPNOTE 6.3.10.

use std::io::{BufRead, Read};

use super::meter::{Counted, Metered};
use super::{Kind, Member, Sink, UnpackError, decode, pass, read_exactly};

pub mod directory;

use directory::{Directory, Entry, number};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const LOCAL_HEADER_BYTES: usize = 30;
/// Methods of compression.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Gives every member to `sink`, in the order of their bytes.
///
/// # Errors
/// See [`UnpackError`].
pub fn read(from: impl BufRead, directory: &Directory, sink: &mut dyn Sink) -> Result<(), UnpackError> {
    let mut from = Counted::new(from);
    for entry in &directory.entries {
        // Entries do not overlap, but a local header may be longer than the directory lets expect.
        let gap = entry.offset.checked_sub(from.position());
        pass(&mut from, gap.ok_or_else(|| UnpackError::member(&entry.name, "overlaps another member"))?)?;
        member(&mut from, entry, sink)?;
    }
    let gap = directory.starts_at.checked_sub(from.position());
    let overlaps = || UnpackError::Damaged("a member overlaps the central directory".into());
    pass(&mut from, gap.ok_or_else(overlaps)?)?;
    let mut end = from.take(u64::try_from(directory.bytes.len()).unwrap_or(u64::MAX).saturating_add(1));
    let mut seen = Vec::new();
    end.read_to_end(&mut seen).map_err(UnpackError::reading)?;
    match seen == directory.bytes {
        true => Ok(()),
        false => Err(UnpackError::Damaged("its central directory changed while it was read".into())),
    }
}

fn member(from: &mut Counted<impl BufRead>, entry: &Entry, sink: &mut dyn Sink) -> Result<(), UnpackError> {
    let mut header = [0; LOCAL_HEADER_BYTES];
    read_exactly(from, &mut header)?;
    if number(&header, 0, 4) != u64::from(LOCAL_HEADER) {
        return Err(UnpackError::member(&entry.name, "is not where the central directory says"));
    }
    let length = |at: usize| usize::try_from(number(&header, at, 2)).unwrap_or(usize::MAX);
    let mut name = vec![0; length(26)];
    read_exactly(from, &mut name)?;
    if name != entry.name.as_bytes() || number(&header, 8, 2) != u64::from(entry.method) {
        return Err(UnpackError::member(&entry.name, "is another one than the central directory says"));
    }
    pass(from, number(&header, 28, 2))?;
    if entry.kind != Kind::File {
        let named = Member { name: entry.name.clone(), kind: entry.kind.clone(), size: 0 };
        return sink.member(named, &mut std::io::empty());
    }
    let taken = from.taken();
    let mut packed = from.take(entry.compressed);
    let decoder: Box<dyn Read + '_> = match entry.method {
        STORED => Box::new(&mut packed),
        DEFLATED => decode::deflate(&mut packed)?,
        other => {
            let reason = format!("{} is compressed by method {other}", entry.name.escape_debug());
            let hint = "pack the model without compression, or with deflate";
            return Err(UnpackError::Unsupported { reason, hint });
        }
    };
    let mut content = Checked::new(Metered::new(decoder, taken), entry);
    let named = Member { name: entry.name.clone(), kind: Kind::File, size: entry.size };
    sink.member(named, &mut content)?;
    content.finish()?;
    drop(content);
    match packed.limit() {
        0 => Ok(()),
        _ => Err(UnpackError::member(&entry.name, "ends before its compressed bytes do")),
    }
}

/// A content that must have the size and the checksum that the directory says.
struct Checked<'a, R> {
    inner: R,
    entry: &'a Entry,
    checksum: crc_fast::Digest,
    read: u64,
}

impl<'a, R: Read> Checked<'a, R> {
    fn new(inner: R, entry: &'a Entry) -> Self {
        let checksum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
        Self { inner, entry, checksum, read: 0 }
    }

    fn finish(&mut self) -> Result<(), UnpackError> {
        // To the end of the stream, which is one byte after the size at most.
        std::io::copy(self, &mut std::io::sink()).map_err(UnpackError::reading)?;
        let size = self.entry.size;
        if self.read != size {
            let reason = format!("has {} bytes, expected {size}", self.read);
            return Err(UnpackError::member(&self.entry.name, reason));
        }
        let got = self.checksum.finalize();
        if got != u64::from(self.entry.crc) {
            let reason = format!("has the checksum {got:08x}, expected {:08x}", self.entry.crc);
            return Err(UnpackError::member(&self.entry.name, reason));
        }
        Ok(())
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.checksum.update(buffer.get(..read).unwrap_or_default());
        self.read = self.read.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if self.read > self.entry.size {
            let reason = format!("has more than the {} bytes that it says", self.entry.size);
            return Err(UnpackError::member(&self.entry.name, reason).into());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
