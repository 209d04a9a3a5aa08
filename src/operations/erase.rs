//! `Patient/[id]/$erase`: removes a patient's file with all its versions from the store, and records that, by whom and why.
//! Resources that are about other patients, too, stay; the answer names them.
use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{self, Action, ERASE, Erased};
use crate::definitions::r4;
use crate::model::{Issue, IssueCode, ResourceId, parse};
use crate::store::{Current, Draft};

use super::answer::{Answer, Refusal, RefusalKind};
use super::attached::binaries_of;
use super::parameters::{Call, Parameters};
use super::session::Session;

/// The largest erasing commit, in bytes of its keys.
const ERASED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Types whose resources may be about a patient only because of what they name.
const BY_NAMING: [&str; 3] = ["Provenance", "Task", "Binary"];

/// Takes `reason` (text). Answers with the numbers of erased resources and versions, and references to what stays.
pub(super) fn erase(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let (context, party) = (session.context, session.lens.party());
    if !context.may_administer(party) {
        return Err(Refusal::forbidden("this is for administrators"));
    }
    let (id, reason) = (call.id()?, call.reason(1)?);
    let patients = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    // A deleted Patient still has versions.
    let own = session.repository().current(patients, id)?.ok_or_else(Refusal::not_found)?;
    let held = super::hold::not_held(session, &[id.to_string()])?;
    let plan = Plan::of(session, id, own)?;

    let mut draft = Draft::default();
    held.into_iter().for_each(|expectation| draft.expect(expectation));
    draft.expect(super::integrity::nothing_new_about(session, id));
    let mut versions = 0;
    for current in plan.erased.values() {
        versions += draft.erase(session.snapshot(), current)?;
        if draft.batch.bytes() > ERASED_BYTES_MAX {
            let issue = Issue::error(IssueCode::TooCostly, "the file is too large to be erased at once");
            return Err(Refusal::new(RefusalKind::Unprocessable, issue));
        }
    }
    let resources = plan.erased.len();
    let patient = format!("Patient/{id}");
    let asked = call.request.asked();
    let mut access = session.context.begin_record(session.lens.party(), (ERASE, Action::Execute), asked)?;
    access.concern([&patient]);
    access.reason = Some(reason.to_owned());
    access.erased = Some(Erased { resources, versions });
    draft.batch.writes.extend(audit::writes(&access, 0));
    session.context.kv.commit(draft.batch).wait()?;

    let mut out = Parameters::default().count("resources", resources).count("versions", versions);
    for reference in &plan.kept {
        out = out.reference("kept", reference);
    }
    let mut answer = session.about(out.json(), BTreeSet::from([patient]))?;
    answer.recorded = true;
    Ok(answer)
}

/// What is erased, by row, and what stays because it is also about others.
pub(super) struct Plan {
    pub(super) erased: BTreeMap<u64, Current>,
    kept: BTreeSet<String>,
}

impl Plan {
    pub(super) fn of(session: &Session<'_>, id: &ResourceId, own: Current) -> Result<Self, Refusal> {
        let file = session.repository().file_of(id.as_str(), &BY_NAMING)?;
        let reference = format!("Patient/{id}");
        let row = own.row;
        let mut plan = Self { erased: BTreeMap::from([(row, own)]), kept: BTreeSet::new() };
        for (current, patients) in file.about {
            let is_alone =
                patients.len() == 1 && plan.owners(session, &current)?.iter().all(|of| *of == reference);
            // AuditEvents from other systems are part of the record of accesses, which stays.
            if current.row != row && !current.def.rules.is_access_record {
                plan.add(current, is_alone);
            }
        }
        for current in file.of_nobody {
            let owners = plan.owners(session, &current)?;
            if owners.contains(&reference) {
                let is_alone = owners.len() == 1;
                plan.add(current, is_alone);
            }
        }
        plan.add_documents(session, &reference)?;
        Ok(plan)
    }

    fn add(&mut self, current: Current, is_alone: bool) {
        if is_alone {
            self.erased.insert(current.row, current);
        } else {
            self.kept.insert(format!("{}/{}", current.def.name, current.id));
        }
    }

    /// The patients of a resource of a `BY_NAMING` type, by itself or by what it names; empty for other types.
    fn owners(&self, session: &Session<'_>, current: &Current) -> Result<BTreeSet<String>, Refusal> {
        if !BY_NAMING.contains(&&*current.def.name) {
            return Ok(BTreeSet::new());
        }
        session.subjects_of(current)
    }

    /// Adds Binaries that erased versions refer to (a Binary has no subject element). Those that others refer to as well stay.
    fn add_documents(&mut self, session: &Session<'_>, reference: &str) -> Result<(), Refusal> {
        let Some(binaries) = r4().resource("Binary") else { return Ok(()) };
        let mut named = BTreeSet::new();
        for row in self.erased.keys() {
            for sequence in session.repository().versions(*row)? {
                let stored = session.repository().version(*row, sequence)?;
                let tree = stored.and_then(|stored| parse(stored.text.into_bytes()).ok());
                named.extend(tree.map(|tree| binaries_of(tree.root())).unwrap_or_default());
            }
        }
        for id in named {
            let Some(current) = session.repository().current(binaries, &id)? else { continue };
            if self.erased.contains_key(&current.row) {
                continue;
            }
            let referring = session.repository().rows_with_binary(&id)?;
            let is_alone = referring.iter().all(|row| self.erased.contains_key(row))
                && self.owners(session, &current)?.iter().all(|owner| owner == reference);
            self.add(current, is_alone);
        }
        Ok(())
    }
}
