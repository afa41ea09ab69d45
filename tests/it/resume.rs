//! What a run leaves behind for the next: killed at any moment, it costs little, and whatever is found there, no
//! wrong byte gets through.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::{poll, process};

use crate::fetcher::{Fetcher, digest_by_coreutils, noise, tree};
use crate::transfer::{
    ETAG, LARGE, LONG, asked, assert_content, catalog, from_catalog, from_folder, one_file, pull, start,
};

/// Starts a pull and kills it as soon as the journal has so many bytes of the files.
fn kill_at(fetcher: &Fetcher, arguments: &[String], bytes: usize) {
    let mut child = start(fetcher, arguments);
    poll::until("bytes in the journal", LONG, || (journaled(fetcher) >= bytes).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
}

/// How many bytes the journal says are here.
fn journaled(fetcher: &Fetcher) -> usize {
    let text = fs::read_to_string(journal(fetcher)).unwrap_or_default();
    let lines = text.lines().map_while(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files: BTreeMap<_, _> = lines.map(|line| (line["file"].as_u64(), line)).collect();
    let landed = files.values().flat_map(|line| line["landed"].as_array().unwrap());
    let bytes = landed.map(|range| range["end"].as_u64().unwrap() - range["start"].as_u64().unwrap());
    usize::try_from(bytes.sum::<u64>()).unwrap()
}

fn journal(fetcher: &Fetcher) -> PathBuf {
    fetcher.layout().staging().join("journal.jsonl")
}

#[test]
fn killed_at_any_moment_it_goes_on_and_ends_with_the_right_bytes() {
    let slowly = Arc::new(AtomicBool::new(true));
    let slow = Arc::clone(&slowly);
    let server = FaultServer::start(move |_, request| {
        Answer::file(request, &LARGE, ETAG).paced(if slow.load(Relaxed) { 1_000_000 } else { 0 })
    });
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "4");
    // Without a pattern, the same in every run.
    for moment in noise(6) {
        let mut child = start(&fetcher, &one_file(&server));
        let limit = Duration::from_millis(150 + 4 * u64::from(moment));
        assert_eq!(poll::within(limit, || child.try_wait().unwrap()), None, "it was to take longer");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
    }
    slowly.store(false, Relaxed);
    let before = journaled(&fetcher);
    pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE);
    assert!(before > 1_000_000, "each run adds something: {before}");
    assert_eq!(fetcher.receipt().resumed_bytes, u64::try_from(before).unwrap());
}

#[test]
fn the_second_half_costs_half() {
    let server = FaultServer::start(|number, request| {
        Answer::file(request, &LARGE, ETAG).paced(if number < 6 { 5_000_000 } else { 0 })
    });
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "2");
    kill_at(&fetcher, &one_file(&server), LARGE.len() / 2);
    let before = server.requests().len();
    pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE);
    let ranges = asked(&server.requests()[before..], LARGE.len());
    let bytes: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    assert!(bytes <= LARGE.len() * 55 / 100, "{bytes} in {ranges:?}");
}

#[test]
fn nothing_is_kept_of_content_that_changed_between_two_runs() {
    let changed = Arc::new(AtomicBool::new(false));
    let is_changed = Arc::clone(&changed);
    let server = FaultServer::start(move |_, request| match is_changed.load(Relaxed) {
        false => Answer::file(request, &LARGE, ETAG).paced(8_000_000),
        true => Answer::file(request, &LARGE[1..], "\"v2\""),
    });
    let fetcher = Fetcher::new();
    kill_at(&fetcher, &one_file(&server), 6_000_000);
    changed.store(true, Relaxed);
    pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE[1..]);
    assert_eq!(fetcher.receipt().resumed_bytes, 0);
}

#[test]
fn whatever_a_journal_says_no_wrong_byte_gets_through() {
    let content = noise(12_000_000);
    let store = catalog(&[("model.bin", content.clone()), ("small.bin", noise(5000))]);
    let (folder, slowly) = (store.path().to_owned(), Arc::new(AtomicBool::new(true)));
    let slow = Arc::clone(&slowly);
    let server = FaultServer::start(move |_, request| {
        from_folder(&folder, request).paced(if slow.load(Relaxed) { 4_000_000 } else { 0 })
    });
    let killed = Fetcher::new().with("FETCHER_CONNECTIONS", "2");
    kill_at(&killed, &from_catalog(&server), 4_000_000);
    slowly.store(false, Relaxed);
    let found = fs::read(journal(&killed)).unwrap();
    let line = |start: usize, end: usize| {
        let landed = format!("[{{\"start\":{start},\"end\":{end}}}]");
        (0..2).map(|file| format!("{{\"file\":{file},\"landed\":{landed}}}\n")).collect::<String>()
    };
    let mut cases: Vec<(String, Vec<u8>)> = noise(3)
        .into_iter()
        .map(|place| found.len() * usize::from(place) / 256)
        .map(|place| (format!("cut off at {place}"), found[..place].to_vec()))
        .collect();
    cases.push(("garbage".into(), noise(3000)));
    cases.push(("garbage behind".into(), [found.clone(), noise(3000)].concat()));
    cases.push(("never written".into(), line(0, content.len()).into()));
    cases.push(("never written behind".into(), line(9_000_000, 11_000_000).into()));
    cases.push(("beyond the end".into(), line(0, 3 * content.len()).into()));
    cases.push(("nothing behind it".into(), found));
    for (case, text) in cases {
        let fetcher = Fetcher::new().with("FETCHER_DEADLINE", "20s");
        process::run(Command::new("cp").args(["-a"]).args([killed.model(), fetcher.model()]));
        fs::write(journal(&fetcher), text).unwrap();
        let parts = fetcher.layout().staging().join("parts");
        match case.as_str() {
            "beyond the end" => make_longer(&parts, 3 * content.len()),
            "nothing behind it" => fs::remove_dir_all(&parts).unwrap(),
            _ => {}
        }
        let outcome = fetcher.pull(&format!("catalog+{}", server.url()), "a", "v1");
        assert_eq!(outcome.code, 0, "{case}: {}", outcome.stderr);
        assert_content(&fetcher, &content);
        assert!(tree(&fetcher.model())["small.bin"] == noise(5000), "{case}");
    }
}

#[test]
fn what_is_fetched_after_a_journal_was_cut_off_counts_again() {
    let server = FaultServer::start(|_, request| Answer::file(request, &LARGE, ETAG).paced(6_000_000));
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "2");
    kill_at(&fetcher, &one_file(&server), 3_000_000);
    let length = fs::metadata(journal(&fetcher)).unwrap().len();
    OpenOptions::new().write(true).open(journal(&fetcher)).unwrap().set_len(length - 9).unwrap();
    kill_at(&fetcher, &one_file(&server), 10_000_000);
}

#[test]
fn what_an_earlier_run_left_wrong_does_not_stand_in_the_way_of_a_pinned_digest() {
    let right = tempfile::tempdir().unwrap();
    fs::write(right.path().join("model.bin"), &*LARGE).unwrap();
    let server = FaultServer::start(|number, request| {
        Answer::file(request, &LARGE, ETAG).paced(if number < 3 { 8_000_000 } else { 0 })
    });
    let fetcher = Fetcher::new().with("MODEL_DIGEST", &digest_by_coreutils(right.path()));
    kill_at(&fetcher, &one_file(&server), 4_000_000);
    // Nobody says what this one file must be, so only the whole shows that something is wrong.
    let line = format!("{{\"file\":0,\"landed\":[{{\"start\":0,\"end\":{}}}]}}\n", LARGE.len());
    fs::write(journal(&fetcher), line).unwrap();
    pull(&fetcher, &server).expect(65);
    assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
    pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE);
}

fn make_longer(parts: &Path, size: usize) {
    for part in fs::read_dir(parts).unwrap() {
        let part = OpenOptions::new().write(true).open(part.unwrap().path()).unwrap();
        part.set_len(u64::try_from(size).unwrap()).unwrap();
    }
}
