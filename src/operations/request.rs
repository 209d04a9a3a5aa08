//! A request, whether it came by itself or as an entry of a Bundle.
use crate::model::Tree;
pub use crate::model::{decode, decode_pairs, encode};

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
    /// `X-Request-Id`, or what the wire made in its place.
    pub request_id: Option<String>,
    /// The network address of the client.
    pub peer: Option<String>,
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
    /// Method, path and query as one line, for the record of accesses; of a search by POST also its form.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{} /{}", self.verb.name(), self.path.join("/"));
        let form = match &self.payload {
            Payload::Form(form) => form.as_slice(),
            Payload::None | Payload::Resource(_) | Payload::JsonPatch(_) => &[],
        };
        for ((name, value), number) in self.query.iter().chain(form).zip(0_usize..) {
            line.push(if number == 0 { '?' } else { '&' });
            line.push_str(name);
            line.push('=');
            line.push_str(value);
        }
        line
    }
}

/// What the record of accesses keeps of a request itself.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) request_id: Option<String>,
    pub(super) peer: Option<String>,
}

impl Request {
    pub(super) fn asked(&self) -> Asked {
        Asked {
            line: self.line(),
            request_id: self.headers.request_id.clone(),
            peer: self.headers.peer.clone(),
        }
    }
}
