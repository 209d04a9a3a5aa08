//! `_cascade=delete` on a Patient: one commit deletes the Patient and all resources about this patient alone, except Consents.
use std::collections::BTreeSet;

use crate::auth::{Permission, Role};
use crate::consent::Writing;
use crate::model::{Issue, IssueCode, parse};
use crate::store::{Change, Current, Derived, Expectation, Method};

use super::answer::{Refusal, RefusalKind};
use super::erase::Plan;
use super::prepared::{Input, Planned};
use super::session::Session;

/// The most resources that one commit deletes.
const DELETED_MAX: usize = 10_000;

/// Whether a deletion asks to delete the resources about its target alone, too.
pub(super) fn is_asked_for(input: &Input) -> Result<bool, Refusal> {
    let mut asked = input.query.iter().filter(|(name, value)| name == "_cascade" && !value.is_empty());
    match asked.next() {
        None => Ok(false),
        Some((_, value)) if value == "delete" => Ok(true),
        Some((_, value)) => {
            let message = format!("`_cascade` is `delete`, not `{value}`");
            Err(Refusal::bad_request(IssueCode::Value, message))
        }
    }
}

/// One text for every obstacle, so that it does not reveal which one it was.
fn refused() -> Refusal {
    let message = "the file cannot be deleted as a whole";
    Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::BusinessRule, message))
}

/// Expects that no file of these patients is under a hold.
///
/// # Errors
/// 409 if one is.
pub(super) fn not_held(
    session: &Session<'_>,
    patients: &BTreeSet<String>,
) -> Result<Vec<Expectation>, Refusal> {
    super::hold::not_held(session, patients)
        .map_err(|refusal| if refusal.kind == RefusalKind::Conflict { refused() } else { refusal })
}

/// Extends the deletion of a Patient to all resources that are about this patient alone.
pub(super) fn extend(session: &Session<'_>, planned: &mut Planned) -> Result<(), Refusal> {
    let party = session.lens.party();
    let may = session.lens.is_own()
        && matches!(party.role, Role::System | Role::Technician)
        && party.scopes.permit(Permission::Delete, None);
    if !may {
        let message = "`_cascade` is for systems and technicians of the own organization with a scope to delete every type";
        return Err(Refusal::forbidden(message));
    }
    if &*planned.change.def.name != "Patient" {
        return Err(Refusal::not_supported("`_cascade` is for Patients"));
    }
    let Some(own) = planned.change.prior.clone() else { return Ok(()) };
    let (id, own_row) = (planned.change.id.clone(), own.row);
    let plan = Plan::of(session, &id, own)?;
    // Consents stay: they still govern resources that are also about others, and old versions of what is deleted.
    let goes =
        |current: &Current| !current.deleted && current.row != own_row && &*current.def.name != "Consent";
    let there: Vec<Current> = plan.erased.into_values().filter(goes).collect();
    if there.len() > DELETED_MAX {
        let message = format!("more than {DELETED_MAX} resources would be deleted at once");
        return Err(Refusal::new(RefusalKind::Unprocessable, Issue::error(IssueCode::TooCostly, message)));
    }
    planned.expectations.push(super::integrity::nothing_new_about(session, &id));
    for current in there {
        let (change, expectations) = deletion(session, current)?;
        planned.beside.push(change);
        planned.expectations.extend(expectations);
    }
    Ok(())
}

/// The deletion of one of these resources, and what it expects.
fn deletion(session: &Session<'_>, current: Current) -> Result<(Change, Vec<Expectation>), Refusal> {
    let stored = session.repository().newest(&current)?;
    let version_id = session.version_id(stored.sequence);
    let is_seen = session.lens.show(&stored, &version_id)?.is_some_and(|shown| shown.is_whole());
    let tree = parse(stored.text.into_bytes()).map_err(|_| refused())?;
    if !is_seen || !session.lens.may_write(tree.root(), Writing::Change)? {
        return Err(refused());
    }
    let expectations = not_held(session, &session.lens.subjects_of(tree.root())?)?;
    let derived = Derived { entries: Vec::new(), facts: current.facts.clone() };
    let writer = session.repository().writer(current.row, current.sequence)?;
    let belongs = session.lens.belongings(tree.root(), writer.as_ref())?;
    let (def, id) = (current.def, current.id.clone());
    let prior = Some(current);
    let change =
        Change { def, id, method: Method::Delete, prior, body: None, derived, writer: None, belongs };
    Ok((change, expectations))
}
