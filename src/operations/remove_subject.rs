//! `[type]/[id]/$remove-subject`: takes a patient off the subjects of a resource that also has others, where it was a mistake,
//! such as a paper filed under the wrong name. A Binary keeps the subjects of whatever referred to it until this removes them.
use std::collections::BTreeSet;

use serde_json::json;

use crate::audit::{self, Action};
use crate::auth::{Permission, Recording};
use crate::consent::depends_on_others;
use crate::model::{Issue, IssueCode, Outcome, ResourceKey, Temporal, parse};
use crate::store::Draft;

use super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::parameters::Call;
use super::session::{Session, Writable};
use super::tasks::made;

/// Takes `patient` (`Patient/id`) and `reason` (text), from records staff of the own organization. Whatever makes the patient a
/// subject now must be corrected first, and another subject must remain. Stores a Provenance, whose address is the answer's
/// `Location`.
pub(super) fn remove_subject(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let party = session.lens.party();
    let role = party.role.row();
    if !(session.lens.is_own() && role.does_work && role.recording == Recording::KeepsRecord) {
        return Err(Refusal::forbidden("this is for records staff"));
    }
    let (def, id) = call.instance()?;
    if !depends_on_others(&def.name) {
        let message = format!(
            "the subjects of a {} are what its elements say: they are corrected by an update",
            def.name
        );
        return Err(Refusal::not_supported(message));
    }
    let reason = call.reason(1)?;
    let patient = call.required("patient")?;
    let wrong = || Refusal::bad_request(IssueCode::Value, "`patient` is no reference such as Patient/id");
    let key =
        patient.strip_prefix("Patient/").and_then(|id| ResourceKey::new("Patient", id)).ok_or_else(wrong)?;
    let Writable::Resource { current, stored, .. } = session.look_to_write(&[Permission::Update], def, id)?
    else {
        return Err(Refusal::not_found());
    };
    let tree = parse(stored.text.clone().into_bytes()).map_err(|_| Refusal::not_found())?;
    let reference = format!("{}/{id}", def.name);
    let subjects: BTreeSet<String> = session.lens.subjects_of(tree.root())?;
    if !subjects.contains(&patient) {
        let message = format!("{patient} is no subject of {reference}");
        return Err(Refusal::new(RefusalKind::Unprocessable, Issue::error(IssueCode::Invalid, message)));
    }
    let by = session.lens.made_subject_by(tree.root(), &patient)?;
    if !by.is_empty() {
        let issue = |by: &String| {
            let message =
                format!("{by} makes {patient} a subject of {reference} as it stands: correct that first");
            Issue::error(IssueCode::BusinessRule, message)
        };
        let issues: Vec<Issue> = by.iter().map(issue).collect();
        return Err(Refusal::new(RefusalKind::Conflict, Outcome::from(issues)));
    }
    if subjects.len() < 2 {
        let message =
            format!("{reference} would be of nobody: refer to it from the right patient's file first");
        return Err(Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::BusinessRule, message)));
    }
    // Taking a resource out of a patient's file counts as deleting it there.
    let expectations = super::hold::not_held(session, [&patient])?;
    let provenance = json!({
        "resourceType": "Provenance",
        "target": [{"reference": reference}],
        "recorded": Temporal::from_millis(session.context.now()).to_text(),
        "reason": [{"text": reason}],
        "activity": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "UPDATE", "display": "revise"
        }], "text": "a wrong subject was taken off"},
        "agent": [{"who": match &party.fhir_user {
            Some(user) => json!({"reference": user}),
            None => json!({"identifier": {"value": party.subject}}),
        }}],
    });
    let mut change = made(session, &provenance)?;
    let made = format!("Provenance/{}", change.id);
    // The Provenance is about the remaining subjects alone.
    change.belongs.retain(|(_, subject)| *subject != *key.id.as_str());
    let mut draft = Draft::packed(&session.context.packing);
    draft.expect(session.repository().unchanged(&current));
    expectations.into_iter().for_each(|expectation| draft.expect(expectation));
    draft.push(session.snapshot(), &mut change)?;
    draft.take_off(session.snapshot().sequence(), &reference, key.id.as_str());
    let asked = call.request.asked();
    let mut access = session.context.begin_record(party, ("$remove-subject", Action::Update), asked)?;
    access.reason = Some(reason);
    access.concern(&subjects);
    super::audit::add_change(&mut access, &change);
    draft.batch.writes.extend(audit::writes(&access, 0));
    session.context.kv.commit(draft.batch).wait()?;
    let mut answer = Answer::new(Kind::Created, Body::None);
    answer.location = Some(format!("{}/{made}", session.context.options.base_url));
    answer.recorded = true;
    Ok(answer)
}
