//! `AuditEvent/$without-relation`: clinicians of the own organization who read the file of a patient to whom no stored resource
//! relates them. The default policy permits that; the privacy officer reviews it.
use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Access, Records};
use crate::auth::Role;
use crate::definitions::r4;
use crate::model::{Millis, ResourceId};
use crate::search::Filter;
use crate::store::Direction;

use super::super::answer::{Answer, Refusal};
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;
use super::period::{LATE_MS_MAX, period};

/// Types that relate a clinician to a patient, with the search parameters by which they name the patient and the clinician.
const RELATIONS: [(&str, &str, &str); 6] = [
    ("Encounter", "patient", "participant"),
    ("Appointment", "patient", "practitioner"),
    ("CareTeam", "patient", "participant"),
    ("ServiceRequest", "patient", "requester"),
    ("ServiceRequest", "patient", "performer"),
    ("Patient", "_id", "general-practitioner"),
];

/// Accesses of one clinician to one file.
struct Accesses {
    first: Millis,
    last: Millis,
    count: usize,
}

/// Takes `start` and `end`. Relations are looked up as of now: one that began later still explains the access.
pub(in super::super) fn without_relation(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    if !session.lens.may_audit() {
        return Err(Refusal::forbidden("this is for administrators and privacy officers"));
    }
    let asked = period(call)?;
    let mut found: BTreeMap<(String, String), Accesses> = BTreeMap::new();
    let mut records = Records::new(session.snapshot(), None, Direction::Reverse, None);
    while let Some((_, access)) = records.read()? {
        if access.time < asked.start.saturating_sub(LATE_MS_MAX) {
            break;
        }
        let is_asked = asked.start <= access.time && access.time < asked.end;
        let Some(user) = treating(&access).filter(|_| is_asked) else { continue };
        for patient in &access.patients {
            let seen = found.entry((user.to_owned(), patient.clone())).or_insert(Accesses {
                first: access.time,
                last: access.time,
                count: 0,
            });
            seen.first = seen.first.min(access.time);
            seen.last = seen.last.max(access.time);
            seen.count += 1;
        }
    }
    let mut out = Parameters::default();
    for ((user, patient), seen) in found {
        if is_related(session, &user, &patient)? {
            continue;
        }
        let part = Parameters::default()
            .reference("clinician", &user)
            .reference("patient", &patient)
            .instant("first", seen.first)
            .instant("last", seen.last)
            .count("count", seen.count);
        out = out.parts("access", part);
    }
    session.about(out.json(), BTreeSet::new())
}

/// The clinician to whom something was shown for treatment. Accesses with broken glass are reviewed in another way.
fn treating(access: &Access) -> Option<&str> {
    let treats = access.role == Role::Clinician.code()
        && access.purposes.iter().any(|purpose| purpose == "TREAT")
        // An addition names patients who were counted or searched for, and not shown.
        && access.addition.is_none()
        && !access.has_failed();
    access.fhir_user.as_deref().filter(|_| treats)
}

fn is_related(session: &Session<'_>, user: &str, patient: &str) -> Result<bool, Refusal> {
    let refers = |def, code: &str, reference: &str| {
        let param = session.params.find(def, code)?;
        let (type_name, id) = reference.split_once('/')?;
        Some(Filter::refers(param, type_name, id))
    };
    for (type_name, of_patient, of_clinician) in RELATIONS {
        let Some(def) = r4().resource(type_name) else { continue };
        let of_patient = match of_patient {
            "_id" => {
                patient.strip_prefix("Patient/").and_then(ResourceId::parse).map(|id| Filter::Id(vec![id]))
            }
            code => refers(def, code, patient),
        };
        let (Some(of_patient), Some(of_clinician)) = (of_patient, refers(def, of_clinician, user)) else {
            continue;
        };
        let filter = Filter::all(vec![of_patient, of_clinician]);
        if !session.stored(def, &filter, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
