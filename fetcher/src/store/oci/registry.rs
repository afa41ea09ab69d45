//! Asks an OCI registry, as the distribution specification has it: manifests by tag or digest, blobs by digest.
//!
//! A request is made with what is known to let us in. If that is refused, the same address is asked once without
//! anything, its challenge is met, and the request is made again. By digest the mirrors are asked first: whatever comes
//! is held to the digest, a manifest here and a blob as every file is. One that fails is not asked again in this run.
//!
//! The HTTP client takes the authorization off where a redirect leads to another host, as those to object storage do.

use std::future::Future;
use std::sync::Arc;

use handoff::Sha256Digest;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RANGE};
use reqwest::{RequestBuilder, StatusCode};
use url::Url;

use super::access::{Access, Authorization};
use super::challenge::{Challenge, TokenAnswer};
use crate::connection::Connection;
use crate::credentials::docker::Login;
use crate::http::{join, read_bounded, send};
use crate::limits::Limits;
use crate::redact::Redacted;
use crate::store::{Body, ByteRange, Identity, StoreError};
use crate::uri::oci::Repository;

/// The kinds of manifest that are understood.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// Where Docker's own registry is asked.
const HUB: &str = "registry-1.docker.io";

/// A repository of a registry, and who else may have what is in it.
pub(crate) struct Registry {
    repository: Repository,
    itself: Endpoint,
    mirrors: Vec<Endpoint>,
    client: reqwest::Client,
    /// Follows no redirect: what is sent to who gives tokens is for nobody else.
    token_client: reqwest::Client,
    access: Arc<Access>,
}

/// Who is asked.
struct Endpoint {
    base: Url,
    /// The registry that a mirror is to stand in for.
    of: Option<String>,
    /// Its name in Docker's file of credentials.
    host: String,
    /// Whether credentials are safe with it.
    is_safe: bool,
}

/// A manifest as it came, and its digest.
pub(crate) struct Manifest {
    pub(crate) digest: Sha256Digest,
    pub(crate) bytes: Vec<u8>,
    /// What the registry says that it is.
    pub(crate) media_type: Option<String>,
}

impl Registry {
    /// The way to a repository. Asks nobody yet.
    ///
    /// # Errors
    /// Fails for a host that is none.
    pub(crate) fn new(repository: &Repository, connection: &Connection) -> Result<Self, StoreError> {
        let settings = &connection.oci.settings;
        let host = repository.host.as_str();
        let scheme = if settings.is_insecure(host) { "http" } else { "https" };
        let asked = if host == "docker.io" { HUB } else { host };
        let base = format!("{scheme}://{asked}/").parse().map_err(|_| StoreError::Refused {
            what: repository.to_string(),
            reason: "its host is none".into(),
        })?;
        let itself = Endpoint { base, of: None, host: host.to_owned(), is_safe: true };
        let mirror = |base: &Url| {
            let name = base.host_str().unwrap_or_default();
            let name = base.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
            let is_safe = base.scheme() == "https" || settings.is_insecure(&name);
            Endpoint { base: base.clone(), of: Some(host.to_owned()), host: name, is_safe }
        };
        Ok(Self {
            repository: repository.clone(),
            itself,
            mirrors: settings.mirrors(host).map(mirror).collect(),
            client: connection.client.clone(),
            token_client: connection.signing_client.clone(),
            access: Arc::clone(&connection.oci),
        })
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The manifest that a tag is on now. Mirrors are not asked: they cannot be held to anything.
    pub(crate) async fn tagged(&self, tag: &str) -> Result<Manifest, StoreError> {
        self.manifest(&self.itself, tag).await
    }

    /// The manifest of a digest.
    pub(crate) async fn pinned(&self, digest: Sha256Digest) -> Result<Manifest, StoreError> {
        self.first(|endpoint| async move {
            let manifest = self.manifest(endpoint, &format!("{digest:?}")).await?;
            match manifest.digest == digest {
                true => Ok(manifest),
                false => Err(StoreError::Corrupt {
                    what: format!("the manifest {}", self.repository.blob(digest)),
                    expected: digest,
                    got: manifest.digest,
                }),
            }
        })
        .await
    }

    /// A small blob, such as a config, as it is promised.
    pub(crate) async fn small_blob(&self, digest: Sha256Digest) -> Result<Vec<u8>, StoreError> {
        let limit = Limits::DEFAULT.oci_manifest_bytes;
        self.first(|endpoint| async move {
            let url = endpoint.url(&self.repository, "blobs", &format!("{digest:?}"));
            let response = self.ask(endpoint, &url, |request| send(request, &url, &[])).await?;
            let bytes = read_bounded(response, &url, limit).await?;
            let got = Sha256Digest::of(&bytes);
            let what = || format!("the blob {}", self.repository.blob(digest));
            if got == digest {
                Ok(bytes)
            } else {
                Err(StoreError::Corrupt { what: what(), expected: digest, got })
            }
        })
        .await
    }

    /// A range of a blob.
    pub(crate) async fn blob(
        &self,
        digest: Sha256Digest,
        identity: Option<&Identity>,
        range: ByteRange,
    ) -> Result<Body, StoreError> {
        self.first(|endpoint| async move {
            let url = endpoint.url(&self.repository, "blobs", &format!("{digest:?}"));
            self.ask(endpoint, &url, |request| crate::store::http::get(request, &url, identity, range)).await
        })
        .await
    }

    /// Asks the mirrors that are of use, and then the registry.
    async fn first<'a, T, F>(&'a self, ask: impl Fn(&'a Endpoint) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        for mirror in &self.mirrors {
            let name = mirror.base.as_str();
            if self.access.is_useless(name) {
                continue;
            }
            match ask(mirror).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::warn!("doing without this mirror: {}", crate::chain::line(&error));
                    self.access.give_up(name);
                }
            }
        }
        ask(&self.itself).await
    }

    async fn manifest(&self, endpoint: &Endpoint, reference: &str) -> Result<Manifest, StoreError> {
        let url = endpoint.url(&self.repository, "manifests", reference);
        let get = |request: RequestBuilder| send(request.header(ACCEPT, MANIFESTS), &url, &[]);
        let response = self.ask(endpoint, &url, get).await?;
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
        let bytes = read_bounded(response, &url, Limits::DEFAULT.oci_manifest_bytes).await?;
        Ok(Manifest { digest: Sha256Digest::of(&bytes), bytes, media_type })
    }

    /// Makes a request, and once more if the registry wants to know who we are.
    async fn ask<T, F>(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        make: impl Fn(RequestBuilder) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let place = (endpoint.base.to_string(), self.repository.name.clone());
        let request = self.client.get(url.clone());
        let request = match self.access.known(&place) {
            Some(authorization) => authorization.apply(request),
            None => request,
        };
        match make(request).await {
            Err(StoreError::Denied { what, status }) => match self.log_in(endpoint, url).await? {
                Ok((authorization, lifetime)) => {
                    let answer = make(authorization.apply(self.client.get(url.clone()))).await;
                    if !matches!(answer, Err(StoreError::Denied { .. })) {
                        self.access.learn(&place, &authorization, lifetime);
                    }
                    answer
                }
                Err(why) => Err(StoreError::Denied { what, status: format!("{status}; {why}") }),
            },
            other => other,
        }
    }

    /// Finds out how the registry wants to be told who we are, and what to tell it; or why there is nothing to tell.
    async fn log_in(
        &self,
        endpoint: &Endpoint,
        url: &Url,
    ) -> Result<Result<(Authorization, Option<std::time::Duration>), String>, StoreError> {
        // One byte, if there is no challenge after all.
        let probe = self.client.get(url.clone()).header(ACCEPT, MANIFESTS).header(RANGE, "bytes=0-0");
        let response =
            send(probe, url, &[StatusCode::UNAUTHORIZED, StatusCode::RANGE_NOT_SATISFIABLE]).await?;
        let challenge = match response.status() {
            StatusCode::UNAUTHORIZED => Challenge::of(response.headers()),
            _ => None,
        };
        let host = &endpoint.host;
        let login = match endpoint.is_safe {
            true => self.access.settings.credentials.login(host, &self.repository.name)?,
            false => None,
        };
        Ok(match (challenge, login) {
            (None, _) => Err("it does not say how to authenticate".to_owned()),
            (Some(_), Some(Login::Bearer(token))) => Ok((Authorization::Bearer(token), None)),
            (Some(Challenge::Basic), Some(Login::Basic { username, password })) => {
                Ok((Authorization::Basic { username, password }, None))
            }
            (Some(Challenge::Basic), Some(Login::Identity(_))) => {
                Err(format!("it wants a password, and there is a token for {host}"))
            }
            (Some(Challenge::Basic), None) => Err(format!("there are no credentials for {host}")),
            (Some(Challenge::Bearer { realm, service }), login) => {
                let anonymous = login.is_none();
                match self.token(endpoint, &realm, service.as_deref(), login).await {
                    Ok((token, lifetime)) => Ok((Authorization::Bearer(token), Some(lifetime))),
                    Err(StoreError::Denied { what, status }) if anonymous => Err(format!(
                        "there are no credentials for {host}, and {what} refused a token ({status})"
                    )),
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// Asks whom the registry sends us to for a token to read this repository.
    async fn token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<&str>,
        login: Option<Login>,
    ) -> Result<(String, std::time::Duration), StoreError> {
        let malformed = |reason: &str| StoreError::Malformed {
            what: Redacted(&endpoint.base).to_string(),
            reason: reason.to_owned(),
        };
        let mut url: Url =
            realm.parse().map_err(|_| malformed("it sends us for a token to what is no address"))?;
        let is_as_safe =
            url.scheme() == "https" || (url.scheme() == "http" && endpoint.base.scheme() == "http");
        if !is_as_safe {
            return Err(StoreError::Refused {
                what: Redacted(&endpoint.base).to_string(),
                reason: format!("it sends us for a token to {}, which is not encrypted", Redacted(&url)),
            });
        }
        let scope = format!("repository:{}:pull", self.repository.name);
        let mut words = vec![("scope", scope.as_str())];
        words.extend(service.map(|service| ("service", service)));
        let request = match &login {
            Some(Login::Identity(token)) => {
                words.extend([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token),
                    ("client_id", "plimsoll-fetcher"),
                ]);
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(words).finish();
                let request = self.token_client.post(url.clone()).body(form);
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            }
            other => {
                url.query_pairs_mut().extend_pairs(words);
                let request = self.token_client.get(url.clone());
                match other {
                    Some(Login::Basic { username, password }) => request.basic_auth(username, Some(password)),
                    _ => request,
                }
            }
        };
        let response = send(request, &url, &[]).await?;
        let answer = read_bounded(response, &url, Limits::DEFAULT.oci_manifest_bytes).await?;
        // What is wrong with it is not repeated: it may hold a token.
        let token = serde_json::from_slice::<TokenAnswer>(&answer).ok().and_then(TokenAnswer::token);
        token.ok_or_else(|| StoreError::Malformed {
            what: Redacted(&url).to_string(),
            reason: "expected a token".into(),
        })
    }
}

impl Endpoint {
    fn url(&self, repository: &Repository, kind: &str, reference: &str) -> Url {
        let name = repository.name.split('/');
        let mut url = join(&self.base, ["v2"].into_iter().chain(name).chain([kind, reference]));
        if let Some(registry) = &self.of {
            // As containerd tells a mirror of several registries which one is meant.
            url.query_pairs_mut().append_pair("ns", registry);
        }
        url
    }
}
