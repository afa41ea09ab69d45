//! Holds [`SafePath`] against a model that reads a path by its components, and against the file system.

use std::path::Component;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What Windows keeps for itself, as the documentation lists it.
const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
const NUMBERED: [&str; 2] = ["COM", "LPT"];
const NUMBERS: [&str; 13] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "\u{b9}", "\u{b2}", "\u{b3}"];
/// What must not be in a path, character by character: a sample of the controls, and all that turn text around.
const BAD: [char; 20] = [
    '\\', '\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{202a}', '\u{202b}', '\u{202c}',
    '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{2028}', '\u{2029}',
];

fn piece() -> impl Strategy<Value = String> {
    let devices =
        vec!["con", "Prn", "AUX", "nul", "com1", "Lpt9", "COM\u{b9}", "lpt\u{b2}", "com", "com10", "conx"];
    prop_oneof![
        24 => select(vec!["a", "b.bin", "模型", "ü", " ", "-", "...", ".h"]).prop_map(str::to_owned),
        12 => Just("/".to_owned()),
        2 => select(vec![".", "..", "/../", "/./", "//"]).prop_map(str::to_owned),
        3 => select(devices).prop_map(str::to_owned),
        2 => select(vec![".txt", " .txt", ".", " "]).prop_map(str::to_owned),
        1 => select(BAD.to_vec()).prop_map(String::from),
        1 => select(vec![254_usize, 255, 256, 1000]).prop_map(|length| "x".repeat(length)),
        1 => select(vec![15_usize, 30, 31, 32]).prop_map(|depth| "d/".repeat(depth)),
    ]
}

fn is_device(component: &str) -> bool {
    let numbered =
        NUMBERED.iter().flat_map(|kind| NUMBERS.iter().map(move |number| format!("{kind}{number}")));
    let upper = component.to_uppercase();
    let mut devices = DEVICES.iter().map(|device| (*device).to_owned()).chain(numbered);
    devices.any(|device| {
        let rest = upper.strip_prefix(&device).map(|rest| rest.trim_start_matches(' '));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// By the components, as the standard library and the text itself see them.
fn is_safe(text: &str) -> bool {
    let components: Vec<_> = Path::new(text).components().collect();
    let ordinary = components.iter().all(|component| matches!(component, Component::Normal(_)));
    // The standard library overlooks what is empty or a dot.
    let written = components.iter().map(|component| component.as_os_str().to_str().unwrap());
    let written: Vec<_> = written.collect();
    ordinary
        && written.join("/") == text
        && (1..=32).contains(&written.len())
        && text.len() <= 1024
        && written.iter().all(|component| component.len() <= 255 && !is_device(component))
        && !text.contains(BAD)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_path_is_admitted_when_every_component_is_ordinary(pieces in prop::collection::vec(piece(), 0..7)) {
        let text = pieces.concat();
        let parsed = text.parse::<SafePath>();
        prop_assert_eq!(parsed.is_ok(), is_safe(&text), "{:?}", parsed);
        if let Err(error) = parsed {
            let shown = error.to_string();
            prop_assert!(BAD.iter().all(|bad| *bad == '\\' || !shown.contains(*bad)), "{shown:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_file_of_that_path_is_below_its_root(pieces in prop::collection::vec(piece(), 1..7)) {
        let Ok(path) = pieces.concat().parse::<SafePath>() else { return Ok(()) };
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let file = path.below(&root);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "content").unwrap();
        let really = file.canonicalize().unwrap();
        prop_assert_eq!(really.strip_prefix(root.canonicalize().unwrap()).unwrap(), Path::new(path.as_str()));
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside the root");
        let folders: Vec<_> = file.ancestors().skip(1).take_while(|above| **above != *root).collect();
        let named: Vec<_> = path.ancestors().map(|above| root.join(above)).collect();
        prop_assert_eq!(folders, named);
    }
}
