//! Holds a transfer as a whole to what it may ask for after an earlier run: what that left, together with what is asked
//! for, is every byte once, unless what it left is wrong.

use std::fs;
use std::sync::Mutex;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::{Integrity, ModelId, Resolved, Sha256Digest};
use proptest::prelude::*;

use super::*;
use crate::confined::Directory;
use crate::plan::{Expected, Source};
use crate::report::Tracker;
use crate::store::{Body, Identity, Listing};

/// A store in memory that breaks off now and then, and remembers what it gave.
#[derive(Clone)]
struct InMemory {
    files: Arc<BTreeMap<String, Bytes>>,
    given: Arc<Mutex<BTreeMap<String, Vec<Range<u64>>>>>,
    rng: Arc<Mutex<Rng>>,
    breaks: bool,
}

impl Store for InMemory {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        std::future::ready(Ok(Listing::Folder(Vec::new()))).boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        let content = self.files[path.as_str()].clone();
        let size = u64::try_from(content.len()).unwrap();
        let end = range.end.unwrap_or(size).min(size);
        let (mut at, mut pieces) = (range.start, Vec::new());
        let mut rng = self.rng.lock().unwrap();
        while at < end {
            let next = (at + rng.u64(1..30_000)).min(end);
            let piece = content.slice(usize::try_from(at).unwrap()..usize::try_from(next).unwrap());
            if self.breaks && rng.u8(..) < 8 {
                let (what, reason) = (path.to_string(), "it broke".to_owned());
                pieces.push(Err(StoreError::Unavailable { what, reason, retry_after: None, source: None }));
                break;
            }
            let given = (path.to_string(), at..next);
            pieces.push(Ok((piece, given)));
            at = next;
        }
        // Given is what was really taken.
        let all = Arc::clone(&self.given);
        let chunks = futures_util::StreamExt::map(futures_util::stream::iter(pieces), move |piece| {
            let (piece, (path, range)) = piece?;
            all.lock().unwrap().entry(path).or_default().push(range);
            Ok(piece)
        });
        let body = Body {
            starts_at: range.start,
            identity: identity.cloned(),
            size: Some(size),
            ends_at: Some(end),
            chunks: Box::pin(chunks),
        };
        std::future::ready(Ok(body)).boxed()
    }
}

/// What an earlier run left of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    Nothing,
    Right,
    /// It is not what the journal says.
    Wrong,
}

/// How a file is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Digest,
    Identity,
    Nothing,
}

fn left() -> impl Strategy<Value = Left> {
    prop_oneof![Just(Left::Nothing), Just(Left::Right), Just(Left::Wrong)]
}

fn known() -> impl Strategy<Value = Known> {
    prop_oneof![Just(Known::Digest), Just(Known::Identity), Just(Known::Nothing)]
}

/// The plan of a model, and its content.
fn model(files: &[(usize, Known, Left)], rng: &mut Rng) -> (Plan, BTreeMap<String, Bytes>) {
    let store: StoreUri = "s3://bucket/model".parse().unwrap();
    let mut contents = BTreeMap::new();
    let planned = files.iter().enumerate().map(|(number, (size, known, _))| {
        let name = format!("file-{number}");
        let content = Bytes::from_iter(std::iter::repeat_with(|| rng.u8(..)).take(*size));
        let expected = match known {
            Known::Digest => vec![Expected::whole(Sha256Digest::of(&content), Integrity::Registry)],
            _ => Vec::new(),
        };
        let identity = (*known == Known::Identity).then(|| Identity("\"one\"".to_owned()));
        let path: SafePath = name.parse().unwrap();
        contents.insert(name, content);
        let source = Source { store: store.clone(), path: path.clone(), identity };
        PlannedFile { path, size: u64::try_from(*size).ok(), expected, source, unpack: None }
    });
    let files = planned.collect();
    let resolved = Resolved { registry: "uri".into(), version: "v".into(), uri: store.to_string() };
    let model = ModelId { name: "m".into(), version: "v".into() };
    (
        Plan { model, resolved, selection: handoff::Selection::default(), digest: None, signer: None, files },
        contents,
    )
}

/// Leaves random ranges of a file, as an earlier run would have.
fn leave(staging: &Staging, number: usize, content: &[u8], left: Left, rng: &mut Rng) -> Extents {
    let mut landed = Extents::default();
    if left == Left::Nothing || content.is_empty() {
        return landed;
    }
    // What was not written is not the content.
    let mut text: Vec<u8> = content.iter().map(|byte| !byte).collect();
    for _ in 0..rng.usize(1..4) {
        let start = rng.usize(..content.len());
        let end = rng.usize(start + 1..=content.len());
        text[start..end].copy_from_slice(&content[start..end]);
        landed.insert(u64::try_from(start).unwrap()..u64::try_from(end).unwrap());
    }
    if left == Left::Wrong {
        let gap = landed.gap(0, u64::MAX).unwrap();
        let at = if gap.start == 0 { gap.end } else { 0 };
        let at = usize::try_from(at).unwrap();
        text[at] = !text[at];
    }
    fs::write(staging.file(number).path(), text).unwrap();
    landed
}

fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_left_and_what_is_asked_for_are_every_byte_once(
        files in proptest::collection::vec((0_usize..300_000, known(), left()), 1..5),
        connections in 1_usize..5,
        breaks in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), Rng::with_seed(seed));
        let area = Directory::open(folder.path()).unwrap();
        let (plan, contents) = model(&files, &mut rng);
        let before = Staging::open(&area, &plan, "boot", None).unwrap();
        let mut landed = Vec::new();
        for (number, (file, content)) in files.iter().zip(contents.values()).enumerate() {
            landed.push(leave(&before, number, content, file.2, &mut rng));
        }
        before.journal().unwrap().write(landed.iter().cloned().enumerate().collect()).unwrap();
        drop(before);

        let store = InMemory {
            files: Arc::new(contents.clone()),
            given: Arc::default(),
            rng: Arc::new(Mutex::new(Rng::with_seed(seed))),
            breaks,
        };
        let threads = connections.min(2);
        let opened = || {
            let store: Arc<dyn Store> = Arc::new(store.clone());
            Stores::from([("s3://bucket/model".parse().unwrap(), store)])
        };
        let tracker = Arc::new(Tracker::new(plan.model.clone(), 1));
        let transfer = Transfer {
            stores: (0..threads).map(|_| opened()).collect(),
            connections,
            memory: Memory { block_bytes: 16 << 10, held_bytes: 64 << 10, keeps_page_cache: true },
            budget: Budget::new(10_000, Duration::from_secs(60)),
            stall: Duration::from_secs(30),
            slowest: 0,
            largest: 1 << 30,
            tracker: Arc::clone(&tracker),
        };
        let staging = Staging::open(&area, &plan, "boot", None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let verified = runtime.block_on(transfer.run(&plan, &staging)).unwrap();

        prop_assert_eq!(verified.len(), files.len());
        let given = store.given.lock().unwrap();
        let mut resumed = 0;
        for (number, ((size, known, left), landed)) in files.iter().zip(&landed).enumerate() {
            let (name, size) = (format!("file-{number}"), u64::try_from(*size).unwrap());
            let given = given.get(&name).cloned().unwrap_or_default();
            let kept = if *known == Known::Nothing { 0 } else { landed.bytes() };
            // A wrong byte is noticed where a digest is known.
            let is_anew = *left == Left::Wrong && kept > 0 && *known == Known::Digest;
            let mut asked = Extents::default();
            given.iter().for_each(|range| asked.insert(range.clone()));
            if is_anew {
                prop_assert_eq!(asked.bytes(), size, "{} is fetched as a whole", &name);
            } else {
                resumed += kept;
                if kept > 0 {
                    for range in &given {
                        let missing = landed.gap(range.start, range.end);
                        prop_assert_eq!(missing, Some(range.clone()), "{} was here", &name);
                    }
                }
                prop_assert_eq!(asked.bytes() + kept, size, "of {}", &name);
            }
            // Asked again is only what broke off, or what had to begin anew.
            if !breaks && !is_anew {
                prop_assert_eq!(total(&given) + kept, size, "of {}", &name);
            }
            let on_disk = fs::read(staging.file(number).path()).unwrap_or_default();
            if *left != Left::Wrong || is_anew || kept == 0 {
                prop_assert_eq!(&on_disk, &contents[&name][..]);
            }
            let entry = verified.iter().map(VerifiedFile::entry).find(|entry| entry.path.as_str() == name).unwrap();
            prop_assert_eq!((entry.size, entry.sha256), (size, Sha256Digest::of(&on_disk)));
        }
        prop_assert_eq!(tracker.resumed_bytes(), resumed);
    }
}
