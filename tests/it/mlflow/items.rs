//! What MLflow's URIs name beside versions: logged models, what a run logged, stages; and what is said of those that
//! are not there.

use handoff::Sha256Digest;
use plimsoll_tests::mlflow_server::{Items, MlflowServer, Options};

use super::NAME;
use crate::fetcher::{Fetcher, Outcome, tree};

/// Compares what each URI leads to with what MLflow's own client downloads.
#[track_caller]
pub(super) fn assert_all_lead_there(server: &MlflowServer, items: &Items) {
    assert!(items.downloads.len() >= 6);
    for (uri, expected) in &items.downloads {
        let fetcher = Fetcher::new().with_all(server.environment()).with("FETCHER_ALLOW_FLOATING", "true");
        fetcher.run(&["pull", "--uri", uri]).expect(0);
        let pulled = tree(&fetcher.model());
        let pulled = pulled.iter().map(|(path, content)| (path.clone(), Sha256Digest::of(content)));
        assert_eq!(&pulled.collect::<std::collections::BTreeMap<_, _>>(), expected, "{uri}");
        assert!(!expected.is_empty(), "{uri}");
    }
}

#[test]
fn every_uri_leads_to_what_the_official_client_downloads() {
    let server = MlflowServer::start(&Options::default());
    let items = server.log_items(NAME);
    assert_all_lead_there(&server, &items);

    // What is recorded is what the reference meant.
    let fetcher = Fetcher::new().with_all(server.environment());
    let resolved = |uri: &str| {
        fetcher
            .run(&["pull", "--uri", uri, "--allow-floating", "--model-name", "x", "--model-version", "1"])
            .expect(0);
        fetcher.receipt().resolved
    };
    let newest = resolved(&format!("models:/{NAME}/latest"));
    assert_eq!((newest.version.as_str(), newest.registry), (items.version.as_str(), server.registry()));
    assert_eq!(resolved(&format!("models:/{}", items.model)).version, items.model);
    // Under the same labels, another reference is another model.
    let run = resolved(&format!("runs:/{}/notes", items.run));
    assert_eq!(run.version, format!("{}/notes", items.run));
    assert!(tree(&fetcher.model()).contains_key("a.txt"));
    assert_eq!(
        resolved(&format!("runs:/{}/best model", items.run)).version,
        format!("{}/best model", items.run)
    );
    assert!(tree(&fetcher.model()).contains_key("MLmodel"));

    let registry = server.registry();
    let refused = |uri: &str, code: i32| {
        let Outcome { last_words, stderr, .. } =
            Fetcher::new().with_all(server.environment()).run(&["pull", "--uri", uri]).expect(code);
        let hint =
            stderr.split("hint: ").nth(1).unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        (last_words.replace(&registry, "REGISTRY"), hint)
    };
    let Items { run, twins, both, deleted, pending, failed, .. } = &items;
    let nobody = "0123456789abcdef0123456789abcdef";
    for (uri, code, words, hint) in [
        (
            format!("models:/m-{nobody}"),
            66,
            format!("m-{nobody} m-{nobody}: logged model `m-{nobody}` does not exist in REGISTRY"),
            "name it by its id, as in models:/m-…, or a registered model as models:/name/version",
        ),
        (
            format!("models:/{pending}"),
            69,
            format!("{pending} {pending}: logged model `{pending}` is LOGGED_MODEL_PENDING in REGISTRY"),
            "its files are not all there yet: who logs it has to finish",
        ),
        (
            format!("models:/{failed}"),
            66,
            format!("{failed} {failed}: logged model `{failed}` is LOGGED_MODEL_UPLOAD_FAILED in REGISTRY"),
            "log the model again",
        ),
        (
            format!("runs:/{nobody}/model"),
            66,
            format!("model {nobody}: run `{nobody}` does not exist in REGISTRY"),
            "name it by its id, as in runs:/<run id>/<path>",
        ),
        (
            format!("runs:/{both}/both"),
            66,
            format!(
                "both {both}: run `{both}` has both a logged model `both` and files of its own at `both` in REGISTRY"
            ),
            "name the model by its id, as models:/m-…",
        ),
        (
            format!("runs:/{deleted}/model"),
            66,
            format!("model {deleted}: run `{deleted}` is deleted in REGISTRY"),
            "restore the run, or name another",
        ),
        (
            format!("models:/{NAME}/Staging"),
            66,
            format!("{NAME} Staging: version `Staging` of `{NAME}` does not exist in REGISTRY"),
            "looked for an alias and a version tag `version` of that value; a stage is looked for with FETCHER_ALLOW_FLOATING=true",
        ),
    ] {
        assert_eq!(refused(&uri, code), (words, hint.to_owned()), "{uri}");
    }
    let stage = ["pull", "--allow-floating", "--uri", &format!("models:/{NAME}/Staging")];
    let stage = Fetcher::new().with_all(server.environment()).run(&stage).expect(66).stderr;
    let hint = "hint: looked for an alias, a version tag `version` of that value and a stage\n";
    assert!(stage.ends_with(hint), "{stage}");
    let (words, hint) = refused(&format!("runs:/{twins}/twin"), 66);
    assert!(words.contains("logged several models as `twin` (m-"), "{words}");
    assert_eq!(hint, "name the one that is meant by its id, as models:/m-…");
    let (words, _) = refused(&format!("runs:/{run}/nothing/here"), 66);
    assert!(words.ends_with("holds no files") || words.ends_with("does not exist"), "{words}");
}
