//! Archives that are broken, or made to do harm: each is refused with a reason, and leaves nothing at a final name.

use std::fs;
use std::path::Path;

use crate::archive::{made, model, nothing_staged, pack};
use crate::fetcher::{Fetcher, tree};

/// Pulls an archive that is to be refused, and gives the last words.
fn refusal(archive: &Path, code: i32, with: &[(&str, &str)]) -> String {
    let fetcher = Fetcher::new().with("FETCHER_UNPACK", "single");
    let fetcher = with.iter().fold(fetcher, |fetcher, (name, value)| fetcher.with(name, value));
    let outcome = fetcher.run(&["pull", "--uri", &format!("file://{}", archive.display())]).expect(code);
    assert!(tree(&fetcher.model()).is_empty() && nothing_staged(&fetcher), "{:?}", tree(&fetcher.model()));
    assert!(!fetcher.has_receipt());
    outcome.last_words
}

#[test]
fn what_no_model_has_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let link = "expected a regular file";
    let cases: [(&str, i32, &str); 21] = [
        ("climbs", 65, "../outside has a name that is refused"),
        ("absolute", 65, "/etc/passwd has a name that is refused"),
        ("reserved", 65, ".plimsoll/receipt.json is inside `.plimsoll`, which is not the model's"),
        ("twice", 65, "a.bin is there twice"),
        ("only-case", 65, "collides with"),
        ("file-as-folder", 65, "collides with"),
        ("link-inside", 65, link),
        ("link-outside", 65, "link is a link to ../../etc/passwd, expected a regular file"),
        ("device", 65, "null is a device, expected a regular file"),
        ("pipe", 65, "pipe is a pipe, expected a regular file"),
        ("hard-link-outside", 65, "is a hard link to ../../etc/passwd, which is no file that came before it"),
        ("sparse", 65, "is stored as a sparse file"),
        ("folders-only", 66, "holds no files"),
        ("glued", 65, "something follows its end"),
        ("no-end", 65, "it is cut short"),
        ("zip-climbs", 65, "../outside has a name that is refused"),
        ("zip-link", 65, link),
        ("zip-encrypted", 64, "a.bin is encrypted"),
        ("zip-bzip2", 64, "a.bin is compressed by method 12"),
        ("zip-overlapping", 65, "overlaps what follows it"),
        ("zip-crc", 65, "has the checksum "),
    ];
    for (kind, code, words) in cases {
        let said = refusal(&made(folder.path(), kind), code, &[]);
        assert!(said.contains(words), "{kind}: {said}");
    }
}

#[test]
fn a_hard_link_inside_is_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let archive = made(folder.path(), "hard-link-inside");
    let fetcher = Fetcher::new().with("FETCHER_UNPACK", "single");
    fetcher.run(&["pull", "--uri", &format!("file://{}", archive.display())]).expect(0);
    let found = tree(&fetcher.model());
    assert_eq!((found.len(), &found["a.bin"]), (2, &found["b.bin"]));
}

#[test]
fn a_bomb_is_ended_long_before_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["gzip-bomb", "zip-bomb"] {
        let said = refusal(&made(folder.path(), kind), 64, &[]);
        assert!(said.contains("became more than 100 times as many, which no model does"), "{said}");
    }
    for (name, kind) in [("gnu.tar", "tar"), ("deflated.zip", "zip")] {
        let model = model();
        pack(model.path(), folder.path(), name);
        // The archive alone is below the bound where it is compressed, and the plan knows no better.
        let said = refusal(&folder.path().join(name), 64, &[("FETCHER_MAX_SIZE", "1MiB")]);
        assert!(
            said.contains("expected at most 1048576") || said.contains("more than 1048576 bytes"),
            "{kind}: {said}"
        );
    }
    let said = refusal(&made(folder.path(), "gzip-large"), 64, &[("FETCHER_MAX_SIZE", "1MiB")]);
    assert!(said.contains("the model has more than 1048576 bytes with what is in it"), "{said}");
}

#[test]
fn an_archive_that_is_not_what_is_vouched_for_leaves_nothing() {
    let (model, folder) = (model(), tempfile::tempdir().unwrap());
    for name in ["gnu.tar", "stored.zip"] {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        pack(model.path(), &folder, name);
        let sum = "sha256sum * > SHA256SUMS";
        plimsoll_tests::process::run(std::process::Command::new("sh").args(["-c", sum]).current_dir(&folder));
        // A bit of a comment, a time or a padding, which nothing but the digest can tell.
        let archive = folder.join(name);
        let mut bytes = fs::read(&archive).unwrap();
        let at = if name == "gnu.tar" { bytes.len() - 600 } else { 10 };
        if name == "gnu.tar" {
            bytes.extend([0; 512]);
        } else {
            bytes[at] ^= 1;
        }
        fs::write(&archive, &bytes).unwrap();
        let fetcher = Fetcher::new();
        let uri = format!("file://{}", folder.display());
        let outcome = fetcher.run(&["pull", "--uri", &uri, "--unpack", "always"]).expect(65);
        let expected = format!("checksum mismatch on {name}: expected sha256 ");
        assert!(outcome.last_words.contains(&expected), "{}", outcome.last_words);
        assert!(tree(&fetcher.model()).is_empty() && nothing_staged(&fetcher));
    }
}

#[test]
fn an_archive_that_is_cut_off_anywhere_leaves_nothing() {
    let (model, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(model.path().join("a.bin"), [7; 3000]).unwrap();
    fs::write(model.path().join("b.bin"), [8; 3000]).unwrap();
    for name in ["gnu.tar", "python.tgz", "gnu.tar.zst", "deflated.zip"] {
        pack(model.path(), folder.path(), name);
        let bytes = fs::read(folder.path().join(name)).unwrap();
        for part in [1, 3, 5, 7] {
            let cut = folder.path().join(format!("cut-{name}"));
            fs::write(&cut, &bytes[..bytes.len() * part / 16]).unwrap();
            refusal(&cut, 65, &[]);
        }
    }
}
