//! The prefixes of ordered values (R4 search.html#prefix).

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

impl Prefix {
    /// The prefix with that spelling.
    pub fn of(code: &str) -> Option<Self> {
        Some(match code {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "gt" => Self::Gt,
            "lt" => Self::Lt,
            "ge" => Self::Ge,
            "le" => Self::Le,
            "sa" => Self::Sa,
            "eb" => Self::Eb,
            "ap" => Self::Ap,
            _ => return None,
        })
    }

    /// Splits off the prefix; `eq` if there is none.
    pub fn split(text: &str) -> (Self, &str) {
        let written = text.split_at_checked(2).and_then(|(code, rest)| Some((Self::of(code)?, rest)));
        written.unwrap_or((Self::Eq, text))
    }
}
