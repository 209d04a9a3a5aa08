//! An answer that came to a request of a tool.
use std::collections::BTreeMap;

use serde_json::Value;

/// What came of a request, as far as the tour looks at it.
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
