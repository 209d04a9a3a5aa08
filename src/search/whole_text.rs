//! Text checks that need the resource because entries do not suffice: phrases, and the part of a long text beyond what the index
//! holds.
use std::sync::Arc;

use crate::fhirpath::{Element, Environment};
use crate::model::{Node, Temporal};

use super::param::{content, holds_phrase, narrative, texts};
use super::params::{Param, Source};

/// A condition that one of the texts of a parameter must fulfil. Except for phrases, texts are compared as the parameter's
/// entries are: strings folded, URIs as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextCheck {
    /// These words in sequence.
    Phrase(Vec<String>),
    Begins(String),
    Holds(String),
    Ends(String),
}

impl TextCheck {
    /// Whether the resource has such a text.
    #[must_use]
    pub fn accepts(&self, param: &Arc<Param>, resource: Node<'_>) -> bool {
        let texts = texts_of(param, resource);
        match self {
            Self::Phrase(words) => holds_phrase(&texts, words),
            Self::Begins(start) => texts.iter().any(|text| text.starts_with(start)),
            Self::Holds(part) => texts.iter().any(|text| text.contains(part)),
            Self::Ends(end) => texts.iter().any(|text| text.ends_with(end)),
        }
    }
}

/// All texts that a resource has for a parameter.
fn texts_of(param: &Param, resource: Node<'_>) -> Vec<String> {
    let Some(root) = Element::resource(resource) else { return Vec::new() };
    match &param.source {
        Source::Narrative => narrative(resource).into_iter().collect(),
        Source::Content => content(root),
        Source::Expressions(expressions) => {
            let environment = Environment::of(root, Temporal::from_millis(0));
            let mut found = Vec::new();
            for expression in expressions {
                for value in expression.evaluate(&environment, root).unwrap_or_default() {
                    texts(param, &value, &mut |text| found.push(text));
                }
            }
            found
        }
    }
}
