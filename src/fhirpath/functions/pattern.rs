//! A compiled regular expression, cached for the next value.
use regex::Regex;

/// A compiled pattern with its source text, and the steps that it takes per byte of a matched text.
pub(in crate::fhirpath) struct Pattern {
    pub(super) text: String,
    pub(super) regex: Regex,
    pub(super) byte_steps: usize,
}
