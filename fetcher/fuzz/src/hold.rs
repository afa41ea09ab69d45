//! What has to hold of anything that was accepted, and of what is said of the rest. Written differently from the code
//! that it is held against.

use std::fmt::{Debug, Display};
use std::path::{Component, Path};
use std::str::FromStr;

use fetcher::chain;
use fetcher::limits::Limits;
use fetcher::manifest::ManifestFile;
use handoff::SafePath;

/// More than any message needs; nothing from outside may decide how long one gets.
const LONGEST_MESSAGE: usize = 4096;

/// A message that somebody reads on a terminal: short, and of characters that show as what they are.
pub fn message(error: impl Display) {
    let text = error.to_string();
    assert!(!text.is_empty());
    assert!(text.len() <= LONGEST_MESSAGE, "a message of {} bytes", text.len());
    assert!(text.chars().all(is_shown), "not fit for a terminal: {text:?}");
}

/// The same of an error and all its causes.
pub fn error(error: &(dyn std::error::Error + 'static)) {
    message(error);
    chain::causes(error).for_each(message);
}

/// Whether a character neither moves the cursor nor changes how others are shown.
fn is_shown(character: char) -> bool {
    let code = u32::from(character);
    let is_control = code < 0x20 || (0x7f..0xa0).contains(&code);
    let is_direction = (0x202a..=0x202e).contains(&code) || (0x2066..=0x2069).contains(&code);
    !is_control && !is_direction && code != 0x2028 && code != 0x2029
}

/// A path that stays below whatever it is joined to, and can be there.
pub fn path(path: &SafePath) {
    let root = Path::new("/root");
    let joined = path.below(root);
    let below = joined.strip_prefix(root).expect("a path below its root");
    let count = below.components().count();
    assert!(below.components().all(|component| matches!(component, Component::Normal(_))), "{path}");
    assert_eq!(below.to_str(), Some(path.as_str()), "taken as it is");
    assert_eq!(count, path.as_str().split('/').count(), "{path}");
    assert!((1..=Limits::DEFAULT.path_components).contains(&count), "{count} components");
    assert!(path.as_str().len() <= Limits::DEFAULT.path_bytes);
    assert!(path.as_str().split('/').all(|component| component.len() <= 255));
    assert!(path.as_str().chars().all(|character| is_shown(character) && character != '\\'), "{path:?}");
    assert_eq!(path.ancestors().count() + 1, count);
    assert!(path.ancestors().all(|folder| folder.parse::<SafePath>().is_ok()), "{path}");
    assert!(path.as_str().ends_with(path.file_name()) && path.as_str().starts_with(path.first_component()));
}

/// What a manifest says of a file can be held to.
pub fn manifest_file(file: &ManifestFile) {
    path(&file.path);
    for part in &file.digests {
        assert_eq!(part.digest.as_bytes().len(), part.digest.algorithm().bytes());
        assert!(part.range.as_ref().is_none_or(|range| range.start < range.end));
        again(&part.digest);
    }
}

/// What prints itself reads back as the same.
pub fn again<T>(value: &T)
where
    T: FromStr + Display + PartialEq + Debug,
{
    let printed = value.to_string();
    assert_eq!(printed.parse::<T>().ok().as_ref(), Some(value), "{printed}");
}
