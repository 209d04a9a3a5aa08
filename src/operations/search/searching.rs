//! A search that was read and is to be answered, or whose matches are asked whom they are about.
use crate::audit::Patients;
use crate::search::{Filter, Sought, sought};
use crate::store::Sequence;

use super::super::answer::{Answer, Refusal, Unshown};
use super::super::request::patients_named;
use super::super::session::Session;
use super::audit_events::AuditSearch;
use super::page::{Page, Part};

pub(super) enum Searching<'p, 's> {
    Resources(Box<Page<'p, 's>>),
    Accesses(AuditSearch<'p, 's>),
}

impl Searching<'_, '_> {
    pub(super) fn answer(self) -> Result<Answer, Refusal> {
        match self {
            Self::Resources(page) => page.answer(),
            Self::Accesses(search) => search.answer(),
        }
    }

    pub(super) fn patients(self) -> Result<Patients, Refusal> {
        match self {
            Self::Resources(page) => page.patients(),
            // A count of accesses is told to whom it names alone, and no look-up of it is due.
            Self::Accesses(_) => Ok(Patients::default()),
        }
    }
}

/// Whether the record of an answer needs a look-up, and of what: the answer shows `shown` matches of `total`. It needs one where more
/// was counted than is shown, and where a value may pick out somebody whom neither the answer shows nor the request names by id.
pub(super) fn unshown(
    session: &Session<'_>,
    parts: &[Part],
    (path, used): (&str, &[(String, String)]),
    (shown, total): (usize, Option<usize>),
    searched: Sequence,
) -> Option<Unshown> {
    let counted = total.is_some_and(|total| total > shown);
    let named = patients_named(path.split('/'), used);
    let mut values = Vec::new();
    for Part { def, filters, .. } in parts {
        values.extend(filters.iter().flat_map(|filter| sought(&session.params, def, filter)));
    }
    values.retain(|value| match value {
        // Whom the request names by id the record tells as it is written.
        Sought::Resource(types, id) => {
            !types.contains(&"Patient") || !named.contains(&format!("Patient/{id}"))
        }
        _ => true,
    });
    // A value of what is searched for that was the only criterion is either of whom it has shown, or of several.
    let is_only = match parts {
        [Part { filters, .. }] => match filters.as_slice() {
            [Filter::Entries(matchers)] => {
                matchers.len() == 1 && matches!(values.as_slice(), [Sought::Resources(..)])
            }
            [Filter::Id(ids)] => ids.len() == 1,
            _ => false,
        },
        _ => false,
    };
    let is_told = shown > 0 && is_only;
    (counted || !(values.is_empty() || is_told)).then_some(Unshown { counted, searched })
}
