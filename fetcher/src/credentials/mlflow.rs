//! How to be let in by an MLflow server, by the rules of MLflow's own client.
//!
//! User and password come from `MLFLOW_TRACKING_USERNAME` and `_PASSWORD`, each else from `~/.mlflow/credentials`, and
//! win over a token. With `MLFLOW_TRACKING_AUTH=kubernetes` they do not count, and the token of the Pod's service
//! account stands in for one that is not given; with `kubernetes-namespaced` its namespace for the workspace, too.

use std::collections::BTreeMap;
use std::fmt;

use std::path::{Path, PathBuf};

use reqwest::RequestBuilder;

use super::Environment;
use super::file::{Place, UnreadableCredentials, read};
use crate::scrub::remember_login;

/// Where the kubelet mounts what a Pod may say that it is.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Which workspace of the server is asked.
const WORKSPACE: &str = "X-MLFLOW-WORKSPACE";

/// What the environment says; no file is read yet.
#[derive(Clone, Default)]
pub struct MlflowSettings {
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
    /// `~/.mlflow/credentials`, where there is a home.
    file: Option<Place>,
    /// The folder of the service account, where that is to be used.
    service_account: Option<PathBuf>,
    /// Whether the service account's namespace is the workspace.
    namespaced: bool,
    workspace: Option<String>,
    /// `MLFLOW_TRACKING_SERVER_CERT_PATH`: the only authorities that may vouch for the server.
    pub server_certificate: Option<PathBuf>,
    /// `MLFLOW_TRACKING_CLIENT_CERT_PATH`: a certificate of our own, with its key.
    pub client_certificate: Option<PathBuf>,
}

impl MlflowSettings {
    /// Reads the variables of MLflow's client.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let auth = environment("MLFLOW_TRACKING_AUTH").unwrap_or_default();
        let trimmed = |name| environment(name).map(|value| value.trim().to_owned());
        Self {
            username: environment("MLFLOW_TRACKING_USERNAME"),
            password: environment("MLFLOW_TRACKING_PASSWORD"),
            token: environment("MLFLOW_TRACKING_TOKEN"),
            file: environment("HOME").map(|home| Place::AtHome(Path::new(&home).join(".mlflow/credentials"))),
            service_account: auth.starts_with("kubernetes").then(|| SERVICE_ACCOUNT.into()),
            namespaced: auth == "kubernetes-namespaced",
            workspace: trimmed("MLFLOW_WORKSPACE").filter(|workspace| !workspace.is_empty()),
            server_certificate: environment("MLFLOW_TRACKING_SERVER_CERT_PATH").map(PathBuf::from),
            client_certificate: environment("MLFLOW_TRACKING_CLIENT_CERT_PATH").map(PathBuf::from),
        }
    }

    /// What of MLflow's settings is not honoured here, with what to do instead.
    pub fn unsupported(environment: Environment<'_>) -> Option<(&'static str, &'static str)> {
        let is_on = |name| {
            environment(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1"))
        };
        if is_on("MLFLOW_TRACKING_INSECURE_TLS") {
            return Some((
                "MLFLOW_TRACKING_INSECURE_TLS is set, and a server that nobody vouches for is not asked",
                "name the file of its certificate authority in MLFLOW_TRACKING_SERVER_CERT_PATH instead",
            ));
        }
        if is_on("MLFLOW_TRACKING_AWS_SIGV4") {
            return Some((
                "MLFLOW_TRACKING_AWS_SIGV4 is set, and requests to MLflow are not signed for AWS here",
                "give MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN",
            ));
        }
        match environment("MLFLOW_TRACKING_AUTH").as_deref() {
            None | Some("kubernetes" | "kubernetes-namespaced") => None,
            Some(_) => Some((
                "MLFLOW_TRACKING_AUTH names a way to authenticate that is not known here",
                "it may be kubernetes or kubernetes-namespaced; or give MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN",
            )),
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Fails when one that must be there is not, or cannot be read.
    pub fn open(&self) -> Result<MlflowCredentials, UnreadableCredentials> {
        let token = self.token.clone().map(Login::Bearer);
        if let Some(folder) = &self.service_account {
            let login = match token {
                Some(token) => token,
                None => {
                    let path = folder.join("token");
                    // Asked for now, so that its lack is said and not the server's refusal.
                    remember_login(None, read(&path)?.trim());
                    Login::ServiceAccount(path)
                }
            };
            let workspace = match &self.workspace {
                None if self.namespaced => Some(read(&folder.join("namespace"))?.trim().to_owned()),
                given => given.clone(),
            };
            return Ok(MlflowCredentials { login, workspace });
        }
        let (mut username, mut password) = (self.username.clone(), self.password.clone());
        if let (true, Some(place)) = (username.is_none() || password.is_none(), &self.file) {
            let text = place.read()?.unwrap_or_default();
            let find = |key| in_file(&text, key).filter(|value| !value.is_empty());
            username = username.or_else(|| find("mlflow_tracking_username"));
            password = password.or_else(|| find("mlflow_tracking_password"));
        }
        let login = match (username, password) {
            (Some(username), Some(password)) => {
                remember_login(Some(&username), &password);
                Login::Basic { username, password }
            }
            _ => token.unwrap_or_default(),
        };
        Ok(MlflowCredentials { login, workspace: self.workspace.clone() })
    }
}

/// A value of the section `mlflow`, else of `DEFAULT`, as Python's `configparser` reads it.
fn in_file(text: &str, wanted: &str) -> Option<String> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let (mut section, mut continued) = ("", false);
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if continued && line.starts_with([' ', '\t']) {
            if let Some(value) = found.get_mut(section) {
                value.push('\n');
                value.push_str(content);
            }
            continue;
        }
        continued = false;
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = content.split_once(['=', ':'])
            && key.trim().eq_ignore_ascii_case(wanted)
        {
            found.insert(section, value.trim().to_owned());
            continued = true;
        }
    }
    // A percent sign is doubled there.
    ["mlflow", "DEFAULT"].iter().find_map(|section| found.get(section)).map(|value| value.replace("%%", "%"))
}

#[derive(Clone, Default)]
enum Login {
    #[default]
    Anonymous,
    Basic {
        username: String,
        password: String,
    },
    Bearer(String),
    /// The file of a token, read for each request: the kubelet renews it.
    ServiceAccount(PathBuf),
}

/// What a request to an MLflow server is sent with.
#[derive(Clone, Default)]
pub struct MlflowCredentials {
    login: Login,
    workspace: Option<String>,
}

impl MlflowCredentials {
    /// Adds the headers to a request.
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match &self.login {
            Login::Anonymous => request,
            Login::Basic { username, password } => request.basic_auth(username, Some(password)),
            Login::Bearer(token) => request.bearer_auth(token),
            // One that has gone since is the server's to refuse.
            Login::ServiceAccount(path) => match read(path) {
                Ok(token) => request.bearer_auth(token.trim()),
                Err(_) => request,
            },
        };
        match &self.workspace {
            Some(workspace) => request.header(WORKSPACE, workspace),
            None => request,
        }
    }
}

impl fmt::Debug for MlflowCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.login {
            Login::Anonymous => "Anonymous",
            Login::Basic { .. } => "Basic",
            Login::Bearer(_) => "Bearer",
            Login::ServiceAccount(_) => "ServiceAccount",
        })
    }
}

impl fmt::Debug for MlflowSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowSettings")
            .field("file", &self.file)
            .field("service_account", &self.service_account)
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::only;
    use super::*;
    use crate::http;

    fn opened(pairs: &[(&str, &str)]) -> MlflowCredentials {
        MlflowSettings::from_environment(&only(pairs)).open().unwrap()
    }

    /// The headers of a request.
    fn sent(credentials: &MlflowCredentials) -> Vec<(String, String)> {
        let tls = http::checked_against(http::roots(&[]).unwrap()).unwrap().with_no_client_auth();
        let client = http::client(tls, Duration::from_secs(1), http::few_redirects());
        let request = credentials.apply(client.unwrap().get("http://host")).build().unwrap();
        let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        request.headers().iter().map(text).collect()
    }

    fn header(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn basic_wins_over_a_token_and_needs_both_halves() {
        let token = ("MLFLOW_TRACKING_TOKEN", "t");
        let both = [("MLFLOW_TRACKING_USERNAME", "u"), ("MLFLOW_TRACKING_PASSWORD", "p"), token];
        assert_eq!(sent(&opened(&both)), [header("authorization", "Basic dTpw")]);
        assert_eq!(sent(&opened(&both[1..])), [header("authorization", "Bearer t")]);
        assert_eq!(sent(&opened(&[])), []);
        assert_eq!(sent(&opened(&[("MLFLOW_WORKSPACE", " team ")])), [header("x-mlflow-workspace", "team")]);
    }

    #[test]
    fn what_the_environment_leaves_out_is_in_the_file() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".mlflow")).unwrap();
        let text = "[mlflow]\nMLFLOW_TRACKING_USERNAME: u\nmlflow_tracking_password = 50%%\n";
        fs::write(home.path().join(".mlflow/credentials"), text).unwrap();
        let home = ("HOME", home.path().to_str().unwrap());
        let basic = |text: &str| {
            use base64::Engine as _;
            [header("authorization", &format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(text)))]
        };
        assert_eq!(sent(&opened(&[home, ("MLFLOW_TRACKING_TOKEN", "t")])), basic("u:50%"));
        assert_eq!(sent(&opened(&[home, ("MLFLOW_TRACKING_USERNAME", "other")])), basic("other:50%"));
        assert_eq!(sent(&opened(&[("HOME", "/does/not/exist")])), []);
        // Something in its place is not no file.
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".mlflow/credentials")).unwrap();
        let pairs = [("HOME", folder.path().to_str().unwrap())];
        let error = MlflowSettings::from_environment(&only(&pairs)).open().unwrap_err();
        assert!(error.to_string().starts_with("cannot read credentials from /"), "{error}");
    }

    #[test]
    fn files_are_read_as_python_does() {
        let read = |text| in_file(text, "key");
        assert_eq!(read("[mlflow]\nkey=a = b # c\n"), Some("a = b # c".into()));
        assert_eq!(read("[other]\nkey = x\n[DEFAULT]\nkey = y\n[mlflow]\nother = z"), Some("y".into()));
        assert_eq!(read("[mlflow]\n# key = x\n; key = y\nKEY : z\n  more\n"), Some("z\nmore".into()));
        assert_eq!(read("key = x"), None);
        assert_eq!(read("[mlflow]\nkey\n"), None);
    }

    #[test]
    fn a_pod_is_known_by_its_service_account() {
        let folder = tempfile::tempdir().unwrap();
        let pairs = [
            ("MLFLOW_TRACKING_AUTH", "kubernetes-namespaced"),
            ("MLFLOW_TRACKING_USERNAME", "u"),
            ("MLFLOW_TRACKING_PASSWORD", "p"),
        ];
        let settings = |pairs| MlflowSettings {
            service_account: Some(folder.path().to_owned()),
            ..MlflowSettings::from_environment(&only(pairs))
        };
        assert!(settings(&pairs).open().unwrap_err().to_string().ends_with("/token"));
        // One that is given stands for it.
        let given = [("MLFLOW_TRACKING_TOKEN", "t")];
        assert_eq!(sent(&settings(&given).open().unwrap()), [header("authorization", "Bearer t")]);
        fs::write(folder.path().join("token"), "first\n").unwrap();
        fs::write(folder.path().join("namespace"), "mlops").unwrap();
        let credentials = settings(&pairs).open().unwrap();
        let workspace = header("x-mlflow-workspace", "mlops");
        assert_eq!(sent(&credentials), [header("authorization", "Bearer first"), workspace.clone()]);
        // The kubelet renews it.
        fs::write(folder.path().join("token"), "second\n").unwrap();
        assert_eq!(sent(&credentials), [header("authorization", "Bearer second"), workspace]);
    }

    #[test]
    fn what_would_weaken_or_is_unknown_is_refused() {
        let refused =
            |name, value| MlflowSettings::unsupported(&only(&[(name, value)])).map(|(problem, _)| problem);
        assert!(refused("MLFLOW_TRACKING_INSECURE_TLS", "TRUE").unwrap().contains("nobody vouches for"));
        assert!(refused("MLFLOW_TRACKING_AWS_SIGV4", "1").unwrap().contains("not signed"));
        assert!(refused("MLFLOW_TRACKING_AUTH", "plugin").unwrap().contains("not known"));
        assert_eq!(refused("MLFLOW_TRACKING_INSECURE_TLS", "false"), None);
        assert_eq!(refused("MLFLOW_TRACKING_AUTH", "kubernetes"), None);
    }
}
