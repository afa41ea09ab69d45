//! Where Google's own clients look for credentials.

use std::fmt;
#[cfg(feature = "gcs")]
use std::sync::{Arc, OnceLock};

#[cfg(feature = "gcs")]
use object_store::gcp::GcpCredentialProvider;
use url::Url;

use super::Environment;

/// Settings and credentials for Google Cloud Storage. Clones share what has been found out.
#[derive(Clone, Default)]
pub struct GoogleSettings {
    /// `GOOGLE_APPLICATION_CREDENTIALS`: a file.
    pub credentials: Option<String>,
    /// `STORAGE_EMULATOR_HOST`: another server, which asks for no credentials unless some are spoken of.
    emulator: Option<String>,
    /// Whether `GCE_METADATA_HOST` says where there are credentials; `object_store` reads it.
    has_metadata: bool,
    /// `GOOGLE_SKIP_SIGNATURE`: send no credentials.
    skips: bool,
    /// Where credentials come from, once a store has found out: they are asked for once per process.
    #[cfg(feature = "gcs")]
    pub(crate) provider: Arc<OnceLock<GcpCredentialProvider>>,
    /// Set when requests were answered without credentials, where none could be found.
    #[cfg(feature = "gcs")]
    pub(crate) needs_nobody: Arc<OnceLock<()>>,
}

impl GoogleSettings {
    /// Reads the variables of Google's clients.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        Self {
            credentials: environment("GOOGLE_APPLICATION_CREDENTIALS"),
            emulator: environment("STORAGE_EMULATOR_HOST"),
            has_metadata: environment("GCE_METADATA_HOST").is_some(),
            skips: environment("GOOGLE_SKIP_SIGNATURE")
                .is_some_and(|skips| skips.eq_ignore_ascii_case("true")),
            #[cfg(feature = "gcs")]
            provider: Arc::default(),
            #[cfg(feature = "gcs")]
            needs_nobody: Arc::default(),
        }
    }

    /// Whether requests are to be made without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.skips || (self.emulator.is_some() && self.credentials.is_none() && !self.has_metadata)
    }

    /// The address of the service. That of an emulator may be without its scheme.
    ///
    /// # Errors
    /// Says what is wrong with the address.
    pub fn endpoint(&self) -> Result<Url, String> {
        let text = match &self.emulator {
            None => "https://storage.googleapis.com".to_owned(),
            Some(emulator) if emulator.contains("://") => emulator.clone(),
            Some(emulator) => format!("http://{emulator}"),
        };
        let url = text.parse::<Url>().ok().filter(|url| url.has_host() && !url.cannot_be_a_base());
        url.ok_or_else(|| {
            "expected STORAGE_EMULATOR_HOST to be an address such as `http://host:port`".to_owned()
        })
    }
}

impl fmt::Debug for GoogleSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleSettings").field("is_anonymous", &self.is_anonymous()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> GoogleSettings {
        let find =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        GoogleSettings::from_environment(&find)
    }

    #[test]
    fn an_emulator_needs_no_credentials_and_may_be_without_a_scheme() {
        let settings = read(&[]);
        assert_eq!(settings.endpoint().unwrap().as_str(), "https://storage.googleapis.com/");
        assert!(!settings.is_anonymous());
        for text in ["http://localhost:4443", "localhost:4443"] {
            let settings = read(&[("STORAGE_EMULATOR_HOST", text)]);
            assert_eq!(settings.endpoint().unwrap().as_str(), "http://localhost:4443/");
            assert!(settings.is_anonymous());
        }
        let emulator = ("STORAGE_EMULATOR_HOST", "localhost:4443");
        assert!(!read(&[emulator, ("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")]).is_anonymous());
        assert!(read(&[("GOOGLE_SKIP_SIGNATURE", "true")]).is_anonymous());
        assert!(read(&[("STORAGE_EMULATOR_HOST", "http://")]).endpoint().is_err());
    }
}
