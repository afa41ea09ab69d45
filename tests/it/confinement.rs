//! Whatever somebody else planted in the volume, nothing outside of it is written, removed or read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use plimsoll_tests::process;
use tempfile::TempDir;

use crate::fetcher::{Fetcher, Outcome, tree};

/// A model in a catalog, a volume for it, and a folder beside that nobody may touch.
struct Scene {
    _store: TempDir,
    outside: TempDir,
    registry: String,
    fetcher: Fetcher,
}

impl Scene {
    fn new() -> Self {
        let (store, model) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(model.path().join("weights")).unwrap();
        fs::write(model.path().join("weights/a.bin"), "weights").unwrap();
        fs::write(model.path().join("config.json"), "{}").unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let (fetcher, registry) = (Fetcher::new(), format!("catalog+file://{}", store.path().display()));
        fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
        fs::create_dir_all(fetcher.model()).unwrap();
        Self { _store: store, outside, registry, fetcher }
    }

    fn pull(&self) -> Outcome {
        self.fetcher.pull(&self.registry, "a", "v1")
    }

    fn secret(&self) -> PathBuf {
        self.outside.path().join("secret")
    }

    /// A path in the volume, with the folders above it.
    fn inside(&self, path: &str) -> PathBuf {
        let path = self.fetcher.model().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let found = tree(self.outside.path());
        assert_eq!(found, BTreeMap::from([("secret".to_owned(), b"secret".to_vec())]));
    }
}

#[track_caller]
fn assert_says(outcome: &Outcome, words: &str) {
    assert_eq!(outcome.code, 74, "{}", outcome.stderr);
    assert!(outcome.last_words.contains(words), "{}", outcome.last_words);
}

#[test]
fn a_destination_that_is_a_link_is_refused() {
    let scene = Scene::new();
    fs::remove_dir(scene.fetcher.model()).unwrap();
    symlink(scene.outside.path(), scene.fetcher.model()).unwrap();
    assert_says(&scene.pull(), "expected a folder, got a link");
    scene.assert_untouched();
}

#[test]
fn a_link_where_a_folder_must_be_is_refused() {
    for folder in ["weights", ".plimsoll", ".plimsoll/staging", ".plimsoll/staging/parts"] {
        let scene = Scene::new();
        symlink(scene.outside.path(), scene.inside(folder)).unwrap();
        let outcome = scene.pull();
        match folder {
            // What an earlier run left is thrown away, and a link is thrown away as a link.
            ".plimsoll/staging/parts" => drop(outcome.expect(0)),
            "weights" => {
                assert_says(&outcome, "weights/a.bin cannot be put into place: weights is a link");
                assert!(!scene.fetcher.has_receipt());
            }
            _ => assert_says(&outcome, "expected a folder, got a link"),
        }
        scene.assert_untouched();
    }
}

#[test]
fn a_file_where_a_folder_must_be_and_a_folder_where_a_file_must_be_are_refused() {
    let scene = Scene::new();
    fs::write(scene.inside("weights"), "in the way").unwrap();
    assert_says(&scene.pull(), "weights/a.bin cannot be put into place: weights is a file");
    let scene = Scene::new();
    fs::create_dir_all(scene.inside("weights/a.bin/deeper")).unwrap();
    assert_says(&scene.pull(), "cannot move a file to");
    assert!(!scene.fetcher.has_receipt());
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
    let scene = Scene::new();
    symlink(scene.secret(), scene.inside("weights/a.bin")).unwrap();
    symlink(scene.secret(), scene.inside(".plimsoll/receipt.json.new")).unwrap();
    symlink(scene.secret(), scene.inside(".plimsoll/progress.json.new")).unwrap();
    scene.pull().expect(0);
    let placed = scene.fetcher.model().join("weights/a.bin");
    assert!(fs::symlink_metadata(&placed).unwrap().is_file());
    assert_eq!(fs::read(&placed).unwrap(), b"weights");
    scene.assert_untouched();
}

/// Has a run break off in the middle, plants something in what it left, and goes on.
fn planted_in_staging(name: &str, plant: impl Fn(&Scene, &Path)) -> (Scene, Outcome) {
    let scene = Scene::new();
    // A version whose second file is missing fails after the area was set up.
    let folder = scene.registry.trim_start_matches("catalog+file://");
    let missing = Path::new(folder).join("a/v1/weights/a.bin");
    let aside = Path::new(folder).join("aside");
    fs::rename(&missing, &aside).unwrap();
    scene.pull().expect(66);
    fs::rename(&aside, &missing).unwrap();
    let planted = scene.inside(".plimsoll/staging").join(name);
    let _ = fs::remove_file(&planted);
    plant(&scene, &planted);
    let outcome = scene.pull();
    scene.assert_untouched();
    (scene, outcome)
}

#[test]
fn what_is_planted_in_the_staging_area_is_not_written_through() {
    let names = ["parts/000000.part", "parts/000001.part", "journal.jsonl", "journal.next", "plan.sha256"];
    for name in names {
        let (_, outcome) = planted_in_staging(name, |scene, planted| {
            symlink(scene.secret(), planted).unwrap();
        });
        // A new journal is moved over what is in its place.
        match outcome.code {
            0 => assert_eq!(name, "journal.jsonl"),
            _ => assert_says(&outcome, "expected a regular file, got a link"),
        }
        let (_, outcome) = planted_in_staging(name, |_, planted| {
            process::run(std::process::Command::new("mkfifo").arg(planted));
        });
        assert!([0, 74].contains(&outcome.code), "{name}: {}", outcome.stderr);
    }
    let (scene, outcome) = planted_in_staging("parts/000001.part", |scene, planted| {
        let victim = scene.inside("victim");
        fs::write(&victim, "weights of another").unwrap();
        fs::hard_link(victim, planted).unwrap();
    });
    assert_says(&outcome, "got one with a second name (a hard link)");
    assert_eq!(fs::read(scene.fetcher.model().join("victim")).unwrap(), b"weights of another");
}

#[test]
fn a_planted_receipt_is_not_followed_and_not_waited_for() {
    let scene = Scene::new();
    symlink(scene.secret(), scene.inside(".plimsoll/receipt.json")).unwrap();
    let outcome = scene.pull().expect(0);
    assert!(outcome.stderr.contains("expected a regular file"), "{}", outcome.stderr);
    let scene = Scene::new();
    process::run(std::process::Command::new("mkfifo").arg(scene.inside(".plimsoll/receipt.json")));
    scene.pull().expect(0);
    assert!(scene.fetcher.receipt().is_consistent());
    scene.assert_untouched();
}

#[test]
fn files_of_a_replaced_model_are_not_removed_through_a_link() {
    let scene = Scene::new();
    scene.pull().expect(0);
    let model = tempfile::tempdir().unwrap();
    fs::write(model.path().join("config.json"), "{}").unwrap();
    scene.fetcher.publish(model.path(), &scene.registry, "v2", &[]).expect(0);
    fs::remove_dir_all(scene.fetcher.model().join("weights")).unwrap();
    fs::write(scene.outside.path().join("a.bin"), "somebody's").unwrap();
    symlink(scene.outside.path(), scene.fetcher.model().join("weights")).unwrap();
    scene.fetcher.pull(&scene.registry, "a", "v2").expect(0);
    assert_eq!(fs::read(scene.outside.path().join("a.bin")).unwrap(), b"somebody's");
}
