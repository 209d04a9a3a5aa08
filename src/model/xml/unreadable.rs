//! Why an XML document is not a resource, and the short text that stands for a narrative while fhirbolt converts the rest.
use fhirbolt::FhirReleases;
use fhirbolt::element::Element;

use crate::model::outcome::Outcome;

pub(super) type R4Element = Element<{ FhirReleases::R4 }>;

/// Why an XML document is not a resource.
#[derive(Debug, thiserror::Error)]
#[error("{outcome}")]
pub struct Unreadable {
    /// All findings of the scan (syntax errors with line and column, unknown elements and attributes with their path), or the
    /// error that fhirbolt reports after it.
    pub outcome: Outcome,
    /// Whether the document is not well-formed FHIR XML; otherwise its names or values are not those of a resource.
    pub is_malformed: bool,
}

impl Unreadable {
    pub(super) fn malformed(outcome: impl Into<Outcome>) -> Self {
        Self { outcome: outcome.into(), is_malformed: true }
    }
}

pub(super) const DIV_OPEN: &str = "<div xmlns=\"http://www.w3.org/1999/xhtml\">";
pub(super) const DIV_CLOSE: &str = "</div>";

/// The short text that stands for the n-th narrative. fhirbolt would parse a narrative and write it in another form.
pub(super) fn stand_in(number: usize) -> String {
    format!("{DIV_OPEN}narrative-{number}{DIV_CLOSE}")
}
