//! Finds the addresses of hosts, for HTTP and databases alike.
//!
//! It is done in pure Rust: the system's way loads libraries at run time, and a static binary in an empty image has none.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Looks into the system's file of hosts and asks the name servers that the system names, if it does. It is set up at
/// the first question, since it belongs to the runtime that it is asked in.
#[derive(Clone, Default)]
pub struct Dns(Arc<OnceLock<TokioResolver>>);

impl Dns {
    /// The addresses of a host.
    ///
    /// # Errors
    /// Fails when the host is not known, or nobody says.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let resolver = match self.0.get() {
            Some(resolver) => resolver,
            None => {
                let builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
                    let provider = TokioRuntimeProvider::default();
                    TokioResolver::builder_with_config(ResolverConfig::default(), provider)
                });
                let resolver = builder.build()?;
                self.0.get_or_init(|| resolver)
            }
        };
        Ok(resolver.lookup_ip(host).await?.iter().collect())
    }
}

impl Resolve for Dns {
    fn resolve(&self, name: Name) -> Resolving {
        let dns = self.clone();
        Box::pin(async move {
            let found = dns.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
