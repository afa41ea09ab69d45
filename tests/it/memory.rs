//! What the fetcher holds in memory: a bound that the size of the model does not move.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use plimsoll_tests::poll;
use plimsoll_tests::web_server::WebServer;

use crate::fetcher::Fetcher;

const MIB: u64 = 1024 * 1024;

/// Pulls one file of `size` zeros and gives the most anonymous memory that the process had.
fn peak(server: &WebServer, fetcher: &Fetcher, size: u64) -> u64 {
    File::create(server.folder().join("model.bin")).unwrap().set_len(size).unwrap();
    let uri = format!("{}/model.bin", server.url());
    let mut command = fetcher.command(&["pull", "--uri", &uri]);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = poll::until("the pull to end", Duration::from_secs(120), || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let anonymous = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.strip_suffix("kB"));
        peak = peak.max(anonymous.map_or(0, |kib| kib.trim().parse::<u64>().unwrap() * 1024));
        child.try_wait().unwrap()
    });
    assert!(ended.success(), "{ended}");
    assert_eq!(fetcher.receipt().bytes, size);
    peak
}

#[test]
fn memory_is_bounded_whatever_the_size_of_the_model() {
    let server = WebServer::nginx();
    let small = peak(&server, &Fetcher::new(), 32 * MIB);
    let large = peak(&server, &Fetcher::new(), 256 * MIB);
    println!("{} KiB for 32 MiB, {} KiB for 256 MiB", small / 1024, large / 1024);
    assert!(large > MIB, "the memory was not seen");
    assert!(large <= 32 * MIB, "expected at most 32 MiB, got {} KiB", large / 1024);
    let tight = peak(&server, &Fetcher::new().with("FETCHER_MEMORY", "1MiB"), 256 * MIB);
    assert!(tight < large, "expected less than {large} with a smaller budget, got {tight}");
}
