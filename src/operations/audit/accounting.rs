//! `Patient/[id]/$accounting-of-disclosures`: the disclosures of a patient's data that the law wants accounted for (45 CFR
//! 164.528), also as a page to print.
use std::collections::BTreeSet;

use crate::audit::{
    Accounting, Disclosure, Page, Records, day_in_words, disclosure_basis, event_of_record, ground_in_words,
    kind_in_words, listed, purpose_in_words, suspended,
};
use crate::model::{Interval, ResourceId};
use crate::store::Direction;

use super::super::answer::{Answer, Refusal};
use super::super::consent::{known, may_ask_about};
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;
use super::names::{address_of, name_of, own_organization, patient_name};
use super::period::period;

/// `start` and `end` narrow it to a period of at most the last six years. `page=true` adds a page to print.
pub(in super::super) fn accounting_of_disclosures(
    session: &Session<'_>,
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    let id = call.id()?;
    let patient = format!("Patient/{id}");
    may_ask_about(session, &patient)?;
    known(session, id)?;
    let (period, disclosures) = accounted(session, id, period(call)?)?;
    let mut out = Parameters::default().instant("start", period.start).instant("end", period.end);
    for disclosure in &disclosures {
        let (recipient, address) = recipient_of(session, disclosure);
        let mut parts = Parameters::default();
        if let Some((place, entered)) = &disclosure.entered {
            let version_id = |sequence| session.version_id(sequence);
            parts =
                parts.string("entry", &event_of_record(*place, &version_id)).code("basis", &entered.basis);
            if let Some(request) = &entered.request {
                parts = parts.reference("request", request);
            }
        }
        let parts = parts
            .instant("date", disclosure.first)
            .string("recipient", &recipient)
            .string("address", &address.unwrap_or_default())
            .string("description", &description(disclosure))
            .string("purpose", &purpose(disclosure))
            .count("count", disclosure.count)
            .instant("last", disclosure.last);
        out = out.parts("disclosure", parts);
    }
    if call.text("page")?.as_deref() == Some("true") {
        out = out.document("page", "text/html", &page(session, id, period, &disclosures)?);
    }
    session.about(out.json(), BTreeSet::from([patient]))
}

/// The accounting as a page to print.
fn page(
    session: &Session<'_>,
    id: &ResourceId,
    period: Interval,
    disclosures: &[Disclosure],
) -> Result<String, Refusal> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let rows = disclosures.iter().map(|disclosure| {
        let (recipient, address) = recipient_of(session, disclosure);
        let recipient = match address {
            Some(address) => format!("{recipient}, {address}"),
            None => recipient,
        };
        let first = day_in_words(disclosure.first);
        let when = match disclosure.count {
            1 => first,
            count => format!("{first}; {count} times, the last on {}", day_in_words(disclosure.last)),
        };
        vec![when, recipient, description(disclosure), purpose(disclosure)]
    });
    let page = Page {
        title: "Accounting of disclosures".to_owned(),
        patient: patient_name(session, id)?,
        hospital: own_organization(session),
        remarks: vec![
            format!("From {} to {}.", day_in_words(period.start), day_in_words(period.end)),
            "Not listed are disclosures for treatment, payment and operations, to the patient, and those that \
             the patient authorized (45 CFR 164.528)."
                .to_owned(),
        ],
        columns: texts(&["Date", "Recipient", "What was disclosed", "Purpose"]),
        rows: rows.collect(),
        nothing: "Nothing was disclosed that is to be accounted for.".to_owned(),
    };
    Ok(page.html())
}

fn accounted(
    session: &Session<'_>,
    id: &ResourceId,
    asked: Interval,
) -> Result<(Interval, Vec<Disclosure>), Refusal> {
    let now = session.context.now();
    let asked = Interval { start: asked.start, end: asked.end.min(now.saturating_add(1)) };
    let agencies = suspended(session.snapshot(), id.as_str(), now)?;
    let patient = format!("Patient/{id}");
    let mut accounting = Accounting::of(&patient, asked, now, &agencies);
    let mut records = Records::new(session.snapshot(), Some(id.as_str()), Direction::Forward, None);
    while let Some((place, access)) = records.read()? {
        accounting.add(place, &access);
    }
    Ok((accounting.period(), accounting.finish()))
}

fn recipient_of(session: &Session<'_>, disclosure: &Disclosure) -> (String, Option<String>) {
    let name = name_of(session, &disclosure.recipient);
    let entered = disclosure.entered.as_ref().and_then(|(_, entered)| entered.address.clone());
    // The reference of another person would tell the reader nothing; the name of a client does.
    let is_person = ["Patient/", "RelatedPerson/"].iter().any(|kind| disclosure.recipient.starts_with(kind));
    let unnamed = if is_person { "a person".to_owned() } else { disclosure.recipient.clone() };
    (name.unwrap_or(unnamed), entered.or_else(|| address_of(session, &disclosure.recipient)))
}

/// What was disclosed the first time, in brief.
fn description(disclosure: &Disclosure) -> String {
    if let Some((_, entered)) = &disclosure.entered {
        return entered.description.clone();
    }
    let kinds: Vec<String> = disclosure
        .kinds
        .iter()
        .map(
            |(kind, count)| {
                if *count == 1 { kind_in_words(kind) } else { format!("{} ({count})", kind_in_words(kind)) }
            },
        )
        .collect();
    listed(&kinds)
}

fn purpose(disclosure: &Disclosure) -> String {
    if let Some((_, entered)) = &disclosure.entered {
        let basis = disclosure_basis(&entered.basis);
        let basis = basis.map(|basis| format!("on the basis of {} ({})", basis.words, basis.section));
        let request = entered.request.as_ref().map(|_| "as the written request says".to_owned());
        return [entered.purpose.clone(), request, basis]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ");
    }
    let purposes: Vec<String> =
        disclosure.purposes.iter().map(|code| purpose_in_words(code).to_owned()).collect();
    let basis = ground_in_words(&disclosure.ground);
    if purposes.is_empty() {
        format!("on the basis of {basis}")
    } else {
        format!("{}, on the basis of {basis}", listed(&purposes))
    }
}
