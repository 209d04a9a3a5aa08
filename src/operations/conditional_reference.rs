//! References by criteria (`Type?criteria`) within a transaction (R4 http.html#trules): each stands for the one resource that the criteria
//! find, among what is stored and among what the same transaction writes.
use std::collections::{BTreeSet, HashMap};

use crate::definitions::{TypeDef, r4};
use crate::model::{Issue, IssueCode, Node};
use crate::search::{entries, fulfils, parse_query};
use crate::store::Expectation;

use super::answer::{Refusal, RefusalKind};
use super::conditional::{Matches, matches};
use super::request::decode_pairs;
use super::session::Session;

/// A resource that the transaction writes, and its `Type/id`.
pub(super) struct IncomingResource<'t> {
    pub(super) def: &'static TypeDef,
    pub(super) resource: Node<'t>,
    pub(super) target: String,
}

/// Finds what criteria stand for, each once.
pub(super) struct ConditionalReferences<'r, 's> {
    session: &'r Session<'s>,
    coming: Vec<IncomingResource<'r>>,
    known: HashMap<String, String>,
    /// What the commit expects, so that the criteria find the same then.
    pub(super) expectations: Vec<Expectation>,
    /// Whether criteria found nothing, or several.
    pub(super) has_failed: bool,
}

impl<'r, 's> ConditionalReferences<'r, 's> {
    pub(super) fn new(session: &'r Session<'s>, coming: Vec<IncomingResource<'r>>) -> Self {
        Self { session, coming, known: HashMap::new(), expectations: Vec::new(), has_failed: false }
    }

    /// The `Type/id` that a reference stands for, `path` being where it stands; `None` if it names no type.
    ///
    /// # Errors
    /// 412 if nothing or several fit; what refuses a search.
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

    /// What the transaction writes that fulfils the criteria. Those that only other resources tell are fulfilled by none of it.
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
