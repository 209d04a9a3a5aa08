//! The first two states of a received resource: [`Incoming`] has been parsed, [`Valid`] has been validated.
use crate::definitions::{Registry, TypeDef};
use crate::model::{Issue, Node, Outcome, Severity, Tree};

use super::structure::Walk;

/// A resource as it was sent: its syntax is valid, nothing else has been checked.
#[derive(Debug)]
pub struct Incoming {
    tree: Tree,
}

impl Incoming {
    #[must_use]
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    #[must_use]
    pub fn root(&self) -> Node<'_> {
        self.tree.root()
    }
}

/// The limits of a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The most findings that are listed for one resource; the others are only counted.
    pub findings_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { findings_max: 100 }
    }
}

/// A resource that conforms to R4: known elements, cardinalities, primitives, required bindings, safe narrative.
#[derive(Debug)]
pub struct Valid {
    tree: Tree,
    def: &'static TypeDef,
    warnings: Vec<Issue>,
}

impl Valid {
    /// Validates a resource.
    ///
    /// # Errors
    /// An outcome with every finding (up to the limit of `rules`), the most severe first.
    pub fn check(incoming: Incoming, registry: &'static Registry, rules: Rules) -> Result<Self, Outcome> {
        let (def, findings) = Walk::new(registry).resource(incoming.root());
        let (mut findings, more) = findings.into_parts();
        findings.sort_by_key(|issue| std::cmp::Reverse(issue.severity));
        let failed = findings.iter().any(|issue| issue.severity >= Severity::Error);
        if findings.len() > rules.findings_max {
            let rest = findings.len() - rules.findings_max + more;
            findings.truncate(rules.findings_max);
            let more = format!("{rest} further findings are not listed");
            findings.push(Issue::information(crate::model::IssueCode::TooLong, more));
        }
        match def {
            Some(def) if !failed => Ok(Self { tree: incoming.tree, def, warnings: findings }),
            _ => Err(findings.into()),
        }
    }

    #[must_use]
    pub fn root(&self) -> Node<'_> {
        self.tree.root()
    }

    /// The type of the resource.
    #[must_use]
    pub fn def(&self) -> &'static TypeDef {
        self.def
    }

    /// The findings that did not make the resource invalid.
    #[must_use]
    pub fn warnings(&self) -> &[Issue] {
        &self.warnings
    }
}
