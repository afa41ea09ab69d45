//! The block that stands before each member.

use super::UnpackError;

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;
pub(super) const BLOCK_BYTES: u64 = 512;

/// What a header says.
#[derive(Debug)]
pub(super) struct Header {
    /// What the member is.
    pub flag: u8,
    /// Bytes of its content.
    pub size: u64,
    name: Vec<u8>,
    prefix: Vec<u8>,
    link: Vec<u8>,
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, UnpackError> {
        let field = |start: usize, length: usize| block.get(start..start + length).unwrap_or_default();
        let damaged = |what: &str| UnpackError::Damaged(what.to_owned());
        let checksum = number(field(148, 8)).ok_or_else(|| damaged("a header has no checksum"))?;
        if checksum != sum(block, u64::from) && checksum != signed_sum(block) {
            return Err(damaged("a header has another checksum"));
        }
        let size = number(field(124, 12)).ok_or_else(|| damaged("a header has no size"))?;
        // GNU's has other things where the prefix is.
        let is_posix = field(257, 6) == b"ustar\0";
        let prefix = if is_posix { until_zero(field(345, 155)).to_vec() } else { Vec::new() };
        let flag = field(156, 1).first().copied().unwrap_or_default();
        let (name, link) = (until_zero(field(0, 100)).to_vec(), until_zero(field(157, 100)).to_vec());
        Ok(Self { flag, size, name, prefix, link })
    }

    pub(super) fn name(&self) -> Result<String, UnpackError> {
        let name = text(&self.name)?;
        match self.prefix.is_empty() {
            true => Ok(name),
            false => Ok(format!("{}/{name}", text(&self.prefix)?)),
        }
    }

    pub(super) fn link(&self) -> Result<String, UnpackError> {
        text(&self.link)
    }
}

/// A name, up to the zero that ends it.
pub(super) fn text(bytes: &[u8]) -> Result<String, UnpackError> {
    let bytes = until_zero(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(UnpackError::member(&String::from_utf8_lossy(bytes), "is not a name in UTF-8")),
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number: octal digits, or GNU's way of 256 for large ones.
fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let mut digits = field.iter().enumerate().map(|(at, byte)| if at == 0 { byte & 0x7f } else { *byte });
        // A negative number has 0xff in front, and no size is one.
        return digits
            .try_fold(0_u64, |number, digit| number.checked_mul(256)?.checked_add(u64::from(digit)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(|c| c == ' ' || c == '\0');
    if text.is_empty() {
        return Some(0);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}

/// The sum of all bytes, with blanks where it stands itself.
fn sum(block: &[u8; BLOCK], value: impl Fn(u8) -> u64) -> u64 {
    let blank = |(at, byte): (usize, &u8)| value(if (148..156).contains(&at) { b' ' } else { *byte });
    block.iter().enumerate().map(blank).sum()
}

/// As some old programs have it, for whom a byte has a sign.
fn signed_sum(block: &[u8; BLOCK]) -> u64 {
    let negative =
        block.iter().enumerate().filter(|(at, byte)| !(148..156).contains(at) && **byte > 127).count();
    sum(block, u64::from).saturating_sub(256 * u64::try_from(negative).unwrap_or(u64::MAX / 256))
}
