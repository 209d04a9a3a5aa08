//! Tokens: a code, a system, or both.
use super::escape::{split, unescape};
use super::occurrence::{System, Token};

/// The condition of a token parameter.
#[derive(Clone, Debug)]
pub enum AskedToken {
    Code(String),
    Coded {
        system: String,
        code: String,
    },
    /// `|code`
    WithoutSystem(String),
    /// `system|`
    System(String),
}

impl AskedToken {
    /// Parses a value, still escaped.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = split(text, '|').iter().map(|part| unescape(part)).collect();
        match parts.as_slice() {
            [code] => Ok(Self::Code(code.clone())),
            [system, code] => match (system.is_empty(), code.is_empty()) {
                (true, true) => Err("a token has a system or a code".to_owned()),
                (true, false) => Ok(Self::WithoutSystem(code.clone())),
                (false, true) => Ok(Self::System(system.clone())),
                (false, false) => Ok(Self::Coded { system: system.clone(), code: code.clone() }),
            },
            _ => Err(format!("`{text}` has more parts than a token")),
        }
    }

    pub fn finds(&self, token: &Token) -> bool {
        let has = |code: &String| {
            let same = |own: &String| {
                own == code || (token.is_caseless && own.to_lowercase() == code.to_lowercase())
            };
            token.code.as_ref().is_some_and(same)
        };
        match self {
            Self::Code(code) => has(code),
            Self::Coded { system, code } => has(code) && token.system.fits(system),
            Self::WithoutSystem(code) => has(code) && token.system == System::None,
            Self::System(system) => token.system.fits(system),
        }
    }
}

impl System {
    /// Whether it is the given system, or implied.
    pub fn fits(&self, asked: &str) -> bool {
        match self {
            Self::None => false,
            Self::Implied => true,
            Self::Named(own) => own == asked,
        }
    }
}

/// The condition `system|code|value` of `:of-type`.
pub struct AskedIdentifier {
    of_type: (String, String),
    value: String,
}

impl AskedIdentifier {
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = split(text, '|').iter().map(|part| unescape(part)).collect();
        match parts.as_slice() {
            [system, code, value] if parts.iter().all(|part| !part.is_empty()) => {
                Ok(Self { of_type: (system.clone(), code.clone()), value: value.clone() })
            }
            _ => Err(format!("`{text}` is not system|code|value")),
        }
    }

    pub fn finds(&self, token: &Token) -> bool {
        token.types.contains(&self.of_type) && token.code.as_ref() == Some(&self.value)
    }
}
