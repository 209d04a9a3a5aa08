//! The message for a setting whose value is not one of those allowed.

/// Names the value and the values that are allowed.
pub(super) fn none_of(value: &str, allowed: &[&str]) -> String {
    format!("`{value}` is none of {}", allowed.join(", "))
}
