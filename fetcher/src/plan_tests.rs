use proptest::prelude::*;

use handoff::Sha256Digest;

use super::*;
use crate::manifest::{SHA256SUMS, parse_sha256sums};
use crate::store::{Class, RemoteFile};

fn path(text: &str) -> SafePath {
    text.parse().unwrap()
}

fn remote(name: &str, size: u64) -> RemoteFile {
    let identity = Some(Identity(format!("\"{name}\"")));
    RemoteFile { path: path(name), size: Some(size), identity, checksum: None }
}

fn input(listing: Vec<RemoteFile>) -> Input {
    Input {
        unpack: crate::archive::Requested::Never,
        model: ModelId { name: "a".into(), version: "v1".into() },
        registry: "uri".into(),
        location: Location { version: "v1".into(), uri: "s3://b/a".parse().unwrap(), manifest: None },
        listing: Listing::Folder(listing),
        manifests: vec![],
        signer: None,
        filter: Filter::default(),
        pinned: None,
        least: Integrity::Recorded,
        largest: 1 << 40,
    }
}

fn digest_of(name: &str) -> Sha256Digest {
    Sha256Digest::of(name.as_bytes())
}

fn manifest(names: &[&str]) -> Manifest {
    let files: Vec<_> = names
        .iter()
        .map(|name| ManifestFile { size: Some(1), ..ManifestFile::new(path(name), digest_of(name)) })
        .collect();
    let digest = Some(ModelDigest::of(files.iter().map(|file| (&file.path, digest_of(file.path.as_str())))));
    Manifest { rung: Integrity::Registry, digest, files, others: Others::None }
}

#[test]
fn files_come_sorted_with_what_the_listing_knows() {
    let plan = Plan::make(input(vec![remote("b", 2), remote("a/x", 1)])).unwrap();
    let paths: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a/x", "b"]);
    assert_eq!(plan.total_bytes(), Some(3));
    assert!(plan.files.iter().all(|file| file.source.identity.is_some() && file.expected.is_empty()));
}

#[test]
fn an_unknown_size_makes_the_total_unknown() {
    let mut unknown = remote("b", 0);
    unknown.size = None;
    assert_eq!(Plan::make(input(vec![remote("a", 1), unknown])).unwrap().total_bytes(), None);
}

#[test]
fn a_model_that_is_larger_than_it_may_be_is_refused() {
    let mut from = input(vec![remote("a", 600), remote("b", 600)]);
    from.largest = 1199;
    let error = Plan::make(from).unwrap_err();
    assert_eq!(error.to_string(), "the model has 1200 bytes, expected at most 1199");
    let mut from = input(vec![remote("a", u64::MAX), remote("b", 2)]);
    from.largest = u64::MAX - 1;
    assert!(matches!(Plan::make(from), Err(PlanError::TooLarge { .. })), "and no sum overflows");
}

fn filter(include: &[&str], exclude: &[&str]) -> Filter {
    let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Filter::new(Selection::new(owned(include), owned(exclude))).unwrap()
}

#[test]
fn only_what_is_wanted_is_planned_and_its_digest_is_no_more_that_of_the_whole() {
    let mut from = input(vec![]);
    from.location.manifest = Some(manifest(&["a.bin", "b.json"]));
    assert!(Plan::make(from.clone()).unwrap().digest.is_some());
    from.filter = filter(&["*.json"], &[]);
    let plan = Plan::make(from.clone()).unwrap();
    let paths: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!((paths, plan.digest, plan.selection.is_everything()), (vec!["b.json"], None, false));
    assert_eq!(plan.files[0].rung(), Integrity::Registry);
    from.filter = filter(&["*.json"], &["b*"]);
    let error = Plan::make(from.clone()).unwrap_err();
    let expected = "s3://b/a holds 2 files, and none that is wanted, expected `*.json` without `b*`";
    assert_eq!((error.to_string(), error.class()), (expected.to_owned(), Class::NotFound));
    // Pinned is what is fetched.
    from.filter = filter(&["*.json"], &[]);
    let pinned = ModelDigest::of([(&path("b.json"), digest_of("b.json"))]);
    from.pinned = Some(pinned);
    assert_eq!(
        Plan::make(from).unwrap().digest,
        Some(WholeDigest { digest: pinned, rung: Integrity::Pinned })
    );
}

#[test]
fn a_signature_that_counts_is_always_wanted() {
    let mut from = input(vec![remote("a.bin", 1), remote("b.json", 1), remote(SIGNATURE_NAME, 1)]);
    from.filter = filter(&["*.bin"], &[]);
    let paths = |plan: Plan| plan.files.into_iter().map(|file| file.path.to_string()).collect::<Vec<_>>();
    assert_eq!(paths(Plan::make(from.clone()).unwrap()), ["a.bin"]);
    from.signer = Some("somebody".into());
    assert_eq!(paths(Plan::make(from).unwrap()), ["a.bin", SIGNATURE_NAME]);
}

#[test]
fn what_could_do_harm_is_refused() {
    let refused = |names: &[&str]| {
        Plan::make(input(names.iter().map(|name| remote(name, 1)).collect())).unwrap_err().to_string()
    };
    assert_eq!(refused(&[]), "s3://b/a holds no files");
    assert_eq!(refused(&["a", "a"]), "a collides with a, which is of the model too");
    assert_eq!(refused(&["a/b", "a-", "a"]), "a/b collides with a, which is of the model too");
    for (one, other) in [
        ("Model.bin", "model.bin"),
        ("w/a", "W/b"),
        ("caf\u{e9}", "cafe\u{301}"),
        ("CAF\u{c9}/x", "cafe\u{301}"),
        ("stra\u{df}e", "STRASSE"),
        ("stra\u{df}e", "STRA\u{1e9e}E"),
        ("\u{212a}", "k"),
    ] {
        assert!(refused(&[one, other]).contains(" collides with "), "{one} {other}");
    }
    assert!(refused(&[".plimsoll/receipt.json"]).contains("is not the model's"));
    assert!(refused(&[".Plimsoll/receipt.json"]).contains("is not the model's"));
}

#[test]
fn a_registry_manifest_decides_and_the_listing_does_not_matter() {
    let mut from = input(vec![remote("stray", 9)]);
    from.location.manifest = Some(manifest(&["m.bin"]));
    let plan = Plan::make(from).unwrap();
    assert_eq!(plan.files.len(), 1);
    assert_eq!(plan.files[0].rung(), Integrity::Registry);
    assert_eq!(plan.digest.map(|whole| whole.digest), manifest(&["m.bin"]).digest);
}

#[test]
fn a_file_elsewhere_is_read_from_there() {
    let mut from = input(vec![]);
    let mut described = manifest(&["m.bin"]);
    described.files[0].uri = Some("s3://weights/shared/big.bin".parse().unwrap());
    from.location.manifest = Some(described);
    let source = Plan::make(from).unwrap().files.remove(0).source;
    assert_eq!((source.store.to_string(), source.path.as_str()), ("s3://weights/shared".into(), "big.bin"));
}

#[test]
fn a_single_file_is_read_through_its_folder() {
    let mut from = input(vec![]);
    from.location.uri = "s3://b/a/m.bin".parse().unwrap();
    from.listing = Listing::Single(remote("m.bin", 1));
    let source = Plan::make(from).unwrap().files.remove(0).source;
    assert_eq!((source.store.to_string(), source.path.as_str()), ("s3://b/a".into(), "m.bin"));
}

#[test]
fn a_pin_for_another_model_is_refused_before_any_byte() {
    let mut from = input(vec![]);
    from.location.manifest = Some(manifest(&["m.bin"]));
    from.pinned = manifest(&["other.bin"]).digest;
    assert!(matches!(Plan::make(from), Err(PlanError::Pin { .. })));
}

#[test]
fn the_least_rung_is_demanded_unless_the_model_is_pinned() {
    let sums = format!("{}  m.bin\n", Sha256Digest::of(b"m"));
    let with = |least, pinned, listing: &[&str]| {
        let mut from = input(listing.iter().map(|name| remote(name, 1)).collect());
        let mut files = parse_sha256sums(sums.as_bytes(), &path(SHA256SUMS)).unwrap();
        files.push(ManifestFile::new(path(SHA256SUMS), digest_of("sums")));
        from.manifests = vec![Manifest::of_some(Integrity::Manifest, files)];
        (from.least, from.pinned) = (least, pinned);
        Plan::make(from)
    };
    assert!(with(Integrity::Manifest, None, &["m.bin", SHA256SUMS]).is_ok());
    let error = with(Integrity::Registry, None, &["m.bin", SHA256SUMS]).unwrap_err().to_string();
    assert_eq!(error, "SHA256SUMS can only be manifest, expected at least registry");
    assert!(with(Integrity::Manifest, None, &["m.bin", SHA256SUMS, "unlisted"]).is_err());
    assert!(with(Integrity::Signed, manifest(&["x"]).digest, &["m.bin", SHA256SUMS]).is_ok());
    assert!(matches!(with(Integrity::Recorded, None, &["x", SHA256SUMS]), Err(PlanError::Missing { .. })));
}

proptest! {
    /// Against a naive model: a set of paths makes a plan exactly when no path is another or its folder.
    #[test]
    fn a_plan_has_each_path_once_and_no_file_as_a_folder(
        names in prop::collection::vec("[ab]{1,2}(/[ab]{1,2}){0,2}", 1..8),
    ) {
        let clash = names.iter().enumerate().any(|(i, a)| {
            names.iter().enumerate().any(|(j, b)| i != j && (a == b || b.starts_with(&format!("{a}/"))))
        });
        let plan = Plan::make(input(names.iter().map(|name| remote(name, 1)).collect()));
        prop_assert_eq!(plan.is_err(), clash);
        if let Ok(plan) = plan {
            prop_assert!(plan.files.is_sorted_by(|a, b| a.path < b.path));
            prop_assert_eq!(plan.files.len(), names.len());
        }
    }
}

#[test]
fn names_that_no_receipt_could_hold_are_refused_beforehand() {
    let names = |count: usize, length: usize| -> Vec<SafePath> {
        (0..count).map(|number| path(&format!("{number:06}/{}", "n".repeat(length)))).collect()
    };
    assert!(paths::check(names(100_000, 10).iter()).is_ok(), "as many as there may be, of usual names");
    let refused = paths::check(names(60_000, 200).iter()).unwrap_err();
    assert!(refused.to_string().starts_with("the names of the model's files take "), "{refused}");
}

#[test]
fn an_archive_that_is_unpacked_is_pinned_by_what_is_in_it() {
    let digest = |text: &str| ModelDigest::of([(&text.parse().unwrap(), Sha256Digest::of(text.as_bytes()))]);
    let manifest = Manifest {
        digest: Some(digest("a.tar")),
        ..Manifest::of_some(
            Integrity::Registry,
            vec![ManifestFile::new("a.tar".parse().unwrap(), Sha256Digest::of(b"x"))],
        )
    };
    let input = |unpack| {
        let mut input = input(vec![remote("a.tar", 1)]);
        input.location.manifest = Some(manifest.clone());
        Input { unpack, pinned: Some(digest("in it")), ..input }
    };
    assert!(matches!(Plan::make(input(Requested::Never)), Err(PlanError::Pin { .. })));
    let plan = Plan::make(input(Requested::Single)).unwrap();
    assert_eq!(plan.digest.map(|whole| whole.rung), Some(Integrity::Pinned));
    assert_eq!((plan.plain().count(), plan.archives().count()), (0, 1));
}
