//! `Patient/[id]/$explain-access`: who may see what of a patient's file, and by which rule.
use std::collections::{BTreeMap, BTreeSet};

use crate::consent::Lens;
use crate::model::{Issue, IssueCode, Tree};

use super::super::answer::{Answer, Refusal, RefusalKind};
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;
use super::describe::{KnownSentences, described, rule_of};
use super::file::{file_of, known};
use super::hypothetical_party::{HypotheticalParty, may_ask_about};
use super::parties::parties_of;

/// `actor` and `purpose` narrow the explanation to one party. Without them it covers anybody, the parties that Consents and
/// registrations name, and each role of the own organization.
pub(in super::super) fn explain_access(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let id = call.id()?;
    let patient = format!("Patient/{id}");
    may_ask_about(session, &patient)?;
    known(session, id)?;
    let parties = match call.text("actor")? {
        Some(actor) => vec![HypotheticalParty::of_actor(&actor, None, call.texts("purpose"))?],
        None => parties_of(session, id, &session.lens.consents_of(&patient)?)?,
    };
    let file = file_of(session, id)?;
    is_affordable(parties.len(), file.len())?;
    let mut out = Parameters::default();
    let mut known_sentences = KnownSentences::default();
    for somebody in parties {
        let lens = session.lens_of(somebody.party())?;
        for ((type_name, ..), (decision, count)) in decisions(&lens, &file)? {
            let access = somebody.told(Parameters::default()).code("type", &type_name).count("count", count);
            out = out.parts("access", described(session, &decision, access, &mut known_sentences)?);
        }
    }
    session.about(out.json(), BTreeSet::from([patient]))
}

/// The most decisions that are made for one answer.
const DECISIONS_MAX: usize = 2_000_000;

/// Checks that it is not too costly to decide about each resource for each party.
///
/// # Errors
/// 422 `too-costly` if it is.
pub(super) fn is_affordable(parties: usize, resources: usize) -> Result<(), Refusal> {
    if parties.saturating_mul(resources) <= DECISIONS_MAX {
        return Ok(());
    }
    let message = format!(
        "{parties} parties and {resources} resources are too many at once; ask about one party with `actor`"
    );
    Err(Refusal::new(RefusalKind::Unprocessable, Issue::error(IssueCode::TooCostly, message)))
}

type Grouped = BTreeMap<(String, bool, &'static str, String), (crate::consent::Decision, usize)>;

/// What a lens decides about the resources of a file, grouped by type and reason, each with a count.
fn decisions(lens: &Lens<'_>, file: &[Tree]) -> Result<Grouped, Refusal> {
    let mut grouped: Grouped = BTreeMap::new();
    for tree in file {
        let type_name = tree.root().str_at("resourceType").unwrap_or_default().to_owned();
        let decision = lens.decision(tree.root())?;
        let key = (
            type_name,
            decision.permit,
            decision.basis.code(),
            format!("{} {:?}", rule_of(&decision.basis), consent_of(&decision)),
        );
        grouped.entry(key).or_insert((decision, 0)).1 += 1;
    }
    Ok(grouped)
}

fn consent_of(decision: &crate::consent::Decision) -> Option<&str> {
    match &decision.basis {
        crate::consent::Basis::Consent { id, .. } => Some(id),
        _ => None,
    }
}
