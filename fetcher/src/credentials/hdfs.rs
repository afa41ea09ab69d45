//! How to reach HDFS by its web interface, as KServe's initializer is told.
//!
//! KServe mounts a Secret whose keys are settings, or has them in `STORAGE_CONFIG`. Each can also be a variable of its own.
//! A cluster that is guarded by Kerberos is reached with a delegation token, or through a gateway that takes headers.
//! <https://kserve.github.io/website/docs/model-serving/storage/providers/hdfs>

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use reqwest::header::HeaderMap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::Environment;
use super::file::Place;
use super::http::object;
use crate::redact::Redacted;
use crate::scrub::remember_login;
use crate::store::StoreError;

/// Where KServe mounts the Secret, if it does not say.
const FOLDER: &str = "/var/secrets/kserve-hdfscreds";

/// The keys of the Secret that are understood, and the variables that stand for them.
pub(crate) const KEYS: [(&str, &str); 9] = [
    ("HDFS_NAMENODE", NAME_NODE),
    ("HDFS_ROOTPATH", "HDFS_ROOTPATH"),
    ("USER_PROXY", "HDFS_USER_PROXY"),
    ("HEADERS", "HDFS_HEADERS"),
    ("TLS_CA", "HDFS_TLS_CA"),
    ("TLS_CERT", "HDFS_TLS_CERT"),
    ("TLS_KEY", "HDFS_TLS_KEY"),
    ("KERBEROS_PRINCIPAL", "HDFS_KERBEROS_PRINCIPAL"),
    ("DELEGATION_TOKEN", "HDFS_DELEGATION_TOKEN"),
];
/// Of these keys, those whose values `STORAGE_CONFIG` has in base64.
pub(crate) const FILES: [&str; 3] = ["TLS_CA", "TLS_CERT", "TLS_KEY"];
const NAME_NODE: &str = "HDFS_NAMENODE";

/// What the environment says, before any file is looked at.
#[derive(Clone, Default)]
pub struct HdfsSettings {
    given: Vec<(&'static str, String)>,
    folder: PathBuf,
    /// Whom Hadoop's own clients take for the user, where nobody is asked to prove it.
    user: Option<String>,
    active: Arc<AtomicUsize>,
}

/// How to reach a cluster.
pub struct HdfsAccess {
    /// The web addresses of the NameNodes, of which one is active.
    pub name_nodes: Vec<Url>,
    /// Which of them answered last; one for the whole run.
    pub active: Arc<AtomicUsize>,
    /// Where paths begin that do not begin at the root.
    pub root: String,
    /// What goes with every question to a NameNode: who asks.
    pub identity: Vec<(&'static str, String)>,
    /// Headers for the NameNodes' hosts.
    pub headers: HeaderMap,
    /// Certificates to trust beside the others.
    pub authorities: Vec<CertificateDer<'static>>,
    /// By what we are known.
    pub certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl HdfsSettings {
    /// Reads the variables, and where the Secret is mounted: `HDFS_SECRET_DIR`, or where KServe has it.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let given = KEYS.iter().filter_map(|(key, variable)| Some((*key, environment(variable)?))).collect();
        let folder = environment("HDFS_SECRET_DIR").unwrap_or_else(|| FOLDER.to_owned()).into();
        Self { given, folder, user: environment("HADOOP_USER_NAME"), active: Arc::default() }
    }

    /// Looks at the files that there are. `name_node` is the one that an address names itself.
    ///
    /// # Errors
    /// Says which setting lacks or is wrong, without its value.
    pub fn open(&self, name_node: Option<&Url>) -> Result<HdfsAccess, StoreError> {
        let refused = |reason: String| StoreError::Refused { what: "hdfs://".to_owned(), reason };
        let name_nodes = match (name_node, self.value(NAME_NODE)?) {
            (Some(url), _) => vec![url.clone()],
            (None, Some(text)) => name_nodes(&text).map_err(refused)?,
            (None, None) => {
                let reason = format!(
                    "{NAME_NODE} is not set, expected the web address of the NameNode, as http://namenode:9870"
                );
                return Err(refused(reason));
            }
        };
        let token = self.value("DELEGATION_TOKEN")?;
        if token.is_none() && self.value("KERBEROS_PRINCIPAL")?.is_some() {
            let reason = "KERBEROS_PRINCIPAL is set, and this fetcher does not speak Kerberos; \
                 give a DELEGATION_TOKEN, or the address of a gateway with its HEADERS";
            return Err(refused(reason.to_owned()));
        }
        let headers = match self.value("HEADERS")? {
            None => HeaderMap::new(),
            Some(text) => object(&text).ok_or_else(|| refused("HEADERS holds no headers in JSON".into()))?,
        };
        let secrets = headers.values().filter_map(|value| value.to_str().ok()).chain(token.as_deref());
        secrets.for_each(|secret| remember_login(None, secret));
        let user = self.user.clone().filter(|_| token.is_none()).map(|user| ("user.name", user));
        let on_behalf_of = self.value("USER_PROXY")?.map(|user| ("doas", user));
        let token = token.map(|token| ("delegation", token));
        let unusable = |key: &str| refused(format!("{key} holds no usable PEM"));
        let certificates = |key: &str| -> Result<Vec<CertificateDer<'static>>, StoreError> {
            let text = self.value(key)?.unwrap_or_default();
            CertificateDer::pem_slice_iter(text.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|_| unusable(key))
        };
        let certificate = match self.value("TLS_KEY")? {
            None => None,
            Some(text) => {
                let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| unusable("TLS_KEY"))?;
                Some((certificates("TLS_CERT")?, key))
            }
        };
        Ok(HdfsAccess {
            name_nodes,
            active: Arc::clone(&self.active),
            root: self.value("HDFS_ROOTPATH")?.unwrap_or_default().trim_matches('/').to_owned(),
            identity: [user, on_behalf_of, token].into_iter().flatten().collect(),
            headers,
            authorities: certificates("TLS_CA")?,
            certificate,
        })
    }

    /// A setting, as it is given or as the Secret has it.
    fn value(&self, key: &str) -> Result<Option<String>, StoreError> {
        if let Some((_, value)) = self.given.iter().find(|(known, _)| *known == key) {
            return Ok(Some(value.clone()));
        }
        let text = Place::Named(Path::new(&self.folder).join(key)).read()?;
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }
}

/// The addresses in `HDFS_NAMENODE`: several where the cluster has a standby, with `;` between them.
fn name_nodes(text: &str) -> Result<Vec<Url>, String> {
    let is_usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    };
    let read = |address: &str| match address.trim().parse::<Url>() {
        Ok(url) if is_usable(&url) => Ok(url),
        Ok(url) => Err(format!(
            "{NAME_NODE} is {}, expected web addresses without credentials, as http://namenode:9870",
            Redacted(&url)
        )),
        Err(_) => Err(format!("{NAME_NODE} is no address, expected one as http://namenode:9870")),
    };
    text.split(';').filter(|address| !address.trim().is_empty()).map(read).collect()
}

impl fmt::Debug for HdfsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HdfsSettings").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::only;
    use super::*;

    fn open(pairs: &[(&str, &str)]) -> Result<HdfsAccess, String> {
        HdfsSettings::from_environment(&only(pairs)).open(None).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_variables_or_files_of_a_secret() {
        let secret = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(secret.path().join(name), text).unwrap();
        put("HDFS_NAMENODE", "http://nn1:9870;https://nn2:9871/gateway\n");
        put("HDFS_ROOTPATH", "/models/");
        put("HEADERS", r#"{"Authorization": "Basic canary"}"#);
        put("USER_PROXY", "me");
        let folder = ("HDFS_SECRET_DIR", secret.path().to_str().unwrap());
        let access = open(&[folder, ("HADOOP_USER_NAME", "kserve")]).unwrap();
        let name_nodes: Vec<_> = access.name_nodes.iter().map(Url::as_str).collect();
        assert_eq!(name_nodes, ["http://nn1:9870/", "https://nn2:9871/gateway"]);
        assert_eq!(
            (access.root.as_str(), &access.headers["authorization"]),
            ("models", &"Basic canary".parse().unwrap())
        );
        assert_eq!(access.identity, [("user.name", "kserve".to_owned()), ("doas", "me".to_owned())]);
        let access =
            open(&[folder, ("HDFS_ROOTPATH", "/other"), ("HDFS_DELEGATION_TOKEN", "canary")]).unwrap();
        assert_eq!(access.root, "other");
        assert_eq!(access.identity, [("doas", "me".to_owned()), ("delegation", "canary".to_owned())]);
        let shown = format!("{:?}", HdfsSettings::from_environment(&only(&[("HDFS_HEADERS", "canary")])));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn what_is_wrong_with_them_is_said_without_them() {
        let error = |pairs: &[(&str, &str)]| open(pairs).err().unwrap();
        assert!(error(&[]).contains("HDFS_NAMENODE is not set"));
        assert!(error(&[("HDFS_NAMENODE", "namenode:9870")]).contains("expected web addresses"));
        let name_node = ("HDFS_NAMENODE", "http://nn:9870");
        assert!(error(&[name_node, ("HDFS_KERBEROS_PRINCIPAL", "me@REALM")]).contains("DELEGATION_TOKEN"));
        let told = error(&[name_node, ("HDFS_HEADERS", "hunter2")]);
        assert!(told.contains("HEADERS") && !told.contains("hunter2"), "{told}");
        assert!(error(&[name_node, ("HDFS_TLS_KEY", "none")]).contains("TLS_KEY holds no usable PEM"));
    }
}
