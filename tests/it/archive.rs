//! Archives by the tools that people pack with, unpacked while they come in from real servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use plimsoll_tests::fault_proxy::FaultProxy;
use plimsoll_tests::fault_proxy::answer::Moment;
use plimsoll_tests::s3_server::S3Server;
use plimsoll_tests::web_server::WebServer;
use plimsoll_tests::{process, tools};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::fetcher::{Fetcher, digest_by_coreutils, noise, sample_model, tree};

mod refused;

/// Every way that a model is packed here.
const NAMES: [&str; 9] = [
    "gnu.tar",
    "pax.tar",
    "ustar.tar.gz",
    "python.tgz",
    "gnu.tar.zst",
    "stored.zip",
    "deflated.zip",
    "streamed.zip",
    "wide.zip",
];

/// Packs a directory as a name says.
fn pack(model: &Path, into: &Path, name: &str) {
    let target = into.join(name);
    let target = target.to_str().unwrap();
    let tar = |format: &str, compress: &[&str]| {
        let format = format!("--format={format}");
        let more = ["-C", model.to_str().unwrap(), "-cf", target, "."];
        process::run(Command::new("tar").args([&[format.as_str()][..], compress, &more].concat()));
    };
    match name {
        "gnu.tar" => tar("gnu", &[]),
        "pax.tar" => tar("pax", &[]),
        "ustar.tar.gz" => tar("ustar", &["--gzip"]),
        "gnu.tar.zst" => {
            let zstd = tools::debian_package("zstd", "/usr/bin/zstd");
            tar("gnu", &["-I", zstd.to_str().unwrap()]);
        }
        _ => python(&["pack", model.to_str().unwrap(), target, name.split('.').next().unwrap()]),
    }
}

fn python(arguments: &[&str]) {
    let script = plimsoll_tests::places::data("archives.py");
    let python = tools::debian_package("python3", "/usr/bin/python3");
    process::run(Command::new(python).arg(script).args(arguments));
}

/// A model with what is hard for archives too: names that are longer than a header has room for.
fn model() -> TempDir {
    let model = sample_model();
    let long = model.path().join("a-long-folder-name-".repeat(8)).join("and-a-long-name-".repeat(9));
    fs::create_dir_all(long.parent().unwrap()).unwrap();
    fs::write(long, "long").unwrap();
    model
}

/// One archive in a folder of its own, by its address.
fn packed(model: &Path, name: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    pack(model, folder.path(), name);
    let uri = format!("file://{}", folder.path().join(name).display());
    (folder, uri)
}

/// The packing of `name` leaves this out: a name in ustar has 155 bytes for folders and 100 for the last.
fn without_long_names(model: &Path) {
    for entry in fs::read_dir(model).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().len() > 100 {
            fs::remove_dir_all(path).unwrap();
        }
    }
}

fn nothing_staged(fetcher: &Fetcher) -> bool {
    let members = fetcher.layout().staging().join("members");
    fs::read_dir(members).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn what_tools_pack_is_unpacked_to_what_was_packed_from_every_kind_of_server() {
    let (s3, web, model) = (S3Server::start(), WebServer::nginx(), model());
    s3.create_bucket("models");
    for name in NAMES {
        if name.starts_with("ustar") {
            without_long_names(model.path());
        }
        let (folder, local) = packed(model.path(), name);
        let archive = folder.path().join(name);
        fs::copy(&archive, web.folder().join(name)).unwrap();
        fs::copy(&archive, s3.bucket("models").join(name)).unwrap();
        for uri in [local, format!("{}/{name}", web.url()), format!("s3://models/{name}")] {
            let fetcher = Fetcher::new().with_all(&s3.environment()).with("FETCHER_UNPACK", "single");
            fetcher.run(&["pull", "--uri", &uri]).expect(0);
            assert_eq!(tree(&fetcher.model()), tree(model.path()), "{uri}");
            assert_eq!(fetcher.receipt().digest.to_string(), digest_by_coreutils(model.path()));
            assert_eq!(fetcher.receipt().unpacked.as_deref(), Some("single"));
            fetcher.run(&["verify"]).expect(0);
            let again = fetcher.run(&["pull", "--uri", &uri]).expect(0);
            assert!(again.stderr.contains("already in place"), "{}", again.stderr);
        }
    }
}

#[test]
fn an_archive_is_a_file_like_any_other_unless_it_is_to_be_unpacked() {
    let model = model();
    let (_folder, uri) = packed(model.path(), "gnu.tar");
    let fetcher = Fetcher::new();
    fetcher.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(tree(&fetcher.model()).into_keys().collect::<Vec<_>>(), ["gnu.tar"]);
    // What is in place is not what is asked for now, and the other way round.
    fetcher.run(&["pull", "--uri", &uri, "--unpack", "single"]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    fetcher.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(tree(&fetcher.model()).into_keys().collect::<Vec<_>>(), ["gnu.tar"]);
}

#[test]
fn a_single_archive_is_unpacked_for_who_calls_it_as_kserve_does() {
    let model = model();
    let (folder, uri) = packed(model.path(), "deflated.zip");
    let destination = |fetcher: &Fetcher| fetcher.model().to_str().unwrap().to_owned();
    let fetcher = Fetcher::new();
    fetcher.run(&[&uri, &destination(&fetcher)]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    let told = Fetcher::new().with("FETCHER_UNPACK", "never");
    told.run(&[&uri, &destination(&told)]).expect(0);
    assert_eq!(tree(&told.model()).into_keys().collect::<Vec<_>>(), ["deflated.zip"]);
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let both = Fetcher::new();
    both.run(&[&format!("file://{}", folder.path().display()), &destination(&both)]).expect(0);
    assert_eq!(tree(&both.model()).into_keys().collect::<Vec<_>>(), ["config.json", "deflated.zip"]);
}

#[test]
fn archives_and_plain_files_of_one_model_come_in_together() {
    let (one, two, folder) = (model(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(two.path().join("tokenizer.json"), noise(100_000)).unwrap();
    fs::create_dir(folder.path().join("text")).unwrap();
    pack(one.path(), folder.path(), "pax.tar");
    pack(two.path(), &folder.path().join("text"), "gnu.tar.zst");
    fs::write(folder.path().join("plain.bin"), noise(5_000_000)).unwrap();
    let sums = "find . -type f ! -name SHA256SUMS -printf '%P\\n' | xargs sha256sum > SHA256SUMS";
    process::run(Command::new("sh").args(["-c", sums]).current_dir(folder.path()));
    let uri = format!("file://{}", folder.path().display());
    let fetcher = Fetcher::new().with("FETCHER_INTEGRITY", "manifest");
    fetcher.run(&["pull", "--uri", &uri, "--unpack", "always"]).expect(0);
    let mut expected = tree(one.path());
    expected.insert("text/tokenizer.json".into(), noise(100_000));
    expected.insert("plain.bin".into(), noise(5_000_000));
    expected.insert("SHA256SUMS".into(), fs::read(folder.path().join("SHA256SUMS")).unwrap());
    assert_eq!(tree(&fetcher.model()), expected);
    let receipt = fetcher.receipt();
    assert!(receipt.files.iter().all(|file| file.checked.name() == "manifest"), "{receipt:?}");
    // A pinned digest is over what is in place.
    let digest = receipt.digest.to_string();
    let pinned = Fetcher::new();
    pinned.run(&["pull", "--uri", &uri, "--unpack", "always", "--digest", &digest]).expect(0);
    assert_eq!(pinned.receipt().integrity.name(), "pinned");
    let plan = pinned.run(&["resolve", "--uri", &uri, "--unpack", "always", "--output", "json"]).expect(0);
    assert!(plan.stdout.contains("\"format\": \"tar-zstd\""), "{}", plan.stdout);
}

#[test]
fn a_catalogs_digest_holds_for_the_archives_that_it_has() {
    let (model, published, catalog) = (model(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    pack(model.path(), published.path(), "python.tgz");
    let registry = format!("catalog+file://{}", catalog.path().display());
    Fetcher::new().publish(published.path(), &registry, "v1", &[]).expect(0);
    let fetcher = Fetcher::new().with("FETCHER_UNPACK", "single");
    fetcher.pull(&registry, "a", "v1").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert_eq!(fetcher.receipt().integrity.name(), "registry");
}

#[test]
fn a_connection_that_is_cut_midway_is_gone_on_with() {
    let (web, model) = (WebServer::nginx(), model());
    let proxy = FaultProxy::start(web.port());
    for name in ["gnu.tar.zst", "deflated.zip"] {
        pack(model.path(), &web.folder(), name);
        let length = fs::metadata(web.folder().join(name)).unwrap().len();
        proxy.heal();
        proxy.damage(Arc::new(|request, answer| match request.header("range") {
            Some(range) if range.starts_with("bytes=0-") => answer.closed(Moment::InBody(1_000_000)),
            None if request.method == "GET" => answer.closed(Moment::InBody(1_000_000)),
            _ => answer,
        }));
        let fetcher = Fetcher::new().with("FETCHER_UNPACK", "single");
        let outcome = fetcher.run(&["pull", "--uri", &format!("{}/{name}", proxy.url())]).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(model.path()));
        assert!(outcome.stderr.contains("retrying"), "{}", outcome.stderr);
        let sent: u64 =
            proxy.exchanges().iter().filter(|one| one.request.method == "GET").map(|one| one.sent).sum();
        assert!(sent < length + 1_500_000, "{sent} of {length}: not from the start again");
    }
}

#[test]
fn a_source_without_identity_is_read_from_the_start_again() {
    let (web, model) = (WebServer::nginx(), model());
    let proxy = FaultProxy::start(web.port());
    pack(model.path(), &web.folder(), "gnu.tar");
    // The first is asked for what there is, and given up.
    let cuts = std::sync::atomic::AtomicU32::new(0);
    proxy.damage(Arc::new(move |request, answer| {
        let answer = answer.without("etag").without("last-modified");
        let is_first = request.method == "GET"
            && answer.body.len() > 2_000_000
            && cuts.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2;
        if is_first { answer.closed(Moment::InBody(2_000_000)) } else { answer }
    }));
    let fetcher = Fetcher::new().with("FETCHER_UNPACK", "single");
    let outcome = fetcher.run(&["pull", "--uri", &format!("{}/gnu.tar", proxy.url())]).expect(0);
    assert!(outcome.stderr.contains("retrying"), "{}", outcome.stderr);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    // What came of it before may be of another content than what comes now.
    let from_the_start = |range: &str| range.starts_with("bytes=0-") && range.len() <= "bytes=0-0".len();
    for exchange in proxy.exchanges() {
        let range = exchange.request.header("range");
        assert!(range.is_none_or(from_the_start), "{exchange:?}");
    }
}

#[test]
fn an_archive_whose_members_just_fit_needs_no_more_than_them() {
    let Some(disk) = Disk::new(64, "an archive on a small volume") else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = tempfile::tempdir().unwrap();
    fs::write(model.path().join("model.bin"), noise(48_000_000)).unwrap();
    for name in ["gnu.tar", "python.tgz", "deflated.zip"] {
        pack(model.path(), folder.path(), name);
        let uri = format!("file://{}", folder.path().join(name).display());
        let words = tempfile::tempdir().unwrap();
        let log = words.path().join("log");
        let fetcher = Fetcher::on(&disk.path()).last_words_in(&log).with("FETCHER_UNPACK", "single");
        fetcher.run(&["pull", "--uri", &uri]).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(model.path()));
        fs::remove_dir_all(fetcher.model()).unwrap();
    }
    fs::write(model.path().join("more.bin"), noise(30_000_000)).unwrap();
    for (name, words) in
        [("deflated.zip", "not enough space for what is in it"), ("gnu.tar.zst", "cannot write ")]
    {
        pack(model.path(), folder.path(), name);
        let uri = format!("file://{}", folder.path().join(name).display());
        let last_words = tempfile::tempdir().unwrap();
        let log = last_words.path().join("log");
        let fetcher = Fetcher::on(&disk.path()).last_words_in(&log).with("FETCHER_UNPACK", "single");
        let outcome = fetcher.run(&["pull", "--uri", &uri]).expect(73);
        assert!(outcome.last_words.contains(words), "{}", outcome.last_words);
        assert!(tree(&fetcher.model()).is_empty() && nothing_staged(&fetcher));
        fs::remove_dir_all(fetcher.model()).unwrap();
    }
}

/// A path that tests of what is refused share.
fn made(folder: &Path, kind: &str) -> PathBuf {
    let extension = if kind.starts_with("zip-") { "zip" } else { "tar" };
    let extension = if kind.starts_with("gzip-") { "tar.gz" } else { extension };
    let path = folder.join(format!("{kind}.{extension}"));
    python(&["hostile", kind, path.to_str().unwrap()]);
    path
}
