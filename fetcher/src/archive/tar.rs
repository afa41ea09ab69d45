//! Reads a tar archive from its first byte to its last: ustar, GNU's long names and large numbers, and pax records.
//!
//! Of what a header can say, only name, kind and size matter to a model. An archive must say where it ends, by two
//! blocks of zeros, and nothing but zeros may follow: one that was cut off, or glued to another, is not
//! taken for a whole one. POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use std::io::Read;

use super::{Kind, Member, Sink, UnpackError, pass, read_exactly};
use crate::limits::Limits;

mod header;
mod records;

use header::{BLOCK, Header};
use records::Records;

/// What headers before a member say of it.
#[derive(Debug, Default)]
struct Before {
    records: Records,
    long_name: Option<String>,
    long_link: Option<String>,
}

/// Gives every member to `sink`.
///
/// # Errors
/// See [`UnpackError`].
pub fn read(from: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), UnpackError> {
    let mut before = Before::default();
    let mut headers = 0_usize;
    while let Some(header) = next(from)? {
        headers += 1;
        if headers > Limits::DEFAULT.archive_members {
            let problem = format!("it has more than {} members", Limits::DEFAULT.archive_members);
            return Err(UnpackError::Excessive(problem, "pack fewer files"));
        }
        match header.flag {
            b'L' => before.long_name = Some(long(from, &header)?),
            b'K' => before.long_link = Some(long(from, &header)?),
            b'x' => before.records = Records::parse(&small(from, &header)?)?,
            b'g' => Records::parse(&small(from, &header)?)?.must_not_matter()?,
            // GNU: the name of the volume.
            b'V' => pass(from, padded(header.size)?)?,
            _ => member(from, &header, std::mem::take(&mut before), sink)?,
        }
    }
    if before.records.is_empty() && before.long_name.is_none() && before.long_link.is_none() {
        return nothing_but_zeros(from);
    }
    Err(UnpackError::Damaged("a header stands before no member".into()))
}

/// The next header; nothing at the end.
fn next(from: &mut dyn Read) -> Result<Option<Header>, UnpackError> {
    let mut block = [0; BLOCK];
    read_exactly(from, &mut block)?;
    if block.iter().any(|byte| *byte != 0) {
        return Header::parse(&block).map(Some);
    }
    read_exactly(from, &mut block)?;
    match block.iter().all(|byte| *byte == 0) {
        true => Ok(None),
        false => Err(UnpackError::Damaged("something follows a block of zeros".into())),
    }
}

fn member(
    from: &mut dyn Read,
    header: &Header,
    before: Before,
    sink: &mut dyn Sink,
) -> Result<(), UnpackError> {
    let Before { records, long_name, long_link } = before;
    let size = records.size.unwrap_or(header.size);
    let name = match records.path.or(long_name) {
        Some(name) => name,
        None => header.name()?,
    };
    if records.is_sparse {
        return Err(sparse(&name));
    }
    let link = || match records.link_path.or(long_link) {
        Some(link) => Ok(link),
        None => header.link(),
    };
    let kind = match header.flag {
        // As it was before there were folders.
        b'0' | 0 | b'7' if name.ends_with('/') => Kind::Folder,
        b'0' | 0 | b'7' => Kind::File,
        b'1' => Kind::HardLink(link()?),
        b'2' => Kind::SymbolicLink(link()?),
        b'3' => Kind::Other("a device"),
        b'4' => Kind::Other("a device"),
        b'5' => Kind::Folder,
        b'6' => Kind::Other("a pipe"),
        b'S' => return Err(sparse(&name)),
        b'M' => Kind::Other("the rest of a file on another volume"),
        _ => Kind::Other("of a kind that is not known"),
    };
    // Only a file has content; what the size of the others means differs.
    let size = match kind {
        Kind::HardLink(_) | Kind::SymbolicLink(_) => 0,
        _ => size,
    };
    let mut content = from.take(size);
    sink.member(Member { name, kind, size }, &mut content)?;
    let left = content.limit();
    pass(from, left)?;
    pass(from, padded(size)?.saturating_sub(size))
}

fn sparse(name: &str) -> UnpackError {
    UnpackError::member(name, "is stored as a sparse file, expected all of its bytes")
}

/// The content of a header that is a small file itself.
fn small(from: &mut dyn Read, header: &Header) -> Result<Vec<u8>, UnpackError> {
    let limit = Limits::DEFAULT.archive_header_bytes;
    let length = usize::try_from(header.size).unwrap_or(usize::MAX);
    if length > limit {
        let problem = format!("a header of it has {} bytes, expected at most {limit}", header.size);
        return Err(UnpackError::Excessive(problem, "pack the files without their extended attributes"));
    }
    let mut content = vec![0; length];
    read_exactly(from, &mut content)?;
    pass(from, padded(header.size)?.saturating_sub(header.size))?;
    Ok(content)
}

/// A long name of GNU's.
fn long(from: &mut dyn Read, header: &Header) -> Result<String, UnpackError> {
    header::text(&small(from, header)?)
}

/// A size rounded up to whole blocks.
fn padded(size: u64) -> Result<u64, UnpackError> {
    let block = header::BLOCK_BYTES;
    size.div_ceil(block)
        .checked_mul(block)
        .ok_or_else(|| UnpackError::Damaged("a member has more bytes than there are".into()))
}

/// To the end of the stream, so that every checksum on the way there is looked at.
fn nothing_but_zeros(from: &mut dyn Read) -> Result<(), UnpackError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(UnpackError::reading(error)),
        };
        match buffer.get(..read) {
            Some([]) | None => return Ok(()),
            Some(more) if more.iter().all(|byte| *byte == 0) => {}
            Some(_) => return Err(UnpackError::Damaged("something follows its end".into())),
        }
    }
}

#[cfg(test)]
mod tests;
