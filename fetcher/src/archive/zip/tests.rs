use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::archive::samples::{unzip, zip_of};

fn tree() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let content = proptest::collection::vec(any::<u8>(), 0..600);
    proptest::collection::btree_map("[a-zé/ ]{0,60}[a-z]", content, 0..6)
}

fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    zip_of(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))
}

proptest! {
    #[test]
    fn what_was_packed_is_what_comes_out(files in tree()) {
        prop_assert_eq!(unzip(&archive(&files)).unwrap().files(), files);
    }

    #[test]
    fn what_is_cut_off_is_not_taken_for_whole(files in tree(), at in any::<prop::sample::Index>()) {
        let archive = archive(&files);
        let length = at.index(archive.len());
        prop_assert!(unzip(&archive[..length]).is_err());
    }

    #[test]
    fn a_byte_that_is_changed_changes_no_content(files in tree(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut archive = archive(&files);
        let at = at.index(archive.len());
        archive[at] = to;
        if let Ok(taken) = unzip(&archive) {
            for (name, content) in taken.files() {
                let known = files.get(&name).is_none_or(|known| *known == content);
                prop_assert!(known, "{name}");
            }
        }
    }
}

#[test]
fn a_comment_is_passed_over() {
    let mut archive = zip_of([("a", &b"abc"[..])]);
    let length = archive.len();
    archive[length - 2] = 5;
    archive.extend(b"PK\x05\x06!");
    assert_eq!(unzip(&archive).unwrap().files()["a"], b"abc");
}
