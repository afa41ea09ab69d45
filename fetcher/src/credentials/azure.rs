//! Where Azure's own clients, and those of KServe, look for an account and for credentials.

use std::fmt;
#[cfg(feature = "azure")]
use std::sync::{Arc, OnceLock};

#[cfg(feature = "azure")]
use object_store::azure::AzureCredentialProvider;

use super::Environment;

/// Settings and credentials for Azure's blobs and file shares. Clones share what has been found out.
#[derive(Clone, Default)]
pub struct AzureSettings {
    /// Settings by the names that `object_store` has for them, and `file_endpoint`, in the order in which they apply.
    settings: Vec<(&'static str, String)>,
    /// Where credentials come from, once a store has found out: they are asked for once per process.
    #[cfg(feature = "azure")]
    pub(crate) provider: Arc<OnceLock<AzureCredentialProvider>>,
}

/// A later one overrides an earlier one. KServe's come first, then those of Azure's tools and SDKs.
const VARIABLES: [(&str, &str); 19] = [
    ("AZ_CLIENT_ID", "client_id"),
    ("AZ_CLIENT_SECRET", "client_secret"),
    ("AZ_TENANT_ID", "tenant_id"),
    ("AZURE_CLIENT_ID", "client_id"),
    ("AZURE_CLIENT_SECRET", "client_secret"),
    ("AZURE_TENANT_ID", "tenant_id"),
    ("AZURE_FEDERATED_TOKEN_FILE", "federated_token_file"),
    ("AZURE_AUTHORITY_HOST", "authority_host"),
    ("AZURE_STORAGE_ACCOUNT", "account_name"),
    ("AZURE_STORAGE_ACCOUNT_NAME", "account_name"),
    ("AZURE_STORAGE_KEY", "access_key"),
    ("AZURE_STORAGE_ACCESS_KEY", "access_key"),
    ("AZURE_STORAGE_ACCOUNT_KEY", "access_key"),
    ("AZURE_STORAGE_SAS_TOKEN", "sas_token"),
    ("AZURE_STORAGE_BLOB_ENDPOINT", "endpoint"),
    ("AZURE_STORAGE_ENDPOINT", "endpoint"),
    ("AZURE_STORAGE_FILE_ENDPOINT", "file_endpoint"),
    ("IDENTITY_ENDPOINT", "msi_endpoint"),
    ("AZURE_SKIP_SIGNATURE", "skip_signature"),
];

impl AzureSettings {
    /// Reads the variables. What a connection string says comes last.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let read = VARIABLES.iter().filter_map(|(variable, key)| Some((*key, environment(variable)?)));
        let mut settings: Vec<_> = read.collect();
        if let Some(text) = environment("AZURE_STORAGE_CONNECTION_STRING") {
            settings.extend(connection_string(&text));
        }
        Self {
            settings,
            #[cfg(feature = "azure")]
            provider: Arc::default(),
        }
    }

    /// The value of a setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    /// Whether requests are to be made without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.get("skip_signature").is_some_and(|skips| skips.eq_ignore_ascii_case("true"))
    }
}

/// Reads `AccountName=…;AccountKey=…;BlobEndpoint=…`, with the values that have a meaning for blobs and files.
fn connection_string(text: &str) -> Vec<(&'static str, String)> {
    let value = |wanted: &str| {
        let pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(wanted));
        values.next().map(|(_, value)| value.to_owned()).filter(|value| !value.is_empty())
    };
    let account = value("AccountName");
    let by_suffix = |service: &str| {
        let protocol = value("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
        Some(format!("{protocol}://{}.{service}.{}", account.as_ref()?, value("EndpointSuffix")?))
    };
    let settings = [
        ("endpoint", value("BlobEndpoint").or_else(|| by_suffix("blob"))),
        ("file_endpoint", value("FileEndpoint").or_else(|| by_suffix("file"))),
        ("account_name", account.clone()),
        ("access_key", value("AccountKey")),
        ("sas_token", value("SharedAccessSignature")),
    ];
    settings.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

impl fmt::Debug for AzureSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.settings.iter().map(|(key, _)| key)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> AzureSettings {
        let find =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        AzureSettings::from_environment(&find)
    }

    #[test]
    fn a_connection_string_is_read_as_it_is_written() {
        let text = "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=Zm9v==;EndpointSuffix=core.windows.net";
        let settings = read(&[("AZURE_STORAGE_CONNECTION_STRING", text), ("AZURE_STORAGE_ACCOUNT", "other")]);
        assert_eq!(settings.get("account_name"), Some("acme"));
        assert_eq!(settings.get("access_key"), Some("Zm9v=="));
        assert_eq!(settings.get("endpoint"), Some("https://acme.blob.core.windows.net"));
        assert_eq!(settings.get("file_endpoint"), Some("https://acme.file.core.windows.net"));
        let text = "BlobEndpoint=http://127.0.0.1:10000/acme;SharedAccessSignature=sv=1&sig=x";
        let settings = read(&[("AZURE_STORAGE_CONNECTION_STRING", text)]);
        assert_eq!(settings.get("endpoint"), Some("http://127.0.0.1:10000/acme"));
        assert_eq!(settings.get("sas_token"), Some("sv=1&sig=x"));
        assert!(!format!("{settings:?}").contains("sig="));
    }

    #[test]
    fn the_names_of_others_are_understood() {
        assert_eq!(read(&[("AZ_CLIENT_ID", "a"), ("AZURE_CLIENT_ID", "b")]).get("client_id"), Some("b"));
        assert_eq!(read(&[("AZ_CLIENT_ID", "a")]).get("client_id"), Some("a"));
        assert!(read(&[("AZURE_SKIP_SIGNATURE", "True")]).is_anonymous());
    }
}
