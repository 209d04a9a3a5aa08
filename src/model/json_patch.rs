//! JSON Patch (RFC 6902) on the text of a resource, by the json-patch crate.
use super::outcome::{IssueCode, Outcome};

/// Applies a JSON Patch document to a JSON document and gives the new text.
///
/// # Errors
/// An outcome: the patch is no JSON Patch (`structure`), or an operation does not apply (`processing`; a failed `test`
/// is `business-rule`). Nothing is changed then.
pub fn apply(document: &str, patch: &[u8]) -> Result<String, Outcome> {
    let patch: json_patch::Patch = serde_json::from_slice(patch).map_err(|error| {
        Outcome::error(IssueCode::Structure, format!("the body is no JSON Patch: {error}"))
    })?;
    let corrupt = |error: serde_json::Error| {
        Outcome::error(IssueCode::Exception, "the patch failed").because(error.to_string())
    };
    let mut document: serde_json::Value = serde_json::from_str(document).map_err(corrupt)?;
    json_patch::patch(&mut document, &patch).map_err(|error| {
        let code = match error.kind {
            json_patch::PatchErrorKind::TestFailed => IssueCode::BusinessRule,
            _ => IssueCode::Processing,
        };
        Outcome::error(code, format!("operation {} at `{}`: {}", error.operation, error.path, error.kind))
    })?;
    serde_json::to_string(&document).map_err(corrupt)
}
