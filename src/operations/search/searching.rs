//! A parsed search, which can be answered, or asked which patients its matches are about.
use crate::audit::Patients;

use super::super::answer::{Answer, Refusal};
use super::audit_events::AuditSearch;
use super::page::Page;

pub(super) enum PreparedSearch<'p, 's> {
    Resources(Box<Page<'p, 's>>),
    Accesses(AuditSearch<'p, 's>),
}

impl PreparedSearch<'_, '_> {
    pub(super) fn answer(self) -> Result<Answer, Refusal> {
        match self {
            Self::Resources(page) => page.answer(),
            Self::Accesses(search) => search.answer(),
        }
    }

    pub(super) fn patients(self) -> Result<Patients, Refusal> {
        match self {
            Self::Resources(page) => page.patients(),
            // A count of accesses is recorded only for the patient whom it names, so no look-up is due.
            Self::Accesses(_) => Ok(Patients::default()),
        }
    }
}
