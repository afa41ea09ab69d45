//! Digests of content by whatever algorithm somebody vouches with.
//!
//! SHA-256 is what the receipt holds and what registries give. A signature may use another hash, and stores keep
//! checksums of their own. Each has its name and length here, and is computed while the bytes pass by.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crc_fast::CrcAlgorithm;
use handoff::Sha256Digest;
use hdfs::HdfsHasher;
use sha2::Digest as _;

mod hdfs;

/// How a digest is computed. Ordered by how much a match says, least first: a checksum notices accidents, a hash
/// also intent, but for the last two of the first group, which are broken and notice accidents only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// That of HDFS over CRC-32/ISO-HDLC.
    HdfsCrc32,
    /// That of HDFS over CRC-32/ISCSI (Castagnoli).
    HdfsCrc32c,
    /// RFC 1321.
    Md5,
    /// CRC-32/ISO-HDLC, big-endian, as S3 gives it.
    Crc32,
    /// CRC-32/ISCSI (Castagnoli), big-endian, as S3 and GCS give it.
    Crc32c,
    /// FIPS 180-4.
    Sha1,
    /// SHA-1 of a file as Git has it: after `blob`, its size and a zero byte.
    /// <https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>
    GitBlob,
    /// CRC-64/NVME, big-endian, as S3 gives it.
    Crc64Nvme,
    /// FIPS 180-4.
    Sha256,
    /// RFC 7693, with 64 bytes.
    Blake2b,
    /// With 32 bytes.
    Blake3,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 11] = [
        Self::HdfsCrc32,
        Self::HdfsCrc32c,
        Self::Md5,
        Self::Crc32,
        Self::Crc32c,
        Self::Sha1,
        Self::GitBlob,
        Self::Crc64Nvme,
        Self::Sha256,
        Self::Blake2b,
        Self::Blake3,
    ];

    /// Its name in messages and plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::HdfsCrc32 => "hdfs-md5-crc32",
            Self::HdfsCrc32c => "hdfs-md5-crc32c",
            Self::Md5 => "md5",
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Sha1 => "sha1",
            Self::GitBlob => "git-sha1",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha256 => "sha256",
            Self::Blake2b => "blake2b",
            Self::Blake3 => "blake3",
        }
    }

    /// Length of its digest in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 | Self::GitBlob => 20,
            Self::HdfsCrc32 | Self::HdfsCrc32c => hdfs::LENGTH,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Blake2b => 64,
        }
    }
}

/// The digest of some content. Reads and prints as the algorithm's name, `:` and lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentDigest {
    algorithm: Algorithm,
    value: Box<[u8]>,
}

impl ContentDigest {
    /// A digest as its bytes; nothing, if they are not as many as the algorithm gives.
    pub fn new(algorithm: Algorithm, value: &[u8]) -> Option<Self> {
        (value.len() == algorithm.bytes()).then(|| Self { algorithm, value: value.into() })
    }

    /// How it is computed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.value
    }

    /// The digest's bytes as hexadecimal digits.
    pub fn digits(&self) -> String {
        self.value.iter().fold(String::new(), |mut digits, byte| {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }

    /// The digest as a SHA-256, if it is one.
    pub fn sha256(&self) -> Option<Sha256Digest> {
        (self.algorithm == Algorithm::Sha256)
            .then(|| self.value.as_ref().try_into().ok().map(Sha256Digest::from_bytes))?
    }
}

impl From<Sha256Digest> for ContentDigest {
    fn from(digest: Sha256Digest) -> Self {
        Self { algorithm: Algorithm::Sha256, value: digest.as_bytes().as_slice().into() }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.digits())
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for ContentDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for ContentDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(name, digits)| {
            let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)?;
            Self::new(algorithm, &decode_hex(digits)?)
        });
        parsed.ok_or_else(|| {
            let got: String = text.chars().take(80).collect();
            format!("expected the name of an algorithm, `:` and its digest, got `{}`", got.escape_debug())
        })
    }
}

/// The bytes that hexadecimal digits stand for.
pub fn decode_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[high, low]: &[u8; 2]| Some(nibble(*high)? * 16 + nibble(*low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// A digest under way.
#[derive(Clone)]
pub struct ContentHasher(Hasher);

#[derive(Clone)]
enum Hasher {
    Md5(md5::Md5),
    Sha1(Algorithm, sha1::Sha1),
    Sha256(sha2::Sha256),
    Blake2b(Box<blake2::Blake2b512>),
    Blake3(Box<blake3::Hasher>),
    Crc(Algorithm, crc_fast::Digest),
    Hdfs(Algorithm, Box<HdfsHasher>),
}

impl ContentHasher {
    /// The digest of nothing yet of a file, to be compared with the one that is expected. Some begin with the file's size,
    /// where that is known, and some are computed as the expected one says.
    pub fn of_file(expected: &ContentDigest, size: Option<u64>) -> Self {
        let algorithm = expected.algorithm;
        let hdfs = |crc| Self(Hasher::Hdfs(algorithm, Box::new(HdfsHasher::new(crc, &expected.value))));
        match algorithm {
            Algorithm::HdfsCrc32 => return hdfs(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::HdfsCrc32c => return hdfs(CrcAlgorithm::Crc32Iscsi),
            _ => {}
        }
        let mut new = Self::new(algorithm);
        if let (Algorithm::GitBlob, Some(size)) = (algorithm, size) {
            new.update(format!("blob {size}\0").as_bytes());
        }
        new
    }

    /// The digest of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let crc = |variant| Hasher::Crc(algorithm, crc_fast::Digest::new(variant));
        let hdfs = |variant| Hasher::Hdfs(algorithm, Box::new(HdfsHasher::new(variant, &[])));
        Self(match algorithm {
            Algorithm::Md5 => Hasher::Md5(md5::Md5::new()),
            Algorithm::Sha1 | Algorithm::GitBlob => Hasher::Sha1(algorithm, sha1::Sha1::new()),
            Algorithm::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Algorithm::Blake2b => Hasher::Blake2b(Box::new(blake2::Blake2b512::new())),
            Algorithm::Blake3 => Hasher::Blake3(Box::new(blake3::Hasher::new())),
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::HdfsCrc32 => hdfs(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::HdfsCrc32c => hdfs(CrcAlgorithm::Crc32Iscsi),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Hasher::Md5(hasher) => hasher.update(bytes),
            Hasher::Sha1(_, hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Blake2b(hasher) => hasher.update(bytes),
            Hasher::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Hasher::Crc(_, digest) => digest.update(bytes),
            Hasher::Hdfs(_, hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all that it was fed.
    pub fn finish(self) -> ContentDigest {
        let of = |algorithm, value: &[u8]| ContentDigest { algorithm, value: value.into() };
        match self.0 {
            Hasher::Md5(hasher) => of(Algorithm::Md5, &hasher.finalize()),
            Hasher::Sha1(algorithm, hasher) => of(algorithm, &hasher.finalize()),
            Hasher::Sha256(hasher) => of(Algorithm::Sha256, &hasher.finalize()),
            Hasher::Blake2b(hasher) => of(Algorithm::Blake2b, &hasher.finalize()),
            Hasher::Blake3(hasher) => of(Algorithm::Blake3, hasher.finalize().as_bytes()),
            Hasher::Crc(algorithm, digest) => {
                let value = digest.finalize().to_be_bytes();
                let start = value.len() - algorithm.bytes();
                of(algorithm, value.get(start..).unwrap_or(&value))
            }
            Hasher::Hdfs(algorithm, hasher) => of(algorithm, &hasher.finish()),
        }
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentHasher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the standards and of the catalogue of CRCs, for `123456789` or `abc`.
    #[test]
    fn known_answers() {
        for (content, expected) in [
            ("123456789", "crc32:cbf43926"),
            ("123456789", "crc32c:e3069283"),
            ("123456789", "crc64nvme:ae8b14860a799888"),
            ("abc", "md5:900150983cd24fb0d6963f7d28e17f72"),
            ("abc", "sha1:a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abc",
                "blake2b:ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
                 7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
            ),
            ("abc", "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ] {
            let expected: ContentDigest = expected.parse().unwrap();
            let mut hasher = ContentHasher::new(expected.algorithm());
            content.as_bytes().chunks(2).for_each(|chunk| hasher.update(chunk));
            assert_eq!(hasher.finish(), expected);
            assert_eq!(expected.to_string().parse(), Ok(expected));
        }
    }

    /// As `git hash-object` says it.
    #[test]
    fn a_blob_begins_with_its_size() {
        let expected: ContentDigest = "git-sha1:8baef1b4abc478178b004d62031cf7fe6db6f903".parse().unwrap();
        let mut hasher = ContentHasher::of_file(&expected, Some(4));
        hasher.update(b"abc\n");
        assert_eq!(hasher.finish(), expected);
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:abcd",
            "md4:00",
            "crc32:cbf4392g",
            "crc32:cbf4392",
            "crc32:+bf43926",
        ] {
            assert!(text.parse::<ContentDigest>().is_err(), "{text}");
        }
    }
}
