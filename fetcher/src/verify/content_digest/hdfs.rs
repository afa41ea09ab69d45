//! The checksum that HDFS keeps of a file: MD5 over the MD5 of each block's CRCs, which are over some 512 bytes each.
//!
//! Both lengths belong to the checksum and come before it: four bytes for how many a CRC is over, eight for how many CRCs
//! make a block, where there is more than one, then the MD5.
//!
//! The last MD5 is over a buffer of Hadoop's, of 32 bytes or of twice as many as often as it takes, and over the zeros at
//! its end, too: so it was once, and so it has remained.
//! <https://github.com/apache/hadoop/blob/trunk/hadoop-hdfs-project/hadoop-hdfs-client/src/main/java/org/apache/hadoop/hdfs/FileChecksumHelper.java>

use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};

/// Bytes of the two lengths.
const HEADER: usize = 12;
/// Bytes of the whole: the lengths and the MD5.
pub(super) const LENGTH: usize = HEADER + MD5;
const MD5: usize = 16;
/// Bytes that the buffer begins with.
const BUFFER: u64 = 32;

/// Such a checksum under way.
#[derive(Clone)]
pub(super) struct HdfsHasher {
    header: [u8; HEADER],
    bytes_per_crc: usize,
    crcs_per_block: u64,
    crc: crc_fast::Digest,
    /// Bytes that the current CRC is over so far.
    in_crc: usize,
    block: Md5,
    /// CRCs of the current block so far.
    in_block: u64,
    file: Md5,
    blocks: u64,
}

impl HdfsHasher {
    /// A checksum of nothing yet, with the lengths of the one that is expected.
    pub(super) fn new(crc: CrcAlgorithm, expected: &[u8]) -> Self {
        let header: [u8; HEADER] = expected.first_chunk().copied().unwrap_or_default();
        let [a, b, c, d, per_block @ ..] = header;
        let bytes_per_crc = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        Self {
            header,
            // A length of none is what a file of no bytes has.
            bytes_per_crc: bytes_per_crc.max(1),
            crcs_per_block: u64::from_be_bytes(per_block),
            crc: crc_fast::Digest::new(crc),
            in_crc: 0,
            block: Md5::new(),
            in_block: 0,
            file: Md5::new(),
            blocks: 0,
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, rest) = bytes.split_at(bytes.len().min(self.bytes_per_crc - self.in_crc));
            self.crc.update(taken);
            self.in_crc += taken.len();
            bytes = rest;
            if self.in_crc == self.bytes_per_crc {
                self.end_crc();
            }
        }
    }

    pub(super) fn finish(mut self) -> [u8; LENGTH] {
        if self.in_crc > 0 {
            self.end_crc();
        }
        if self.in_block > 0 {
            self.end_block();
        }
        let used = self.blocks.saturating_mul(BUFFER / 2);
        let mut buffer = BUFFER;
        while buffer < used {
            buffer = buffer.saturating_mul(2);
        }
        let mut zeros = buffer - used;
        while zeros > 0 {
            let some = usize::try_from(zeros).unwrap_or(usize::MAX).min(ZEROS.len());
            self.file.update(ZEROS.get(..some).unwrap_or(&ZEROS));
            zeros = zeros.saturating_sub(u64::try_from(some).unwrap_or(u64::MAX));
        }
        let mut whole = [0; LENGTH];
        let (header, digest) = whole.split_at_mut(HEADER);
        header.copy_from_slice(&self.header);
        digest.copy_from_slice(&self.file.finalize());
        whole
    }

    fn end_crc(&mut self) {
        let [.., a, b, c, d] = self.crc.finalize_reset().to_be_bytes();
        self.block.update([a, b, c, d]);
        self.in_crc = 0;
        self.in_block += 1;
        if self.in_block == self.crcs_per_block {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        let block = self.block.finalize_reset();
        self.file.update(block);
        self.in_block = 0;
        self.blocks += 1;
    }
}

const ZEROS: [u8; 4096] = [0; 4096];

#[cfg(test)]
mod tests {
    use super::super::{ContentDigest, ContentHasher};

    /// As Hadoop 3.5 says it of the same bytes in five blocks and in one.
    #[test]
    fn known_answers() {
        let content: Vec<u8> = (0..5000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        for digits in [
            "0000020000000000000000022dda31ce8ffbb69839e22b05b8643617",
            "000002000000000000000000760068f2d3da6750b8ffc8cf7dd1f935",
        ] {
            let expected: ContentDigest = format!("hdfs-md5-crc32c:{digits}").parse().unwrap();
            for step in [1, 511, 513, 5000] {
                let mut hasher = ContentHasher::of_file(&expected, None);
                content.chunks(step).for_each(|chunk| hasher.update(chunk));
                assert_eq!(hasher.finish(), expected, "in steps of {step}");
            }
        }
        let nothing: ContentDigest =
            "hdfs-md5-crc32:00000000000000000000000070bc8f4b72a86921468bf8e8441dce51".parse().unwrap();
        assert_eq!(ContentHasher::of_file(&nothing, None).finish(), nothing);
    }
}
