//! A compiled regular expression, kept for the next value.
use regex::Regex;

/// A compiled pattern, the text that it was compiled from, and how many steps it takes for each byte of a text.
pub(in crate::fhirpath) struct Pattern {
    pub(super) text: String,
    pub(super) regex: Regex,
    pub(super) byte_steps: usize,
}
