//! Which files of a model are fetched, where not all of them are wanted.
//!
//! A model often comes in several formats, and a server needs one. Patterns are matched as Hugging Face's and KServe's
//! own clients do it: against the whole path below the model, with `*` and `?` standing for `/` too, and a pattern that
//! ends in `/` for all that is in that folder.

use std::fmt;
use std::str::FromStr;

use glob::Pattern;
use handoff::{SafePath, Selection};

/// Which files are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    selection: Selection,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Filter {
    /// The files that match one of `include`, or all where there is none, without those that match one of `exclude`.
    ///
    /// # Errors
    /// Says which pattern is not one.
    pub fn new(selection: Selection) -> Result<Self, String> {
        let compile =
            |patterns: &[String]| patterns.iter().map(|text| compile(text)).collect::<Result<Vec<_>, _>>();
        Ok(Self { include: compile(&selection.include)?, exclude: compile(&selection.exclude)?, selection })
    }

    /// Whether a file is wanted.
    pub fn selects(&self, path: &SafePath) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(path.as_str());
        (self.include.is_empty() || self.include.iter().any(matches)) && !self.exclude.iter().any(matches)
    }

    /// What was asked for, as the receipt records it.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }
}

fn compile(text: &str) -> Result<Pattern, String> {
    let folder = text.ends_with('/').then(|| format!("{text}*"));
    Pattern::new(folder.as_deref().unwrap_or(text))
        .map_err(|error| format!("`{}` is not a pattern: {}", text.escape_debug(), error.msg))
}

/// A list of patterns: a JSON array of texts, or texts with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(pub Vec<String>);

impl FromStr for Patterns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let patterns: Vec<String> = if text.starts_with('[') && text.ends_with(']') && text.contains('"') {
            serde_json::from_str(text).map_err(|error| format!("expected a JSON array of texts: {error}"))?
        } else {
            text.split(',').map(str::to_owned).collect()
        };
        let patterns = patterns.iter().map(|pattern| pattern.trim()).filter(|pattern| !pattern.is_empty());
        Ok(Self(patterns.map(str::to_owned).collect()))
    }
}

/// What a server needs of a model that comes in several formats: all but the weights in other formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Weights in safetensors only.
    Safetensors,
    /// Weights in GGUF only.
    Gguf,
    /// Weights in ONNX only.
    Onnx,
    /// Weights of `PyTorch` only.
    Pytorch,
    /// No weights: configuration, tokenizer and templates.
    Tokenizer,
}

/// How files of weights are named, by format; the last one is of those that nobody asks for by name.
const WEIGHTS: [(Option<Preset>, &[&str]); 5] = [
    (Some(Preset::Safetensors), &["*.safetensors", "*.safetensors.index.json"]),
    (Some(Preset::Gguf), &["*.gguf"]),
    (Some(Preset::Onnx), &["*.onnx", "*.onnx_data", "*.onnx.data"]),
    (
        Some(Preset::Pytorch),
        &["*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.ckpt", "original/*", "consolidated.*"],
    ),
    (None, &["*.h5", "*.msgpack", "*.msgpack.index.json", "*.tflite", "*.ot", "*.mlmodel", "*.mlpackage/*"]),
];

impl Preset {
    /// The patterns of what it leaves out.
    pub fn exclude(self) -> impl Iterator<Item = String> {
        let others = WEIGHTS.iter().filter(move |(format, _)| *format != Some(self));
        others.flat_map(|(_, patterns)| *patterns).map(|pattern| (*pattern).to_owned())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = ["*".to_owned()];
        let include =
            if self.selection.include.is_empty() { &all } else { self.selection.include.as_slice() };
        write!(f, "`{}`", include.join(","))?;
        match self.selection.exclude.as_slice() {
            [] => Ok(()),
            exclude => write!(f, " without `{}`", exclude.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &str, exclude: &str) -> Filter {
        let patterns = |text: &str| text.parse::<Patterns>().unwrap().0;
        Filter::new(Selection::new(patterns(include), patterns(exclude))).unwrap()
    }

    fn selected<'a>(filter: &Filter, paths: &[&'a str]) -> Vec<&'a str> {
        paths.iter().filter(|path| filter.selects(&path.parse().unwrap())).copied().collect()
    }

    const PATHS: [&str; 6] =
        ["config.json", "model.safetensors", "onnx/model.onnx", "original/a.bin", "é.json", "x/b.json"];

    #[test]
    fn patterns_are_matched_as_other_clients_do() {
        assert_eq!(selected(&Filter::default(), &PATHS), PATHS);
        assert_eq!(selected(&filter("*.json", ""), &PATHS), ["config.json", "é.json", "x/b.json"]);
        assert_eq!(
            selected(&filter("*.json,onnx/", "x/*"), &PATHS),
            ["config.json", "onnx/model.onnx", "é.json"]
        );
        assert_eq!(selected(&filter("?.json", ""), &PATHS), ["é.json"], "a character, not a byte");
        assert_eq!(selected(&filter("[cx]*.json", ""), &PATHS), ["config.json", "x/b.json"]);
        assert_eq!(selected(&filter("*.JSON", ""), &PATHS), [""; 0], "upper case is not lower case");
        assert_eq!(selected(&filter("", "*"), &PATHS), [""; 0]);
    }

    #[test]
    fn lists_are_read_in_both_ways() {
        let read = |text: &str| text.parse::<Patterns>().map(|patterns| patterns.0);
        assert_eq!(read(r#"["*.json", " a,b "]"#).unwrap(), ["*.json", "a,b"]);
        assert_eq!(read(" *.json ,, [ab].bin").unwrap(), ["*.json", "[ab].bin"]);
        assert_eq!(read("[ab]").unwrap(), ["[ab]"]);
        assert!(read("").unwrap().is_empty());
        assert!(read(r#"["a", 1]"#).unwrap_err().starts_with("expected a JSON array of texts: "));
        let error = Filter::new(Selection::new(vec!["a[".into()], vec![])).unwrap_err();
        assert_eq!(error, "`a[` is not a pattern: invalid range pattern");
    }

    #[test]
    fn a_preset_leaves_out_the_other_formats() {
        let selected = |preset: Preset| {
            let exclude = preset.exclude().collect();
            selected(&Filter::new(Selection::new(vec![], exclude)).unwrap(), &PATHS)
        };
        assert_eq!(selected(Preset::Safetensors), ["config.json", "model.safetensors", "é.json", "x/b.json"]);
        assert_eq!(selected(Preset::Onnx), ["config.json", "onnx/model.onnx", "é.json", "x/b.json"]);
        assert_eq!(selected(Preset::Tokenizer), ["config.json", "é.json", "x/b.json"]);
    }

    #[test]
    fn what_is_wanted_is_told_in_a_line() {
        assert_eq!(filter("*.json", "x/*,y").to_string(), "`*.json` without `x/*,y`");
        assert_eq!(filter("", "x").to_string(), "`*` without `x`");
    }
}
