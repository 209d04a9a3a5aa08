//! Conditional references (`Type?criteria`) in a transaction (R4 http.html#trules): each stands for the one resource that matches
//! the criteria, among the stored resources and those that the transaction writes.
use std::collections::{BTreeSet, HashMap};

use crate::definitions::{TypeDef, r4};
use crate::model::{Issue, IssueCode, Node};
use crate::search::{entries, fulfils, parse_query};
use crate::store::Expectation;

use super::answer::{Refusal, RefusalKind};
use super::conditional::matches;
use super::matches::Matches;
use super::request::decode_pairs;
use super::session::Session;

/// A resource that the transaction writes, and its `Type/id`.
pub(super) struct IncomingResource<'t> {
    pub(super) def: &'static TypeDef,
    pub(super) resource: Node<'t>,
    pub(super) target: String,
}

/// Resolves conditional references, each distinct text once.
pub(super) struct ConditionalReferences<'r, 's> {
    session: &'r Session<'s>,
    coming: Vec<IncomingResource<'r>>,
    known: HashMap<String, String>,
    /// What the commit expects, so that the criteria still match the same resource.
    pub(super) expectations: Vec<Expectation>,
    /// Whether some criteria matched nothing, or several resources.
    pub(super) has_failed: bool,
}

impl<'r, 's> ConditionalReferences<'r, 's> {
    pub(super) fn new(session: &'r Session<'s>, coming: Vec<IncomingResource<'r>>) -> Self {
        Self { session, coming, known: HashMap::new(), expectations: Vec::new(), has_failed: false }
    }

    /// The `Type/id` that a reference stands for; `path` is the element that holds it. `None` if the text names no type.
    ///
    /// # Errors
    /// 412 if nothing matches or several resources do; any error of the search.
    pub(super) fn target(&mut self, text: &str, path: &str) -> Result<Option<String>, Refusal> {
        if let Some(known) = self.known.get(text) {
            return Ok(Some(known.clone()));
        }
        let Some((name, criteria)) = text.split_once('?') else { return Ok(None) };
        let Some(def) = r4().resource(name) else { return Ok(None) };
        let pairs = decode_pairs(criteria);
        let mut found: BTreeSet<String> = self.coming_that_fit(def, &pairs)?.into_iter().collect();
        let is_several = match matches(self.session, def, &pairs)? {
            Matches::None { expectations } => {
                self.expectations.extend(expectations);
                false
            }
            Matches::One { id, expectations } => {
                self.expectations.extend(expectations);
                found.insert(format!("{name}/{id}"));
                false
            }
            Matches::Several => true,
        };
        let refuse = |code, what: &str| {
            let issue = Issue::error(code, format!("the reference `{text}` {what}")).at(path);
            Refusal::new(RefusalKind::PreconditionFailed, issue)
        };
        match (found.len(), found.pop_first()) {
            (1, Some(target)) if !is_several => {
                self.known.insert(text.to_owned(), target.clone());
                Ok(Some(target))
            }
            (0, _) if !is_several => {
                self.has_failed = true;
                Err(refuse(IssueCode::NotFound, "finds nothing"))
            }
            _ => {
                self.has_failed = true;
                Err(refuse(IssueCode::MultipleMatches, "finds more than one resource"))
            }
        }
    }

    /// The transaction's own resources that match. Conditions that need other resources, such as value sets, match none of them.
    fn coming_that_fit(&self, def: &TypeDef, pairs: &[(String, String)]) -> Result<Vec<String>, Refusal> {
        let mut found = Vec::new();
        for IncomingResource { def: of, resource, target } in
            self.coming.iter().filter(|coming| coming.def.id == def.id)
        {
            let reading = self.session.reading(self.session.context.now(), false);
            let query = parse_query(&reading, of, pairs)
                .map_err(|error| Refusal::bad_request(IssueCode::Invalid, error.message))?;
            let own = entries(&self.session.params, *resource);
            let fits = |filter| fulfils(filter, *resource, &own, None).unwrap_or(false);
            if !query.filters.is_empty() && query.filters.iter().all(fits) {
                found.push(target.clone());
            }
        }
        Ok(found)
    }
}
