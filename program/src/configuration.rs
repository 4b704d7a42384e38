//! Configuration files: YAML, read whole before a socket opens, with errors that name the file,
//! the line, the key, what is wrong and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Longest configuration file, in octets. A larger one is a mistake (a core dump, a disk image).
pub const SIZE_MAX_OCTETS: u64 = 64 << 20;

/// A configuration file's text, in which errors of meaning find their line.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigurationError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// The key, as a path with dots; empty for the whole file.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it; empty where the problem says it.
    pub remedy: String,
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  remedy: {}", self.remedy)?;
        }
        Ok(())
    }
}

impl Source {
    /// Reads a file and parses it. Keys that `T` does not know must be refused by `T`
    /// (`deny_unknown_fields`).
    pub fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, Self), ConfigurationError> {
        let fault = |problem: String, remedy: &str| ConfigurationError {
            path: path.to_owned(),
            line: None,
            key: String::new(),
            problem,
            remedy: remedy.to_owned(),
        };
        let unreadable = |error: std::io::Error| {
            fault(format!("cannot be read: {error}"), "name a readable YAML file")
        };
        let size_octets = std::fs::metadata(path).map_err(unreadable)?.len();
        if size_octets > SIZE_MAX_OCTETS {
            return Err(fault(
                format!("has {size_octets} octets, more than {SIZE_MAX_OCTETS}"),
                "name a configuration file",
            ));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(path, text)
    }

    /// Parses a text as the content of the file `path`.
    pub fn parse<T: DeserializeOwned>(
        path: &Path,
        text: String,
    ) -> Result<(T, Self), ConfigurationError> {
        match serde_yaml::from_str(&text) {
            Ok(value) => Ok((value, Self { path: path.to_owned(), text })),
            Err(error) => Err(ConfigurationError {
                path: path.to_owned(),
                line: error.location().map(|location| location.line()),
                key: String::new(),
                problem: error.to_string(),
                remedy: String::new(),
            }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error of meaning at `key`, a path with dots in which a number is a place in a list
    /// (`spans.0.line.remote`).
    pub fn error(
        &self,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigurationError {
        ConfigurationError {
            path: self.path.clone(),
            line: self.line_of(key),
            key: key.to_owned(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// The line, from 1, of a key in block style. Where the last parts of the path are written in
    /// flow style (`{…}`, `[…]`) or are not there, it is the line of the part before them.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let lines: Vec<Line<'_>> = self.text.lines().enumerate().filter_map(Line::read).collect();
        let mut from = 0;
        let mut until = lines.len();
        let mut found = None;
        for part in key.split('.').filter(|part| !part.is_empty()) {
            let at = match part.parse::<usize>() {
                Ok(place) => nth_item(&lines[from..until], place),
                Err(_) => key_line(&lines[from..until], part),
            };
            let Some(at) = at.map(|at| at + from) else {
                break;
            };
            found = Some(lines[at].number);
            let is_item = part.parse::<usize>().is_ok();
            let indent = if is_item { lines[at].dash_indent() } else { lines[at].key_indent() };
            // What belongs to a key: deeper lines, or items at the key's own indent.
            until = (at + 1..until)
                .find(|&next| {
                    let line = &lines[next];
                    let own = if is_item { line.dash_indent() } else { line.first_indent() };
                    line.first_indent() < indent
                        || (line.first_indent() == indent && (is_item || !line.is_item()))
                        || (is_item && own < indent)
                })
                .unwrap_or(until);
            from = if is_item { at } else { at + 1 };
        }
        found
    }
}

/// A line with content, taken apart as far as finding keys needs.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn read((index, text): (usize, &'a str)) -> Option<Self> {
        let content = text.trim_start();
        (!content.is_empty() && !content.starts_with('#') && !content.starts_with("---"))
            .then_some(Self { number: index + 1, text })
    }

    fn first_indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    fn is_item(&self) -> bool {
        self.text.trim_start().starts_with("- ") || self.text.trim() == "-"
    }

    fn dash_indent(&self) -> usize {
        self.first_indent()
    }

    /// Column of the key, behind the dash of a list item.
    fn key_indent(&self) -> usize {
        if self.is_item() {
            let behind_dash = &self.text[self.first_indent() + 1..];
            self.first_indent() + 1 + (behind_dash.len() - behind_dash.trim_start().len())
        } else {
            self.first_indent()
        }
    }

    fn key(&self) -> Option<&'a str> {
        let content = self.text.get(self.key_indent()..)?;
        let (key, _) = content.split_once(':')?;
        Some(key.trim().trim_matches(['"', '\'']))
    }
}

fn key_line(lines: &[Line<'_>], wanted: &str) -> Option<usize> {
    let indent = lines.iter().map(Line::key_indent).min()?;
    lines.iter().position(|line| line.key_indent() == indent && line.key() == Some(wanted))
}

fn nth_item(lines: &[Line<'_>], place: usize) -> Option<usize> {
    let indent = lines.iter().filter(|line| line.is_item()).map(Line::dash_indent).min()?;
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.is_item() && line.dash_indent() == indent)
        .nth(place)
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    const TEXT: &str = "\
# A gateway.
name: gateway-a
sip:
  udp: [127.0.0.10:5060]
spans:
  - name: one
    line:
      remote: 127.0.0.30:40010
  - name: two
    line: { remote: 127.0.0.30:40020 }
routes:
- prefix: '03'
  trunk_groups: [a]
- prefix: '0469'
";

    fn source() -> Source {
        Source { path: "gateway.yaml".into(), text: TEXT.into() }
    }

    #[test]
    fn keys_are_found_in_maps_and_lists() {
        let source = source();
        for (key, line) in [
            ("name", 2),
            ("sip.udp", 4),
            ("spans.0.name", 6),
            ("spans.0.line.remote", 8),
            ("spans.1.name", 9),
            ("spans.1.line.remote", 10),
            ("routes.0.trunk_groups", 13),
            ("routes.1.prefix", 14),
        ] {
            assert_eq!(source.line_of(key), Some(line), "{key}");
        }
    }

    #[test]
    fn a_missing_key_is_reported_at_its_parent() {
        assert_eq!(source().line_of("sip.tcp"), Some(3));
        assert_eq!(source().line_of("nothing"), None);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Small {
            name: String,
        }
        let error =
            Source::parse::<Small>(Path::new("x.yaml"), "name: a\nnmae: b\n".into()).unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.to_string().contains("nmae"), "{error}");
    }

    #[test]
    fn an_error_of_meaning_names_file_line_key_and_remedy() {
        let error = source().error("spans.1.name", "is used twice", "give each span its own name");
        assert_eq!(
            error.to_string(),
            "gateway.yaml:9: spans.1.name: is used twice\n  remedy: give each span its own name"
        );
    }

    proptest! {
        #[test]
        fn any_text_and_key_is_survived(text in ".{0,200}(\n.{0,40}){0,20}", key in "[a-z0-9.]{0,12}") {
            let source = Source { path: "x".into(), text };
            source.line_of(&key);
        }
    }
}
