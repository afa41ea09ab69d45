//! Text from outside, made fit to stand in one line on anybody's terminal.
//!
//! Reasons quote the fetcher, the receipt and the model server, and end in Kubernetes events, Argo CD and
//! shells. No quoted text may break the line, move the cursor or push the rest out of sight.

use std::error::Error;

/// Longest reason, in characters: a termination message's 512 bytes and some words around it.
pub const LONGEST: usize = 600;

/// `text` without control characters, cut to `longest` characters.
pub fn of(text: &str, longest: usize) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut line: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() {
        line.push('…');
    }
    line
}

/// An error and all its sources, each said once.
pub fn of_error(error: &dyn Error) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let words: Vec<_> = chain.map(ToString::to_string).collect();
    of(&words.join(": "), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_spaces_and_long_text_is_cut() {
        assert_eq!(of("a\r\nb\u{1b}[31mc\u{85}", 80), "a  b [31mc ");
        assert_eq!(of("äöü", 3), "äöü");
        assert_eq!(of("äöüß", 3), "äöü…");
    }

    #[test]
    fn an_error_is_followed_by_its_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(of_error(&error), "cannot read x: disk on fire");
    }
}
