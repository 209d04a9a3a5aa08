//! One request of a load.
use bytes::Bytes;
use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: &'static str,
    /// Below the base.
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) expected: fn(u16) -> bool,
    /// Resources that it carries.
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
