//! An answer received by the tour's HTTP client.
use std::collections::BTreeMap;

use serde_json::Value;

/// The parts of an answer that the tour checks.
pub(super) struct ReceivedResponse {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl ReceivedResponse {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(super) fn total(&self) -> String {
        self.json()
            .get("total")
            .map_or_else(|| format!("status {}", self.status), |total| format!("total {total}"))
    }
}
