//! What is checked when a Consent is written, and the warnings and Tasks that follow: whether its patient and its actors are
//! known here.
use serde_json::json;

use crate::consent::compile;
use crate::definitions::TypeDef;
use crate::model::{Issue, IssueCode, Node, Reference, ReferenceTarget, ResourceKey};
use crate::store::Change;

use super::super::answer::{Refusal, RefusalKind};
use super::super::session::Session;
use super::super::tasks::{StaffTask, task};

/// A Consent that is written must name its patient: one that the writer sees; for a record keeper any id, stored here or not. An
/// administrator may name none, and so writes a policy. All others get the same answer for hidden and for absent Patients.
pub(in super::super) fn check_patient(
    session: &Session<'_>,
    def: &TypeDef,
    consent: Node<'_>,
) -> Result<(), Refusal> {
    if &*def.name != "Consent" {
        return Ok(());
    }
    let refused = |message: &str| {
        let issue = Issue::error(IssueCode::BusinessRule, message).at("Consent.patient");
        Err(Refusal::new(RefusalKind::Unprocessable, issue))
    };
    let Some(patient) = consent.get("patient") else {
        return match session.context.may_administer(session.lens.party()) {
            true => Ok(()),
            false => {
                refused("a Consent names its patient; only administrators write policies that name none")
            }
        };
    };
    if let Some(key) = patient_key(patient)
        && (session.lens.keeps_record() || session.is_seen(&key)?)
    {
        return Ok(());
    }
    refused("a Consent names its patient by a reference to a Patient of this server")
}

/// The Patient of this server that a reference element names.
fn patient_key(reference: Node<'_>) -> Option<ResourceKey> {
    match Reference::parse(reference.str_at("reference")?).target {
        ReferenceTarget::Relative(key) => Some(key).filter(|key| key.type_name == "Patient"),
        _ => None,
    }
}

/// The warnings and Tasks for a Consent that is stored before its Patient, or a Patient that is stored after its Consents: a
/// mistyped id must not silently switch a denial off.
pub(in super::super) fn awaited(
    session: &Session<'_>,
    def: &TypeDef,
    resource: Node<'_>,
) -> Result<(Vec<Issue>, Vec<Change>), Refusal> {
    let warning = |message: String, at: &str| Issue::warning(IssueCode::NotFound, message).at(at);
    let id = resource.str_at("id").unwrap_or_default();
    let (mut warnings, mut tasks) = (Vec::new(), Vec::new());
    match &*def.name {
        "Consent" => {
            let focus = json!({"reference": format!("Consent/{id}")});
            let patient = resource.get("patient").and_then(patient_key);
            if compile(resource).has_actors_unknown() {
                let message = "an actor of the Consent cannot be computed: say who is meant";
                let of = patient.as_ref().map(ToString::to_string);
                let more = json!({"focus": focus, "description": message});
                tasks.push(task(session, StaffTask::ClarifyConsent, of.as_deref(), more)?);
            }
            let Some(key) = patient.filter(|_| session.lens.keeps_record()) else {
                return Ok((warnings, tasks));
            };
            if !session.exists(&key)? {
                let message = format!("{key} is not here: nothing is governed until it comes");
                let more = json!({"focus": focus, "description": message});
                tasks.push(task(session, StaffTask::AwaitPatient, Some(&key.to_string()), more)?);
                warnings.push(warning(message, "Consent.patient"));
            }
        }
        "Patient" if session.lens.is_own() => {
            let patient = format!("Patient/{id}");
            for compiled in session.lens.consents_of(&patient)? {
                if compiled.patient.as_ref() != Some(&patient) || !compiled.active || compiled.denies_only {
                    continue;
                }
                let consent = format!("Consent/{}", compiled.id);
                let message =
                    format!("{consent} was recorded before {patient} came, and governs it from now on");
                let more = json!({"focus": {"reference": consent}, "description": message});
                tasks.push(task(session, StaffTask::PatientCame, Some(&patient), more)?);
                warnings.push(warning(message, "Patient"));
            }
        }
        _ => {}
    }
    Ok((warnings, tasks))
}
