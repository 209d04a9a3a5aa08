//! `Patient/$explain-access`: who may see what of a patient's file, and by which rule.
use std::collections::{BTreeMap, BTreeSet};

use crate::consent::Lens;
use crate::model::Tree;

use super::super::answer::{Answer, Refusal};
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;
use super::describe::{described, rule_of};
use super::file::{file_of, known};
use super::standing::{Somebody, may_ask_about, parties_of};

/// `actor` and `purpose` narrow the explanation to one party; without them everybody is explained whom a Consent names, and
/// the own organization.
pub(in super::super) fn explain_access(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    call.takes_only(&["actor", "purpose"])?;
    let id = call.id()?;
    let patient = format!("Patient/{id}");
    may_ask_about(session, &patient)?;
    known(session, id)?;
    let parties = match call.text("actor")? {
        Some(actor) => vec![Somebody::of_actor(&actor, None, call.texts("purpose"))?],
        None => {
            let own: Vec<String> = session.engine.settings.own.iter().cloned().collect();
            parties_of(&session.lens.consents_of(&patient)?, &own)
        }
    };
    let file = file_of(session, id)?;
    let mut out = Parameters::default();
    for somebody in parties {
        let lens = session.lens_of(somebody.party())?;
        for ((type_name, ..), (decision, count)) in decisions(&lens, &file)? {
            let access = Parameters::default()
                .reference("actor", &somebody.name())
                .code("purpose", &somebody.purposes.join(","))
                .code("type", &type_name)
                .count("count", count);
            out = out.parts("access", described(session, &decision, access)?);
        }
    }
    session.about(out.json(), BTreeSet::from([patient]))
}

type Grouped = BTreeMap<(String, bool, &'static str, String), (crate::consent::Decision, usize)>;

/// What a lens decides about the resources of a file: by type and reason, with how many there are.
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
