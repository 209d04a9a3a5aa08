//! Strings and URIs.
use super::fold::{fold, soundex};

/// A text as it was written and as it is compared.
#[derive(Clone, Debug)]
pub struct Written {
    pub text: String,
    pub folded: String,
    /// Whether each of its words is searched for itself.
    pub is_name: bool,
}

impl Written {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), folded: fold(text), is_name: false }
    }

    pub fn of_name(self) -> Self {
        Self { is_name: true, ..self }
    }

    fn begins(&self, start: &str) -> bool {
        self.folded.starts_with(start) || (self.is_name && self.folded.contains(&format!(" {start}")))
    }
}

/// How a string is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// From the start, or of a name from the start of a word.
    Begins,
    /// From the start.
    Starts,
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
        let sounds = fold(text).split(' ').filter_map(soundex).map(Some).collect();
        Self { manner, asked: Written::new(text), sounds }
    }

    /// Whether one of the parts fits, or for sounds all of them together.
    pub fn finds(&self, parts: &[Written]) -> bool {
        let folded = self.asked.folded.as_str();
        match self.manner {
            Manner::Begins => parts.iter().any(|part| part.begins(folded)),
            Manner::Starts => parts.iter().any(|part| part.folded.starts_with(folded)),
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
            .flat_map(|part| part.folded.split(' ').map(soundex))
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
