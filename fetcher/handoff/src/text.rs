//! Text of somebody else's, made fit to stand in a message.
//!
//! What a registry, a store or a file says ends in logs, terminals and the termination message. None of it may move
//! the cursor, break the line, turn the rest around or be longer than what we have to say.

/// Characters of somebody's text that are shown, where nothing else is said.
const LONGEST: usize = 300;

/// The text with what a terminal would not show as it is escaped, and cut.
pub fn shown(text: &str) -> String {
    cut(text, LONGEST)
}

/// The same, cut to `longest` characters before it is escaped.
pub fn cut(text: &str, longest: usize) -> String {
    let mut characters = text.chars();
    let mut shown = String::new();
    for character in characters.by_ref().take(longest) {
        match is_harmful(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Characters that are not shown and change how others are: controls, those that turn text around, and the separators
/// of lines and paragraphs.
pub fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_in_one_line() {
        assert_eq!(shown("a 模型 `b`"), "a 模型 `b`");
        assert_eq!(shown("a\n\u{1b}[2J\u{202e}b"), r"a\n\u{1b}[2J\u{202e}b");
        assert_eq!(cut("abcdef", 3), "abc…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
