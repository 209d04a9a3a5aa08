//! The place of an element while the tree is walked, written out as FHIRPath only when a finding needs it.
use std::fmt::Write as _;

/// A step of a path: an element name, and its index if it may repeat.
type Step<'t> = (&'t str, Option<usize>);

/// A stack of steps.
#[derive(Default)]
pub(super) struct Path<'t> {
    steps: Vec<Step<'t>>,
}

impl<'t> Path<'t> {
    pub(super) fn push(&mut self, name: &'t str, index: Option<usize>) {
        self.steps.push((name, index));
    }

    pub(super) fn pop(&mut self) {
        self.steps.pop();
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, index) in &self.steps {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(name);
            if let Some(index) = index {
                // Writing to a String cannot fail.
                let _ = write!(text, "[{index}]");
            }
        }
        text
    }

    /// The path of an element below this one.
    pub(super) fn child(&self, name: &str) -> String {
        let mut text = self.to_text();
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(name);
        text
    }
}
