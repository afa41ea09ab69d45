//! The content of one file against its digests, in one pass and in bounded memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use handoff::{FileEntry, Sha256Digest};

use super::{DirectoryError, Part, failed};
use crate::signature::{SignedDigest, SignedFile};
use crate::verify::Verifier;
use crate::verify::content_digest::{Algorithm, ContentHasher};

/// Bytes read at a time.
const READ_BYTES: u64 = 1024 * 1024;

/// Compares a file with its digests and with what the receipt says of it; gives its size.
pub(super) fn check(
    root: &Path,
    signed: &SignedFile,
    entry: Option<&FileEntry>,
) -> Result<u64, DirectoryError> {
    let located = signed.path.below(root);
    let mut file = File::open(&located).map_err(failed(&located))?;
    let size = file.metadata().map_err(failed(&located))?.len();
    if let Some(expected) = signed.size()
        && expected != size
    {
        return Err(DirectoryError::Size { path: signed.path.clone(), expected, got: size });
    }
    // A signature by the SHA-256 of whole files computes already what the receipt holds.
    let whole =
        |digest: &SignedDigest| digest.range.is_none() && digest.digest.algorithm() == Algorithm::Sha256;
    let computed = signed.digests.iter().find(|digest| whole(digest));
    let mut for_receipt = (entry.is_some() && computed.is_none()).then(Verifier::default);
    for digest in &signed.digests {
        let mut hasher = ContentHasher::new(digest.digest.algorithm());
        let length = digest.range.as_ref().map_or(u64::MAX, |range| range.end.saturating_sub(range.start));
        let take = |bytes: &[u8]| {
            hasher.update(bytes);
            if let Some(verifier) = &mut for_receipt {
                verifier.update(bytes);
            }
        };
        read(&mut file, length, take).map_err(failed(&located))?;
        let got = hasher.finish();
        if got != digest.digest {
            let (path, part) = (signed.path.clone(), Part(digest.range.clone()));
            return Err(DirectoryError::Digest { path, part, expected: digest.digest.clone(), got });
        }
    }
    // Behind the last digest nothing may be; of a file that none is of, only the receipt knows.
    let mut behind = 0_u64;
    read(&mut file, u64::MAX, |bytes| {
        behind = behind.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if let Some(verifier) = &mut for_receipt {
            verifier.update(bytes);
        }
    })
    .map_err(failed(&located))?;
    if behind > 0 && !signed.digests.is_empty() {
        let got = size.saturating_add(behind);
        return Err(DirectoryError::Size { path: signed.path.clone(), expected: size, got });
    }
    let got = for_receipt.map(Verifier::digest).or(computed.and_then(|digest| digest.digest.sha256()));
    if let (Some(entry), Some(got)) = (entry, got) {
        compare(entry, got)?;
    }
    Ok(size)
}

fn compare(entry: &FileEntry, got: Sha256Digest) -> Result<(), DirectoryError> {
    if entry.sha256 == got {
        return Ok(());
    }
    Err(DirectoryError::Receipt { path: entry.path.clone(), expected: entry.sha256, got })
}

/// Reads up to `length` bytes, in pieces.
fn read(file: &mut File, length: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut rest = file.take(length);
    let mut buffer = vec![0; usize::try_from(READ_BYTES.min(length)).unwrap_or_default()];
    loop {
        let count = rest.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(bytes) if count > 0 => take(bytes),
            _ => return Ok(()),
        }
    }
}
