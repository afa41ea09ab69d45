use std::path::PathBuf;

use super::*;
use handoff::ModelId;

fn parse(words: &[&str]) -> Result<Job, ConfigError> {
    let cli = Cli::try_parse_from(["fetcher"].iter().chain(words)).unwrap();
    job(cli, &|name| (name == "MLFLOW_TRACKING_URI").then(|| "http://tracking:5000".to_owned()))
}

fn pulled(words: &[&str]) -> ModelRef {
    match parse(words) {
        Ok(Job::Pull(mut pulls)) => pulls.remove(0).wanted.reference,
        other => panic!("{other:?}"),
    }
}

fn refused(words: &[&str]) -> ConfigError {
    parse(words).map(|job| panic!("{job:?}")).unwrap_err()
}

const CATALOG: &str = "catalog+file:///srv/models";

#[test]
fn a_model_is_named_in_a_registry() {
    let reference = pulled(&["pull", "--registry", CATALOG, "--model-name", "a", "--model-version", "@b"]);
    assert_eq!(reference.id(), ModelId { name: "a".into(), version: "@b".into() });
    assert!(reference.is_floating());
}

#[test]
fn a_uri_wins_and_takes_name_and_version_as_labels() {
    let uri = ["pull", "--uri", "s3://b/models/fraud"];
    assert_eq!(pulled(&uri).id().to_string(), "fraud unversioned");
    assert_eq!(pulled(&["/mnt/pvc/fraud", "/mnt/models"]).id().to_string(), "fraud unversioned");
    let labelled = [&uri[..], &["--model-name", "x", "--model-version", "1", "--registry", CATALOG]].concat();
    assert_eq!(pulled(&labelled).id().to_string(), "x 1");
}

#[test]
fn mlflow_uris_name_a_registered_model() {
    let reference = pulled(&["pull", "--uri", "models:/fraud detection@champion"]);
    assert_eq!(reference.id().to_string(), "fraud detection @champion");
    assert_eq!(reference.registry(), "mlflow+http://tracking:5000");
    assert_eq!(pulled(&["pull", "--uri", "models:/fraud/3"]).id().to_string(), "fraud 3");
    assert!(refused(&["pull", "--uri", "models:/fraud"]).to_string().ends_with("names no version"));
}

#[test]
fn kserve_names_kubeflows_registry_by_its_host_and_scheme() {
    let reference = |scheme: Option<&str>| {
        let cli = Cli::try_parse_from(["fetcher", "pull", "--uri", "model-registry://fraud/v1"]).unwrap();
        let job = job(cli, &|name| match name {
            "MODEL_REGISTRY_BASE_URL" => Some("registry:8080".to_owned()),
            "MODEL_REGISTRY_SCHEME" => scheme.map(str::to_owned),
            _ => None,
        });
        match job {
            Ok(Job::Pull(mut pulls)) => Ok(pulls.remove(0).wanted.reference.registry()),
            other => Err(other.unwrap_err().to_string()),
        }
    };
    assert_eq!(reference(None).unwrap(), "model-registry+http://registry:8080");
    assert_eq!(reference(Some("https")).unwrap(), "model-registry+https://registry:8080");
    assert_eq!(reference(Some("ftp")).unwrap_err(), "--registry (MODEL_REGISTRY) is not usable");
}

#[test]
fn mlflow_uris_name_what_is_not_registered() {
    let id = |uri: &str| pulled(&["pull", "--uri", uri]).id().to_string();
    assert_eq!(id("models:/m-0123"), "m-0123 m-0123");
    assert_eq!(id("runs:/abc/models/best/"), "best abc");
    assert_eq!(id("mlflow-artifacts:/1/m-1/artifacts"), "artifacts unversioned");
    for (uri, problem) in [
        ("models:/fraud", "--uri (MODEL_URI) names no version"),
        ("models://host/fraud/1", "--uri (MODEL_URI) names a server, which is not understood"),
        ("models:fraud/1", "--uri (MODEL_URI) is not an address of MLflow"),
        ("models:/m-1?x", "--uri (MODEL_URI) names no version"),
        ("runs:/abc", "--uri (MODEL_URI) names no path in the run"),
        ("runs:/abc/", "--uri (MODEL_URI) names no usable path in the run"),
        ("runs:/abc/../x", "--uri (MODEL_URI) names no usable path in the run"),
        ("runs:/../abc/x", "--uri (MODEL_URI) names no run"),
        ("runs://abc/x", "--uri (MODEL_URI) names no run"),
    ] {
        let error = refused(&["pull", "--uri", uri]);
        assert_eq!(error.to_string(), problem, "{uri}");
        assert!(error.hint().is_some_and(|hint| hint.contains("runs:/<run id>/<path>")), "{uri}");
    }
    let catalog = refused(&["pull", "--uri", "runs:/abc/model", "--registry", CATALOG]).to_string();
    assert!(catalog.ends_with("and --registry (MODEL_REGISTRY) is no MLflow server"), "{catalog}");
    let elsewhere = refused(&["pull", "--uri", "mlflow-artifacts://other/../1"]);
    assert_eq!(elsewhere.to_string(), "--uri (MODEL_URI) is not usable");
}

#[test]
fn a_version_that_moves_must_be_allowed() {
    let mlflow = ["pull", "--registry", "mlflow+http://h", "--model-name", "a", "--allow-floating"];
    for version in ["latest", "Latest", "production", "Staging"] {
        let reference = pulled(&[&mlflow[..], &["--model-version", version]].concat());
        let by_uri = pulled(&["pull", "--allow-floating=true", "--uri", &format!("models:/a/{version}")]);
        for reference in [reference, by_uri] {
            // Under the name that was written, which whoever waits for the model looks for.
            assert!(reference.is_floating() && reference.id().version == version, "{reference:?}");
        }
    }
    let kubeflow = pulled(&[
        "pull",
        "--allow-floating",
        "--registry",
        "model-registry+http://h",
        "--model-name",
        "a",
        "--model-version",
        "Latest",
    ]);
    assert!(kubeflow.is_floating() && kubeflow.id().version == "Latest", "{kubeflow:?}");
    assert!(!pulled(&[&mlflow[..], &["--model-version", "v1"]].concat()).is_floating());
    for version in ["latest", "LATEST"] {
        let error = refused(&["pull", "--uri", &format!("models:/a/{version}")]);
        assert!(error.hint().is_some_and(|hint| hint.contains("FETCHER_ALLOW_FLOATING=true")), "{version}");
    }
}

#[test]
fn global_flags_may_stand_before_the_command() {
    let cli = Cli::try_parse_from(["fetcher", "--log-format", "json", "digest", "/d"]).unwrap();
    assert!(matches!(cli.command, Some(Command::Digest(_))));
}

#[test]
fn a_signature_is_checked_where_somebody_is_trusted() {
    let verify = |words: &[&str]| match parse(&[&["verify", "/m"], words].concat()) {
        Ok(Job::Verify(job)) => job.signed,
        other => panic!("{other:?}"),
    };
    assert!(verify(&[]).is_none());
    let signed = verify(&["--trust-cert", "/ca.pem"]).unwrap();
    assert_eq!(signed.signature, PathBuf::from("/m/model.sig"));
    assert_eq!(signed.trusted, TrustFiles { key: None, certificate: Some("/ca.pem".into()), identity: None });
    assert!(refused(&["verify", "/m", "--signature", "/s"]).to_string().contains("nobody is trusted"));
    match parse(&["pull", "--uri", "s3://b/a", "--trust-key", "/k"]) {
        Ok(Job::Pull(pulls)) => {
            let trusted = TrustFiles { key: Some("/k".into()), certificate: None, identity: None };
            assert_eq!(pulls[0].wanted.trusted, Some(trusted));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signer_without_a_key_is_named_by_all_three() {
    let all = [["--trust-root", "/r"], ["--trust-identity", "a@b"], ["--trust-issuer", "https://i"]];
    let with = |given: &[[&str; 2]]| parse(&[&["verify", "/m"], given.as_flattened()].concat());
    match with(&all) {
        Ok(Job::Verify(Verify { signed: Some(signed), .. })) => {
            let identity =
                TrustedIdentity { root: "/r".into(), identity: "a@b".into(), issuer: "https://i".into() };
            let trusted = TrustFiles { key: None, certificate: None, identity: Some(identity) };
            assert_eq!(signed.trusted, trusted);
        }
        other => panic!("{other:?}"),
    }
    for some in 1..7_usize {
        let given: Vec<_> = (0..3).filter(|index| some >> index & 1 == 1).map(|index| all[index]).collect();
        let missing = (0..3).find(|index| some >> index & 1 == 0).map(|index| all[index][0]).unwrap();
        let refused = with(&given).unwrap_err().to_string();
        assert!(refused.starts_with(missing) && refused.ends_with("is not set"), "{given:?}: {refused}");
    }
}

#[test]
fn pairs_are_pulled_in_turn() {
    match parse(&["s3://b/a", "/mnt/models/a", "file:///b", "/mnt/models/b"]) {
        Ok(Job::Pull(pulls)) => {
            let places: Vec<_> = pulls.iter().map(|pull| pull.layout.model_dir().to_owned()).collect();
            assert_eq!(places, [PathBuf::from("/mnt/models/a"), PathBuf::from("/mnt/models/b")]);
        }
        other => panic!("{other:?}"),
    }
    assert!(refused(&["s3://b/a"]).to_string().contains("pairs of a URI and a destination"));
}

#[test]
fn what_is_missing_or_wrong_is_named_with_a_hint() {
    let missing = refused(&["pull"]);
    assert_eq!(missing.to_string(), "--registry (MODEL_REGISTRY) is not set");
    assert!(missing.hint().is_some());
    let no_version = refused(&["pull", "--registry", CATALOG, "--model-name", "a"]);
    assert_eq!(no_version.to_string(), "--model-version (MODEL_VERSION) is not set");
    let empty = refused(&["pull", "--registry", CATALOG, "--model-name", "", "--model-version", "1"]);
    assert_eq!(empty.to_string(), "--model-name (MODEL_NAME) is not set");
    let latest = refused(&["pull", "--registry", CATALOG, "--model-name", "a", "--model-version", "latest"]);
    assert!(latest.to_string().contains("may mean another model tomorrow"));
    let secret = refused(&["pull", "--registry", "mlflow+https://u:p@h", "--model-name", "a"]);
    assert!(secret.hint().is_some_and(|hint| hint.contains("MLFLOW_TRACKING_USERNAME")));
}

#[test]
fn publishing_needs_a_catalog_and_a_version() {
    let named = ["--model-name", "a", "--model-version"];
    let publish = |registry, version, more: &[&'static str]| {
        parse(&[&["publish", "/dir", "--registry", registry][..], &named, &[version], more].concat())
    };
    assert!(
        publish(CATALOG, "v1", &["--metric", "f1=0.93", "--alias", "@best", "--source", "run=7"]).is_ok()
    );
    assert!(publish(CATALOG, "@best", &[]).is_err());
    assert!(publish(CATALOG, "aliases", &[]).is_err());
    assert!(publish("mlflow+http://h", "v1", &[]).is_err());
    for metric in ["f1", "=1", "f1=high", "f1=NaN"] {
        assert!(publish(CATALOG, "v1", &["--metric", metric]).is_err(), "{metric}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}
