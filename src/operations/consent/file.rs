//! Everything that is stored about a patient, which explanations are about.
use std::collections::BTreeSet;

use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Issue, IssueCode, ResourceId, Tree, parse};
use crate::search::Param;

use super::super::answer::{Refusal, RefusalKind};
use super::super::attached::binaries_of;
use super::super::session::Session;

/// The most resources of one patient that are explained at once.
const FILE_LEN_MAX: usize = 5_000;

/// Checks that the Patient exists.
///
/// # Errors
/// 404 if it does not.
pub(in super::super) fn known(session: &Session<'_>, id: &ResourceId) -> Result<(), Refusal> {
    let def = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    let current = session.repository().current(def, id)?.filter(|current| !current.deleted);
    current.map(drop).ok_or_else(Refusal::not_found)
}

/// These types take the subjects of what they name. By these parameters they are found from what they name.
const BY_NAMING: [(&str, &str); 7] = [
    ("Provenance", "target"),
    ("Provenance", "entity"),
    ("Task", "focus"),
    ("Task", "based-on"),
    ("Task", "part-of"),
    ("Consent", "source-reference"),
    ("Consent", "data"),
];

/// The resources whose data subject is the patient, by themselves or by what they name; Binaries only where one of these refers
/// to them.
///
/// # Errors
/// 422 `too-costly` if there are too many.
pub(super) fn file_of(session: &Session<'_>, id: &ResourceId) -> Result<Vec<Tree>, Refusal> {
    let patients = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    let mut gathering =
        FileGatherer { session, patient: format!("Patient/{id}"), seen: BTreeSet::new(), found: Vec::new() };
    if let Some(row) = session.repository().row_of(patients, id)? {
        gathering.add(row)?;
    }
    for def in r4().resources() {
        gathering.add_referring(def, "Patient", id.as_str(), &|param| param.targets.contains(&"Patient"))?;
    }
    // Other resources may name what was found.
    let mut next = 0;
    while let Some((type_name, id, binaries)) = gathering.found.get(next).map(named_by) {
        next += 1;
        for (name, code) in BY_NAMING {
            let def = r4().resource(name).ok_or_else(Refusal::not_found)?;
            gathering.add_referring(def, &type_name, &id, &|param| &*param.code == code)?;
        }
        for binary in binaries {
            let def = r4().resource("Binary").ok_or_else(Refusal::not_found)?;
            if let Some(row) = session.repository().row_of(def, &binary)? {
                gathering.add(row)?;
            }
        }
    }
    Ok(gathering.found)
}

/// Type and id of a resource, and the Binaries that it refers to.
fn named_by(tree: &Tree) -> (String, String, Vec<ResourceId>) {
    let text = |name: &str| tree.root().str_at(name).unwrap_or_default().to_owned();
    (text("resourceType"), text("id"), binaries_of(tree.root()))
}

struct FileGatherer<'g, 's> {
    session: &'g Session<'s>,
    patient: String,
    /// Rows that have been looked at.
    seen: BTreeSet<u64>,
    found: Vec<Tree>,
}

impl FileGatherer<'_, '_> {
    /// Adds the resources that refer to a resource by the selected parameters.
    fn add_referring(
        &mut self,
        def: &'static TypeDef,
        type_name: &str,
        id: &str,
        by: &dyn Fn(&Param) -> bool,
    ) -> Result<(), Refusal> {
        let params = self.session.params.clone();
        for param in params.of(def).iter().filter(|param| param.kind == ParamType::Reference && by(param)) {
            for row in self.session.repository().referrers(def, param, type_name, id)? {
                self.add(row)?;
            }
        }
        Ok(())
    }

    /// Adds the resource of a row if the patient is its subject. Parties other than auditors get only what they may see.
    fn add(&mut self, row: u64) -> Result<(), Refusal> {
        let session = self.session;
        if !self.seen.insert(row) {
            return Ok(());
        }
        let Some(current) = session.repository().current_of_row(row)?.filter(|current| !current.deleted)
        else {
            return Ok(());
        };
        let stored = session.repository().newest(&current)?;
        let Ok(tree) = parse(stored.text.into_bytes()) else { return Ok(()) };
        if !session.lens.subjects_of(tree.root())?.contains(&self.patient)
            || (!session.lens.may_audit() && !session.lens.may_see(tree.root())?)
        {
            return Ok(());
        }
        if self.found.len() >= FILE_LEN_MAX {
            let message = format!("the file has more than {FILE_LEN_MAX} resources");
            let issue = Issue::error(IssueCode::TooCostly, message);
            return Err(Refusal::new(RefusalKind::Unprocessable, issue));
        }
        self.found.push(tree);
        Ok(())
    }
}
