//! Who we are for Azure Blob Storage, beyond what `object_store` knows.
//!
//! Where the environment names nobody, the machine may have an identity, or the container may be open to everybody. So
//! the machine is asked, and when it has no answer, requests are made without credentials.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use object_store::azure::{AzureCredential, AzureCredentialProvider};
use object_store::{CredentialProvider, StaticCredentialProvider};

use crate::credentials::AzureSettings;

/// The credentials of an address that was signed.
pub(super) fn signature(pairs: Vec<(String, String)>) -> AzureCredentialProvider {
    Arc::new(StaticCredentialProvider::new(AzureCredential::SASToken(pairs)))
}

/// A signature that says nothing.
pub(super) fn nobody() -> AzureCredentialProvider {
    signature(Vec::new())
}

/// Whether the environment says who we are.
pub(super) fn is_given(settings: &AzureSettings) -> bool {
    let says = ["access_key", "sas_token", "client_id", "msi_endpoint"];
    says.iter().any(|name| settings.get(name).is_some())
}

/// The machine's identity, or nobody.
pub(super) fn or_nobody(machine: AzureCredentialProvider) -> AzureCredentialProvider {
    Arc::new(OrNobody { machine, nobody: OnceLock::new() })
}

#[derive(Debug)]
struct OrNobody {
    machine: AzureCredentialProvider,
    /// Set when the machine had no answer to the first question.
    nobody: OnceLock<AzureCredentialProvider>,
}

impl CredentialProvider for OrNobody {
    type Credential = AzureCredential;

    fn get_credential<'life, 'async_trait>(
        &'life self,
    ) -> BoxFuture<'async_trait, object_store::Result<Arc<AzureCredential>>>
    where
        'life: 'async_trait,
        Self: 'async_trait,
    {
        async move {
            if let Some(nobody) = self.nobody.get() {
                return nobody.get_credential().await;
            }
            match self.machine.get_credential().await {
                Ok(credential) => Ok(credential),
                Err(_) => {
                    tracing::warn!(
                        "found no credentials for Azure, and no managed identity: asking without any"
                    );
                    self.nobody.get_or_init(nobody).get_credential().await
                }
            }
        }
        .boxed()
    }
}
