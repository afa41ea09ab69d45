//! Addresses of registries and stores, and what of them must not be shown.

use std::path::Path;

use clap::Parser as _;
use fetcher::cli::Cli;
use fetcher::config::{self, Job};
use fetcher::reference::{MlflowItem, ModelRef};
use fetcher::scrub::Secrets;
use fetcher::uri::{RegistryUri, StoreUri};

use crate::{first_line, hold};

/// Stands for a secret in a query: whatever prints it shows it to somebody.
const SECRET: &str = "hunter2secret";

/// Reads the text as the address of a store and of a registry.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<StoreUri>() {
        Ok(uri) => store(&uri),
        Err(error) => hold::error(&error),
    }
    match text.parse::<RegistryUri>() {
        Ok(registry) => {
            hold::message(cut(&registry.to_string()));
            if let RegistryUri::Catalog(uri) = &registry {
                store(uri);
            }
            let has_query = registry.to_string().ends_with('…');
            if !has_query && !text.contains('#') {
                let again = registry.to_string().parse::<RegistryUri>().expect("an address as it is shown");
                assert_eq!(again.to_string(), registry.to_string());
            }
        }
        Err(error) => hold::error(&error),
    }
    // With a secret in its query. A host is printed in small letters.
    let is_said_anyway = text.to_lowercase().contains(SECRET);
    if let Ok(uri) = format!("{text}?sig={SECRET}").parse::<StoreUri>()
        && matches!(uri, StoreUri::Http(_))
        && !text.contains('#')
    {
        assert!(uri.hides_something() && uri.with_query().contains(SECRET));
        assert!(!uri.to_string().contains(SECRET) || is_said_anyway, "{uri}");
    }
    for with_user in [format!("https://{SECRET}@{text}"), format!("s3://me:{SECRET}@{text}")] {
        if let Err(error) = with_user.parse::<StoreUri>() {
            assert!(!error.to_string().contains(SECRET) || is_said_anyway, "{error}");
        }
    }
}

/// An address is shown in one line, reads back as it is shown, and is split into a store and a name in it.
fn store(uri: &StoreUri) {
    let shown = uri.to_string();
    hold::message(cut(&shown));
    match uri {
        StoreUri::File(path) => assert!(path.is_absolute(), "{shown}"),
        StoreUri::S3 { bucket, prefix, at } => {
            assert!(at.is_none(), "only a registry says so");
            assert!(!bucket.is_empty() && !bucket.contains('/'));
            assert_eq!(prefix.trim_matches('/'), prefix);
            assert_eq!(shown.parse::<StoreUri>().as_ref(), Ok(uri), "{shown}");
        }
        StoreUri::Gcs { bucket, prefix } => {
            assert!(!bucket.is_empty() && !bucket.contains('/'));
            assert_eq!(prefix.trim_matches('/'), prefix);
            assert_eq!(shown.parse::<StoreUri>().as_ref(), Ok(uri), "{shown}");
        }
        StoreUri::Azure(place) => assert_eq!(place.prefix.trim_matches('/'), place.prefix, "{shown}"),
        StoreUri::Http(url) => {
            assert!(url.has_host() && url.username().is_empty() && url.password().is_none());
        }
        StoreUri::Oci(_) | StoreUri::Hdfs(_) => {
            assert_eq!(shown.parse::<StoreUri>().as_ref(), Ok(uri), "{shown}")
        }
        // Whoever is asked for is not shown.
        StoreUri::Git(_) => {
            assert_eq!(shown.parse::<StoreUri>().map(|uri| uri.to_string()), Ok(shown), "{uri:?}")
        }
        StoreUri::HttpFile(_) | StoreUri::HuggingFace { .. } | StoreUri::MlflowArtifacts { .. } => {
            panic!("no text says that")
        }
    }
    if let Ok((folder, name)) = uri.split_file() {
        hold::path(&name);
        assert_eq!(name.file_name(), name.as_str(), "one component");
        if let (StoreUri::File(folder), StoreUri::File(path)) = (&folder, uri) {
            assert_eq!(name.below(folder), Path::new(path), "the name is in the folder");
        }
        if !matches!(uri, StoreUri::Oci(_)) {
            assert_eq!(uri.display_name(), name.as_str());
        }
    }
}

/// How long an address is, is up to whoever configures it.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// `MODEL_URI` in the first line, then `MODEL_REGISTRY`, `MODEL_NAME` and `MODEL_VERSION`.
pub fn reference(data: &[u8]) {
    let (uri, rest) = first_line(data);
    let (registry, rest) = first_line(rest);
    let (name, version) = first_line(rest);
    let mut arguments = vec!["fetcher".to_owned(), "resolve".to_owned()];
    let flags = ["--uri", "--registry", "--model-name", "--model-version"];
    for (flag, value) in flags.into_iter().zip([uri, registry, name, version]) {
        let Ok(value) = std::str::from_utf8(value) else { return };
        if !value.is_empty() && !value.contains('\0') {
            arguments.push(format!("{flag}={value}"));
        }
    }
    let Ok(cli) = Cli::try_parse_from(arguments) else { return };
    let job = match config::job(cli, &|_| None) {
        Ok(Job::Resolve(job)) => job,
        Ok(_) => panic!("expected to be asked to resolve"),
        Err(error) => return hold::error(&error),
    };
    match &job.wanted.reference {
        ModelRef::Registered { name, version, .. } => {
            hold::path(name.as_path());
            hold::again(name);
            hold::again(version);
            assert_ne!(version.to_string(), "latest");
        }
        ModelRef::Mlflow { item, .. } => match item {
            MlflowItem::LoggedModel(id) => hold::again(id),
            MlflowItem::RunArtifact { run, path } => {
                hold::again(run);
                hold::path(path);
            }
        },
        ModelRef::Uri { uri, .. } => store(uri),
    }
    hold::message(cut(&job.wanted.reference.registry()));
}

/// A secret in the first line, which is looked for in the rest.
pub fn secrets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((secret, text)) = text.split_once('\n') else { return };
    let secrets = Secrets::of([
        ("API_TOKEN".to_owned(), secret.to_owned()),
        ("MODEL_URI".to_owned(), format!("https://host/x?sig={secret}")),
    ]);
    let scrubbed = secrets.scrub(text);
    // What stands in its place has brackets, and may complete a secret that has some.
    if secret.len() >= 6 && !"[secret]".contains(secret) && !secret.contains(['[', ']']) {
        assert!(!scrubbed.contains(secret), "{scrubbed}");
    }
    let with = format!("a {secret} b");
    let hidden = secrets.scrub(&with);
    if secret.len() >= 6 && !secret.contains(['[', ']']) && !"[secret]".contains(secret) {
        assert!(!hidden.contains(secret), "{hidden}");
    }
}
