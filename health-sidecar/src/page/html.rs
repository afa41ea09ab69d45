//! Markup under construction, with one door for everything that is not ours.
//!
//! [`Html::markup`] takes `&'static str` alone, so only what this program was built with can be markup.
//! Everything else goes through [`Html::text`], which escapes for element content and quoted attributes alike.

use std::fmt::{self, Display, Write};

use jiff::Timestamp;

/// Longest text that is shown, in characters: a reason's longest, and then some.
pub const LONGEST_TEXT: usize = 640;

/// A page, or the part of it that there is so far.
#[derive(Debug)]
pub struct Html(String);

impl Html {
    /// Nothing yet, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Markup of ours.
    pub fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, whoever it is from: escaped, and cut to [`LONGEST_TEXT`].
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        // It fails when the text is too long, and has then written what there is to write.
        let _ = write!(Escaped { page: &mut self.0, left: LONGEST_TEXT }, "{text}");
        self
    }

    /// A moment, in a form for people and in one for programs.
    pub fn time(&mut self, at: Timestamp, form: &'static str) -> &mut Self {
        self.markup("<time datetime=\"").text(at).markup("\">");
        self.text(at.strftime(form)).markup("</time>")
    }

    /// The whole.
    pub fn finish(self) -> String {
        self.0
    }
}

/// The one escaping function, as a writer: what passes is text in any place of a page.
struct Escaped<'a> {
    page: &'a mut String,
    left: usize,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.left == 0 {
                self.page.push('…');
                return Err(fmt::Error);
            }
            self.left -= 1;
            match character {
                '&' => self.page.push_str("&amp;"),
                '<' => self.page.push_str("&lt;"),
                '>' => self.page.push_str("&gt;"),
                '"' => self.page.push_str("&quot;"),
                '\'' => self.page.push_str("&#39;"),
                control if control.is_control() => self.page.push(' '),
                deceptive if is_deceptive(deceptive) => self.page.push('\u{fffd}'),
                other => self.page.push(other),
            }
        }
        Ok(())
    }
}

/// Characters that are not seen and change how others are shown: bidirectional controls, invisible joiners, marks of
/// line ends and byte order.
fn is_deceptive(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::with_capacity(0);
        html.text(text);
        html.finish()
    }

    #[test]
    fn nothing_that_goes_in_is_markup() {
        for (text, shown) in [
            ("plain ü 模型 🚢", "plain ü 模型 🚢"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\" onload=\"x", "&quot; onload=&quot;x"),
            ("' onload='x", "&#39; onload=&#39;x"),
            ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
            ("</title></style><!--", "&lt;/title&gt;&lt;/style&gt;&lt;!--"),
            ("a\0b\r\nc\u{1b}[31m\u{85}", "a b  c [31m "),
            ("exe\u{202e}gpj\u{200b}.\u{2066}x\u{feff}", "exe\u{fffd}gpj\u{fffd}.\u{fffd}x\u{fffd}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn long_text_is_cut_where_it_is_written() {
        assert_eq!(escaped(&"ä".repeat(LONGEST_TEXT)), "ä".repeat(LONGEST_TEXT));
        let cut = escaped(&"<".repeat(10_000_000));
        assert_eq!(cut, "&lt;".repeat(LONGEST_TEXT) + "…");
        // Whatever writes in pieces is cut as a whole.
        let mut html = Html::with_capacity(0);
        html.text(format_args!("{}{}", "a".repeat(LONGEST_TEXT), "b")).markup("!");
        assert_eq!(html.finish(), "a".repeat(LONGEST_TEXT) + "…!");
    }
}
