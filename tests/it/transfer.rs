//! How bytes come in: by ranges over several connections, whatever a source does in the middle of them. Each test
//! has the source at fault in one way and looks at what is on the disk in the end, and at what the source was
//! asked for. What an earlier run left behind is the matter of `resume.rs`.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use handoff::Progress;
use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::poll;
use tempfile::TempDir;

use crate::fetcher::{Fetcher, Outcome, noise, tree};

pub const ETAG: &str = "\"v1\"";
const MIB: usize = 1 << 20;
/// Several ranges for several connections.
pub static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| noise(24_000_000));
/// Long enough for every wait in here, on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);

/// The arguments to pull the one file of a server.
pub fn one_file(server: &FaultServer) -> Vec<String> {
    vec!["pull".into(), "--uri".into(), format!("{}/model.bin", server.url())]
}

pub fn pull(fetcher: &Fetcher, server: &FaultServer) -> Outcome {
    let arguments = one_file(server);
    fetcher.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

pub fn start(fetcher: &Fetcher, arguments: &[String]) -> Child {
    let mut command = fetcher.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Fails the test unless the model's one file is that, without a word on each of its bytes.
#[track_caller]
pub fn assert_content(fetcher: &Fetcher, expected: &[u8]) {
    let got = fs::read(fetcher.model().join("model.bin")).unwrap();
    let differs = got.iter().zip(expected).position(|(got, expected)| got != expected);
    let (lengths, same) = ((got.len(), expected.len()), got == expected);
    assert!(same, "got and expected lengths {lengths:?}, the first byte that differs: {differs:?}");
}

/// What was asked for of a file of `size` bytes, in order of offsets. Requests that only look have no condition.
pub fn asked(requests: &[Request], size: usize) -> Vec<Range<usize>> {
    let reads = requests.iter().filter(|request| request.header("if-match").is_some());
    let range = |request: &Request| match request.range() {
        Some((first, last)) => first..last.map_or(size, |last| last + 1),
        None => 0..size,
    };
    let mut ranges: Vec<_> = reads.map(range).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges
}

/// A catalog in a folder with one version of a model, which a server can serve.
pub fn catalog(files: &[(&str, Vec<u8>)]) -> TempDir {
    let (store, model) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, content) in files {
        fs::write(model.path().join(name), content).unwrap();
    }
    let registry = format!("catalog+file://{}", store.path().display());
    Fetcher::new().publish(model.path(), &registry, "v1", &[]).expect(0);
    store
}

/// Answers from a folder, each file with the same ETag.
pub fn from_folder(folder: &Path, request: &Request) -> Answer {
    match fs::read(folder.join(request.target.trim_start_matches('/'))) {
        Ok(content) => Answer::file(request, &content, ETAG),
        Err(_) => Answer::status("404 Not Found"),
    }
}

/// The arguments to pull from a catalog that a server serves.
pub fn from_catalog(server: &FaultServer) -> Vec<String> {
    let registry = format!("catalog+{}", server.url());
    ["pull", "--registry", &registry, "--model-name", "a", "--model-version", "v1"].map(Into::into).into()
}

#[test]
fn a_large_file_comes_in_ranges_over_several_connections() {
    let server = FaultServer::start(|_, request| Answer::file(request, &LARGE, ETAG).paced(8_000_000));
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "4");
    let mut child = start(&fetcher, &one_file(&server));
    poll::until("two answers at once", LONG, || (server.answering() >= 2).then_some(()));
    assert!(child.wait().unwrap().success());
    assert_content(&fetcher, &LARGE);
    let requests = server.requests();
    assert!(requests[1..].iter().all(|request| request.header("if-match") == Some(ETAG)));
    assert!(requests[1..].iter().all(|request| request.range().is_some_and(|(_, last)| last.is_some())));
    let ranges = asked(&requests, LARGE.len());
    assert!(ranges.len() >= 4, "{ranges:?}");
    let end = ranges.iter().fold(0, |end, range| {
        assert_eq!(range.start, end, "neither a gap nor a byte twice: {ranges:?}");
        range.end
    });
    assert_eq!(end, LARGE.len());
    assert_eq!(fetcher.receipt().resumed_bytes, 0);
}

#[test]
fn connections_are_kept_from_one_range_to_the_next() {
    let server = FaultServer::start(|_, request| Answer::file(request, &LARGE, ETAG).kept());
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "2");
    pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE);
    let (requests, connections) = (server.requests().len(), server.connections());
    assert!(requests >= 6, "{requests} requests");
    // Who looks the file up has a connection of its own, and breaks it off.
    assert!(connections <= 4, "{connections} connections for {requests} requests");
}

#[test]
fn many_files_are_right_with_any_number_of_connections_and_little_memory() {
    let names: Vec<_> = (0..50).map(|number| format!("{number}.bin")).collect();
    // From nothing to 20 kB, and two that are cut into ranges.
    let size = |number: usize| if number % 25 == 24 { 4 * MIB + number } else { (number * 7919) % 20_000 };
    let content = |number: usize| noise(size(number) + number)[number..].to_vec();
    let files: Vec<_> = names.iter().enumerate().map(|(n, name)| (name.as_str(), content(n))).collect();
    let store = catalog(&files);
    let folder = store.path().to_owned();
    let server = FaultServer::start(move |_, request| from_folder(&folder, request));
    for connections in ["1", "2", "16", "64"] {
        let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", connections).with("FETCHER_MEMORY", "1MiB");
        fetcher.pull(&format!("catalog+{}", server.url()), "a", "v1").expect(0);
        let expected = files.iter().map(|(name, content)| ((*name).to_owned(), content.clone())).collect();
        assert!(tree(&fetcher.model()) == expected, "with {connections} connections");
    }
}

#[test]
fn a_source_without_ranges_is_read_by_one_connection_in_the_end() {
    let server = FaultServer::start(|_, _| {
        Answer { body: LARGE.clone(), ..Answer::status("200 OK") }.with("ETag", ETAG).paced(10_000_000)
    });
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "8");
    let mut child = start(&fetcher, &one_file(&server));
    let half = || Progress::read(&fetcher.layout().progress()).is_ok_and(|seen| seen.percent() >= Some(50));
    poll::until("half of the file", LONG, || half().then_some(()));
    assert_eq!(server.answering(), 1);
    assert!(child.wait().unwrap().success());
    assert_content(&fetcher, &LARGE);
    let offsets = server.requests().iter().filter(|request| request.offset().is_some()).count();
    assert!((1..=8).contains(&offsets), "nobody insists on ranges: {offsets}");
}

#[test]
fn a_connection_that_stalls_near_the_end_is_raced() {
    // When the others have work left, and when it is the only one that has anything to do.
    for pace in [10_000_000, 0] {
        let stalled = AtomicBool::new(false);
        let server = FaultServer::start(move |_, request| {
            let mut answer = Answer::file(request, &LARGE, ETAG).paced(pace);
            let has_the_last_byte = request.range().is_some_and(|(_, last)| last == Some(LARGE.len() - 1));
            if has_the_last_byte && !stalled.swap(true, Relaxed) {
                answer.stall = Duration::from_secs(20);
            }
            answer
        });
        let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "4").with("FETCHER_LOG_LEVEL", "debug");
        let outcome = pull(&fetcher, &server).expect(0);
        assert!(fetcher.receipt().seconds < 5.0, "at {pace}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("racing a slow connection"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("retrying"), "{}", outcome.stderr);
        assert_content(&fetcher, &LARGE);
    }
}

#[test]
fn a_connection_that_is_too_slow_is_asked_again_where_it_was() {
    let content = noise(2_000_000);
    let served = content.clone();
    let server = FaultServer::start(move |number, request| {
        Answer::file(request, &served, ETAG).paced(if number == 1 { 200_000 } else { 0 })
    });
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "1").with("FETCHER_STALL_TIMEOUT", "1s");
    let fetcher = fetcher.with("FETCHER_MIN_SPEED", "1MiB");
    let outcome = pull(&fetcher, &server).expect(0);
    assert!(outcome.stderr.contains("the connection was too slow for too long"), "{}", outcome.stderr);
    assert_content(&fetcher, &content);
    let ranges = asked(&server.requests(), content.len());
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    // What had come in a second, about, and all of it.
    assert!((100_000..1_500_000).contains(&ranges[1].start), "{ranges:?}");
}

#[test]
fn a_source_that_is_too_busy_gets_fewer_connections() {
    let server = FaultServer::start(|number, request| match number {
        2..=4 => Answer::status("503 Service Unavailable").with("Retry-After", "1"),
        _ => Answer::file(request, &LARGE, ETAG).paced(8_000_000),
    });
    // Two at the start and never more, so that there are fewer for no other reason.
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "2").with("FETCHER_LOG_LEVEL", "debug");
    let outcome = pull(&fetcher, &server).expect(0);
    let line = outcome.stderr.lines().find(|line| line.contains("another number of connections"));
    assert!(line.is_some_and(|line| line.contains("before=2 now=1")), "{}", outcome.stderr);
    assert_content(&fetcher, &LARGE);
    // Many at once are met in the same way.
    let server = FaultServer::start(|number, request| match number % 3 {
        1 if number < 20 => Answer::status("503 Service Unavailable").with("Retry-After", "0"),
        _ => Answer::file(request, &LARGE, ETAG).paced(20_000_000),
    });
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "16");
    pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE);
}

#[test]
fn content_that_changes_in_the_middle_of_a_run_is_fatal() {
    let server = FaultServer::start(|number, request| match number {
        0..=2 => Answer::file(request, &LARGE, ETAG),
        _ => Answer::file(request, &noise(LARGE.len() + 1)[1..], "\"v2\""),
    });
    let fetcher = Fetcher::new();
    let failed = pull(&fetcher, &server).expect(65);
    assert!(failed.last_words.contains("changed since"), "{}", failed.last_words);
    assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
}

#[test]
fn a_described_file_that_changes_in_the_middle_is_fatal_until_it_holds_still() {
    let store = catalog(&[("model.bin", LARGE.clone())]);
    let (folder, settled) = (store.path().to_owned(), Arc::new(AtomicBool::new(false)));
    let is_settled = Arc::clone(&settled);
    let server = FaultServer::start(move |_, request| {
        let answer = from_folder(&folder, request);
        let is_later =
            is_settled.load(Relaxed) || request.offset().is_some_and(|offset| offset > LARGE.len() / 2);
        let etag = ("ETag".to_owned(), if is_later { "\"v2\"" } else { ETAG }.to_owned());
        let headers = answer.headers.into_iter().filter(|(name, _)| name != "ETag").chain([etag]);
        Answer { headers: headers.collect(), ..answer }.paced(20_000_000)
    });
    let (fetcher, registry) = (Fetcher::new(), format!("catalog+{}", server.url()));
    let failed = fetcher.pull(&registry, "a", "v1").expect(65);
    assert!(failed.last_words.contains("changed since"), "{}", failed.last_words);
    assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
    // What the digest says of the content is worth more than what an earlier run knew of its name.
    settled.store(true, Relaxed);
    fetcher.pull(&registry, "a", "v1").expect(0);
    assert_content(&fetcher, &LARGE);
}

#[test]
fn a_file_of_unknown_size_that_breaks_and_comes_shorter_has_no_end_of_the_first() {
    for broken_at in [2_500_000, 400_000] {
        let server = FaultServer::start(move |number, _| match number {
            0 => Answer::chunked(&noise(3_000_000)),
            1 => Answer::chunked(&noise(3_000_000)).cut(broken_at),
            _ => Answer::chunked(&noise(1_000_007)[7..]),
        });
        let fetcher = Fetcher::new();
        pull(&fetcher, &server).expect(0);
        assert_content(&fetcher, &noise(1_000_007)[7..]);
        assert_eq!(fetcher.receipt().bytes, 1_000_000);
    }
}

#[test]
fn progress_tells_how_the_connections_are_doing() {
    let server = FaultServer::start(|number, request| match number {
        1 => Answer::file(request, &LARGE, ETAG).cut(1_000_000),
        _ => Answer::file(request, &LARGE, ETAG).paced(2_000_000),
    });
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "1");
    let mut child = start(&fetcher, &one_file(&server));
    let seen = poll::until("a steady rate", LONG, || {
        let seen = Progress::read(&fetcher.layout().progress()).ok()?;
        let slowest = seen.connections?.slowest_bytes_per_second?;
        ((1_500_000..2_500_000).contains(&slowest) && seen.bytes > 3_000_000).then_some(seen)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let connections = seen.connections.unwrap();
    assert_eq!((connections.open, connections.retries), (1, 1), "{seen:?}");
    assert_eq!((seen.phase, seen.files), (handoff::Phase::Fetching, 0), "{seen:?}");
}

#[test]
fn no_wake_up_is_lost_in_many_runs() {
    let sizes = [1_500_000, 900_000, 500_000, 100_000, 1000, 0];
    let names = sizes.map(|size| format!("{size}.bin"));
    let files: Vec<_> = names.iter().zip(sizes).map(|(name, size)| (name.as_str(), noise(size))).collect();
    let store = catalog(&files);
    let folder = store.path().to_owned();
    let server = FaultServer::start(move |_, request| from_folder(&folder, request));
    for run in 0..60 {
        let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", ["1", "2", "3", "5", "16"][run % 5]);
        let mut child = start(&fetcher, &from_catalog(&server));
        let ended = poll::within(Duration::from_secs(20), || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
        }
        assert!(ended.is_some_and(|status| status.success()), "run {run}: {ended:?}");
        assert_eq!(fetcher.receipt().bytes, 3_001_000);
    }
}
