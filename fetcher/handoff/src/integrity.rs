//! How strongly a file's content was vouched for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The rungs of the integrity ladder, weakest first, so that `a < b` reads as "a is weaker than b".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// Nothing was known beforehand; the SHA-256 was computed and written down.
    Recorded,
    /// The store's own full-object checksum.
    Store,
    /// A `SHA256SUMS` file beside the weights.
    Manifest,
    /// A digest that the registry holds: `model.yaml`, a tag, a content address.
    Registry,
    /// A signature over the digests.
    Signed,
    /// `MODEL_DIGEST`: the digest that the deployment itself names.
    Pinned,
}

impl Integrity {
    /// Every rung, weakest first.
    pub const ALL: [Self; 6] =
        [Self::Recorded, Self::Store, Self::Manifest, Self::Registry, Self::Signed, Self::Pinned];

    /// The rung's name in settings, logs and the receipt.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Store => "store",
            Self::Manifest => "manifest",
            Self::Registry => "registry",
            Self::Signed => "signed",
            Self::Pinned => "pinned",
        }
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Integrity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|rung| rung.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|rung| rung.name()).collect();
            format!("expected one of {}, got `{}`", names.join(", "), text.escape_debug())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_ordered_and_its_names_read_back() {
        assert!(Integrity::ALL.is_sorted());
        for rung in Integrity::ALL {
            assert_eq!(rung.name().parse(), Ok(rung));
            assert_eq!(serde_json::to_value(rung).unwrap(), rung.name());
        }
        assert!("strong".parse::<Integrity>().unwrap_err().ends_with("got `strong`"));
    }
}
