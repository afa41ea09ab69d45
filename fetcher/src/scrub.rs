//! The last line of defence for secrets: whatever goes out as a log line, a last word or a progress message is
//! searched for the secrets that this process was given.
//!
//! The first line are the types: URLs print through [`redact`](crate::redact), credentials do not print at all, and
//! other libraries are not let into the log below errors. But a server may repeat in its answer what it was sent, and
//! people want to read its answer.

use std::borrow::Cow;
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What stands where a secret was.
const HIDDEN: &str = "[secret]";
/// Shorter values are not searched for: they would be found where they are not meant.
const SHORTEST: usize = 6;
/// Parts of the names of variables that hold secrets, of those that hold the path to one, and of those that hold an
/// address with one in it.
const SECRET_NAMES: [&str; 6] = ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "ACCOUNT_KEY"];
const PATH_NAMES: [&str; 4] = ["_FILE", "_PATH", "_DIR", "_CREDENTIALS"];
const ADDRESS_NAMES: [&str; 6] = ["MODEL_URI", "MODEL_REGISTRY", "_PROXY", "_URL", "_ENDPOINT", ARGUMENT];
/// What an argument counts as: any may be an address.
const ARGUMENT: &str = "ARGUMENT";

static KNOWN: OnceLock<Secrets> = OnceLock::new();
/// Those that were read from files since.
/// What was read from files.
static READ: Mutex<Vec<Secrets>> = Mutex::new(Vec::new());

/// Values that must not be shown, longest first, so that one that holds another goes as a whole.
#[derive(Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Finds the secrets among variables and their values.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables: Vec<_> = variables.into_iter().collect();
        let mut found: Vec<String> = Vec::new();
        for (name, value) in &variables {
            let name = name.to_ascii_uppercase();
            let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
            if has(&SECRET_NAMES) && !PATH_NAMES.iter().any(|end| name.ends_with(end)) {
                found.push(value.clone());
            }
            if name.starts_with("STORAGE_") && name.ends_with("_CONFIG") {
                found.extend(in_storage_config(value));
            }
            if name.ends_with("-HEADERS") || name == "FETCHER_HTTP_HEADERS" {
                found.extend(in_headers(value));
            }
            if has(&ADDRESS_NAMES) {
                found.extend(in_address(value));
            }
        }
        let value = |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        if let (Some(user), Some(password)) =
            (value("MLFLOW_TRACKING_USERNAME"), value("MLFLOW_TRACKING_PASSWORD"))
        {
            found.push(BASE64_STANDARD.encode(format!("{user}:{password}")));
        }
        Self::new(found)
    }

    fn new(mut found: Vec<String>) -> Self {
        found.retain(|secret| secret.len() >= SHORTEST);
        // As it is in a URL, in JSON, and in a message of ours.
        let forms = |secret: &String| {
            let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
            let quoted = serde_json::to_string(secret).unwrap_or_default();
            [encoded, quoted.trim_matches('"').to_owned(), secret.escape_debug().to_string(), secret.clone()]
        };
        let mut secrets: Vec<String> = found.iter().flat_map(forms).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// The text without them.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN).into();
            }
        }
        text
    }
}

/// The password, the query and its values of an address.
fn in_address(address: &str) -> Vec<String> {
    // `catalog+https://…` and the like.
    let address =
        address.split_once('+').filter(|(kind, _)| !kind.contains(':')).map_or(address, |(_, rest)| rest);
    let Ok(url) = address.parse::<Url>() else { return Vec::new() };
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    url.password().into_iter().chain(url.query()).map(str::to_owned).chain(values).collect()
}

/// The values of headers, in lines or as KServe has them, and what of them is not the name of a scheme.
fn in_headers(text: &str) -> Vec<String> {
    let values: Vec<String> = match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(pairs) => pairs.into_iter().filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect(),
        Err(_) => text.lines().filter_map(|line| Some(line.split_once(':')?.1.trim().to_owned())).collect(),
    };
    let words = values.iter().filter_map(|value| Some(value.split_once(' ')?.1.to_owned()));
    let words: Vec<_> = words.collect();
    values.into_iter().chain(words).collect()
}

/// The secrets in an entry of KServe's Secret `storage-config`.
fn in_storage_config(text: &str) -> Vec<String> {
    let entry: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    let is_secret = |key: &str| SECRET_NAMES.iter().any(|part| key.to_ascii_uppercase().contains(part));
    let secrets = entry.into_iter().filter(|(key, _)| is_secret(key));
    secrets.filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect()
}

/// Has the secrets of this process's environment and arguments searched for from now on.
pub fn remember() {
    let readable = std::env::vars_os();
    let readable =
        readable.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let arguments = std::env::args_os().filter_map(|argument| argument.into_string().ok());
    let named = arguments.map(|argument| (ARGUMENT.to_owned(), argument));
    // Fails only where it was done before.
    let _ = KNOWN.set(Secrets::of(readable.chain(named)));
}

/// Has a user's password, or a token, that was read from a file searched for as well.
pub fn remember_login(username: Option<&str>, secret: &str) {
    let basic = username.map(|username| BASE64_STANDARD.encode(format!("{username}:{secret}")));
    let secrets = Secrets::new(basic.into_iter().chain([secret.to_owned()]).collect());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    // Each run, and each try of it, reads the same ones again.
    if !read.contains(&secrets) {
        read.push(secrets);
    }
}

/// The text without the secrets of this process.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    KNOWN.get().into_iter().chain(read.iter()).fold(Cow::Borrowed(text), |text, secrets| {
        match secrets.scrub(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(scrubbed) => scrubbed.into(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(variables: &[(&str, &str)]) -> Secrets {
        Secrets::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn what_is_secret_is_hidden_in_every_form() {
        let known = secrets(&[
            ("AWS_SECRET_ACCESS_KEY", "ab/cd+ef\"gh"),
            ("MLFLOW_TRACKING_USERNAME", "admin"),
            ("MLFLOW_TRACKING_PASSWORD", "hunter22"),
            ("MODEL_URI", "https://host/x?sig=c2lnbmF0dXJl%3D&v=1"),
            ("HTTPS_PROXY", "http://me:proxy-pass@proxy:3128"),
            ("MODEL_REGISTRY", "catalog+https://host/models?sv=shared-access"),
            ("models.example.com-headers", r#"{"Authorization": "Bearer in-a-header"}"#),
            ("FETCHER_HTTP_HEADERS", "x-api-key: in-a-line"),
            ("STORAGE_CONFIG", r#"{"access_key_id": "public", "secret_access_key": "of-kserve"}"#),
        ]);
        for secret in [
            "ab/cd+ef\"gh",
            "ab%2Fcd%2Bef%22gh",
            r#"ab/cd+ef\"gh"#,
            "hunter22",
            "YWRtaW46aHVudGVyMjI=",
            "c2lnbmF0dXJl%3D",
            "c2lnbmF0dXJl=",
            "proxy-pass",
            "shared-access",
            "of-kserve",
            "in-a-header",
            "in-a-line",
        ] {
            let text = format!("before {secret} after");
            assert_eq!(known.scrub(&text), format!("before {HIDDEN} after"), "{secret}");
        }
    }

    #[test]
    fn what_is_not_secret_stays() {
        let known = secrets(&[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/key.json"),
            ("MODEL_NAME", "recommendation"),
            ("MLFLOW_TRACKING_PASSWORD", "v1"),
            ("STORAGE_CONFIG", r#"{"access_key_id": "bucket"}"#),
            ("MODEL_URI", "s3://bucket/recommendation"),
        ]);
        let text = "recommendation v1 /var/run/secrets/token /etc/key.json s3://bucket/recommendation";
        assert!(matches!(known.scrub(text), Cow::Borrowed(same) if same == text));
    }
}
