//! How OCI registries are reached: with which credentials, without TLS or not, through which mirrors.

use std::net::IpAddr;

use url::Url;

use super::ConfigError;
use crate::cli::OciArgs;
use crate::credentials::Environment;
use crate::credentials::docker::DockerConfig;

/// What KServe's storage initializer is told by instead of our own setting.
const KSERVE_INSECURE: &str = "KSERVE_OCI_INSECURE_REGISTRY";

/// How OCI registries are reached.
#[derive(Clone, Debug, Default)]
pub struct OciSettings {
    /// Where credentials are.
    pub credentials: DockerConfig,
    /// Registries without TLS, by host or host and port.
    insecure: Vec<String>,
    /// Whether all of them are.
    all_insecure: bool,
    /// Who is asked first.
    mirrors: Vec<Mirror>,
}

/// Who is asked before a registry.
#[derive(Clone, Debug)]
struct Mirror {
    /// Which one; any, if none is named.
    registry: Option<String>,
    address: Url,
}

impl OciSettings {
    /// Whether a registry is spoken to without TLS: one on this machine, or one of which a setting says so.
    pub fn is_insecure(&self, host: &str) -> bool {
        let name = name(host);
        let here = name == "localhost"
            || name.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback());
        here || self.all_insecure || self.insecure.iter().any(|known| known == host || known == name)
    }

    /// The addresses of the mirrors of a registry, in order.
    pub fn mirrors<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Url> {
        let of_it =
            move |mirror: &&Mirror| mirror.registry.as_deref().is_none_or(|registry| registry == host);
        self.mirrors.iter().filter(of_it).map(|mirror| &mirror.address)
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

pub(super) fn settings(args: &OciArgs, environment: Environment<'_>) -> Result<OciSettings, ConfigError> {
    let words = |words: &[String]| {
        let words = words.iter().map(|word| word.trim().to_owned());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>()
    };
    Ok(OciSettings {
        credentials: DockerConfig::from_environment(environment),
        insecure: words(&args.oci_insecure),
        all_insecure: environment(KSERVE_INSECURE).is_some_and(|value| value.eq_ignore_ascii_case("true")),
        mirrors: words(&args.oci_mirrors).iter().map(|text| mirror(text)).collect::<Result<_, _>>()?,
    })
}

fn mirror(text: &str) -> Result<Mirror, ConfigError> {
    let (registry, address) = match text.split_once('=') {
        Some((registry, address)) => (Some(registry.to_owned()), address),
        None => (None, text),
    };
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
    };
    let address = address.parse().ok().filter(is_plain).ok_or(ConfigError::Unusable {
        problem: "--oci-mirrors (FETCHER_OCI_MIRRORS) holds something that is no address of a mirror".into(),
        hint: "write https://mirror.example, or registry.example=https://mirror.example, with commas between; credentials belong into Docker's config.json",
    })?;
    Ok(Mirror { registry, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(insecure: &[&str], mirrors: &[&str]) -> Result<OciSettings, ConfigError> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let args = OciArgs { oci_insecure: owned(insecure), oci_mirrors: owned(mirrors) };
        settings(&args, &|_| None)
    }

    #[test]
    fn only_this_machine_and_who_is_named_goes_without_tls() {
        let settings = settings_of(&["plain.example", "other.example:5000"], &[]).unwrap();
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:80",
            "[::1]:5000",
            "plain.example:1",
            "plain.example",
            "other.example:5000",
        ] {
            assert!(settings.is_insecure(host), "{host}");
        }
        for host in ["other.example", "localhost.example", "ghcr.io", "10.0.0.1:5000", "[::2]"] {
            assert!(!settings.is_insecure(host), "{host}");
        }
        let args = OciArgs { oci_insecure: vec![], oci_mirrors: vec![] };
        let kserve =
            super::settings(&args, &|name| (name == KSERVE_INSECURE).then(|| "true".into())).unwrap();
        assert!(kserve.is_insecure("ghcr.io"));
    }

    #[test]
    fn mirrors_are_for_all_registries_or_for_one() {
        let settings =
            settings_of(&[], &["https://one.example", "ghcr.io=http://two.example:5000", ""]).unwrap();
        let of = |host| settings.mirrors(host).map(Url::as_str).collect::<Vec<_>>();
        assert_eq!(of("ghcr.io"), ["https://one.example/", "http://two.example:5000/"]);
        assert_eq!(of("quay.io"), ["https://one.example/"]);
        for bad in ["one.example", "ftp://one.example", "https://me:secret@one.example"] {
            let error = settings_of(&[], &[bad]).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
