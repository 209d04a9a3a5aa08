//! Applies JSON Patch (RFC 6902) to the text of a resource with the json-patch crate. Operations are applied one by one, so that
//! `copy` cannot grow a small patch into a document that exhausts memory or stack.
use json_patch::{Patch, PatchErrorKind, PatchOperation};
use serde_json::Value;

use super::json::JSON_DEPTH_MAX;
use super::outcome::{IssueCode, Outcome};

/// The maximum number of operations in a patch.
pub const PATCH_OPERATIONS_MAX: usize = 1_000;
/// The maximum number of bytes that the `copy` operations of one patch may add, measured in memory. What other operations add is
/// in the patch itself.
pub const PATCH_COPIED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The memory of a JSON value besides its text, in bytes.
const VALUE_BYTES: usize = 64;

/// Applies a JSON Patch document to a JSON document and returns the new text.
///
/// # Errors
/// The patch is not a JSON Patch (`structure`), an operation does not apply (`processing`; `business-rule` for a failed `test`),
/// or the patch exceeds a limit (`too-costly`).
pub fn apply(document: &str, patch: &[u8]) -> Result<String, Outcome> {
    let patch: Patch = serde_json::from_slice(patch).map_err(|error| {
        Outcome::error(IssueCode::Structure, format!("the body is no JSON Patch: {error}"))
    })?;
    if patch.len() > PATCH_OPERATIONS_MAX {
        let message = format!("a patch has at most {PATCH_OPERATIONS_MAX} operations");
        return Err(Outcome::error(IssueCode::TooCostly, message));
    }
    let corrupt = |error: serde_json::Error| {
        Outcome::error(IssueCode::Exception, "the patch failed").because(error.to_string())
    };
    let mut document: Value = serde_json::from_str(document).map_err(corrupt)?;
    let mut bytes_left = PATCH_COPIED_BYTES_MAX;
    for (operation, number) in patch.iter().zip(0_usize..) {
        let place = || format!("operation {number} at `{}`", operation.path());
        if let Some(message) = too_large(&document, operation, &mut bytes_left) {
            return Err(Outcome::error(IssueCode::TooCostly, format!("{}: {message}", place())));
        }
        json_patch::patch(&mut document, std::slice::from_ref(operation)).map_err(|error| {
            let code = match error.kind {
                PatchErrorKind::TestFailed => IssueCode::BusinessRule,
                _ => IssueCode::Processing,
            };
            Outcome::error(code, format!("{}: {}", place(), error.kind))
        })?;
    }
    serde_json::to_string(&document).map_err(corrupt)
}

/// Why an operation would make the document too large or too deep, if it would. Deducts copied bytes from `bytes_left`.
fn too_large(document: &Value, operation: &PatchOperation, bytes_left: &mut usize) -> Option<String> {
    let placed = match operation {
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Copy(copy) => document.pointer(copy.from.as_str()),
        PatchOperation::Move(moved) => document.pointer(moved.from.as_str()),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    }?;
    if let PatchOperation::Copy(_) = operation {
        match bytes_left.checked_sub(bytes_of(placed)) {
            Some(left) => *bytes_left = left,
            None => return Some(format!("a patch copies at most {PATCH_COPIED_BYTES_MAX} bytes")),
        }
    }
    // INVARIANT: no document exceeds the depth limit, so that recursive readers have enough stack.
    let depth = operation.path().tokens().count().saturating_add(depth_of(placed));
    (depth > JSON_DEPTH_MAX)
        .then(|| format!("the document nests deeper than the limit of {JSON_DEPTH_MAX} levels"))
}

fn bytes_of(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| name.len().saturating_add(bytes_of(member))).sum()
        }
    };
    inner.saturating_add(VALUE_BYTES)
}

/// The depth of nested lists and objects.
fn depth_of(value: &Value) -> usize {
    let mut deepest = 0;
    let mut open = vec![(value, 0_usize)];
    while let Some((value, above)) = open.pop() {
        let depth = above + 1;
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth))),
            Value::Object(members) => open.extend(members.values().map(|member| (member, depth))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::{PATCH_OPERATIONS_MAX, apply};
    use crate::model::IssueCode;

    fn patched(document: &str, operations: &[String]) -> Result<String, IssueCode> {
        let patch = format!("[{}]", operations.join(","));
        apply(document, patch.as_bytes()).map_err(|outcome| outcome.issues[0].code)
    }

    fn copy(from: &str, path: &str) -> String {
        format!(r#"{{"op":"copy","from":"{from}","path":"{path}"}}"#)
    }

    #[test]
    fn copies_do_not_double_without_end() {
        let document = r#"{"name":[{"family":"F"}]}"#;
        assert_eq!(
            patched(document, &[copy("/name/0", "/name/-"), copy("/name", "/contact")]).unwrap(),
            r#"{"name":[{"family":"F"},{"family":"F"}],"contact":[{"family":"F"},{"family":"F"}]}"#
        );
        assert_eq!(patched(document, &vec![copy("/name", "/name/-"); 40]), Err(IssueCode::TooCostly));
        let swapped: Vec<String> = (0..20).flat_map(|_| [copy("", "/a"), copy("", "/b")]).collect();
        assert_eq!(patched(document, &swapped), Err(IssueCode::TooCostly));
    }

    #[test]
    fn documents_stay_within_the_depth() {
        let add = |depth: usize| {
            let path = "/a".repeat(depth);
            format!(r#"{{"op":"add","path":"{path}","value":{{}}}}"#)
        };
        let added = |levels: usize| patched("{}", &(1..=levels).map(add).collect::<Vec<_>>());
        assert!(added(100).is_ok());
        assert_eq!(added(900), Err(IssueCode::TooCostly));
        // A moved or copied value brings its own levels along.
        let deep = format!("{}1{}", r#"{"a":"#.repeat(80), "}".repeat(80));
        let document = format!(r#"{{"x":{deep},"y":{deep}}}"#);
        let path = format!("/y{}", "/a".repeat(79));
        assert_eq!(patched(&document, &[copy("/x", &path)]), Err(IssueCode::TooCostly));
        let moved = format!(r#"{{"op":"move","from":"/x","path":"{path}"}}"#);
        assert_eq!(patched(&document, &[moved]), Err(IssueCode::TooCostly));
    }

    #[test]
    fn operations_are_numbered_and_limited() {
        let test = r#"{"op":"test","path":"/a","value":1}"#.to_owned();
        assert_eq!(patched(r#"{"a":1}"#, &vec![test.clone(); PATCH_OPERATIONS_MAX]).unwrap(), r#"{"a":1}"#);
        assert_eq!(
            patched(r#"{"a":1}"#, &vec![test.clone(); PATCH_OPERATIONS_MAX + 1]),
            Err(IssueCode::TooCostly)
        );
        let outcome =
            apply(r#"{"a":2}"#, format!(r#"[{{"op":"add","path":"/b","value":1}},{test}]"#).as_bytes());
        let issue = outcome.unwrap_err().issues.remove(0);
        assert_eq!(issue.code, IssueCode::BusinessRule);
        assert!(issue.diagnostics.starts_with("operation 1 at `/a`"), "{}", issue.diagnostics);
    }
}
