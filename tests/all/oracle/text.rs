//! Strings and URIs.
use super::fold::{fold, soundex};

/// A text as written and as compared.
#[derive(Clone, Debug)]
pub struct Written {
    pub text: String,
    pub folded: String,
    /// Whether each of its words is searched by itself.
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
    /// It begins with the text; for a name, a word of it does.
    Begins,
    /// It begins with the text.
    Starts,
    Contains,
    Ends,
    /// The whole folded text is equal.
    Whole,
    /// The text is equal as written.
    Exact,
    /// Every word of the query has the same sound as some word.
    Sound,
}

/// The condition of a string parameter.
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

    /// Whether one of the parts matches; for sounds, all parts together.
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

/// Whether a URI is a prefix of another one, up to a `/`.
pub fn is_above(uri: &str, asked: &str) -> bool {
    match asked.strip_prefix(uri) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || uri.ends_with('/'),
        None => false,
    }
}
