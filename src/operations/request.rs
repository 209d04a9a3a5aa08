//! A request, whether it came by itself or as an entry of a Bundle.
use crate::model::{ResourceId, Tree};

pub use crate::model::{decode, decode_pairs, encode};

use super::answer::Refusal;
use super::place::Route;
use super::verb::Verb;

/// What the sender of a write wants back (R4 http.html#ops).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    Minimal,
    #[default]
    Representation,
    OperationOutcome,
}

/// The headers that interactions use.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_none_exist: Option<String>,
    pub if_modified_since: Option<String>,
    pub if_unmodified_since: Option<String>,
    /// `X-Provenance`: a Provenance in JSON about what is written.
    pub provenance: Option<String>,
    pub preference: Preference,
    /// `Prefer: handling=lenient`.
    pub lenient: bool,
    /// `X-Request-Id`, or the id that the wire made for a request without one.
    pub request_id: Option<String>,
    /// The network address of the client.
    pub peer: Option<String>,
}

/// Where a request comes from, for the record of accesses.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    /// `X-Request-Id`, or the id that the wire made for a request without one.
    pub request_id: Option<String>,
    /// The network address of the client.
    pub peer: Option<String>,
}

/// The body, parsed by its media type.
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
    /// The interaction and place that method and path name, or the refusal of a request that names none.
    pub route: Result<Route, Refusal>,
}

impl Request {
    /// Method, path and query as one line, for the record of accesses; for a search by POST with its form.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{} /{}", self.verb.name(), self.path.join("/"));
        let form = match &self.payload {
            Payload::Form(form) => form.as_slice(),
            Payload::None | Payload::Resource(_) | Payload::JsonPatch(_) => &[],
        };
        let query = query_text(self.query.iter().chain(form));
        if !query.is_empty() {
            line.push('?');
            line.push_str(&query);
        }
        line
    }

    /// Parses a line of the record of accesses back into its request; `None` if the line is not of a request.
    #[must_use]
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let (target, query) = line.split_once('?').unwrap_or((line, ""));
        let (verb, path) = target.split_once(' ')?;
        let path = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        let headers = Headers { lenient: true, ..Headers::default() };
        Some(Self { headers, ..Self::new(Verb::parse(verb)?, path, decode_pairs(query)) })
    }
}

/// The patients (`Patient/id`) whom a path or the values of a query name by id.
pub(super) fn patients_named<'n>(
    mut path: impl Iterator<Item = &'n str>,
    query: impl IntoIterator<Item = &'n (String, String)>,
) -> Vec<String> {
    let mut found = Vec::new();
    let is_of_patients = path.next() == Some("Patient");
    if let (true, Some(id)) = (is_of_patients, path.next().and_then(ResourceId::parse)) {
        found.push(format!("Patient/{id}"));
    }
    for (name, value) in query {
        let last = name.rsplit(['.', ':']).next().unwrap_or_default();
        let may_be_id = OF_PATIENTS.contains(&last)
            || last == "Patient"
            || (last == "_id" && (is_of_patients || name != "_id"));
        for part in value.split(',') {
            let id = match part.strip_prefix("Patient/") {
                Some(id) => ResourceId::parse(id),
                None => ResourceId::parse(part).filter(|_| may_be_id),
            };
            found.extend(id.map(|id| format!("Patient/{id}")));
        }
    }
    found.sort();
    found.dedup();
    found.truncate(NAMED_MAX);
    found
}

/// A query as text for the record of accesses. People read it, so it encodes only what its syntax needs.
#[must_use]
pub fn query_text<'p>(pairs: impl IntoIterator<Item = &'p (String, String)>) -> String {
    let pair =
        |(name, value): &(String, String)| format!("{}={}", plain(name).replace('=', "%3D"), plain(value));
    pairs.into_iter().map(pair).collect::<Vec<_>>().join("&")
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '%' | '&' | '+' | '#' => out.push_str(&format!("%{:02X}", u32::from(sign))),
            sign if sign.is_control() => out.push_str(&encode(sign.encode_utf8(&mut [0; 4]))),
            sign => out.push(sign),
        }
    }
    out
}

/// What the record of accesses keeps of the request itself.
#[derive(Clone, Debug)]
pub(super) struct RequestForRecord {
    pub(super) line: String,
    /// `Patient/id` of the patients whom it names in its path or parameters.
    pub(super) named: Vec<String>,
    pub(super) request_id: Option<String>,
    pub(super) peer: Option<String>,
}

/// Parameters whose values may be ids of patients.
const OF_PATIENTS: [&str; 6] = ["patient", "subject", "beneficiary", "individual", "member", "link"];
/// At most so many patients that one request names are recorded singly; the rest appear only in the request's line.
const NAMED_MAX: usize = 64;

impl Request {
    /// The patients whom the request names. Even an answer that shows nothing, such as a count, tells something about them.
    fn named_patients(&self) -> Vec<String> {
        let form = match &self.payload {
            Payload::Form(form) => form.as_slice(),
            Payload::None | Payload::Resource(_) | Payload::JsonPatch(_) => &[],
        };
        patients_named(self.path.iter().map(String::as_str), self.query.iter().chain(form))
    }

    pub(super) fn asked(&self) -> RequestForRecord {
        RequestForRecord {
            line: self.line(),
            named: self.named_patients(),
            request_id: self.headers.request_id.clone(),
            peer: self.headers.peer.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Payload, Request, Verb};

    #[test]
    fn a_line_of_the_record_is_read_back_as_the_search_that_it_is_of() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let query = vec![
            pair("identifier", "urn:mrn|1&2"),
            pair("name:contains", "a=b%26 +c#d"),
            pair("a=b&c", ""),
            pair("_filter", "name co \"Müller, O\u{2019}Brien\" or id eq 1"),
            pair("code", "http://loinc.org|1-2,x\ny"),
        ];
        let path = vec!["Patient".to_owned(), "_search".to_owned()];
        let payload = Payload::Form(query[2..].to_vec());
        let request = Request { payload, ..Request::new(Verb::Post, path.clone(), query[..2].to_vec()) };
        let read = Request::of_line(&request.line()).unwrap();
        assert_eq!((read.verb, &read.path, &read.query), (Verb::Post, &path, &query));
        assert!(
            request.line().starts_with("POST /Patient/_search?identifier=urn:mrn|1%262&"),
            "{}",
            request.line()
        );
        assert!(Request::of_line("access tokens refused: 1").is_none());
    }
}
