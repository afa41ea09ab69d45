//! Git's lines, each behind its length in four hexadecimal digits, and the three bands in which a pack comes.
//! <https://git-scm.com/docs/protocol-common>, <https://git-scm.com/docs/protocol-v2>

use bytes::{Buf as _, Bytes, BytesMut};

/// Digits of a length, which counts itself.
const LENGTH: usize = 4;

/// A line, or what stands between lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// With what it says, and the end of the line if there is one.
    Data(Bytes),
    /// Between sections.
    Delimiter,
    /// After the last line.
    Flush,
}

/// Writes a line.
pub(crate) fn write(request: &mut Vec<u8>, text: &str) {
    request.extend_from_slice(format!("{:04x}{text}\n", text.len() + LENGTH + 1).as_bytes());
}

/// Writes what stands between sections.
pub(crate) fn write_delimiter(request: &mut Vec<u8>) {
    request.extend_from_slice(b"0001");
}

/// Writes what stands after the last line.
pub(crate) fn write_flush(request: &mut Vec<u8>) {
    request.extend_from_slice(b"0000");
}

/// Takes the first line of what came in; nothing, where more has to come in. A line has 65520 bytes at most.
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Line>, String> {
    let Some(digits) = buffer.first_chunk::<LENGTH>() else { return Ok(None) };
    let length = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let line = match length {
        Some(0) => Line::Flush,
        Some(1) => Line::Delimiter,
        Some(length) if length >= LENGTH => {
            if buffer.len() < length {
                return Ok(None);
            }
            let mut line = buffer.split_to(length).freeze();
            line.advance(LENGTH);
            return Ok(Some(Line::Data(line)));
        }
        _ => return Err("expected the length of a line in four digits, got something else".to_owned()),
    };
    buffer.advance(LENGTH);
    Ok(Some(line))
}

/// What a line says, without the end of the line.
pub(crate) fn text(line: &Bytes) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\n').to_owned()
}

/// What a line of a pack is.
pub(crate) enum Band {
    /// Bytes of the pack.
    Pack(Bytes),
    /// How far the server is.
    Progress,
    /// Why there is no more.
    Error(String),
}

/// Tells what a line of a pack is, by its first byte.
pub(crate) fn band(mut line: Bytes) -> Result<Band, String> {
    if line.is_empty() {
        return Err("expected a band, got an empty line".to_owned());
    }
    match line.get_u8() {
        1 => Ok(Band::Pack(line)),
        2 => Ok(Band::Progress),
        3 => Ok(Band::Error(text(&line))),
        other => Err(format!("expected a band from 1 to 3, got {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_as_they_come_in() {
        let mut request = Vec::new();
        write(&mut request, "command=ls-refs");
        write_delimiter(&mut request);
        write_flush(&mut request);
        let mut buffer = BytesMut::new();
        let mut lines = Vec::new();
        for byte in request {
            buffer.extend_from_slice(&[byte]);
            lines.extend(take(&mut buffer).unwrap());
        }
        assert_eq!(lines, [Line::Data("command=ls-refs\n".into()), Line::Delimiter, Line::Flush]);
        for bad in ["000g", "0003", "<htm", "0002"] {
            assert!(take(&mut BytesMut::from(bad)).is_err(), "{bad}");
        }
    }
}
