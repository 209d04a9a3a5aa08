//! `Patient/[id]/$who-saw`: who saw a patient's file, when, why and by what right, in words that a patient understands.
use std::collections::BTreeSet;

use crate::audit::{Page, Records, Viewing, Viewings, ground_in_words, is_told, role_in_words, suspended};
use crate::model::{Interval, IssueCode, ResourceId};
use crate::store::Direction;

use super::super::answer::{Answer, Refusal};
use super::super::consent::{known, may_ask_about};
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;
use super::names::{name_of, own_organization, patient_name};
use super::period::{LATE_MS_MAX, period};

/// How many groups of accesses are listed by default.
const COUNT_DEFAULT: usize = 100;

/// `start` and `end` narrow it to a period, `_count` to the newest; `page=true` adds a page to print.
pub(in super::super) fn who_saw(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let id = call.id()?;
    let patient = format!("Patient/{id}");
    may_ask_about(session, &patient)?;
    known(session, id)?;
    let count = match call.text("_count")? {
        None => COUNT_DEFAULT,
        Some(text) => {
            let wrong = |_| Refusal::bad_request(IssueCode::Value, "`_count` is no number");
            text.parse::<usize>().map_err(wrong)?.min(session.context.options.page_len_max)
        }
    };
    let names = |reference: &str| name_of(session, reference);
    let viewings = viewings(session, id, period(call)?, count)?;
    let mut out = Parameters::default();
    for viewing in &viewings {
        out = out.parts("access", told(viewing, &patient, &names));
    }
    if call.text("page")?.as_deref() == Some("true") {
        let rows = viewings.iter().map(|viewing| {
            vec![viewing.when(), viewing.actor(&patient, &names), viewing.what(), viewing.why()]
        });
        let page = Page {
            title: "Who saw the file".to_owned(),
            patient: patient_name(session, id)?,
            hospital: own_organization(session),
            remarks: vec!["The newest first; times are in UTC.".to_owned()],
            columns: ["When", "Who", "What", "Why"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
            nothing: "Nobody has seen the file in this time.".to_owned(),
        };
        out = out.document("page", "text/html", &page.html());
    }
    session.about(out.json(), BTreeSet::from([patient]))
}

fn viewings(
    session: &Session<'_>,
    id: &ResourceId,
    asked: Interval,
    count: usize,
) -> Result<Vec<Viewing>, Refusal> {
    let agencies = if session.lens.may_audit() {
        Vec::new()
    } else {
        suspended(session.snapshot(), id.as_str(), session.context.now())?
    };
    let mut viewings = Viewings::of(&format!("Patient/{id}"));
    let mut records = Records::new(session.snapshot(), Some(id.as_str()), Direction::Reverse, None);
    while viewings.len() <= count
        && let Some((_, access)) = records.read()?
    {
        if access.time < asked.start.saturating_sub(LATE_MS_MAX) {
            break;
        }
        if is_told(&access, &agencies) && asked.start <= access.time && access.time < asked.end {
            viewings.add(&access);
        }
    }
    let mut found = viewings.finish();
    found.truncate(count);
    Ok(found)
}

fn told(viewing: &Viewing, patient: &str, names: crate::audit::Names<'_>) -> Parameters {
    let mut parts = Parameters::default()
        .string("text", &viewing.sentence(patient, names))
        .instant("first", viewing.first)
        .instant("last", viewing.last)
        .count("count", viewing.count)
        .string("who", &viewing.who(patient, names))
        .string("role", role_in_words(&viewing.role))
        .string("organization", &viewing.organization_name(names).unwrap_or_default())
        .code("deed", viewing.kind.code());
    for kind in viewing.kinds_in_words() {
        parts = parts.string("kind", &kind);
    }
    for purpose in viewing.purposes_in_words() {
        parts = parts.string("purpose", &purpose);
    }
    parts.string("basis", &ground_in_words(&viewing.ground))
}
