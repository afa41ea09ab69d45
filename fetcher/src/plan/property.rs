//! Holds [`Plan::make`] against a model that says of each rule by itself whether it is broken, whatever the others say,
//! and of each file by itself what it must be.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::*;
use crate::manifest::{ManifestFile, PartDigest};
use crate::verify::content_digest::Algorithm;

/// Names of which some cannot be in one model.
const NAMES: [&str; 7] = ["a", "b", "c/d", "c/e", "f", "B", "c"];
const UNCOMMON: usize = 2;

fn path(text: &str) -> SafePath {
    text.parse().unwrap()
}

fn names() -> impl Strategy<Value = Vec<&'static str>> {
    let common = NAMES[..NAMES.len() - UNCOMMON].to_vec();
    prop_oneof![
        9 => subsequence(common, 0..=NAMES.len() - UNCOMMON),
        1 => subsequence(NAMES.to_vec(), 0..=NAMES.len()),
    ]
}

/// Seldom anything but a few, so that they agree often.
fn size() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![4 => Just(None), 8 => Just(Some(3)), 1 => Just(Some(4))]
}

fn digest(seed: u8) -> ModelDigest {
    format!("sha256:{}", format!("{seed:02x}").repeat(32)).parse().unwrap()
}

fn part() -> impl Strategy<Value = PartDigest> {
    let seed = prop_oneof![12 => Just(0_u8), 1 => Just(1)];
    let range = prop_oneof![4 => Just(None), 1 => Just(Some(0..2)), 1 => Just(Some(2..3))];
    (select(vec![Algorithm::Sha256, Algorithm::Crc32]), seed, range).prop_map(|(algorithm, seed, range)| {
        let digest = ContentDigest::new(algorithm, &vec![seed; algorithm.bytes()]).unwrap();
        PartDigest { range, digest }
    })
}

fn described(elsewhere: bool) -> impl Strategy<Value = Vec<ManifestFile>> {
    let uri =
        prop_oneof![3 => Just(None), 1 => Just(Some("s3://weights/x/y.bin".parse::<StoreUri>().unwrap()))];
    let said = (size(), prop::collection::vec(part(), 0..3), uri);
    (names(), prop::collection::vec(said, NAMES.len())).prop_map(move |(names, said)| {
        let file = |(name, (size, digests, uri)): (&str, (_, _, Option<_>))| ManifestFile {
            path: path(name),
            size,
            digests,
            uri: uri.filter(|_| elsewhere),
            unpack: None,
        };
        names.into_iter().zip(said).map(file).collect()
    })
}

fn registry() -> impl Strategy<Value = Manifest> {
    let digest = prop::option::of((0_u8..2).prop_map(digest));
    let described = prop_oneof![
        described(true).prop_map(|files| (files, Others::None)),
        described(false).prop_map(|files| (files, Others::Unknown)),
    ];
    (described, digest).prop_map(|((files, others), digest)| Manifest {
        rung: Integrity::Registry,
        digest,
        files,
        others,
    })
}

fn beside() -> impl Strategy<Value = Manifest> {
    (select(vec![Integrity::Store, Integrity::Manifest]), described(false))
        .prop_map(|(rung, files)| Manifest::of_some(rung, files))
}

/// A signature lists a file at least.
fn signature() -> impl Strategy<Value = Manifest> {
    (described(false), names()).prop_filter("a file", |(files, _)| !files.is_empty()).prop_map(
        |(files, ignored)| {
            let others = Others::Refused { ignored: ignored.into_iter().map(path).collect() };
            Manifest { others, ..Manifest::of_some(Integrity::Signed, files) }
        },
    )
}

fn listing() -> impl Strategy<Value = Listing> {
    let said = (size(), prop::option::of(Just(Identity("\"x\"".to_owned()))));
    let files = (names(), prop::collection::vec(said, NAMES.len())).prop_map(|(names, said)| {
        let file = |(name, (size, identity))| RemoteFile { path: path(name), size, identity, checksum: None };
        names.into_iter().zip(said).map(file).collect::<Vec<_>>()
    });
    (files, any::<Index>(), 0..8).prop_map(|(files, which, kind)| match kind {
        0 if !files.is_empty() => Listing::Single(which.get(&files).clone()),
        _ => Listing::Folder(files),
    })
}

/// Seldom anything but all.
fn filter() -> impl Strategy<Value = Filter> {
    let patterns = || {
        select(vec![vec![], vec![], vec![], vec!["c/".to_owned()], vec!["[ab]".to_owned(), "f".to_owned()]])
    };
    (patterns(), patterns())
        .prop_map(|(include, exclude)| Filter::new(Selection::new(include, exclude)).unwrap())
}

fn input() -> impl Strategy<Value = Input> {
    let beside = prop::collection::vec(beside(), 0..3);
    let vouched = (prop::option::weighted(0.4, registry()), beside, prop::option::weighted(0.3, signature()));
    let demanded =
        (prop::option::weighted(0.3, (0_u8..2).prop_map(digest)), select(Integrity::ALL.to_vec()), 3_u64..20);
    let wanted = (filter(), any::<bool>());
    (listing(), vouched, wanted, demanded).prop_map(|(listing, vouched, (filter, signed), demanded)| {
        let (registry, mut manifests, signature) = vouched;
        let (pinned, least, largest) = demanded;
        manifests.extend(signature);
        let uri = match &listing {
            Listing::Folder(_) => "s3://b/model",
            Listing::Single(_) => "s3://b/folder/name",
        };
        Input {
            unpack: crate::archive::Requested::Never,
            model: ModelId { name: "m".into(), version: "v".into() },
            registry: "uri".into(),
            location: Location { version: "v".into(), uri: uri.parse().unwrap(), manifest: registry },
            listing,
            manifests,
            signer: signed.then(|| "somebody".to_owned()),
            filter,
            pinned,
            least,
            largest,
        }
    })
}

/// What is wrong with an input, and the files if nothing is.
struct Naive<'a> {
    input: &'a Input,
    all: Vec<&'a Manifest>,
    names: Vec<&'a SafePath>,
}

impl<'a> Naive<'a> {
    fn new(input: &'a Input) -> Self {
        let registry = input.location.manifest.as_ref();
        let names = match registry {
            Some(manifest) if manifest.others == Others::None => {
                manifest.files.iter().map(|file| &file.path).collect()
            }
            _ => input.listing.files().iter().map(|file| &file.path).collect(),
        };
        Self { input, all: input.manifests.iter().chain(registry).collect(), names }
    }

    fn is_described(&self) -> bool {
        self.input.location.manifest.as_ref().is_some_and(|manifest| manifest.others == Others::None)
    }

    /// Everybody's word on a file.
    fn words(&self, path: &SafePath) -> Vec<(Integrity, &'a ManifestFile)> {
        let of = |manifest: &&'a Manifest| {
            let files = manifest.files.iter().filter(|file| file.path == *path);
            files.map(|file| (manifest.rung, file)).collect::<Vec<_>>()
        };
        self.all.iter().flat_map(of).collect()
    }

    fn sizes(&self, path: &SafePath) -> BTreeSet<u64> {
        let listed =
            self.input.listing.files().iter().filter(|file| !self.is_described() && file.path == *path);
        let listed = listed.filter_map(|file| file.size);
        listed.chain(self.words(path).iter().filter_map(|(_, file)| file.size)).collect()
    }

    fn expected(&self, path: &SafePath) -> Vec<(Integrity, &'a PartDigest)> {
        let words = self.words(path).into_iter();
        words.flat_map(|(rung, file)| file.digests.iter().map(move |digest| (rung, digest))).collect()
    }

    fn rung(&self, path: &SafePath) -> Integrity {
        self.expected(path).into_iter().map(|(rung, _)| rung).max().unwrap_or(Integrity::Recorded)
    }

    /// The registry's digest, where all that it is over is wanted.
    fn registered(&self) -> Option<ModelDigest> {
        let all = self.names.iter().all(|path| self.input.filter.selects(path));
        self.input.location.manifest.as_ref().and_then(|manifest| manifest.digest).filter(|_| all)
    }

    fn whole(&self) -> Option<WholeDigest> {
        let known = self.registered();
        match (self.input.pinned, known) {
            (Some(digest), _) => Some(WholeDigest { digest, rung: Integrity::Pinned }),
            (None, known) => known.map(|digest| WholeDigest { digest, rung: Integrity::Registry }),
        }
    }

    /// The files of the plan: not those that are not wanted, or that a signer left out and nobody else vouches for.
    fn kept(&self) -> Vec<&'a SafePath> {
        let left_out = |path: &SafePath| {
            self.whole().is_none()
                && self.rung(path) < Integrity::Registry
                && self.all.iter().any(|manifest| {
                    matches!(manifest.others, Others::Refused { .. })
                        && manifest.files.iter().all(|file| file.path != *path)
                })
        };
        let kept = self.names.iter().copied().filter(|path| !left_out(path));
        kept.filter(|path| self.input.filter.selects(path)).collect()
    }

    fn total(&self) -> u64 {
        self.kept().into_iter().flat_map(|path| self.sizes(path).into_iter().next()).sum()
    }

    fn collide(one: &SafePath, other: &SafePath) -> bool {
        let (one, other) = (one.as_str().to_lowercase(), other.as_str().to_lowercase());
        one == other || one.starts_with(&format!("{other}/")) || other.starts_with(&format!("{one}/"))
    }

    /// Whether what an error says is so.
    fn is_true(&self, error: &PlanError) -> bool {
        match error {
            PlanError::Empty { .. } => self.names.is_empty(),
            PlanError::NoneSelected { .. } => self.kept().is_empty(),
            PlanError::Missing { path, .. } => !self.names.contains(&path) && !self.words(path).is_empty(),
            PlanError::Collision { path, other } => {
                let other: SafePath = other.parse().unwrap();
                self.names.contains(&path) && self.names.contains(&&other) && Self::collide(path, &other)
            }
            PlanError::Reserved { .. } | PlanError::TooMany { .. } | PlanError::TooLongNames { .. } => false,
            PlanError::TooLarge { bytes, limit } => {
                (*bytes, *limit) == (self.total(), self.input.largest) && bytes > limit
            }
            PlanError::Pin { expected, got } => expected != got && self.input.pinned == Some(*expected),
            PlanError::Size { path, expected, got } => {
                expected != got && [expected, got].iter().all(|size| self.sizes(path).contains(size))
            }
            PlanError::Contradiction { path, .. } => self.contradicts(path),
            PlanError::Extra { path } => self.is_extra(path),
            PlanError::TooWeak { path, rung, least } => {
                (*rung, *least) == (self.rung(path), self.input.least) && rung < least
            }
        }
    }

    fn contradicts(&self, path: &SafePath) -> bool {
        let expected = self.expected(path);
        expected.iter().any(|(_, one)| {
            let same = |other: &PartDigest| {
                one.range == other.range && one.digest.algorithm() == other.digest.algorithm()
            };
            expected.iter().any(|(_, other)| same(other) && one.digest != other.digest)
        })
    }

    fn is_extra(&self, path: &SafePath) -> bool {
        self.all.iter().any(|manifest| match &manifest.others {
            Others::Refused { ignored } => {
                !ignored.contains(path) && manifest.files.iter().all(|file| file.path != *path)
            }
            _ => false,
        })
    }

    /// Whether any rule is broken.
    fn is_refused(&self) -> bool {
        let registry = self.registered();
        let pin = self.input.pinned.is_some_and(|pinned| registry.is_some_and(|known| known != pinned));
        let clash = |(index, path): (usize, &&SafePath)| {
            self.names.iter().skip(index + 1).any(|other| Self::collide(path, other))
        };
        let missing = |file: &ManifestFile| !self.names.contains(&&file.path);
        let weak = self.whole().is_none_or(|whole| whole.rung < self.input.least)
            && self.kept().iter().any(|path| self.rung(path) < self.input.least);
        pin || weak
            || self.kept().is_empty()
            || self.names.iter().enumerate().any(clash)
            || self.all.iter().flat_map(|manifest| &manifest.files).any(missing)
            || self
                .names
                .iter()
                .any(|path| self.sizes(path).len() > 1 || self.contradicts(path) || self.is_extra(path))
            || self.total() > self.input.largest
    }

    fn source(&self, path: &SafePath) -> (String, String, bool) {
        let here = self.input.location.uri.to_string();
        if let Some(manifest) = self.input.location.manifest.as_ref().filter(|_| self.is_described()) {
            let elsewhere = manifest.files.iter().any(|file| file.path == *path && file.uri.is_some());
            return match elsewhere {
                true => ("s3://weights/x".into(), "y.bin".into(), false),
                false => (here, path.to_string(), false),
            };
        }
        let identified =
            self.input.listing.files().iter().any(|file| file.path == *path && file.identity.is_some());
        let folder = match self.input.listing {
            Listing::Folder(_) => here,
            Listing::Single(_) => "s3://b/folder".into(),
        };
        (folder, path.to_string(), identified)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_plan_is_what_every_rule_by_itself_says(input in input()) {
        let naive = Naive::new(&input);
        let plan = match Plan::make(input.clone()) {
            Ok(plan) => plan,
            Err(error) => {
                prop_assert!(naive.is_true(&error), "{error}");
                return Ok(());
            }
        };
        prop_assert!(!naive.is_refused());
        prop_assert_eq!(plan.digest, naive.whole());
        let mut kept = naive.kept();
        kept.sort();
        prop_assert_eq!(plan.files.iter().map(|file| &file.path).collect::<Vec<_>>(), kept);
        for file in &plan.files {
            prop_assert_eq!(file.size, naive.sizes(&file.path).into_iter().next());
            prop_assert_eq!(file.rung(), naive.rung(&file.path));
            let counted = |all: Vec<String>| {
                all.into_iter().fold(BTreeMap::new(), |mut counts: BTreeMap<_, u32>, one| {
                    *counts.entry(one).or_default() += 1;
                    counts
                })
            };
            let got = file.expected.iter().map(|one| format!("{} {:?} {}", one.rung, one.range, one.digest));
            let expected = naive.expected(&file.path).into_iter();
            let expected = expected.map(|(rung, one)| format!("{rung} {:?} {}", one.range, one.digest));
            prop_assert_eq!(counted(got.collect()), counted(expected.collect()));
            let source = &file.source;
            let got = (source.store.to_string(), source.path.to_string(), source.identity.is_some());
            prop_assert_eq!(got, naive.source(&file.path));
        }
    }
}
