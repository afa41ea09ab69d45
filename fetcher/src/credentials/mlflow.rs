//! Who to be for an MLflow server, as MLflow's own client is told: by `MLFLOW_TRACKING_*`, by `~/.mlflow/credentials`, or as
//! the Pod's service account. A name and password win over a token.
//! <https://mlflow.org/docs/latest/self-hosting/security/basic-http-auth/>

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use reqwest::RequestBuilder;

use super::Environment;
use crate::limits::Limits;

/// Where a Pod's service account is mounted; `MLFLOW_TRACKING_AUTH=kubernetes`.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const WORKSPACE_HEADER: &str = "X-MLFLOW-WORKSPACE";

/// What the environment says, before any file is looked at.
#[derive(Clone, Default)]
pub struct MlflowSettings {
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
    workspace: Option<String>,
    /// `~/.mlflow/credentials`, where there is a home.
    file: Option<PathBuf>,
    service_account: ServiceAccount,
}

/// What a service account is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ServiceAccount {
    #[default]
    Unused,
    /// Its token.
    Token,
    /// Its token, and its namespace as the workspace.
    TokenAndNamespace,
}

/// What goes with each question to an MLflow server.
#[derive(Clone, Default)]
pub struct MlflowCredentials {
    login: Login,
    workspace: Option<String>,
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
}

impl MlflowSettings {
    /// Reads the variables of MLflow's client.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let home = environment("HOME");
        Self {
            username: environment("MLFLOW_TRACKING_USERNAME"),
            password: environment("MLFLOW_TRACKING_PASSWORD"),
            token: environment("MLFLOW_TRACKING_TOKEN"),
            workspace: environment("MLFLOW_WORKSPACE"),
            file: home.map(|home| Path::new(&home).join(".mlflow/credentials")),
            service_account: match environment("MLFLOW_TRACKING_AUTH").as_deref() {
                Some("kubernetes") => ServiceAccount::Token,
                Some("kubernetes-namespaced") => ServiceAccount::TokenAndNamespace,
                _ => ServiceAccount::Unused,
            },
        }
    }

    /// Looks at the files that there are.
    ///
    /// # Errors
    /// Names the file that cannot be read. Where MLflow's client does without one, so does this.
    pub fn open(&self) -> Result<MlflowCredentials, (PathBuf, io::Error)> {
        self.open_at(Path::new(SERVICE_ACCOUNT))
    }

    fn open_at(&self, account: &Path) -> Result<MlflowCredentials, (PathBuf, io::Error)> {
        let (mut username, mut password) = (self.username.clone(), self.password.clone());
        if (username.is_none() || password.is_none())
            && let Some(file) = &self.file
            && let Some(text) = read_if_there(file)?
        {
            let (in_file, its_password) = in_credentials_file(&text);
            (username, password) = (username.or(in_file), password.or(its_password));
        }
        let of_account = |name: &str| {
            let path = account.join(name);
            let text =
                read_if_there(&path)?.ok_or_else(|| (path, io::Error::from(io::ErrorKind::NotFound)))?;
            Ok(text.trim().to_owned())
        };
        let login = match (username, password, &self.token) {
            (Some(username), Some(password), _) => Login::Basic { username, password },
            _ if self.service_account != ServiceAccount::Unused => Login::Bearer(of_account("token")?),
            (_, _, Some(token)) => Login::Bearer(token.clone()),
            _ => Login::Anonymous,
        };
        let workspace = match (&self.workspace, self.service_account) {
            (None, ServiceAccount::TokenAndNamespace) => Some(of_account("namespace")?),
            (workspace, _) => workspace.clone(),
        };
        Ok(MlflowCredentials { login, workspace })
    }
}

impl MlflowCredentials {
    /// Adds the headers to a request.
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match &self.login {
            Login::Anonymous => request,
            Login::Basic { username, password } => request.basic_auth(username, Some(password)),
            Login::Bearer(token) => request.bearer_auth(token),
        };
        match &self.workspace {
            Some(workspace) => request.header(WORKSPACE_HEADER, workspace),
            None => request,
        }
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, (PathBuf, io::Error)> {
    let most = Limits::DEFAULT.document_bytes.try_into().unwrap_or(u64::MAX);
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(most).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err((path.to_owned(), error)),
    }
}

/// Name and password in the section `mlflow` of a file as Python's `configparser` reads it.
fn in_credentials_file(text: &str) -> (Option<String>, Option<String>) {
    let mut found = (None, None);
    let mut ours = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            ours = section == "mlflow";
            continue;
        }
        let Some((key, value)) = line.split_once(['=', ':']).filter(|_| ours) else { continue };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match key.trim().to_ascii_lowercase().as_str() {
            "mlflow_tracking_username" => found.0 = value,
            "mlflow_tracking_password" => found.1 = value,
            _ => {}
        }
    }
    found
}

impl fmt::Debug for MlflowSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowSettings")
            .field("service_account", &self.service_account)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MlflowCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.login {
            Login::Anonymous => "Anonymous",
            Login::Basic { .. } => "Basic",
            Login::Bearer(_) => "Bearer",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The headers that a request gets.
    fn headers(pairs: &[(&str, &str)], account: &Path) -> Vec<(String, String)> {
        let value =
            |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let credentials = MlflowSettings::from_environment(&value).open_at(account).unwrap();
        let tls = crate::http::tls(&[], None).unwrap();
        let client =
            crate::http::client(tls, std::time::Duration::from_secs(1), crate::http::few_redirects())
                .unwrap();
        let request = credentials.apply(client.get("http://host/")).build().unwrap();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
        request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    fn basic(text: &str) -> (String, String) {
        use base64::Engine as _;
        let encoded = base64::prelude::BASE64_STANDARD.encode(text);
        ("authorization".into(), format!("Basic {encoded}"))
    }

    #[test]
    fn a_name_and_password_win_over_a_token() {
        let nowhere = Path::new("/nowhere");
        let user = [("MLFLOW_TRACKING_USERNAME", "me"), ("MLFLOW_TRACKING_PASSWORD", "secret")];
        let token = ("MLFLOW_TRACKING_TOKEN", "token");
        assert_eq!(headers(&[user[0], user[1], token], nowhere), [basic("me:secret")]);
        assert_eq!(headers(&[user[0], token], nowhere), [("authorization".into(), "Bearer token".into())]);
        assert_eq!(headers(&[], nowhere), []);
        let workspace = headers(&[("MLFLOW_WORKSPACE", "team")], nowhere);
        assert_eq!(workspace, [("x-mlflow-workspace".into(), "team".into())]);
    }

    #[test]
    fn a_file_fills_in_what_the_environment_leaves_out() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".mlflow")).unwrap();
        let file = home.path().join(".mlflow/credentials");
        let text = "[other]\nmlflow_tracking_username = nobody\n[mlflow]\n; a comment\n\
                    mlflow_tracking_username = me\nMLFLOW_TRACKING_PASSWORD: a=b:c\n";
        fs::write(&file, text).unwrap();
        let home = ("HOME", home.path().to_str().unwrap());
        assert_eq!(headers(&[home], Path::new("/nowhere")), [basic("me:a=b:c")]);
        let other = ("MLFLOW_TRACKING_USERNAME", "you");
        assert_eq!(headers(&[home, other], Path::new("/nowhere")), [basic("you:a=b:c")]);
    }

    #[test]
    fn a_service_account_is_what_the_pod_is() {
        let account = tempfile::tempdir().unwrap();
        fs::write(account.path().join("token"), "of-the-pod\n").unwrap();
        fs::write(account.path().join("namespace"), "shop").unwrap();
        let auth = |kind: &str| headers(&[("MLFLOW_TRACKING_AUTH", kind)], account.path());
        let token = ("authorization".to_owned(), "Bearer of-the-pod".to_owned());
        let workspace = ("x-mlflow-workspace".to_owned(), "shop".to_owned());
        assert_eq!(auth("kubernetes"), std::slice::from_ref(&token));
        assert_eq!(auth("kubernetes-namespaced"), [token, workspace]);
        let settings = MlflowSettings { service_account: ServiceAccount::Token, ..MlflowSettings::default() };
        let (path, error) = settings.open_at(Path::new("/nowhere")).map(|_| ()).unwrap_err();
        assert_eq!((path.to_str().unwrap(), error.kind()), ("/nowhere/token", io::ErrorKind::NotFound));
    }
}
