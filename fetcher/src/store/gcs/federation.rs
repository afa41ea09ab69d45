//! Who a workload is for Google, by somebody else's word: workload identity federation.
//!
//! The file of `GOOGLE_APPLICATION_CREDENTIALS` says where a token of the workload's own is, such as the one that
//! Kubernetes puts into a Pod. Google's token service gives one of its own for it, and that is used as it is, or to ask
//! for one of a service account. The workload's token is read each time, since what lies there is renewed. What else
//! may stand in such a file instead of another file, a server or a program to ask, is refused.
//! <https://google.aip.dev/auth/4117>

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::text::shown;
use object_store::CredentialProvider;
use object_store::gcp::GcpCredential;
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::{Host, Url};

use crate::chain::causes;
use crate::credentials::{UnreadableCredentials, read_credentials};
use crate::http::{classify, read_bounded};
use crate::limits::Limits;
use crate::scrub::remember_login;
use crate::store::StoreError;

/// The kind of file that this is about.
const KIND: &str = "external_account";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token of a service account is asked for, as Google's clients do.
const LIFETIME: &str = "3600s";
/// A token that counts for no longer than this is renewed before it is used.
const SPARE: Duration = Duration::from_secs(60);
/// How long one counts at most: a wrong number must not overflow the clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The file.
#[derive(Deserialize)]
struct Description {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: Source,
}

/// Where the workload's own token is.
#[derive(Deserialize)]
struct Source {
    file: Option<PathBuf>,
    #[serde(default)]
    format: Format,
}

/// How it is written there: as text, if nothing else is said.
#[derive(Default, Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

/// The answer of the token service.
#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

/// The answer of who gives out tokens of service accounts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: jiff::Timestamp,
}

/// Gets tokens, and keeps each for as long as it counts.
pub(super) struct Federation {
    audience: String,
    subject_token_type: String,
    token_url: Url,
    impersonation_url: Option<Url>,
    file: PathBuf,
    /// The field of a JSON document that the token is in, where the file is no text.
    field: Option<String>,
    client: reqwest::Client,
    known: Mutex<Option<(Arc<GcpCredential>, Instant)>>,
}

impl Federation {
    /// Reads the description of an account, if it is of this kind.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn of(text: &str, client: &reqwest::Client) -> Result<Option<Self>, String> {
        let is_ours = |value: Value| value["type"] == KIND;
        if !serde_json::from_str(text).is_ok_and(is_ours) {
            return Ok(None);
        }
        let read: Description = serde_json::from_str(text).map_err(|error| shown(&error.to_string()))?;
        let Source { file, format } = read.credential_source;
        let file = file.ok_or("expected a `file` in its credential_source, got another way to a token")?;
        let field = match format.kind.as_deref() {
            None | Some("text") => None,
            Some("json") => {
                Some(format.subject_token_field_name.ok_or("expected a subject_token_field_name")?)
            }
            Some(other) => return Err(format!("expected a token as text or json, got `{}`", shown(other))),
        };
        let impersonation_url = read.service_account_impersonation_url.as_deref();
        Ok(Some(Self {
            audience: read.audience,
            subject_token_type: read.subject_token_type,
            token_url: address(&read.token_url)?,
            impersonation_url: impersonation_url.map(address).transpose()?,
            file,
            field,
            client: client.clone(),
            known: Mutex::default(),
        }))
    }

    async fn token(&self) -> Result<Arc<GcpCredential>, StoreError> {
        let mut known = self.known.lock().await;
        if let Some((credential, until)) = known.as_ref()
            && *until > Instant::now() + SPARE
        {
            return Ok(Arc::clone(credential));
        }
        let (bearer, lifetime) = self.ask().await?;
        let credential = Arc::new(GcpCredential { bearer });
        *known = Some((Arc::clone(&credential), Instant::now() + lifetime.min(LONGEST)));
        Ok(credential)
    }

    /// A new token, and how long it counts.
    async fn ask(&self) -> Result<(String, Duration), StoreError> {
        let subject = self.subject()?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", EXCHANGE),
                ("audience", &self.audience),
                ("scope", SCOPE),
                ("requested_token_type", ACCESS_TOKEN),
                ("subject_token", &subject),
                ("subject_token_type", &self.subject_token_type),
            ])
            .finish();
        let request = self.client.post(self.token_url.clone()).body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let Exchanged { access_token, expires_in } = answer(request, &self.token_url).await?;
        let Some(url) = &self.impersonation_url else {
            return Ok((access_token, Duration::from_secs(expires_in)));
        };
        let wanted = json!({"scope": [SCOPE], "lifetime": LIFETIME}).to_string();
        let request = self.client.post(url.clone()).bearer_auth(access_token).body(wanted);
        let request = request.header(CONTENT_TYPE, "application/json");
        let Impersonated { access_token, expire_time } = answer(request, url).await?;
        let lifetime = expire_time.duration_since(jiff::Timestamp::now());
        Ok((access_token, lifetime.try_into().unwrap_or_default()))
    }

    /// The workload's own token.
    fn subject(&self) -> Result<String, StoreError> {
        let refused = |reason: String| StoreError::Refused { what: String::new(), reason };
        let unreadable = |error: UnreadableCredentials| refused(format!("{error}: {}", error.source));
        let text = read_credentials(&self.file).map_err(unreadable)?;
        let token = match &self.field {
            None => Some(text.trim().to_owned()),
            // What is wrong with it is not repeated: it may hold a token.
            Some(field) => serde_json::from_str::<Value>(&text)
                .ok()
                .and_then(|value| value.get(field)?.as_str().map(str::to_owned)),
        };
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| refused(format!("expected a token in {}", self.file.display())))?;
        remember_login(None, &token);
        Ok(token)
    }
}

/// An address that a token may be sent to.
fn address(text: &str) -> Result<Url, String> {
    let is_here = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_safe = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_here(url));
    let url = text.parse::<Url>().ok().filter(is_safe);
    url.ok_or_else(|| format!("expected an https address to send a token to, got `{}`", shown(text)))
}

/// Asks for a token. Who was asked is named in what went wrong, since there may be two.
async fn answer<T: DeserializeOwned>(request: RequestBuilder, url: &Url) -> Result<T, StoreError> {
    let (what, host) = (String::new(), url.host_str().unwrap_or_default());
    let response = request.send().await.map_err(|error| {
        let error = error.without_url();
        let cause = causes(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
        let reason = format!("cannot reach {host}: {cause}");
        StoreError::untrusted(host, &error).unwrap_or(StoreError::Unavailable {
            what: what.clone(),
            reason,
            retry_after: None,
            source: None,
        })
    })?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_bounded(response, url, Limits::DEFAULT.document_bytes).await?;
    match status {
        status if status.is_success() => {}
        // A token that is not taken is a wrong request to the one, and forbidden by the other.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(StoreError::Denied { what, status: format!("{status} by {host}{}", why(&body)) });
        }
        status => return Err(classify(what, status, &headers)),
    }
    // What is wrong with it is not repeated here either.
    let reason = format!("expected a token from {host}");
    serde_json::from_slice(&body).map_err(|_| StoreError::Malformed { what, reason })
}

/// What is said of a refusal: by OAuth's rules, or by those of Google's interfaces.
fn why(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = value["error_description"].as_str().or(value["error"]["message"].as_str());
    said.or(value["error"].as_str()).map(|said| format!(": {}", shown(said))).unwrap_or_default()
}

impl CredentialProvider for Federation {
    type Credential = GcpCredential;

    fn get_credential<'life, 'async_trait>(
        &'life self,
    ) -> BoxFuture<'async_trait, object_store::Result<Arc<GcpCredential>>>
    where
        'life: 'async_trait,
        Self: 'async_trait,
    {
        async move {
            let failed = |error| object_store::Error::Generic { store: "GCS", source: Box::new(error) };
            self.token().await.map_err(failed)
        }
        .boxed()
    }
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation").field("audience", &self.audience).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl FnOnce(&mut Value)) -> Result<Option<Federation>, String> {
        let mut account = json!({
            "type": "external_account", "audience": "//iam.googleapis.com/pool",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"file": "/var/run/token", "format": {"type": "text"}},
        });
        change(&mut account);
        rustls::crypto::ring::default_provider().install_default().ok();
        Federation::of(&account.to_string(), &reqwest::Client::new())
    }

    fn refused(change: impl FnOnce(&mut Value)) -> String {
        read(change).unwrap_err()
    }

    #[test]
    fn an_account_is_read_and_what_cannot_be_done_for_it_is_said() {
        assert!(read(|_| ()).unwrap().is_some());
        assert!(read(|account| account["type"] = json!("service_account")).unwrap().is_none());
        let source = |source: Value| refused(|account| account["credential_source"] = source);
        assert!(source(json!({"environment_id": "aws1"})).contains("got another way to a token"));
        let odd = json!({"file": "/token", "format": {"type": "xml"}});
        assert_eq!(source(odd), "expected a token as text or json, got `xml`");
        assert_eq!(
            source(json!({"file": "/token", "format": {"type": "json"}})),
            "expected a subject_token_field_name"
        );
        let plain = refused(|account| account["token_url"] = json!("http://sts.example/token"));
        assert!(plain.starts_with("expected an https address"), "{plain}");
        let here = |account: &mut Value| account["token_url"] = json!("http://127.0.0.1:1/token");
        assert!(read(here).unwrap().is_some());
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_either() {
        assert_eq!(
            why(br#"{"error": "invalid_grant", "error_description": "It is over."}"#),
            ": It is over."
        );
        assert_eq!(why(br#"{"error": "invalid_grant"}"#), ": invalid_grant");
        assert_eq!(why(br#"{"error": {"code": 403, "message": "No."}}"#), ": No.");
        assert_eq!(why(b"<html>"), "");
    }
}
