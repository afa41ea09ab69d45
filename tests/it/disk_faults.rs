//! A disk that loses what was not synced, that breaks, or that is full: what is published afterwards is right all the
//! same, and what went wrong is said.

use std::fs;
use std::process::Child;
use std::time::Duration;

use handoff::Receipt;
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::poll;

use crate::disk::Disk;
use crate::fetcher::{Fetcher, noise, tree};
use crate::transfer::{ETAG, LARGE, LONG, assert_content, catalog, from_folder, one_file, pull, start};

/// The name of a boot that is not this one.
const BEFORE: &str = "00000000-0000-0000-0000-000000000000";

/// Has what a fetcher left be from an earlier boot of the node.
fn reboot(fetcher: &Fetcher) {
    let receipt = fetcher.layout().receipt();
    if let Ok(found) = Receipt::read(&receipt) {
        Receipt { boot_id: BEFORE.to_owned(), ..found }.write(&receipt).unwrap();
    }
    let mark = fetcher.layout().staging().join("plan.sha256");
    if let Ok(found) = fs::read_to_string(&mark) {
        let plan = found.lines().next().unwrap_or_default();
        fs::write(&mark, format!("{plan}\n{BEFORE}\n")).unwrap();
    }
}

/// A server that takes its time with the one file.
fn slow_server() -> FaultServer {
    FaultServer::start(|_, request| Answer::file(request, &LARGE, ETAG).paced(6_000_000))
}

/// Starts a pull and waits until something of the file has come in and stands in the journal.
fn under_way(fetcher: &Fetcher, server: &FaultServer) -> Child {
    let child = start(fetcher, &one_file(server));
    let journal = fetcher.layout().staging().join("journal.jsonl");
    poll::until("a line in the journal", LONG, || {
        fs::metadata(&journal).is_ok_and(|found| found.len() > 0).then_some(())
    });
    child
}

#[test]
fn a_finished_model_whose_bytes_a_loss_of_power_took_is_fetched_anew() {
    let Some(disk) = Disk::new(128, "a loss of power after the end") else { return };
    let files = [("model.bin", noise(20_000_000)), ("config.json", b"{}".to_vec())];
    let store = catalog(&files);
    let folder = store.path().to_owned();
    let server = FaultServer::start(move |_, request| from_folder(&folder, request));
    let registry = format!("catalog+{}", server.url());
    Fetcher::on(&disk.path()).pull(&registry, "a", "v1").expect(0);
    let disk = disk.after_power_loss();
    let fetcher = Fetcher::on(&disk.path());
    // The trap is real: the receipt is there, and files of the right size and name, whose bytes are not.
    assert!(fetcher.receipt().check_in_place(&fetcher.model()).is_ok());
    assert_ne!(tree(&fetcher.model())["model.bin"], files[0].1, "nothing was lost, so nothing is shown");
    reboot(&fetcher);
    let again = fetcher.pull(&registry, "a", "v1").expect(0);
    assert!(again.stderr.contains("fetching anew: checksum mismatch on "), "{}", again.stderr);
    for (name, content) in files {
        assert_eq!(tree(&fetcher.model())[name], content, "{name}");
    }
}

#[test]
fn a_transfer_that_a_loss_of_power_cut_off_is_right_in_the_end() {
    let Some(disk) = Disk::new(128, "a loss of power in the middle") else { return };
    let server = slow_server();
    let mut child = under_way(&Fetcher::on(&disk.path()).with("FETCHER_CONNECTIONS", "2"), &server);
    let disks: Vec<_> = (0..4)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(150));
            disk.after_power_loss()
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let quick = FaultServer::start(|_, request| Answer::file(request, &LARGE, ETAG));
    for disk in &disks {
        let fetcher = Fetcher::on(&disk.path());
        reboot(&fetcher);
        assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
        pull(&fetcher, &quick).expect(0);
        assert_content(&fetcher, &LARGE);
    }
}

#[test]
fn a_disk_that_turns_read_only_is_said_so_and_the_next_run_goes_on() {
    let Some(disk) = Disk::new(128, "a disk that turns read-only") else { return };
    let words = tempfile::NamedTempFile::new().unwrap();
    let server = slow_server();
    let fetcher = Fetcher::on(&disk.path()).last_words_in(words.path()).with("FETCHER_CONNECTIONS", "2");
    let mut child = under_way(&fetcher, &server);
    disk.break_down();
    let status = poll::until("the end of the run", LONG, || child.try_wait().unwrap());
    let said = fs::read_to_string(words.path()).unwrap();
    assert_eq!(status.code(), Some(74), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    disk.repair();
    assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
    pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE);
}

#[test]
fn a_disk_that_somebody_else_fills_spoils_nothing_and_the_next_run_goes_on() {
    let Some(disk) = Disk::new(64, "a disk that somebody else fills") else { return };
    let words = tempfile::NamedTempFile::new().unwrap();
    let server = slow_server();
    let fetcher = Fetcher::on(&disk.path()).last_words_in(words.path()).with("FETCHER_CONNECTIONS", "2");
    let mut child = under_way(&fetcher, &server);
    // Whatever becomes free on the way is taken too, most of the time.
    let in_the_way = disk.fill();
    let status = poll::until("the end of the run", LONG, || {
        disk.fill();
        child.try_wait().unwrap()
    });
    let said = fs::read_to_string(words.path()).unwrap();
    match status.code() {
        // The place of the model was taken up beforehand, and there was a block for the receipt.
        Some(0) => assert!(fetcher.has_receipt()),
        code => {
            assert_eq!(code, Some(73), "{said}");
            assert!(said.contains("No space left on device"), "{said}");
            assert!(!fetcher.has_receipt());
        }
    }
    fs::remove_file(in_the_way).unwrap();
    let again = pull(&fetcher, &server).expect(0);
    assert_content(&fetcher, &LARGE);
    // All of it had come in, to a place that was taken up beforehand.
    let kept = fetcher.receipt().resumed_bytes;
    assert!(again.last_words.ends_with("already in place") || kept > 1_000_000, "{kept} bytes were kept");
}
