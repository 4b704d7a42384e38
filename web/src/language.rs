//! The two languages of the pages and the choice between them.

use serde::Deserialize;

/// A language a page is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Japanese.
    #[default]
    Ja,
    /// English.
    En,
}

impl Language {
    /// The language tag, "ja" or "en".
    pub fn tag(self) -> &'static str {
        match self {
            Language::Ja => "ja",
            Language::En => "en",
        }
    }

    /// What an Accept-Language header prefers (RFC 9110 §12.5.4); `otherwise` where it wants
    /// neither or cannot be read.
    pub fn preferred(accept_language: &str, otherwise: Language) -> Language {
        let mut best: Option<(Language, f32)> = None;
        // A header names a handful of languages; more is noise.
        for range in accept_language.split(',').take(32) {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let quality = match parameters.trim().strip_prefix("q=") {
                Some(value) => value.trim().parse().unwrap_or(0.0),
                None => 1.0,
            };
            let tag = tag.trim().to_ascii_lowercase();
            let language = match tag.split('-').next() {
                Some("ja") => Language::Ja,
                Some("en") => Language::En,
                Some("*") => otherwise,
                _ => continue,
            };
            if quality > best.map_or(0.0, |(_, quality)| quality) {
                best = Some((language, quality));
            }
        }
        best.map_or(otherwise, |(language, _)| language)
    }
}

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bilingual {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

impl Bilingual {
    /// The text in one language.
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::Ja => &self.ja,
            Language::En => &self.en,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_chooses_and_the_site_decides_otherwise() {
        let choose = |header| Language::preferred(header, Language::Ja);
        assert_eq!(choose("en-US,en;q=0.9,ja;q=0.8"), Language::En);
        assert_eq!(choose("ja,en;q=0.9"), Language::Ja);
        assert_eq!(choose("fr, en;q=0.3, ja;q=0.7"), Language::Ja);
        assert_eq!(choose("EN"), Language::En);
        assert_eq!(choose("de"), Language::Ja);
        assert_eq!(choose("en;q=0"), Language::Ja);
        assert_eq!(choose("en;q=x,,;;"), Language::Ja);
        assert_eq!(choose(""), Language::Ja);
        assert_eq!(Language::preferred("*", Language::En), Language::En);
    }
}
