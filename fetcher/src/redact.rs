//! The only way a URL gets into a message, a log or the receipt.
//!
//! User names, passwords and query strings (where presigned URLs and tokens carry their secrets) are left out.

use std::fmt;

use url::Url;

/// Prints a URL without what may be secret in it.
pub struct Redacted<'a>(pub &'a Url);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        let hidden = shown.query().is_some();
        shown.set_query(None);
        shown.set_fragment(None);
        // Both fail only for URLs that cannot have a user name or a password.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        write!(f, "{shown}{}", if hidden { "?…" } else { "" })
    }
}

/// Bytes in the unit that reads best: `512 B`, `4.2 GiB`.
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // Tenths of the unit, in integers.
        let mut tenths = self.0.saturating_mul(10) / 1024;
        let mut unit = 0;
        while tenths >= 10_240 && unit + 1 < UNITS.len() {
            tenths /= 1024;
            unit += 1;
        }
        let name = UNITS.get(unit).copied().unwrap_or("TiB");
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_secrets() {
        let url = "https://me:pass@store.example/a/b?X-Amz-Signature=abc#frag".parse().unwrap();
        assert_eq!(Redacted(&url).to_string(), "https://store.example/a/b?…");
        let plain = "http://store.example:5000/a".parse().unwrap();
        assert_eq!(Redacted(&plain).to_string(), "http://store.example:5000/a");
    }

    #[test]
    fn sizes_read_well() {
        let shown = |bytes| ByteSize(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1536), "1.5 KiB");
        assert_eq!(shown(4_509_715_660), "4.1 GiB");
        assert_eq!(shown(u64::MAX), "1677721.5 TiB");
    }
}
