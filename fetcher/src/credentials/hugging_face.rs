//! Where the Hugging Face Hub is and who to be there, as its own client is told.
//! <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>

use std::fmt;
use std::path::Path;

use url::Url;

use super::Environment;
use super::file::{Place, UnreadableCredentials};
use crate::scrub::remember_login;

/// Where models are, if the environment does not say otherwise.
const HUB: &str = "https://huggingface.co";

/// What the environment says, before any file is looked at.
#[derive(Clone, Default)]
pub struct HuggingFaceSettings {
    token: Option<String>,
    /// Where a token may lie; the first file that is there counts.
    files: Vec<Place>,
}

impl HuggingFaceSettings {
    /// Reads `HF_TOKEN`, and where a token may lie instead: `HF_TOKEN_PATH`, `HF_HOME/token`, or `huggingface/token` in
    /// the cache, which is `XDG_CACHE_HOME` or in the home folder.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let below = |variable: &str, path: &str| Some(Path::new(&environment(variable)?).join(path));
        let files = match environment("HF_TOKEN_PATH") {
            Some(path) => vec![Place::Named(path.into())],
            None => {
                let named = below("HF_HOME", "token").map(Place::Named);
                let cache = below("XDG_CACHE_HOME", "huggingface/token").map(Place::Named);
                let at_home = below("HOME", ".cache/huggingface/token").map(Place::AtHome);
                named.into_iter().chain(cache).chain(at_home).collect()
            }
        };
        let token = environment("HF_TOKEN").or_else(|| environment("HUGGING_FACE_HUB_TOKEN"));
        Self { token, files }
    }

    /// The token, if there is one.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn open(&self) -> Result<Option<String>, UnreadableCredentials> {
        if self.token.is_some() {
            return Ok(self.token.clone());
        }
        for place in &self.files {
            if let Some(text) = place.read()? {
                let token = text.trim();
                remember_login(None, token);
                return Ok(Some(token.to_owned()).filter(|token| !token.is_empty()));
            }
        }
        Ok(None)
    }
}

/// The hub's address: `HF_ENDPOINT`, or the one that everybody knows.
///
/// # Errors
/// Says what is wrong with the address, without it.
pub fn endpoint(environment: Environment<'_>) -> Result<Url, &'static str> {
    let text = environment("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
    let url: Url = text.parse().map_err(|_| "HF_ENDPOINT is not a URL")?;
    match matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err("HF_ENDPOINT is not an http or https address without credentials"),
    }
}

impl fmt::Debug for HuggingFaceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HuggingFaceSettings").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_the_hubs_client_keeps_it() {
        let home = tempfile::tempdir().unwrap();
        let cache = home.path().join(".cache/huggingface");
        std::fs::create_dir_all(&cache).unwrap();
        std::fs::write(cache.join("token"), "of-the-home\n").unwrap();
        std::fs::write(home.path().join("token"), "of-hf-home").unwrap();
        let home = home.path().to_str().unwrap();
        let token = |pairs: &[(&str, &str)]| {
            let value = |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            HuggingFaceSettings::from_environment(&value).open().unwrap()
        };
        assert_eq!(token(&[("HOME", home)]).as_deref(), Some("of-the-home"));
        assert_eq!(token(&[("HOME", home), ("HF_HOME", home)]).as_deref(), Some("of-hf-home"));
        assert_eq!(token(&[("HOME", home), ("HF_TOKEN", "given")]).as_deref(), Some("given"));
        assert_eq!(token(&[("HOME", home), ("HF_TOKEN_PATH", "/nowhere")]), None);
        assert_eq!(token(&[]), None);
    }

    #[test]
    fn the_hub_is_where_the_environment_says() {
        let at = |text: &'static str| endpoint(&move |_| Some(text.to_owned())).map(|url| url.to_string());
        assert_eq!(endpoint(&|_| None).unwrap().as_str(), "https://huggingface.co/");
        assert_eq!(at("http://hub:8080/mirror").unwrap(), "http://hub:8080/mirror");
        assert!(at("hub:8080").is_err() && at("https://me:secret@hub").is_err());
    }
}
