//! The path of the current element during the walk. It is only written out when a finding needs it, in the simple subset of
//! FHIRPath (R4 fhirpath.html#simple).
use std::fmt::Write as _;

use crate::definitions::{ElementDef, TypeDef};

/// An element's name. For a choice element and for an element that holds any resource, also the actual type.
#[derive(Clone, Copy)]
pub(super) struct Name<'t> {
    pub(super) name: &'t str,
    pub(super) of_type: Option<&'t str>,
}

impl<'t> Name<'t> {
    /// The name of an element whose value has the type `of`.
    pub(super) fn of(element: &'t ElementDef, of: &'t TypeDef) -> Self {
        Self { name: &element.name, of_type: element.choice.then_some(&*of.name) }
    }

    /// A name without a type, such as that of an element that the parent's type does not define.
    pub(super) fn unknown(name: &'t str) -> Self {
        Self { name, of_type: None }
    }
}

/// A stack of steps: the name of each element, and its index if it may repeat.
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

    /// Sets the resource type of the last step.
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

    /// The path of a child of the current element.
    pub(super) fn child(&self, name: Name<'_>) -> String {
        let mut text = self.to_text();
        push(&mut text, name, None);
        text
    }
}

/// `write!` to a String cannot fail, so its result is ignored.
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
