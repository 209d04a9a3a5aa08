//! What is said of a value that is none of those allowed.

/// That a value is none of those that are allowed.
pub(super) fn none_of(value: &str, allowed: &[&str]) -> String {
    format!("`{value}` is none of {}", allowed.join(", "))
}
