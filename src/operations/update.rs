//! update (R4 http.html#update), also as create for parties that may choose ids.
use crate::auth::Permission;
use crate::definitions::TypeDef;
use crate::model::{Issue, IssueCode, ResourceId};
use crate::validate::Valid;

use super::answer::{Refusal, RefusalKind};
use super::precondition;
use super::prepared::{Input, Planned, Prepared, put, settled};
use super::session::{Session, Writable};

pub(super) fn prepare(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let valid = input.resource(def)?;
    match valid.root().str_at("id") {
        None => {
            return Err(Refusal::bad_request(
                IssueCode::Required,
                "the body has no id; it must be that of the path",
            ));
        }
        Some(given) if given != id.as_str() => {
            return Err(Refusal::bad_request(
                IssueCode::Invalid,
                "the id of the body is not that of the path",
            ));
        }
        Some(_) => {}
    }
    planned(session, def, id, valid, input)
}

fn of_change(planned: Planned) -> Prepared {
    Prepared::Change(Box::new(planned))
}

/// Plans an update, or the update of a conditional update's match.
pub(super) fn planned(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    valid: &Valid,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let assigns = session.lens.party().assign_ids;
    match session.look_to_write(&[Permission::Update], def, id)? {
        Writable::Resource { current, stored, version_id, .. } => {
            precondition::check(&input.headers, Some((&version_id, stored.time)))?;
            let planned = put(session, valid, id.clone(), Some((*current).clone()))?;
            settled(session, planned, (&current, &stored), &input.headers)
        }
        Writable::Deleted(current) => {
            precondition::check(&input.headers, None)?;
            put(session, valid, id.clone(), Some(current)).map(of_change)
        }
        Writable::Nothing { current: None } if assigns && !session.repository().is_erased(def, id)? => {
            precondition::check(&input.headers, None)?;
            put(session, valid, id.clone(), None).map(of_change)
        }
        // The only answer that tells of hidden or erased resources, and only to parties that may choose ids.
        Writable::Nothing { .. } if assigns => Err(Refusal::may_not_write()),
        Writable::Nothing { .. } => {
            let message = "ids are given by the server: create the resource by POST; a client may choose ids if it is \
                           registered with the right to (`assign_ids`)";
            Err(Refusal::new(RefusalKind::MethodNotAllowed, Issue::error(IssueCode::NotSupported, message)))
        }
    }
}
