//! A visit, while the resources about it are written.
use serde_json::{Value, json};

/// A visit: its Encounter's id, start in milliseconds, doctor, and diagnosis.
pub(super) struct Visit {
    pub(super) id: String,
    pub(super) start: i64,
    pub(super) doctor: &'static str,
    pub(super) problem: &'static str,
    pub(super) problem_name: &'static str,
}

impl Visit {
    pub(super) fn reference(&self) -> Value {
        json!({"reference": format!("Encounter/{}", self.id)})
    }
}
