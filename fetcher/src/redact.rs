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
}
