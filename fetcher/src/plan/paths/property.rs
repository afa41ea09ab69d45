//! Holds [`check`] against a tree of files in which names are looked up as a careless file system does: without regard
//! to upper and lower case or to how an accent is written.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Each line is one letter to that file system, in all its spellings. None begins another, so that a name is read in
/// one way only.
const LETTERS: [&[&str]; 7] = [
    &["a", "A"],
    &["\u{e9}", "e\u{301}", "\u{c9}", "E\u{301}"],
    &["k", "K", "\u{212a}"],
    &["\u{df}", "ss", "SS", "sS", "\u{1e9e}"],
    &["\u{fb01}", "fi", "FI"],
    &["\u{d55c}", "\u{1112}\u{1161}\u{11ab}"],
    &["-"],
];

/// A name as the file system knows it, and as it is written.
type Name = (Vec<usize>, String);

fn name() -> impl Strategy<Value = Name> {
    let letter = (0..LETTERS.len(), any::<Index>());
    let plain = prop::collection::vec(letter, 1..3).prop_map(|letters| {
        let known = letters.iter().map(|(letter, _)| *letter).collect();
        (known, letters.iter().map(|(letter, spelling)| *spelling.get(LETTERS[*letter])).collect::<String>())
    });
    let ours = prop::sample::select(vec![".plimsoll", ".PLIMSOLL", ".Plimsoll"]);
    prop_oneof![40 => plain, 1 => ours.prop_map(|ours| (OURS.to_vec(), ours.to_owned()))]
}

/// The state directory, as the file system knows it.
const OURS: [usize; 1] = [usize::MAX];

enum Node {
    File,
    Folder(Vec<(Name, Node)>),
}

/// Creates a file with the folders above it. Nothing, if something is in the way: the state directory, a file, a folder,
/// or a folder that was made under another spelling.
fn create(folder: &mut Vec<(Name, Node)>, path: &[Name]) -> Option<()> {
    let (first, rest) = path.split_first()?;
    let found = folder.iter().position(|(name, _)| name.0 == first.0);
    match (found.map(|index| &mut folder[index]), rest) {
        (None, []) => folder.push((first.clone(), Node::File)),
        (None, rest) => {
            let mut inside = Vec::new();
            create(&mut inside, rest)?;
            folder.push((first.clone(), Node::Folder(inside)));
        }
        (Some((name, Node::Folder(inside))), [_, ..]) if name.1 == first.1 => return create(inside, rest),
        (Some(_), _) => return None,
    }
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn files_are_admitted_that_every_volume_has_room_for(
        files in prop::collection::vec(prop::collection::vec(name(), 1..4), 0..5),
    ) {
        let mut volume = vec![((OURS.to_vec(), ".plimsoll".to_owned()), Node::File)];
        let fits = files.iter().all(|path| create(&mut volume, path).is_some());
        let text = |path: &Vec<Name>| path.iter().map(|name| name.1.as_str()).collect::<Vec<_>>().join("/");
        let paths: Vec<SafePath> = files.iter().map(|path| text(path).parse().unwrap()).collect();
        let checked = check(paths.iter());
        prop_assert_eq!(checked.is_ok(), fits, "{:?}", checked);
        prop_assert_eq!(check(paths.iter().rev()).is_ok(), fits, "in another order");
        match checked {
            Ok(()) => {}
            Err(PlanError::Reserved { path }) => {
                prop_assert!(path.as_str().to_lowercase().starts_with(".plimsoll"));
            }
            Err(PlanError::Collision { path, .. }) => prop_assert!(paths.contains(&path)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
