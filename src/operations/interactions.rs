//! How each interaction of the table is answered: reads on a session's snapshot, writes prepared on it.
use crate::model::{Issue, IssueCode};

use super::answer::{Answer, Refusal, RefusalKind};
use super::operation::operation_at;
use super::parameters::Call;
use super::place::Place;
use super::prepared::{Input, Prepared, check_scope};
use super::request::Request;
use super::session::Session;
use super::table::{Code, Interaction};
use super::{conditional, create, delete, history, patch, read, search, update};

/// A read of any kind, on the session's snapshot.
pub(super) fn answer_read(
    session: &Session<'_>,
    row: &Interaction,
    place: &Place,
    request: &Request,
) -> Result<Answer, Refusal> {
    match (row.code, place) {
        (Code::Read, Place::Instance(def, id)) => read::read(session, def, id, request),
        (Code::Vread, Place::Version(def, id, version)) => read::vread(session, def, id, version, request),
        (Code::Search | Code::SearchByPost, place) => search::search(session, place, request),
        (Code::HistoryInstance | Code::HistoryType | Code::HistorySystem, place) => {
            history::history(session, place, request)
        }
        (Code::Operation, place) => match operation_at(place, row.name) {
            Some(operation) => {
                let call = Call { place, request };
                call.is_within_reach(session)?;
                operation.act(session, &call)
            }
            None => Err(Refusal::not_found()),
        },
        _ => Err(Refusal::not_found()),
    }
}

/// A write of any kind, prepared on the session's snapshot.
pub(super) fn prepare_write(
    session: &Session<'_>,
    row: &Interaction,
    place: &Place,
    input: &Input,
) -> Result<Prepared, Refusal> {
    if place.def().is_some_and(|def| def.rules.is_access_record) && row.code != Code::Create {
        // Before any data is looked at: no such event can be changed or deleted by anybody.
        let message = "the record of accesses is never changed; events of other systems are added by POST";
        let issue = Issue::error(IssueCode::NotSupported, message);
        return Err(Refusal::new(RefusalKind::MethodNotAllowed, issue));
    }
    if place.def().is_some_and(|def| def.rules.is_never_stored) {
        let issue =
            Issue::error(IssueCode::NotSupported, "Parameters are for operations; they are not stored");
        return Err(Refusal::new(RefusalKind::MethodNotAllowed, issue));
    }
    let prepared = match (row.code, place) {
        (Code::Create, Place::Type(def)) => create::prepare(session, def, input),
        (Code::Update, Place::Instance(def, id)) => update::prepare(session, def, id, input),
        (Code::Patch, Place::Instance(def, id)) => patch::prepare(session, def, id, input),
        (Code::Delete, Place::Instance(def, id)) => delete::prepare(session, def, id, input),
        (Code::ConditionalUpdate, Place::Type(def)) => conditional::update(session, def, input),
        (Code::ConditionalPatch, Place::Type(def)) => conditional::patch(session, def, input),
        (Code::ConditionalDelete, Place::Type(def)) => conditional::delete(session, def, input),
        _ => Err(Refusal::not_found()),
    }?;
    if let Prepared::Change(planned) = &prepared {
        check_scope(session, row, planned)?;
    }
    Ok(prepared)
}
