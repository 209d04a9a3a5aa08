//! A decision as parameters of an answer.
use crate::consent::{Basis, Decision};
use crate::definitions::r4;
use crate::model::ResourceId;

use super::super::answer::Refusal;
use super::super::parameters::Parameters;
use super::super::session::Session;

/// The path of the rule, or the section of the law.
pub(super) fn rule_of(basis: &Basis) -> &str {
    match basis {
        Basis::Consent { rule, .. } => rule,
        Basis::Law(paragraph) => paragraph,
        Basis::RightOfAccess | Basis::DefaultPolicy | Basis::BreakGlass | Basis::NotGoverned => "",
    }
}

/// Adds `decision`, `basis`, `rule`, and the version of the Consent that decided.
///
/// # Errors
/// If the store fails.
pub(super) fn described(
    session: &Session<'_>,
    decision: &Decision,
    out: Parameters,
) -> Result<Parameters, Refusal> {
    let mut out = out
        .code("decision", if decision.permit { "permit" } else { "deny" })
        .code("basis", decision.basis.code())
        .string("rule", rule_of(&decision.basis));
    if let Basis::Consent { id, .. } = &decision.basis {
        out = out.reference("consent", &versioned(session, id)?);
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
