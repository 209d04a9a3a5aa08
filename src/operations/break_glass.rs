//! `Patient/[id]/$break-glass`, `Patient/$break-glass`: lets a clinician with the right, who states a reason, see one patient's file for 15 minutes. The
//! same commit stores a Task for the privacy officer and an access record that the patient can read.
use serde_json::json;

use crate::audit::{self, Action, BREAK_GLASS};
use crate::auth::{AccessToken, BreakGlass, Confirmation, SignedToken};
use crate::consent::BreakGlassMode;
use crate::definitions::r4;
use crate::model::{IssueCode, ResourceId};
use crate::search::Filter;
use crate::store::Draft;

use super::answer::{Answer, Body, HoldsNobody, Kind, Public, Refusal, RefusalKind};
use super::parameters::{Call, Parameters};
use super::session::Session;
use super::tasks::{StaffTask, requester, task};

/// How long the token is valid, in seconds: 15 minutes less the minute of clock skew that is tolerated.
const SECONDS: i64 = 14 * 60;
/// The least number of letters of a reason, blanks not counted.
const REASON_LEN_MIN: usize = 10;

/// Takes `reason` (text), and on the type `identifier`, the record number. Answers with `access_token`, `token_type`, `expires_in` (seconds) and `patient`.
pub(super) fn break_glass(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let party = session.lens.party();
    let may = party.may_declare_emergency()
        && session.lens.is_own()
        // An app that was launched for one patient must not give itself another.
        && party.patient_context.is_none()
        && session.context.settings.break_glass != BreakGlassMode::Off;
    if !may {
        return Err(Refusal::forbidden("the party may not break the glass"));
    }
    let reason = call.reason(REASON_LEN_MIN)?;
    let id = &match call.id() {
        Ok(id) => id.clone(),
        Err(_) => by_record_number(session, call.required("identifier")?.trim())?,
    };
    super::consent::known(session, id)?;
    let patient = format!("Patient/{id}");
    let signed = token(session, id.as_str(), &reason)?;

    let mut draft = Draft::packed(&session.context.packing);
    let who = party.fhir_user.clone().unwrap_or_else(|| format!("subject {}", party.subject));
    let more = json!({
        "priority": "urgent",
        "description": format!("review: {who} has broken the glass"),
        "reasonCode": {"text": reason},
        "requester": requester(session),
    });
    draft.push(session.snapshot(), &mut task(session, StaffTask::ReviewBreakGlass, Some(&patient), more)?)?;
    let asked = call.request.asked();
    let mut access = session.context.begin_record(party, (BREAK_GLASS, Action::Execute), asked)?;
    access.purposes = vec!["BTG".to_owned()];
    access.concern([&patient]);
    access.reason = Some(reason);
    draft.batch.writes.extend(audit::writes(&access, 0));
    session.context.kv.commit(draft.batch).wait()?;

    let mut answer =
        Answer::new(Kind::Ok, Body::Public(Public::of(&Granted { token: &signed, patient: id })));
    answer.recorded = true;
    Ok(answer)
}

/// The patient with a record number, whether the party sees that patient or not: in an emergency the number on a card or a
/// bracelet is all that there is. `system|value` narrows to one system.
///
/// # Errors
/// 404 if there is no such patient, or more than one.
fn by_record_number(session: &Session<'_>, number: &str) -> Result<ResourceId, Refusal> {
    let (system, value) = match number.split_once('|') {
        Some((system, value)) => (Some(system.to_owned()), value),
        None => (None, number),
    };
    let def = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    let param = session.params.find(def, "identifier").ok_or_else(Refusal::not_found)?;
    if value.is_empty() {
        return Err(Refusal::not_found());
    }
    let found = session.stored(def, &Filter::codes(param, &[(system, value.to_owned())]), 2)?;
    let mut there = found.into_iter().filter(|current| !current.deleted);
    match (there.next(), there.next()) {
        (Some(only), None) => Ok(only.id),
        _ => Err(Refusal::not_found()),
    }
}

/// An emergency token for its requester and one patient. Only an issuer can make a [`SignedToken`].
struct Granted<'g> {
    token: &'g SignedToken,
    patient: &'g ResourceId,
}

impl HoldsNobody for Granted<'_> {
    fn json(&self) -> String {
        Parameters::default()
            .string("access_token", self.token.text())
            .string("token_type", "Bearer")
            .string("expires_in", &SECONDS.to_string())
            .reference("patient", &format!("Patient/{}", self.patient))
            .json()
    }
}

/// A token of the same party, for the one patient and the purpose BTG.
fn token(session: &Session<'_>, patient: &str, reason: &str) -> Result<SignedToken, Refusal> {
    let party = session.lens.party();
    let context = session.context;
    let now = context.now() / 1_000;
    let token = AccessToken {
        iss: context.issuer().url().to_owned(),
        aud: context.issuer().url().to_owned(),
        sub: party.subject.clone(),
        client_id: party.client.clone(),
        iat: now,
        exp: (now + SECONDS).min(party.expires / 1_000),
        jti: context.fresh_id()?.to_string(),
        scope: party.scopes.to_string(),
        role: party.role.code().to_owned(),
        organization: party.organization.clone(),
        fhir_user: party.fhir_user.clone(),
        patient: Some(patient.to_owned()),
        confined_to: party.confined_to.clone(),
        purpose_of_use: vec!["BTG".to_owned()],
        break_glass: Some(BreakGlass { patient: patient.to_owned(), reason: reason.to_owned() }),
        lenient: party.lenient,
        confirmation: party.certificate.as_ref().map(Confirmation::of),
        // Revoking the party's grant revokes this token, too.
        grant: party.grant.clone(),
        ..AccessToken::default()
    };
    context.issuer().signed(&token).map_err(|error| {
        let outcome =
            crate::model::Outcome::error(IssueCode::Exception, "no token could be signed").because(error);
        Refusal::new(RefusalKind::Internal, outcome)
    })
}
