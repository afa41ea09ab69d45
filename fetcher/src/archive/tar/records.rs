//! The records of a pax header, which stand for what a plain header has no room for.

use super::UnpackError;

/// What the records of one header say, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub path: Option<String>,
    pub link_path: Option<String>,
    pub size: Option<u64>,
    pub is_sparse: bool,
    /// Whether there is any.
    some: bool,
}

impl Records {
    /// Reads `length key=value\n`, one after another.
    pub(super) fn parse(mut rest: &[u8]) -> Result<Self, UnpackError> {
        let mut records = Self::default();
        let damaged = || UnpackError::Damaged("a pax header is not a list of records".into());
        while !rest.is_empty() {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let length = rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
            let length = length.and_then(|digits| digits.parse::<usize>().ok()).ok_or_else(damaged)?;
            let record = rest.get(digits..length).ok_or_else(damaged)?;
            rest = rest.get(length..).ok_or_else(damaged)?;
            let record = record.strip_prefix(b" ").and_then(|record| record.strip_suffix(b"\n"));
            let record = record.ok_or_else(damaged)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
            let (key, value) = (record.get(..equals), record.get(equals + 1..));
            records.take(key.unwrap_or_default(), value.unwrap_or_default())?;
        }
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), UnpackError> {
        self.some = true;
        let text = || match std::str::from_utf8(value) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(UnpackError::member(&String::from_utf8_lossy(value), "is not a name in UTF-8")),
        };
        match key {
            b"path" => self.path = Some(text()?),
            b"linkpath" => self.link_path = Some(text()?),
            b"size" => {
                let size = text()?.parse().map_err(|_| UnpackError::Damaged("a size is no number".into()))?;
                self.size = Some(size);
            }
            key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.some
    }

    /// What holds for all members that follow can be a comment or a time, not a name.
    pub(super) fn must_not_matter(&self) -> Result<(), UnpackError> {
        match self.path.is_some() || self.link_path.is_some() || self.size.is_some() || self.is_sparse {
            true => Err(UnpackError::Damaged("a global header names a file or a size".into())),
            false => Ok(()),
        }
    }
}
