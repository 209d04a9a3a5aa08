//! Strings and URIs.
use super::fold::{fold, soundex, words};

/// A text as it was written and as it is compared.
#[derive(Clone, Debug)]
pub struct Written {
    pub text: String,
    pub folded: String,
}

impl Written {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), folded: fold(text) }
    }
}

/// How a string is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Begins,
    Contains,
    Ends,
    /// The folded whole text.
    Whole,
    /// The text as it stands.
    Exact,
    /// A word with the same sound for each word asked for.
    Sound,
}

/// A string parameter as it was asked for.
pub struct AskedText {
    manner: Manner,
    asked: Written,
    sounds: Vec<Option<String>>,
}

impl AskedText {
    pub fn new(manner: Manner, text: &str) -> Self {
        let sounds = words(text).iter().map(|word| soundex(word)).collect();
        Self { manner, asked: Written::new(text), sounds }
    }

    /// Whether one of the parts fits, or for sounds all of them together.
    pub fn finds(&self, parts: &[Written]) -> bool {
        let folded = self.asked.folded.as_str();
        match self.manner {
            Manner::Begins => parts.iter().any(|part| part.folded.starts_with(folded)),
            Manner::Contains => parts.iter().any(|part| part.folded.contains(folded)),
            Manner::Ends => parts.iter().any(|part| part.folded.ends_with(folded)),
            Manner::Whole => parts.iter().any(|part| part.folded == folded),
            Manner::Exact => parts.iter().any(|part| part.text == self.asked.text),
            Manner::Sound => self.sounds_like(parts),
        }
    }

    fn sounds_like(&self, parts: &[Written]) -> bool {
        let found: Vec<Option<String>> = parts
            .iter()
            .flat_map(|part| words(&part.text))
            .map(|word| soundex(&word))
            .filter(Option::is_some)
            .collect();
        !self.sounds.is_empty() && self.sounds.iter().all(|sound| found.contains(sound))
    }
}

/// Whether a URI begins with another one, up to a `/`.
pub fn is_above(uri: &str, asked: &str) -> bool {
    match asked.strip_prefix(uri) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || uri.ends_with('/'),
        None => false,
    }
}
