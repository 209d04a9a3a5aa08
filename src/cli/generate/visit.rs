//! A visit, with what is written about it.
use serde_json::{Value, json};

/// A visit that is being written down.
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
