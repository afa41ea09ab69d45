use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::archive::Kind;
use crate::archive::samples::{header, padded, record, tar_of, untar};

fn tree() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let content = proptest::collection::vec(any::<u8>(), 0..1500);
    proptest::collection::btree_map("[a-zé/ ]{0,200}[a-z]", content, 0..6)
}

fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    tar_of(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))
}

proptest! {
    #[test]
    fn what_was_packed_is_what_comes_out(files in tree()) {
        prop_assert_eq!(untar(&archive(&files)).unwrap().files(), files);
    }

    #[test]
    fn what_is_cut_off_is_not_taken_for_whole(files in tree(), at in any::<prop::sample::Index>()) {
        let archive = archive(&files);
        let length = at.index(archive.len());
        prop_assert!(untar(&archive[..length]).is_err());
    }

    #[test]
    fn whatever_comes_in_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = untar(&bytes);
    }
}

/// One member with what stands before it, and the end.
fn one(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = parts.concat();
    archive.extend([0; 1024]);
    archive
}

#[test]
fn names_and_sizes_come_from_where_there_is_room_for_them() {
    let long = "n".repeat(300);
    let gnu = one(&[
        header(b"././@LongLink", b'L', long.len() + 1, ""),
        padded(format!("{long}\0").as_bytes()),
        header(b"nnn", b'0', 3, ""),
        padded(b"abc"),
    ]);
    assert_eq!(untar(&gnu).unwrap().files()[&long], b"abc");
    let records = record("size", "3") + &record("path", &long) + &record("mtime", "1.5");
    let pax = one(&[
        header(b"pax", b'x', records.len(), ""),
        padded(records.as_bytes()),
        header(b"nnn", b'0', 0, ""),
        padded(b"abc"),
    ]);
    assert_eq!(untar(&pax).unwrap().files()[&long], b"abc");
    // 256 bytes a digit, as GNU writes what eight is too few for.
    let mut wide = header(b"a", b'0', 0, "");
    wide[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    let sum: u32 = wide
        .iter()
        .enumerate()
        .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
        .sum();
    wide[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(untar(&one(&[wide, padded(b"abc")])).unwrap().files()["a"], b"abc");
}

#[test]
fn what_is_no_file_says_what_it_is() {
    let kind = |flag, link| untar(&one(&[header(b"a", flag, 0, link)])).unwrap().0[0].0.kind.clone();
    assert_eq!(kind(b'1', "b"), Kind::HardLink("b".into()));
    assert_eq!(kind(b'2', "../b"), Kind::SymbolicLink("../b".into()));
    assert_eq!(kind(b'5', ""), Kind::Folder);
    assert_eq!(kind(b'6', ""), Kind::Other("a pipe"));
}

#[test]
fn an_archive_that_is_wrong_says_why() {
    let refused = |parts: &[Vec<u8>]| untar(&one(parts)).unwrap_err().to_string();
    let mut damaged = header(b"a", b'0', 0, "");
    damaged[0] ^= 1;
    assert!(refused(&[damaged]).ends_with("a header has another checksum"));
    let records = b"12 path=a\n".to_vec();
    assert!(refused(&[header(b"x", b'x', 10, ""), padded(&records)]).ends_with("not a list of records"));
    let path = record("path", "a");
    assert!(
        refused(&[header(b"x", b'g', path.len(), ""), padded(path.as_bytes())])
            .ends_with("a global header names a file or a size")
    );
    assert!(
        refused(&[header(b"x", b'x', path.len(), ""), padded(path.as_bytes())]).contains("before no member")
    );
    assert!(refused(&[header(b"x", b'x', 2 << 20, "")]).contains("a header of it has 2097152 bytes"));
    assert!(refused(&[header(b"\xff", b'0', 0, "")]).contains("is not a name in UTF-8"));
    assert_eq!(
        refused(&[header(b"a", b'S', 0, "")]),
        "a is stored as a sparse file, expected all of its bytes"
    );
}
