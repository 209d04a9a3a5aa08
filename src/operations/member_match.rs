//! `Patient/$member-match` (HRex 1.0): an insurer finds its new member by what it knows of the person and of the coverage that
//! went before, and hands in the member's Consent.
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::audit::{self, Action};
use crate::auth::Permission;
use crate::consent::{Code, Criterion, Status, compile};
use crate::definitions::{TypeDef, r4};
use crate::model::{Issue, IssueCode, Millis, Node, ResourceId, parse};
use crate::search::{Everything, Filter, fold};
use crate::store::{Draft, Report, Search, View, Way};

use super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::parameters::Call;
use super::session::Session;
use super::work::made;

/// Coverages of one number that are looked at.
const COVERAGES_MAX: usize = 16;

/// The one answer to all that does not match: whether the member is absent, there more than once, or refuses, and whether
/// the client may ask.
fn no_match() -> Refusal {
    let issue = Issue::error(IssueCode::Processing, "no member was matched");
    Refusal::new(RefusalKind::Unprocessable, issue)
}

/// `MemberPatient`, `CoverageToMatch`, `CoverageToLink` and `Consent`, all of them resources.
pub(super) fn member_match(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    call.takes_only(&["MemberPatient", "CoverageToMatch", "CoverageToLink", "Consent"])?;
    let given = |name: &str, type_name: &str| {
        let missing = || {
            Refusal::bad_request(IssueCode::Required, format!("the parameter `{name}` holds no {type_name}"))
        };
        call.resource(name, None)
            .filter(|node| node.str_at("resourceType") == Some(type_name))
            .ok_or_else(missing)
    };
    let member = given("MemberPatient", "Patient")?;
    let coverage = given("CoverageToMatch", "Coverage")?;
    given("CoverageToLink", "Coverage")?;
    let consent = given("Consent", "Consent")?;
    let party = session.lens.party();
    let may_file = party.files_consent && party.scopes.permit(Permission::Create, Some("Consent"));
    if !may_file || !session.engine.member_matches.may_try(&party.client, session.engine.now()) {
        return Err(no_match());
    }
    is_hrex(session, consent)?;
    let found = matching(session, member, coverage)?;
    let [(id, identifier)] = found.as_slice() else { return Err(no_match()) };
    let patient = format!("Patient/{id}");
    file(session, call, consent, &patient)?;
    let text = json!({
        "resourceType": "Parameters",
        "parameter": [
            {"name": "MemberIdentifier", "valueIdentifier": identifier},
            {"name": "MemberId", "valueReference": {"reference": patient}},
        ],
    });
    let shown = session.lens.show_match(text.to_string(), patient, session.engine.now());
    let mut answer = Answer::new(Kind::Ok, Body::Disclosed(shown.ok_or_else(no_match)?));
    answer.recorded = true;
    Ok(answer)
}

/// The shape that HRex gives the Consent of a member match: a permit in a period, by one of its two policies, for the client's
/// own organization and purposes that its role has, and nothing beside. Whatever else is no consent that an insurer hands in.
fn is_hrex(session: &Session<'_>, consent: Node<'_>) -> Result<(), Refusal> {
    let provision = consent.get("provision").ok_or_else(no_match)?;
    let policies = || consent.items_at("policy").filter_map(|policy| policy.str_at("uri"));
    let has_policy = policies().any(|uri| {
        uri.ends_with("hrex-consent.html#regular") || uri.ends_with("hrex-consent.html#sensitive")
    });
    let has_period = provision
        .get("period")
        .is_some_and(|period| period.get("start").is_some() && period.get("end").is_some());
    let is_simple = provision.str_at("type") == Some("permit") && provision.get("provision").is_none();
    let program = compile(consent);
    let own = session.lens.party().organization.as_deref();
    let mut names_own = false;
    for criterion in program.readings.iter().flatten().flat_map(|rule| &rule.criteria) {
        let fits = match criterion {
            Criterion::Actor(actors) => {
                actors.iter().filter(|actor| actor.role != "performer").all(|actor| {
                    names_own = names_own || actor.reference.as_deref() == own;
                    actor.reference.is_some() && actor.reference.as_deref() == own
                })
            }
            Criterion::Purpose(purposes) => {
                let allowed = session.lens.party().role.row().purposes;
                purposes
                    .iter()
                    .all(|purpose| allowed.iter().any(|code| purpose.is_within(&Code::purpose(code))))
            }
            Criterion::Partly(_) => false,
            _ => true,
        };
        if !fits {
            return Err(no_match());
        }
    }
    let is_one = program.status == Status::Enforceable && program.readings.len() == 1;
    if has_policy && has_period && is_simple && is_one && names_own && program.active {
        Ok(())
    } else {
        Err(no_match())
    }
}

/// How often one client may try, and in which time: so nobody finds members by trying numbers.
const TRIES_MAX: u32 = 600;
const TRIES_WINDOW_MS: Millis = 60 * 60 * 1_000;

/// Tries by client: how many, and when the first was.
#[derive(Default)]
pub(super) struct MemberMatches(Mutex<HashMap<String, (u32, Millis)>>);

impl MemberMatches {
    fn may_try(&self, client: &str, now: Millis) -> bool {
        // Clients are registered: they are not many.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tries, first) = known.entry(client.to_owned()).or_insert((0, now));
        if now - *first >= TRIES_WINDOW_MS {
            (*tries, *first) = (0, now);
        }
        *tries = tries.saturating_add(1);
        *tries <= TRIES_MAX
    }
}

/// The Patients whose coverage has the number and who are called and born as the member is.
fn matching(
    session: &Session<'_>,
    member: Node<'_>,
    coverage: Node<'_>,
) -> Result<Vec<(ResourceId, Value)>, Refusal> {
    let (Some(patients), Some(coverages)) = (r4().resource("Patient"), r4().resource("Coverage")) else {
        return Ok(Vec::new());
    };
    let view = View::new(session.repository(), None, &Everything);
    let mut ids = BTreeSet::new();
    for filter in numbers(session, coverages, coverage) {
        let report = Report::default();
        let rows =
            Search::new(&view, coverages, &filter, &[], &report)?.page(None, Way::Onward, COVERAGES_MAX)?;
        for row in rows {
            let current = session.repository().current_of_row(row)?.filter(|current| !current.deleted);
            ids.extend(current.into_iter().flat_map(|current| current.facts.patients));
        }
    }
    let mut found = Vec::new();
    for id in ids.iter().filter_map(|id| ResourceId::parse(id)) {
        let Some(current) = session.repository().current(patients, &id)?.filter(|current| !current.deleted)
        else {
            continue;
        };
        let text = session.repository().newest(&current)?.text;
        let Ok(tree) = parse(text.into_bytes()) else { continue };
        if is_same_person(member, tree.root()) {
            let identifier = member_identifier(tree.root(), &id, session);
            found.push((id, identifier));
        }
    }
    Ok(found)
}

/// The numbers of a coverage: its identifiers, and the number of the subscriber.
fn numbers(session: &Session<'_>, def: &TypeDef, coverage: Node<'_>) -> Vec<Filter> {
    let Some(param) = session.params.find(def, "identifier") else { return Vec::new() };
    let identifiers = coverage.items_at("identifier").filter_map(|identifier| {
        let system = identifier.str_at("system").map(str::to_owned);
        Some(Filter::codes(param, &[(system, identifier.str_at("value")?.to_owned())]))
    });
    // The number of the subscriber has no search parameter of its own: coverages are found by their identifiers.
    identifiers.collect()
}

/// Family name, one given name and date of birth agree; and the administrative gender where both tell it.
fn is_same_person(member: Node<'_>, patient: Node<'_>) -> bool {
    let folded = |node: Node<'_>, name: &str| node.str_at(name).map(fold);
    let givens = |name: Node<'_>| -> Vec<String> {
        name.items_at("given").filter_map(|given| given.as_str()).map(fold).collect()
    };
    let is_called = member.items_at("name").any(|asked| {
        patient.items_at("name").any(|known| {
            let family = folded(asked, "family");
            family.is_some()
                && family == folded(known, "family")
                && givens(asked).iter().any(|given| givens(known).contains(given))
        })
    });
    let birth = member.str_at("birthDate");
    let gender = member.str_at("gender").zip(patient.str_at("gender"));
    is_called
        && birth.is_some()
        && birth == patient.str_at("birthDate")
        && gender.is_none_or(|(asked, known)| asked == known)
}

/// The member's number here: its first identifier, else its id on this server.
fn member_identifier(patient: Node<'_>, id: &ResourceId, session: &Session<'_>) -> Value {
    let kind = json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]});
    let first = patient.items_at("identifier").find(|identifier| identifier.str_at("value").is_some());
    let (system, value) = match first {
        Some(identifier) => (
            identifier.str_at("system").map(str::to_owned),
            identifier.str_at("value").unwrap_or_default().to_owned(),
        ),
        None => (Some(format!("{}/Patient", session.engine.options.base_url)), id.to_string()),
    };
    match system {
        Some(system) => json!({"type": kind, "system": system, "value": value}),
        None => json!({"type": kind, "value": value}),
    }
}

/// Stores the Consent as the matched patient's, with the record of who handed it in.
fn file(session: &Session<'_>, call: &Call<'_>, consent: Node<'_>, patient: &str) -> Result<(), Refusal> {
    let mut text = String::new();
    crate::model::minify(consent, &mut text);
    let mut resource: Value = serde_json::from_str(&text).map_err(|_| no_match())?;
    if let Some(members) = resource.as_object_mut() {
        members.shift_remove("id");
        members.insert("patient".to_owned(), json!({"reference": patient}));
    }
    // The patient's own denials stand: several Consents combine as they always do.
    let mut change = made(session, &resource).map_err(|_| no_match())?;
    let mut draft = Draft::packed(&session.engine.packing);
    draft.push(session.snapshot(), &mut change)?;
    let party = session.lens.party();
    let asked = call.request.asked();
    let mut access = session.engine.begin_record(party, ("$member-match", Action::Execute), asked)?;
    super::audit::add_change(&mut access, &change);
    draft.batch.writes.extend(audit::writes(&access, 0));
    session.engine.kv.commit(draft.batch).wait()?;
    Ok(())
}
