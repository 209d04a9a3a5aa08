//! The chart of a patient while it is generated, and functions that all generators share.
use serde_json::{Value, json};

use super::random::Random;

/// The present day of the generated hospital, in milliseconds since 1970: 2026-06-30.
pub(super) const TODAY: i64 = 1_782_777_600_000;
pub(super) const DAY: i64 = 86_400_000;

/// A patient's chart while it grows.
pub(super) struct Chart {
    /// `p1`, `p2`, ...
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) random: Random,
    pub(super) birth: i64,
    pub(super) female: bool,
    pub(super) resources: Vec<Value>,
    pub(super) count: u64,
}

impl Chart {
    pub(super) fn patient(&self) -> Value {
        json!({"reference": format!("Patient/{}", self.id)})
    }

    /// The next resource id in this chart.
    pub(super) fn next_id(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{}-{kind}{}", self.id, self.count)
    }

    pub(super) fn push(&mut self, resource: Value) {
        self.resources.push(resource);
    }

    pub(super) fn age_at(&self, time: i64) -> i64 {
        (time - self.birth) / (365 * DAY)
    }
}

/// A date as FHIR writes it.
pub(super) fn date(millis: i64) -> String {
    crate::model::Temporal::from_millis(millis).to_text().chars().take(10).collect()
}

/// A date with time, to the second.
pub(super) fn instant(millis: i64) -> String {
    crate::model::Temporal::from_millis(millis / 1_000 * 1_000).to_text()
}

pub(super) fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({"system": system, "code": code, "display": display})
}

pub(super) fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({"coding": [coding(system, code, display)], "text": display})
}

pub(super) const SNOMED: &str = "http://snomed.info/sct";
pub(super) const LOINC: &str = "http://loinc.org";
pub(super) const UCUM: &str = "http://unitsofmeasure.org";
pub(super) const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
