//! One request of a measurement.
use bytes::Bytes;
use serde_json::Value;

/// A request, and the statuses expected for it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: &'static str,
    /// Relative to the base URL.
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) expected: fn(u16) -> bool,
    /// Number of resources that the request carries.
    pub(super) resources: u64,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: "GET", path, body: Bytes::new(), expected: |status| status == 200, resources: 1 }
    }

    pub(super) fn post(path: &str, body: &Value) -> Self {
        let body = Bytes::from(body.to_string());
        Self { method: "POST", path: path.to_owned(), body, expected: |status| status == 201, resources: 1 }
    }

    pub(super) fn bundle(body: impl Into<Bytes>, resources: u64) -> Self {
        let (method, path) = ("POST", String::new());
        Self { method, path, body: body.into(), expected: |status| status == 200, resources }
    }
}
