//! The place of an element while the tree is walked, written out only when a finding needs it, in the simple subset of
//! FHIRPath (R4 fhirpath.html#simple).
use std::fmt::Write as _;

use crate::definitions::{ElementDef, TypeDef};

/// The name of an element; of a choice, or of an element that holds any resource, with the type that is there.
#[derive(Clone, Copy)]
pub(super) struct Name<'t> {
    pub(super) name: &'t str,
    pub(super) of_type: Option<&'t str>,
}

impl<'t> Name<'t> {
    /// The name of an element whose value is of that type.
    pub(super) fn of(element: &'t ElementDef, of: &'t TypeDef) -> Self {
        Self { name: &element.name, of_type: element.choice.then_some(&*of.name) }
    }

    /// The name of an element that no type has.
    pub(super) fn unknown(name: &'t str) -> Self {
        Self { name, of_type: None }
    }
}

/// A stack of steps: names, and indexes of elements that may repeat.
#[derive(Default)]
pub(super) struct Path<'t> {
    steps: Vec<(Name<'t>, Option<usize>)>,
}

impl<'t> Path<'t> {
    pub(super) fn push(&mut self, name: Name<'t>, index: Option<usize>) {
        self.steps.push((name, index));
    }

    pub(super) fn pop(&mut self) {
        self.steps.pop();
    }

    /// Says of which type the resource is that the last step leads to.
    pub(super) fn is_of_type(&mut self, type_name: &'t str) {
        if let Some((name, _)) = self.steps.last_mut() {
            name.of_type = Some(type_name);
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, index) in &self.steps {
            push(&mut text, *name, *index);
        }
        text
    }

    /// The path of an element below this one.
    pub(super) fn child(&self, name: Name<'_>) -> String {
        let mut text = self.to_text();
        push(&mut text, name, None);
        text
    }
}

/// Writing to a String cannot fail.
fn push(text: &mut String, name: Name<'_>, index: Option<usize>) {
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(name.name);
    if let Some(index) = index {
        let _ = write!(text, "[{index}]");
    }
    if let Some(of_type) = name.of_type {
        let _ = write!(text, ".ofType({of_type})");
    }
}
