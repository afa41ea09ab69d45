//! The model that this Pod is meant to serve.

use handoff::ModelId;
use serde::Serialize;

use crate::one_line;

/// The expected name and version; what is not set accepts anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// `MODEL_NAME`.
    pub name: Option<String>,
    /// `MODEL_VERSION`.
    pub version: Option<String>,
}

impl Expected {
    /// Why `found` is not this model, to follow "… is for "; nothing when it is.
    pub fn mismatch(&self, found: &ModelId) -> Option<String> {
        let name = self.name.as_ref().filter(|&name| *name != found.name);
        let version = self.version.as_ref().filter(|&version| *version != found.version);
        let expected = match (name, version) {
            (None, None) => return None,
            (None, Some(version)) => version.clone(),
            // With the name wrong, the version alone would read as if it were the name.
            (Some(name), _) => match &self.version {
                Some(version) => format!("{name} {version}"),
                None => name.clone(),
            },
        };
        Some(one_line::of(&format!("{found}, expected {expected}"), one_line::LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(name: Option<&str>, version: Option<&str>) -> Expected {
        Expected { name: name.map(Into::into), version: version.map(Into::into) }
    }

    #[test]
    fn names_what_differs() {
        let found = ModelId { name: "product-recommendation".into(), version: "v2.2".into() };
        let mismatch = |name, version| expected(name, version).mismatch(&found);
        assert_eq!(mismatch(None, None), None);
        assert_eq!(mismatch(Some("product-recommendation"), Some("v2.2")), None);
        assert_eq!(mismatch(Some("product-recommendation"), None), None);
        let text = mismatch(Some("product-recommendation"), Some("v2.3")).unwrap();
        assert_eq!(text, "product-recommendation v2.2, expected v2.3");
        let text = mismatch(Some("search"), Some("v2.2")).unwrap();
        assert_eq!(text, "product-recommendation v2.2, expected search v2.2");
        let text = mismatch(Some("search"), None).unwrap();
        assert_eq!(text, "product-recommendation v2.2, expected search");
    }

    #[test]
    fn versions_are_compared_whole_and_with_case() {
        let found = ModelId { name: "m".into(), version: "v2".into() };
        for version in ["V2", "v2 ", "v2.0", "v"] {
            assert!(expected(None, Some(version)).mismatch(&found).is_some(), "{version}");
        }
    }
}
