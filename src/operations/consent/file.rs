//! Everything that is on file about a patient, whoever may see it: what explanations are about.
use crate::definitions::r4;
use crate::model::{Issue, IssueCode, ResourceId, Tree, parse};
use crate::search::{Everything, Mask, compartment};
use crate::store::{Report, Search, View, Way};

use super::super::answer::{Refusal, RefusalKind};
use super::super::session::Session;

/// More resources of one patient are not explained at once.
const FILE_LEN_MAX: usize = 5_000;

/// That the patient is there.
///
/// # Errors
/// 404 if it is not.
pub(in super::super) fn known(session: &Session<'_>, id: &ResourceId) -> Result<(), Refusal> {
    let def = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    let current = session.repository().current(def, id)?.filter(|current| !current.deleted);
    current.map(drop).ok_or_else(Refusal::not_found)
}

/// The resources whose data subject the patient is.
///
/// # Errors
/// `too-costly` if they are too many.
pub(super) fn file_of(session: &Session<'_>, id: &ResourceId) -> Result<Vec<Tree>, Refusal> {
    // A patient is told of what the patient sees.
    let mask: &dyn Mask = if session.lens.may_audit() { &Everything } else { &session.lens };
    let view = View::new(session.repository(), None, mask);
    let patient = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    let report = Report::default();
    let mut found = Vec::new();
    for def in r4().resources() {
        let Some(filter) = compartment(&session.params, patient, id, def) else { continue };
        let rows =
            Search::new(&view, def, &filter, &[], &report)?.page(None, Way::Onward, FILE_LEN_MAX + 1)?;
        for row in rows {
            let Some(current) = session.repository().current_of_row(row)? else { continue };
            // Compartments also list what the patient has recorded about others.
            if !current.facts.patients.iter().any(|patient| patient == id.as_str()) {
                continue;
            }
            if found.len() >= FILE_LEN_MAX {
                let message = format!("the file has more than {FILE_LEN_MAX} resources");
                let issue = Issue::error(IssueCode::TooCostly, message);
                return Err(Refusal::new(RefusalKind::Unprocessable, issue));
            }
            let stored = session.repository().newest(&current)?;
            found.extend(parse(stored.text.into_bytes()));
        }
    }
    Ok(found)
}
