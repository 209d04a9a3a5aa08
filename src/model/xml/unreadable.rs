//! Why an XML document is no resource, and what stands for a narrative while a document is read.
use fhirbolt::FhirReleases;
use fhirbolt::element::Element;

use crate::model::outcome::Outcome;

pub(super) type R4Element = Element<{ FhirReleases::R4 }>;

/// Why an XML document is no resource.
#[derive(Debug)]
pub struct Unreadable {
    /// All findings of the scan: syntax with line and column, unknown elements and attributes with their path; or what fhirbolt
    /// finds after it.
    pub outcome: Outcome,
    /// Whether it is no XML as FHIR has it at all; else its names or values are not those of a resource.
    pub is_malformed: bool,
}

impl Unreadable {
    pub(super) fn malformed(outcome: impl Into<Outcome>) -> Self {
        Self { outcome: outcome.into(), is_malformed: true }
    }
}

pub(super) const DIV_OPEN: &str = "<div xmlns=\"http://www.w3.org/1999/xhtml\">";
pub(super) const DIV_CLOSE: &str = "</div>";

/// What stands for the n-th narrative while fhirbolt has the rest.
pub(super) fn stand_in(number: usize) -> String {
    format!("{DIV_OPEN}narrative-{number}{DIV_CLOSE}")
}
