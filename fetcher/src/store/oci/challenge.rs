//! What a registry says when it wants to know who we are: `WWW-Authenticate`, and the answer of whom it sends us to.
//!
//! RFC 9110, 11.6.1; <https://distribution.github.io/distribution/spec/auth/token/>.

use std::time::Duration;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

/// How long a token counts whose giver does not say so.
const SHORTEST: Duration = Duration::from_secs(60);
/// How long one counts at most: a wrong number must not overflow the clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How a registry wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password.
    Basic,
    /// A token that somebody else gives.
    Bearer {
        /// Whom to ask.
        realm: String,
        /// For what.
        service: Option<String>,
    },
}

/// The answer of whom the registry sent us to.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Challenge {
    /// The best of what a registry offers.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let offers = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let offers: Vec<_> = offers.filter_map(Self::parse).collect();
        let bearer = offers.iter().find(|offer| matches!(offer, Self::Bearer { .. }));
        bearer.or(offers.first()).cloned()
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let value = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        Some(Self::Bearer { realm: value("realm")?, service: value("service") })
    }
}

/// Reads `name="value", …`, as far as it is that.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.trim_start_matches([' ', ',']).split_once('=') {
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (value, rest) = rest.split_at(end);
                (value.trim().to_owned(), rest)
            }
        };
        found.push((name.trim().to_owned(), value));
        text = rest;
    }
    found
}

/// What is before the quotation mark that ends it, and what comes after.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(index + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

impl TokenAnswer {
    /// The token and for how long it counts.
    pub(super) fn token(self) -> Option<(String, Duration)> {
        let token = self.token.or(self.access_token).filter(|token| !token.is_empty())?;
        let lifetime = self.expires_in.map_or(SHORTEST, Duration::from_secs);
        Some((token, lifetime.min(LONGEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
        };
        for (text, expected) in [
            (r#"Basic realm="a""#, Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://a/t",service="s, \"x\"",scope="repository:a:pull""#,
                bearer("https://a/t", Some(r#"s, "x""#)),
            ),
            (r#"bearer service=s , realm="r"#, bearer("r", Some("s"))),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(text), expected, "{text}");
        }
        let mut headers = HeaderMap::new();
        for offer in ["Basic realm=x", "Negotiate", "Bearer realm=r"] {
            headers.append(WWW_AUTHENTICATE, offer.parse().unwrap());
        }
        assert_eq!(Challenge::of(&headers), bearer("r", None));
    }

    #[test]
    fn a_token_has_two_names_and_a_bounded_life() {
        let read = |text: &str| serde_json::from_str::<TokenAnswer>(text).unwrap().token();
        assert_eq!(read(r#"{"token": "a", "access_token": "b"}"#), Some(("a".into(), SHORTEST)));
        let long = format!(r#"{{"access_token": "b", "expires_in": {}}}"#, u64::MAX);
        assert_eq!(read(&long), Some(("b".into(), LONGEST)));
        assert_eq!(read(r#"{"token": ""}"#), None);
    }
}
