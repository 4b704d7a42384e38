//! The configuration's reader as `fn(&[u8])` for fuzzers. Compiled with `--cfg fuzzing` and in the tests
//! of this crate.
#![allow(clippy::missing_panics_doc)]

use std::path::Path;

use trunkline_program::Source;

use crate::configuration::{Configuration, File};

#[cfg(test)]
#[path = "../../fuzz/corpus.rs"]
mod corpus;

/// A configuration: it is refused with a reason, or what `check` prints of it means the same.
pub fn gateway_configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = |text: String| {
        let (file, source) = Source::parse::<File>(Path::new("gateway.yaml"), text)?;
        Configuration::check(file, &source)
    };
    match read(text.to_string()) {
        Ok(configuration) => {
            let written = configuration.to_yaml();
            let again = read(written.clone()).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(again.to_yaml(), written);
        }
        Err(error) => {
            assert!(!error.problem.is_empty());
            // What ends a line in YAML 1.1 §5.4; the end of the file may be a line of its own.
            let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
            assert!(error.line.is_none_or(|line| line <= lines + 1), "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("gateway_configuration", gateway_configuration);
    }
}
