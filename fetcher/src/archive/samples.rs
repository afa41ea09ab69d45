//! Small archives for tests, and who takes what is in them. What real tools make is in the tests of the whole.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use super::zip::directory::{Directory, Place, TAIL_BYTES};
use super::{Kind, Member, Sink, UnpackError, tar, zip};

/// Takes everything that it is given.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken(pub Vec<(Member, Vec<u8>)>);

impl Sink for Taken {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<(), UnpackError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(UnpackError::reading)?;
        if u64::try_from(bytes.len()) != Ok(member.size) {
            return Err(UnpackError::CutShort);
        }
        self.0.push((member, bytes));
        Ok(())
    }
}

impl Taken {
    /// The files by name.
    pub(crate) fn files(self) -> BTreeMap<String, Vec<u8>> {
        let files = self.0.into_iter().filter(|(member, _)| member.kind == Kind::File);
        files.map(|(member, content)| (member.name, content)).collect()
    }
}

/// A block of a tar archive before a content.
pub(crate) fn header(name: &[u8], flag: u8, size: usize, link: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(100)]);
    put(124, format!("{size:011o}\0").as_bytes());
    put(156, &[flag]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A content, in whole blocks.
pub(crate) fn padded(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content
}

/// A pax record.
pub(crate) fn record(key: &str, value: &str) -> String {
    let bare = key.len() + value.len() + 3;
    let length = (bare..).find(|length| bare + length.to_string().len() == *length).unwrap();
    format!("{length} {key}={value}\n")
}

/// A tar archive of files, each with its name in a pax record.
pub(crate) fn tar_of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let record = record("path", name);
        archive.extend(header(b"pax", b'x', record.len(), ""));
        archive.extend(padded(record.as_bytes()));
        archive.extend(header(name.as_bytes(), b'0', content.len(), ""));
        archive.extend(padded(content));
    }
    archive.extend([0; 1024]);
    archive
}

/// A ZIP archive of files that are stored.
pub(crate) fn zip_of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let (mut archive, mut directory, mut count) = (Vec::new(), Vec::new(), 0_u16);
    for (name, content) in files {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
        digest.update(content);
        let crc = u32::try_from(digest.finalize()).unwrap().to_le_bytes();
        let offset = u32::try_from(archive.len()).unwrap().to_le_bytes();
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let common = [&[20, 0, 0, 8, 0, 0, 0, 0, 0, 0][..], &crc, &size, &size, &length, &[0, 0]].concat();
        archive.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\x00", &common[..], &[0; 10], &offset, name.as_bytes()].concat());
        count += 1;
    }
    let (at, length) = (u32::try_from(archive.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    archive.extend(directory);
    archive.extend([b"PK\x05\x06\0\0\0\0", &count.to_le_bytes()[..], &count.to_le_bytes()].concat());
    archive.extend([&length.to_le_bytes()[..], &at.to_le_bytes(), &[0, 0]].concat());
    archive
}

/// Reads a tar archive.
pub(crate) fn untar(mut archive: &[u8]) -> Result<Taken, UnpackError> {
    let mut taken = Taken::default();
    tar::read(&mut archive, &mut taken)?;
    Ok(taken)
}

/// Reads a ZIP archive.
pub(crate) fn unzip(archive: &[u8]) -> Result<Taken, UnpackError> {
    let size = u64::try_from(archive.len()).unwrap();
    let tail = archive.len().saturating_sub(usize::try_from(TAIL_BYTES).unwrap());
    let place = Place::find(&archive[tail..], size)?;
    let end = archive[usize::try_from(place.starts_at).unwrap()..].to_vec();
    let directory = Directory::parse(end, place)?;
    let mut taken = Taken::default();
    zip::read(Cursor::new(archive), &directory, &mut taken)?;
    Ok(taken)
}
