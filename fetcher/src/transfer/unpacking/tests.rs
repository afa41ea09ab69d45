use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use handoff::{ModelId, Resolved, SafePath};

use super::*;
use crate::archive::samples::tar_of;
use crate::confined;
use crate::plan::Source;
use crate::store::file::FileStore;

/// Unpacks layers, each of names and contents, and gives what is left of them.
fn layered(layers: &[&[(&str, &str)]]) -> BTreeMap<String, String> {
    let (source, area) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let uri: crate::uri::StoreUri = format!("file://{}", source.path().display()).parse().unwrap();
    let file = |(number, members): (usize, &&[(&str, &str)])| {
        let path: SafePath = format!("layer-{number}.tar").parse().unwrap();
        let archive = tar_of(members.iter().map(|(name, content)| (*name, content.as_bytes())));
        fs::write(path.below(source.path()), &archive).unwrap();
        let source = Source { store: uri.clone(), path: path.clone(), identity: None };
        let unpack = Some(Unpack { format: Format::Tar, below: Some("models".parse().unwrap()) });
        PlannedFile {
            path,
            size: Some(u64::try_from(archive.len()).unwrap()),
            expected: vec![],
            source,
            unpack,
        }
    };
    let model = ModelId { name: "a".into(), version: "v1".into() };
    let resolved = Resolved { registry: "uri".into(), version: "v1".into(), uri: uri.to_string() };
    let files = layers.iter().enumerate().map(file).collect();
    let plan = Plan {
        model: model.clone(),
        resolved,
        selection: handoff::Selection::default(),
        digest: None,
        signer: None,
        files,
    };
    let staging =
        Staging::open(&confined::Directory::open(area.path()).unwrap(), &plan, "boot", None).unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::new(source.path()));
    let unpacking = Unpacking {
        filter: Filter::default(),
        stores: Stores::from([(uri.clone(), store)]),
        budget: Budget::new(3, Duration::from_secs(60)),
        largest: 1 << 30,
        tracker: Arc::new(Tracker::new(model, 1)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let archives = runtime.block_on(unpacking.run(&plan, &staging)).unwrap();
    let files: Vec<_> = archives.iter().flat_map(|archive| &archive.files).collect();
    assert_eq!(count(&area.path().join("members")), files.len(), "what is hidden takes up no space");
    let content = |place: &crate::confined::Place| fs::read_to_string(place.path()).unwrap();
    files.iter().map(|file| (file.entry().path.to_string(), content(file.staged()))).collect()
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn expect(layers: &[&[(&str, &str)]], files: &[(&str, &str)]) {
    let files = files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned()));
    assert_eq!(layered(layers), files.collect());
}

#[test]
fn only_the_folder_of_the_model_counts() {
    let layer = [("models/a", "1"), ("./models/b/c", "2"), ("etc/passwd", "x"), ("modelsuffix/d", "x")];
    expect(&[&layer], &[("a", "1"), ("b/c", "2")]);
}

#[test]
fn a_later_layer_lies_over_an_earlier_one() {
    let first = [("models/a", "1"), ("models/b", "1"), ("models/c/d", "1")];
    expect(&[&first, &[("models/b", "2")]], &[("a", "1"), ("b", "2"), ("c/d", "1")]);
    expect(&[&first, &[("models/c", "2")]], &[("a", "1"), ("b", "1"), ("c", "2")]);
    expect(&[&first, &[("models/a/e", "2")]], &[("a/e", "2"), ("b", "1"), ("c/d", "1")]);
}

#[test]
fn whiteouts_hide_what_is_below_them_and_nothing_of_their_own_layer() {
    let first = [("models/a", "1"), ("models/b/c", "1"), ("models/b/d/e", "1"), ("models/bb", "1")];
    expect(&[&first, &[("models/.wh.a", "")]], &[("b/c", "1"), ("b/d/e", "1"), ("bb", "1")]);
    expect(&[&first, &[("models/.wh.b", "")]], &[("a", "1"), ("bb", "1")]);
    let opaque = [("models/b/f", "2"), ("models/b/.wh..wh..opq", "")];
    expect(&[&first, &opaque], &[("a", "1"), ("b/f", "2"), ("bb", "1")]);
    for all in [".wh.models", "models/.wh..wh..opq", ".wh..wh..opq"] {
        expect(&[&first, &[(all, ""), ("models/new", "2")]], &[("new", "2")]);
    }
    expect(&[&first, &[(".wh.other", ""), ("etc/.wh..wh..opq", "")]], &first.map(|(n, c)| (&n[7..], c)));
}
