//! A decision as parameters of an answer.
use std::collections::BTreeMap;

use crate::consent::{Basis, Decision};
use crate::definitions::r4;
use crate::model::{ResourceId, parse};

use super::super::answer::Refusal;
use super::super::audit::name_of;
use super::super::parameters::Parameters;
use super::super::session::Session;
use super::sentences::{RuleSentence, sentences};

/// The sentences of Consents, made once for each Consent of an answer.
#[derive(Default)]
pub(super) struct KnownSentences {
    by_id: BTreeMap<String, Vec<RuleSentence>>,
}

impl KnownSentences {
    /// The sentences of a stored Consent; none if it is not stored.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn of(&mut self, session: &Session<'_>, id: &str) -> Result<&[RuleSentence], Refusal> {
        if !self.by_id.contains_key(id) {
            let key = r4().resource("Consent").zip(ResourceId::parse(id));
            let current = match key {
                Some((def, id)) => session.repository().current(def, &id)?,
                None => None,
            };
            let mut found = Vec::new();
            if let Some(current) = current {
                let text = session.repository().newest(&current)?.text;
                if let Ok(tree) = parse(text.into_bytes()) {
                    found = sentences(tree.root(), &|reference| name_of(session, reference));
                }
            }
            self.by_id.insert(id.to_owned(), found);
        }
        Ok(self.by_id.get(id).map(Vec::as_slice).unwrap_or_default())
    }
}

/// The path of the rule, or the section of the law.
pub(super) fn rule_of(basis: &Basis) -> &str {
    match basis {
        Basis::Consent { rule, .. } => rule,
        Basis::Law(paragraph) => paragraph,
        Basis::RightOfAccess | Basis::DefaultPolicy | Basis::BreakGlass | Basis::NotGoverned => "",
    }
}

/// Adds `decision`, `basis`, `rule`, and the version of the Consent that decided with the sentence of that rule.
///
/// # Errors
/// If the store fails.
pub(super) fn described(
    session: &Session<'_>,
    decision: &Decision,
    out: Parameters,
    known: &mut KnownSentences,
) -> Result<Parameters, Refusal> {
    let mut out = out
        .code("decision", if decision.permit { "permit" } else { "deny" })
        .code("basis", decision.basis.code())
        .string("rule", rule_of(&decision.basis));
    if let Basis::Consent { id, .. } = &decision.basis {
        out = out.reference("consent", &versioned(session, id)?);
        let rule = rule_of(&decision.basis);
        if let Some(sentence) = known.of(session, id)?.iter().find(|sentence| sentence.rule == rule) {
            out = out.string("sentence", &sentence.text);
        }
    }
    Ok(out)
}

/// `Consent/id/_history/version` of the newest version.
fn versioned(session: &Session<'_>, id: &str) -> Result<String, Refusal> {
    let key = r4().resource("Consent").zip(ResourceId::parse(id));
    let current = match key {
        Some((def, id)) => session.repository().current(def, &id)?,
        None => None,
    };
    Ok(match current {
        Some(current) => format!("Consent/{id}/_history/{}", session.version_id(current.sequence)),
        // A Consent that is not stored yet.
        None => format!("Consent/{id}"),
    })
}
