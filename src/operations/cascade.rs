//! Deleting a Patient that others refer to: refused, unless the server is told not to, or with `_cascade=delete` what is about this
//! patient alone is deleted with it, in one commit.
use crate::auth::{Permission, Role};
use crate::consent::Writing;
use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Issue, IssueCode, ResourceId, parse};
use crate::store::{Change, Current, Derived, Method};

use super::answer::{Refusal, RefusalKind};
use super::erase::Plan;
use super::session::Session;
use super::write::{Input, Planned};

/// More referring resources are not counted one by one.
const COUNTED_MAX: usize = 1_000;

/// More resources are not deleted with one commit.
const DELETED_MAX: usize = 10_000;

/// What a deletion is told to do with what refers to its target.
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

/// Refuses to delete a Patient that something refers to which the party sees and the same request does not delete. What it does not
/// see keeps its subject and stays governed by that patient's Consents.
pub(super) fn check_patient(session: &Session<'_>, def: &TypeDef, id: &ResourceId) -> Result<(), Refusal> {
    if &*def.name != "Patient" || !session.engine.options.keep_patients_referred_to {
        return Ok(());
    }
    let mut count = 0;
    'types: for source in r4().resources().filter(|source| &*source.name != "AuditEvent") {
        let mut rows = Vec::new();
        let references = session.params.of(source).iter().filter(|param| param.kind == ParamType::Reference);
        for param in references.filter(|param| param.targets.contains(&"Patient")) {
            rows.extend(session.repository().referrers(source, param, "Patient", id.as_str())?);
        }
        rows.sort_unstable();
        rows.dedup();
        for row in rows {
            let Some(current) = session.repository().current_of_row(row)? else { continue };
            let is_itself = current.def.id == def.id && current.id == *id;
            let reference = format!("{}/{}", current.def.name, current.id);
            if current.deleted || is_itself || session.going.contains(&reference) {
                continue;
            }
            if session.repository().is_visible(row, &session.lens)? {
                count += 1;
                if count > COUNTED_MAX {
                    break 'types;
                }
            }
        }
    }
    if count == 0 {
        return Ok(());
    }
    let count = match count {
        1 => "one resource refers".to_owned(),
        _ if count > COUNTED_MAX => format!("more than {COUNTED_MAX} resources refer"),
        _ => format!("{count} resources refer"),
    };
    let message = format!(
        "{count} to the Patient: delete what refers to it first, or what is about this patient alone with it by `_cascade=delete`"
    );
    Err(Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::Conflict, message)))
}

/// Adds to the deletion of a Patient that of all that is about this patient alone.
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
    let there: Vec<Current> =
        plan.erased.into_values().filter(|current| !current.deleted && current.row != own_row).collect();
    if there.len() > DELETED_MAX {
        let message = format!("more than {DELETED_MAX} resources would be deleted at once");
        return Err(Refusal::new(RefusalKind::Unprocessable, Issue::error(IssueCode::TooCostly, message)));
    }
    for current in there {
        planned.also.push(deletion(session, current)?);
    }
    Ok(())
}

/// The deletion of one of them. One text for whatever stands against it, so that it tells nothing of what that is.
fn deletion(session: &Session<'_>, current: Current) -> Result<Change, Refusal> {
    let refused = || {
        let message = "the file cannot be deleted as a whole";
        Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::BusinessRule, message))
    };
    let stored = session.repository().newest(&current)?;
    let version_id = session.version_id(stored.sequence);
    let is_seen = session.lens.show(&stored, &version_id)?.is_some_and(|shown| shown.is_whole());
    let tree = parse(stored.text.into_bytes()).map_err(|_| refused())?;
    if !is_seen || !session.lens.may_write(tree.root(), Writing::Change)? {
        return Err(refused());
    }
    super::hold::not_held(session, &session.lens.subjects_of(tree.root())?).map_err(|_| refused())?;
    let derived = Derived { entries: Vec::new(), facts: current.facts.clone() };
    let writer = session.repository().writer(current.row, current.sequence)?;
    let belongs = session.lens.belongings(tree.root(), writer.as_ref())?;
    let (def, id) = (current.def, current.id.clone());
    Ok(Change {
        def,
        id,
        method: Method::Delete,
        prior: Some(current),
        body: None,
        derived,
        writer: None,
        belongs,
    })
}
