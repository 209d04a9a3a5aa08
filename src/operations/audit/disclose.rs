//! `Patient/[id]/$record-disclosure`: enters into the accounting a disclosure that did not go through the server (45 CFR
//! 164.528(b), 42 CFR 2.25). An entry never changes: a correction is another entry that names it.
use crate::audit::{
    self, AccountedBy, Action, DISCLOSURE_BASES, Entered, RECORD_DISCLOSURE, RecordPlace, corrected,
    disclosure_basis, event_of_record, record, record_of_event,
};
use crate::auth::Role;
use crate::model::{Issue, IssueCode, Millis, ResourceId, ResourceKey, Temporal};
use crate::store::{Batch, Sequence};

use super::super::answer::{Answer, Body, HoldsNobody, Kind, Public, Refusal, RefusalKind};
use super::super::consent::known;
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;

/// The most letters of a name or an address.
const NAME_LEN_MAX: usize = 500;
/// The most letters of what was disclosed, and of its purpose.
const BRIEF_LEN_MAX: usize = 1_000;
/// The most disclosures that one entry stands for.
const COUNT_MAX: usize = 1_000_000;

/// The table of operations has its parameters. Answers with `entry` (the id by which it can be corrected), `accounted`, and
/// `accounted-by` (the law that requires the accounting, if one does).
pub(in super::super) fn record_disclosure(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let party = session.lens.party();
    let is_technician = session.lens.is_own() && party.role == Role::Technician;
    if !session.lens.may_audit() && !is_technician {
        return Err(Refusal::forbidden("this is for health-records technicians and privacy officers"));
    }
    let id = call.id()?;
    known(session, id)?;
    let earlier = call.text("corrects")?.map(|entry| entry_of(session, id, &entry)).transpose()?;
    let in_error = call.text("in-error")?.is_some_and(|text| text == "true");
    let mut entered = match (&earlier, in_error) {
        (Some((_, earlier)), true) => Entered { in_error, ..earlier.clone() },
        (None, true) => return Err(unprocessable("`in-error` goes with `corrects`, which names the entry")),
        (_, false) => entered(session, call)?,
    };
    entered.corrects = earlier.as_ref().map(|((Sequence(sequence), number), _)| (*sequence, *number));

    let patient = format!("Patient/{id}");
    let asked = call.request.asked();
    let mut access = session.context.begin_record(party, (RECORD_DISCLOSURE, Action::Create), asked)?;
    access.concern([&patient]);
    let mut batch = Batch::default();
    if let Some((place, _)) = earlier {
        let (write, expectation) = corrected(place);
        batch.writes.push(write);
        batch.expectations.push(expectation);
    }
    let accounted = disclosure_basis(&entered.basis).map_or(AccountedBy::Neither, |basis| basis.accounted);
    access.entered = Some(entered);
    batch.writes.extend(audit::writes(&access, 0));
    let committed = session.context.kv.commit(batch).wait()?;

    let version_id = |sequence| session.version_id(sequence);
    let law = match accounted {
        AccountedBy::Hipaa => "45 CFR 164.528",
        AccountedBy::Part2 => "42 CFR 2.25",
        AccountedBy::Neither => "",
    };
    let receipt = Receipt {
        entry: event_of_record((committed.sequence, 0), &version_id),
        is_accounted: accounted != AccountedBy::Neither && !in_error,
        law,
    };
    let mut answer = Answer::new(Kind::Ok, Body::Public(Public::of(&receipt)));
    answer.recorded = true;
    Ok(answer)
}

/// The answer to the party that entered a disclosure.
struct Receipt {
    entry: String,
    is_accounted: bool,
    /// The law that requires the accounting; empty if none does.
    law: &'static str,
}

impl HoldsNobody for Receipt {
    fn json(&self) -> String {
        Parameters::default()
            .string("entry", &self.entry)
            .boolean("accounted", self.is_accounted)
            .string("accounted-by", self.law)
            .json()
    }
}

fn unprocessable(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Unprocessable, Issue::error(IssueCode::Value, message.into()))
}

/// The entry that a correction names. It must be this patient's, and not corrected already.
fn entry_of(
    session: &Session<'_>,
    patient: &ResourceId,
    entry: &str,
) -> Result<(RecordPlace, Entered), Refusal> {
    let none = || unprocessable(format!("`corrects`: there is no entry `{entry}` for this patient"));
    let sequence_of = |text: &str| session.context.cipher.sequence(text);
    let (place, _) = record_of_event(entry, &sequence_of).ok_or_else(none)?;
    let access = record(session.snapshot(), place)?.ok_or_else(none)?;
    let is_of_patient = access.patients.contains(&format!("Patient/{patient}"));
    let entered = access.entered.filter(|_| is_of_patient).ok_or_else(none)?;
    let (write, _) = corrected(place);
    if session.snapshot().get(&write.key)?.is_some() {
        let message = format!("`corrects`: the entry `{entry}` is corrected already: correct the later one");
        let issue = Issue::error(IssueCode::Conflict, message);
        return Err(Refusal::new(RefusalKind::Conflict, issue));
    }
    Ok((place, entered))
}

fn entered(session: &Session<'_>, call: &Call<'_>) -> Result<Entered, Refusal> {
    let now = session.context.now();
    let first = moment(call, "date", now)?;
    let first =
        first.ok_or_else(|| Refusal::bad_request(IssueCode::Required, "the parameter `date` is missing"))?;
    let last = moment(call, "last", now)?;
    let count = match (call.text("count")?, last) {
        (None, None) => 1,
        (None, Some(_)) => return Err(unprocessable("with `last`, `count` says how many times it was")),
        (Some(text), _) => {
            let count = text.parse::<usize>().ok().filter(|count| (1..=COUNT_MAX).contains(count));
            count.ok_or_else(|| unprocessable(format!("`count` is a number from 1 to {COUNT_MAX}")))?
        }
    };
    let last = last.unwrap_or(first);
    if last < first || (count == 1 && last != first) {
        return Err(unprocessable(
            "`last` is the date of the last of several disclosures, not before `date`",
        ));
    }
    let basis = call.required("basis")?;
    if disclosure_basis(&basis).is_none() {
        let codes = DISCLOSURE_BASES.map(|basis| basis.code).join(", ");
        return Err(unprocessable(format!("`basis` is none of: {codes}")));
    }
    let purpose = brief(call, "purpose", BRIEF_LEN_MAX)?;
    let request = call.text("request")?.map(|request| written_request(session, &request)).transpose()?;
    if purpose.is_none() && request.is_none() {
        return Err(unprocessable("`purpose`, or `request` with the written request, is needed"));
    }
    let required = |name: &str, len| {
        let missing =
            || Refusal::bad_request(IssueCode::Required, format!("the parameter `{name}` is missing"));
        brief(call, name, len)?.ok_or_else(missing)
    };
    Ok(Entered {
        first,
        last,
        count,
        recipient: required("recipient", NAME_LEN_MAX)?,
        address: brief(call, "address", NAME_LEN_MAX)?,
        description: required("description", BRIEF_LEN_MAX)?,
        purpose,
        request,
        basis,
        ..Entered::default()
    })
}

/// A text parameter without surrounding blanks; `None` if nothing is left.
fn brief(call: &Call<'_>, name: &str, len_max: usize) -> Result<Option<String>, Refusal> {
    let text = call.text(name)?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.chars().count() > len_max) {
        return Err(unprocessable(format!("`{name}` has at most {len_max} letters")));
    }
    Ok(text)
}

/// When something was disclosed: a date or time that is not in the future.
fn moment(call: &Call<'_>, name: &str, now: Millis) -> Result<Option<Millis>, Refusal> {
    let Some(text) = call.text(name)? else { return Ok(None) };
    let wrong = || Refusal::bad_request(IssueCode::Value, format!("`{name}` is no date"));
    let moment = Temporal::parse(&text.replace(' ', "+")).ok_or_else(wrong)?.interval().start;
    if moment > now {
        return Err(unprocessable(format!("`{name}` is to come")));
    }
    Ok(Some(moment))
}

/// The written request: a document on this server that the party sees.
fn written_request(session: &Session<'_>, reference: &str) -> Result<String, Refusal> {
    let key = reference.split_once('/').and_then(|(type_name, id)| ResourceKey::new(type_name, id));
    let key = key.filter(|key| matches!(key.type_name, "DocumentReference" | "Binary"));
    let wrong = || unprocessable("`request` refers to a DocumentReference or Binary that is here");
    let key = key.ok_or_else(wrong)?;
    if session.is_seen(&key)? { Ok(key.to_string()) } else { Err(wrong()) }
}
