//! A request, whether it came by itself or as an entry of a Bundle.
use crate::model::Tree;

/// The method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The verb of that name; `None` for methods that FHIR does not use.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What the sender of a write wants back (R4 http.html#ops).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    Minimal,
    #[default]
    Representation,
    OperationOutcome,
}

/// The headers that mean something here.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_none_exist: Option<String>,
    pub if_modified_since: Option<String>,
    pub preference: Preference,
    /// `Prefer: handling=lenient`.
    pub lenient: bool,
}

/// The body, read as far as its media type says.
#[derive(Debug, Default)]
pub enum Payload {
    #[default]
    None,
    Resource(Tree),
    JsonPatch(Vec<u8>),
    /// The parameters of a search by POST.
    Form(Vec<(String, String)>),
}

/// A request as the interactions take it.
#[derive(Debug)]
pub struct Request {
    pub verb: Verb,
    /// Path segments below the base, decoded.
    pub path: Vec<String>,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    pub headers: Headers,
    pub payload: Payload,
}

impl Request {
    /// Method, path and query as one line, for the record of accesses.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{} /{}", self.verb.name(), self.path.join("/"));
        for ((name, value), number) in self.query.iter().zip(0_usize..) {
            line.push(if number == 0 { '?' } else { '&' });
            line.push_str(name);
            line.push('=');
            line.push_str(value);
        }
        line
    }
}

/// Splits a query string or form into decoded pairs.
#[must_use]
pub fn decode_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Resolves percent-encoding and plus signs.
#[must_use]
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes a name or value of a query.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b',' | b'/' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
