//! Holds [`Directory`] against a resolver that walks a picture of the tree: whatever is planted in a volume and whatever
//! is asked for, nothing outside is changed or read, and what succeeds happened where the picture says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, symlink};

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What somebody puts into the volume.
#[derive(Clone, Debug)]
enum Planted {
    Folder,
    File,
    Pipe,
    Link(&'static str),
    /// A second name of the secret outside.
    SecretsName,
    /// A second name of a file inside.
    SecondName,
}

#[derive(Clone, Debug)]
enum Operation {
    Folder(String),
    MakeFolder(String),
    Read(String),
    Write(String),
    /// Without `openat2`.
    Walk(String),
    Kind(String),
    RemoveFile(String),
    RemoveFolder(String),
    Rename(String, String),
}

fn plain() -> impl Strategy<Value = String> {
    prop::collection::vec(select(vec!["a", "b", "c"]), 1..4).prop_map(|components| components.join("/"))
}

/// Now and then what no name from outside can be, but what the directory must withstand all the same.
fn asked() -> impl Strategy<Value = String> {
    let odd = prop::collection::vec(select(vec!["a", "b", "..", ".", "", "outside", "secret"]), 1..5);
    let far = select(vec!["../outside/secret", "/etc/passwd", "../outside/new", "a/../../outside", "/"]);
    prop_oneof![
        12 => plain(),
        2 => odd.prop_map(|components| components.join("/")),
        1 => far.prop_map(str::to_owned),
    ]
}

fn planted() -> impl Strategy<Value = Planted> {
    let links = vec![
        "../outside",
        "../../outside",
        "../outside/secret",
        "a",
        "b",
        "/etc",
        "..",
        ".",
        "nowhere",
        "../outside/new",
    ];
    prop_oneof![
        8 => Just(Planted::Folder),
        4 => Just(Planted::File),
        1 => Just(Planted::Pipe),
        4 => select(links).prop_map(Planted::Link),
        1 => Just(Planted::SecretsName),
        1 => Just(Planted::SecondName),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        asked().prop_map(Operation::Folder),
        asked().prop_map(Operation::MakeFolder),
        asked().prop_map(Operation::Read),
        asked().prop_map(Operation::Write),
        asked().prop_map(Operation::Walk),
        asked().prop_map(Operation::Kind),
        asked().prop_map(Operation::RemoveFile),
        asked().prop_map(Operation::RemoveFolder),
        (asked(), asked()).prop_map(|(from, to)| Operation::Rename(from, to)),
    ]
}

/// What is at a path of the picture.
#[derive(Clone, Debug, PartialEq)]
enum Thing {
    Folder,
    /// Its number, how many names it has, and its content.
    File(u64, u64, Vec<u8>),
    Pipe,
    Link(PathBuf),
}

type Picture = BTreeMap<String, Thing>;

/// Everything below a directory, by its path.
fn picture(root: &Path) -> Picture {
    let (mut picture, mut folders) = (Picture::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let found = entry.path().symlink_metadata().unwrap();
            let kind = found.file_type();
            let thing = if kind.is_dir() {
                folders.push(path.clone());
                Thing::Folder
            } else if kind.is_symlink() {
                Thing::Link(fs::read_link(entry.path()).unwrap())
            } else if kind.is_fifo() {
                Thing::Pipe
            } else {
                Thing::File(found.ino(), found.nlink(), fs::read(entry.path()).unwrap())
            };
            picture.insert(path, thing);
        }
    }
    picture
}

/// Whether a path is one that the directory is made for.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|component| !["", ".", ".."].contains(&component))
}

/// Where a path leads when no link is followed; nothing if it leads out or through something that is not a folder.
fn resolve(picture: &Picture, path: &str) -> Option<String> {
    let mut at: Vec<&str> = Vec::new();
    for component in path.split('/') {
        let is_folder = at.is_empty() || picture.get(&at.join("/")) == Some(&Thing::Folder);
        match component {
            _ if !is_folder => return None,
            "" | "." => {}
            ".." => drop(at.pop()?),
            name => at.push(name),
        }
    }
    Some(at.join("/"))
}

/// Changes the picture as the operation is to change the volume. Says whether that is possible.
fn apply(picture: &mut Picture, operation: &Operation) -> bool {
    let lookup = |picture: &Picture, path: &str| {
        let at = resolve(picture, path)?;
        let thing = if at.is_empty() { Some(Thing::Folder) } else { picture.get(&at).cloned() };
        Some((at, thing))
    };
    match operation {
        Operation::Folder(path) => matches!(lookup(picture, path), Some((_, Some(Thing::Folder)))),
        Operation::MakeFolder(path) => match lookup(picture, path) {
            None => false,
            Some((_, Some(_))) => true,
            Some((at, None)) => picture.insert(at, Thing::Folder).is_none(),
        },
        Operation::Read(path) => matches!(lookup(picture, path), Some((_, Some(Thing::File(..))))),
        Operation::Walk(path) => {
            matches!(lookup(picture, path), Some((_, Some(Thing::File(..) | Thing::Folder | Thing::Pipe))))
        }
        Operation::Write(path) => match lookup(picture, path) {
            Some((at, Some(Thing::File(number, 1, mut content)))) => {
                content.splice(..content.len().min(WRITTEN.len()), WRITTEN.iter().copied());
                picture.insert(at, Thing::File(number, 1, content)).is_some()
            }
            Some((at, None)) => picture.insert(at, Thing::File(0, 1, WRITTEN.to_vec())).is_none(),
            _ => false,
        },
        Operation::Kind(path) => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let first_missing = (1..=folder.split('/').count()).find_map(|count| {
                let part = folder.split('/').take(count).collect::<Vec<_>>().join("/");
                (!part.is_empty() && picture.get(&part) != Some(&Thing::Folder)).then_some(part)
            });
            first_missing.is_none_or(|part| !picture.contains_key(&part))
        }
        Operation::RemoveFile(path) => match lookup(picture, path) {
            Some((at, Some(thing))) if thing != Thing::Folder => picture.remove(&at).is_some(),
            _ => false,
        },
        Operation::RemoveFolder(path) => match lookup(picture, path) {
            Some((at, Some(Thing::Folder))) if is_empty(picture, &at) => picture.remove(&at).is_some(),
            _ => false,
        },
        Operation::Rename(from, to) => {
            let (Some((from, Some(moved))), Some((to, replaced))) =
                (lookup(picture, from), lookup(picture, to))
            else {
                return false;
            };
            rename(picture, &from, &moved, &to, replaced.as_ref())
        }
    }
}

fn is_empty(picture: &Picture, folder: &str) -> bool {
    picture.keys().all(|path| !path.starts_with(&format!("{folder}/")))
}

fn rename(picture: &mut Picture, from: &str, moved: &Thing, to: &str, replaced: Option<&Thing>) -> bool {
    let is_inside = to.starts_with(&format!("{from}/")) || from.starts_with(&format!("{to}/"));
    let fits = match (moved, replaced) {
        (_, None) => true,
        (Thing::Folder, Some(Thing::Folder)) => from == to || is_empty(picture, to),
        (Thing::Folder, Some(_)) | (_, Some(Thing::Folder)) => false,
        _ => true,
    };
    if is_inside || !fits {
        return false;
    }
    // Of two names of one file the kernel keeps both.
    let same =
        matches!((moved, replaced), (Thing::File(one, ..), Some(Thing::File(other, ..))) if one == other);
    if from != to && !same {
        let below = format!("{from}/");
        let all: Vec<_> =
            picture.keys().filter(|path| *path == from || path.starts_with(&below)).cloned().collect();
        for path in all {
            let thing = picture.remove(&path).unwrap();
            picture.insert(format!("{to}{}", &path[from.len()..]), thing);
        }
    }
    true
}

const WRITTEN: &[u8] = b"written";
const SECRET: &[u8] = b"secret of somebody else";

/// Does it, and says whether it succeeded. What is read is of a file that the picture has.
fn carry_out(directory: &Directory, operation: &Operation, before: &Picture) -> bool {
    let known = |file: &File, path: &str| {
        let number = file.metadata().unwrap().ino();
        let at = resolve(before, path).expect("a way inside");
        match before.get(&at) {
            Some(Thing::File(expected, _, content)) => {
                assert_eq!(number, *expected, "another file than {at}");
                let mut read = Vec::new();
                file.try_clone().unwrap().read_to_end(&mut read).unwrap();
                assert_eq!(read, *content);
            }
            other => assert_eq!(other, None, "{at}"),
        }
    };
    match operation {
        Operation::Folder(path) => directory.folder(path).is_ok(),
        Operation::MakeFolder(path) => directory.make_folder(path).is_ok(),
        Operation::Read(path) => directory.file(path, Access::Read).inspect(|file| known(file, path)).is_ok(),
        Operation::Write(path) => match directory.file(path, Access::Write) {
            Ok(mut file) => {
                // Looked at through another handle, which does not move this one on.
                known(&File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap(), path);
                file.write_all(WRITTEN).unwrap();
                true
            }
            Err(_) => false,
        },
        Operation::Walk(path) => {
            let opened =
                directory.walk(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
            let file = opened.map(File::from);
            if let Ok(file) = &file
                && file.metadata().unwrap().is_file()
            {
                known(file, path);
            }
            file.is_ok()
        }
        Operation::Kind(path) => directory.kind(path).is_ok(),
        Operation::RemoveFile(path) => directory.remove_file(path).is_ok(),
        Operation::RemoveFolder(path) => directory.remove_folder(path).is_ok(),
        Operation::Rename(from, to) => directory.rename(from, directory, to).is_ok(),
    }
}

/// The same picture but for the numbers of files, which a new one has to find, and their names' counts.
fn shape(picture: &Picture) -> Picture {
    let plain = |thing: &Thing| match thing {
        Thing::File(_, _, content) => Thing::File(0, 0, content.clone()),
        other => other.clone(),
    };
    picture.iter().map(|(path, thing)| (path.clone(), plain(thing))).collect()
}

fn plant(inside: &Path, path: &str, planted: &Planted, secret: &Path) {
    let at = inside.join(path);
    let Some(parent) = at.parent() else { return };
    // What cannot be planted there is not.
    if !parent.symlink_metadata().is_ok_and(|found| found.is_dir()) || at.symlink_metadata().is_ok() {
        return;
    }
    match planted {
        Planted::Folder => fs::create_dir(at).unwrap(),
        Planted::File => fs::write(at, path).unwrap(),
        Planted::Pipe => rustix::fs::mkfifoat(CWD, at, Mode::from_raw_mode(0o600)).unwrap(),
        Planted::Link(target) => symlink(target, at).unwrap(),
        Planted::SecretsName => fs::hard_link(secret, at).unwrap(),
        Planted::SecondName => {
            let files = picture(inside).into_iter().find(|(_, thing)| matches!(thing, Thing::File(..)));
            if let Some((other, _)) = files {
                fs::hard_link(inside.join(other), at).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_outside_is_touched_and_what_succeeds_happened_inside(
        planted in prop::collection::vec((plain(), planted()), 0..16),
        operations in prop::collection::vec(operation(), 1..16),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir_all(outside.join("folder")).unwrap();
        let secret = outside.join("secret");
        fs::write(&secret, SECRET).unwrap();
        planted.iter().for_each(|(path, planted)| plant(&inside, path, planted, &secret));
        let directory = Directory::open(&inside).unwrap();
        for operation in operations {
            let before = picture(&inside);
            let succeeded = carry_out(&directory, &operation, &before);
            let mut expected = before.clone();
            let is_possible = apply(&mut expected, &operation);
            let after = picture(&inside);
            let paths = match &operation {
                Operation::Rename(from, to) => vec![from, to],
                Operation::Folder(path) | Operation::MakeFolder(path) | Operation::Read(path) => vec![path],
                Operation::Write(path) | Operation::Walk(path) | Operation::Kind(path) => vec![path],
                Operation::RemoveFile(path) | Operation::RemoveFolder(path) => vec![path],
            };
            if paths.iter().all(|path| is_plain(path)) {
                prop_assert_eq!(succeeded, is_possible, "{:?} in {:?}", &operation, &before);
            }
            let unchanged = shape(&before) == shape(&after);
            prop_assert!(
                if succeeded { shape(&after) == shape(&expected) || unchanged && !is_possible } else { unchanged },
                "{:?} made {:?} of {:?}", &operation, &after, &before
            );
            let outside = picture(&outside);
            prop_assert_eq!(outside.keys().collect::<Vec<_>>(), ["folder", "secret"]);
            prop_assert_eq!(fs::read(&secret).unwrap(), SECRET);
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }
}
