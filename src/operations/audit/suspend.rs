//! `Patient/[id]/$suspend-accounting`: the patient is not told of disclosures to an agency for the time that the agency has
//! stated (45 CFR 164.528(a)(2)).
use std::collections::BTreeSet;

use crate::audit::{SPOKEN_DAYS_MAX, Suspension};
use crate::auth::Role;
use crate::model::{IssueCode, Millis, ResourceKey, Temporal};
use crate::store::Batch;

use super::super::answer::{Answer, Refusal};
use super::super::consent::known;
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;

const DAY_MS: Millis = 24 * 60 * 60 * 1_000;

/// Takes `agency` (`Organization/id`), `until` (a date or time), and `statement`: `written`, or `spoken`, which suspends for
/// thirty days at most.
pub(in super::super) fn suspend_accounting(
    session: &Session<'_>,
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    if !session.lens.may_audit() || session.lens.party().role != Role::PrivacyOfficer {
        return Err(Refusal::forbidden("this is for privacy officers"));
    }
    let id = call.id()?;
    known(session, id)?;
    let agency = call.required("agency")?;
    let is_organization =
        agency.strip_prefix("Organization/").and_then(|id| ResourceKey::new("Organization", id));
    if is_organization.is_none() {
        let message = "`agency` is no reference such as Organization/id";
        return Err(Refusal::bad_request(IssueCode::Value, message));
    }
    let wrong = || Refusal::bad_request(IssueCode::Value, "`until` is no date");
    let until = Temporal::parse(&call.required("until")?.replace(' ', "+")).ok_or_else(wrong)?.interval().end;
    let now = session.context.now();
    let longest = match call.required("statement")?.as_str() {
        "written" => Millis::MAX,
        "spoken" => now.saturating_add(SPOKEN_DAYS_MAX * DAY_MS),
        other => {
            let message = format!("`statement` is written or spoken, not `{other}`");
            return Err(Refusal::bad_request(IssueCode::Value, message));
        }
    };
    let until = until.min(longest);
    let by = session.lens.party().subject.clone();
    let suspension = Suspension { agency, until, by, time: now };
    let batch = Batch { writes: vec![suspension.write(id.as_str())], ..Batch::default() };
    session.context.kv.commit(batch).wait()?;
    let out = Parameters::default().reference("agency", &suspension.agency).instant("until", until);
    session.about(out.json(), BTreeSet::from([format!("Patient/{id}")]))
}
