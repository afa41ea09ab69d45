//! Who to be for a Git repository, as KServe's initializer is told: a name and a password, which may be a token.

use std::fmt;

use reqwest::RequestBuilder;
use url::Url;

use super::Environment;

/// A name and a password. An address may have another name.
#[derive(Clone, Default)]
pub struct GitCredentials {
    user: Option<String>,
    password: Option<String>,
}

impl GitCredentials {
    /// Reads `GIT_USERNAME` and `GIT_PASSWORD`.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        Self { user: environment("GIT_USERNAME"), password: environment("GIT_PASSWORD") }
    }

    /// Whether there are any for a repository.
    pub fn are_there(&self, repository: &Url) -> bool {
        self.password.is_some() || !repository.username().is_empty()
    }

    /// Adds them to a request to the server of a repository.
    pub fn apply(&self, request: RequestBuilder, repository: &Url) -> RequestBuilder {
        let user = match repository.username() {
            // Where only a token counts, any name will do.
            "" => self.user.as_deref().unwrap_or("git"),
            user => user,
        };
        request.basic_auth(user, self.password.as_deref())
    }
}

impl fmt::Debug for GitCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}
