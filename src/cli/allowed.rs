//! The message for a setting with a value that is not allowed.

/// Names the value and the allowed values.
pub(super) fn none_of(value: &str, allowed: &[&str]) -> String {
    format!("`{value}` is none of {}", allowed.join(", "))
}
