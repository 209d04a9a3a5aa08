//! Bundles for answers. They consist only of disclosed resources, of links, and of figures that were counted through the lens.
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::{Millis, Outcome, Temporal, quote};

use super::disclosed::Disclosed;

/// The type of a Bundle (R4 valueset-bundle-type.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleKind {
    Searchset,
    History,
    BatchResponse,
    TransactionResponse,
}

impl BundleKind {
    fn code(self) -> &'static str {
        match self {
            Self::Searchset => "searchset",
            Self::History => "history",
            Self::BatchResponse => "batch-response",
            Self::TransactionResponse => "transaction-response",
        }
    }
}

/// Why an entry is in a searchset (`Bundle.entry.search.mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchMode {
    Match,
    Include,
    Outcome,
}

/// The response part of an entry (`Bundle.entry.response`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryResponse {
    pub status: String,
    pub location: Option<String>,
    pub etag: Option<String>,
    pub last_modified: Option<Millis>,
    pub outcome: Option<Outcome>,
}

/// One entry of a Bundle.
#[derive(Clone, Debug, Default)]
pub struct BundleEntry {
    pub full_url: Option<String>,
    pub resource: Option<Disclosed>,
    /// An OperationOutcome in the place of a resource.
    pub outcome: Option<Outcome>,
    pub mode: Option<SearchMode>,
    /// Method and URL.
    pub request: Option<(String, String)>,
    pub response: Option<EntryResponse>,
}

/// A Bundle under construction.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub kind: BundleKind,
    pub id: String,
    pub time: Millis,
    pub total: Option<usize>,
    /// Relation and URL.
    pub links: Vec<(&'static str, String)>,
    pub entries: Vec<BundleEntry>,
}

impl Bundle {
    /// The finished Bundle, with the data subjects and releases of its entries.
    #[must_use]
    pub fn disclose(&self) -> Disclosed {
        let mut out = String::with_capacity(1024 + self.entries.len() * 1024);
        let time = Temporal::from_millis(self.time).to_text();
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            out,
            "{{\"resourceType\":\"Bundle\",\"id\":\"{}\",\"meta\":{{\"lastUpdated\":\"{time}\"}},\"type\":\"{}\"",
            self.id,
            self.kind.code()
        );
        if let Some(total) = self.total {
            let _ = write!(out, ",\"total\":{total}");
        }
        list(&mut out, "link", &self.links, |out, (relation, url)| {
            let _ = write!(out, "{{\"relation\":\"{relation}\",\"url\":");
            quote(url, out);
            out.push('}');
        });
        list(&mut out, "entry", &self.entries, |out, entry| write_entry(out, entry, &self.id));
        out.push('}');
        let parts = || self.entries.iter().filter_map(|entry| entry.resource.as_ref());
        let patients: BTreeSet<String> = parts().flat_map(|part| part.patients().iter().cloned()).collect();
        let releases = parts().flat_map(|part| part.releases().iter().cloned()).collect();
        Disclosed::gathered(out, self.time, patients, releases)
    }
}

/// Writes a JSON member with an array. FHIR's JSON has no empty arrays, so an empty one is left out.
fn list<T>(out: &mut String, name: &str, items: &[T], write: impl Fn(&mut String, &T)) {
    if items.is_empty() {
        return;
    }
    let _ = write!(out, ",\"{name}\":[");
    for (item, number) in items.iter().zip(0_usize..) {
        if number > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// A URN for an OperationOutcome in a Bundle, derived from the Bundle's random id: every entry of a searchset has a `fullUrl`,
/// and an outcome has no URL (R4 bundle.html, bdl-7 and the `fullUrl` of entries).
fn outcome_urn(id: &str) -> String {
    let digits: Vec<char> =
        id.chars().filter(char::is_ascii_hexdigit).chain("0".repeat(32).chars()).collect();
    let mut urn = "urn:uuid:".to_owned();
    for (number, digit) in digits.into_iter().take(32).enumerate() {
        if matches!(number, 8 | 12 | 16 | 20) {
            urn.push('-');
        }
        // Version and variant of a random UUID (RFC 9562 section 5.4).
        urn.push(match number {
            12 => '4',
            16 => '8',
            _ => digit,
        });
    }
    urn
}

fn write_entry(out: &mut String, entry: &BundleEntry, bundle_id: &str) {
    out.push('{');
    let mut separator = "";
    let mut member = |out: &mut String, name: &str| {
        let _ = write!(out, "{separator}\"{name}\":");
        separator = ",";
    };
    let of_outcome = entry.outcome.as_ref().map(|_| outcome_urn(bundle_id));
    if let Some(url) = entry.full_url.as_ref().or(of_outcome.as_ref()) {
        member(out, "fullUrl");
        quote(url, out);
    }
    if let Some(resource) = &entry.resource {
        member(out, "resource");
        out.push_str(resource.text());
    }
    if let Some(outcome) = &entry.outcome {
        member(out, "resource");
        out.push_str(&outcome.to_json());
    }
    if let Some(mode) = entry.mode {
        member(out, "search");
        let code = match mode {
            SearchMode::Match => "match",
            SearchMode::Include => "include",
            SearchMode::Outcome => "outcome",
        };
        let _ = write!(out, "{{\"mode\":\"{code}\"}}");
    }
    if let Some((method, url)) = &entry.request {
        member(out, "request");
        let _ = write!(out, "{{\"method\":\"{method}\",\"url\":");
        quote(url, out);
        out.push('}');
    }
    if let Some(response) = &entry.response {
        member(out, "response");
        write_response(out, response);
    }
    out.push('}');
}

fn write_response(out: &mut String, response: &EntryResponse) {
    let _ = write!(out, "{{\"status\":\"{}\"", response.status);
    for (name, value) in [("location", &response.location), ("etag", &response.etag)] {
        if let Some(value) = value {
            let _ = write!(out, ",\"{name}\":");
            quote(value, out);
        }
    }
    if let Some(time) = response.last_modified {
        let _ = write!(out, ",\"lastModified\":\"{}\"", Temporal::from_millis(time).to_text());
    }
    if let Some(outcome) = &response.outcome {
        let _ = write!(out, ",\"outcome\":{}", outcome.to_json());
    }
    out.push('}');
}
