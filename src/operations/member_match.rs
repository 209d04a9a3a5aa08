//! `Patient/$member-match` (HRex 1.0): an insurer finds its new member by the person's name, birth date and previous coverage,
//! and hands in the member's Consent.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::audit::{self, Action};
use crate::auth::Permission;
use crate::consent::{Code, CodeSystem, Criterion, Status, compile};
use crate::definitions::r4;
use crate::model::{Issue, IssueCode, Node, ResourceId, parse};
use crate::search::{Filter, fold, parse_query};
use crate::store::{Current, Draft};

use super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::parameters::Call;
use super::session::Session;
use super::tasks::made;

/// If more Patients than this share a name and birth date, none is matched.
const NAMESAKES_MAX: usize = 256;
/// The code system of identifier types (HL7 v2 table 0203).
const IDENTIFIER_TYPE: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// The one answer to every failed match. It does not tell whether the member is absent, ambiguous or refuses, or whether the
/// client has tried too often.
fn no_match() -> Refusal {
    let issue = Issue::error(IssueCode::Processing, "no member was matched");
    Refusal::new(RefusalKind::Unprocessable, issue)
}

/// Takes `MemberPatient`, `CoverageToMatch`, `CoverageToLink` and `Consent`, all of them resources. Errors in the request itself
/// are reported before any data is read; failures that depend on data have one answer.
pub(super) fn member_match(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
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
    if !party.files_consent || party.organization.is_none() {
        return Err(Refusal::forbidden("the registration of the client does not let it hand in Consents"));
    }
    if !party.scopes.permit(Permission::Create, Some("Consent")) {
        return Err(Refusal::forbidden("the token has no scope to create Consents"));
    }
    is_hrex(session, consent)?;
    if !session.context.member_matches.may_try(&party.client, session.context.now()) {
        return Err(no_match());
    }
    let found = matching(session, member, coverage)?;
    let [(id, identifier)] = found.as_slice() else { return Err(no_match()) };
    let patient = format!("Patient/{id}");
    if session.lens.is_denied_by(&patient)? {
        return Err(no_match());
    }
    file(session, call, consent, &patient)?;
    let text = json!({
        "resourceType": "Parameters",
        "parameter": [
            {"name": "MemberIdentifier", "valueIdentifier": identifier},
            {"name": "MemberId", "valueReference": {"reference": patient}},
        ],
    });
    let shown = session.lens.show_match(text.to_string(), patient, session.context.now());
    let mut answer = Answer::new(Kind::Ok, Body::Disclosed(shown.ok_or_else(no_match)?));
    answer.recorded = true;
    Ok(answer)
}

/// Security labels whose disclosure needs a form of its own by law (42 CFR 2.31, 45 CFR 164.508(a)(2)).
const SEPARATE_FORMS: [&str; 2] = ["42CFRPart2", "PSYTHPN"];

/// Checks that the Consent has the shape that HRex gives it: a permit for a period, by one of its two policies, for the client's
/// own organization alone and for purposes of its role, and nothing else. An insurer may hand in no other Consent.
fn is_hrex(session: &Session<'_>, consent: Node<'_>) -> Result<(), Refusal> {
    let wrong = |at: &str, message: &str| {
        let issue = Issue::error(IssueCode::BusinessRule, message).at(format!("Consent.{at}"));
        Err(Refusal::new(RefusalKind::Unprocessable, issue))
    };
    let Some(provision) = consent.get("provision") else {
        return wrong("provision", "the Consent has no provision");
    };
    let mut policies = consent.items_at("policy").filter_map(|policy| policy.str_at("uri"));
    let is_policy = |uri: &str| {
        uri.ends_with("hrex-consent.html#regular") || uri.ends_with("hrex-consent.html#sensitive")
    };
    if !policies.any(is_policy) {
        return wrong("policy", "the policy is neither that of HRex for regular nor that for sensitive data");
    }
    let compiled = compile(consent);
    match compiled.status {
        Status::Enforceable if compiled.readings.len() == 1 => {}
        Status::Enforceable | Status::Ambiguous => {
            return wrong("provision", "the Consent can be read in two ways");
        }
        Status::Unsupported(reason) => {
            return wrong("provision", &format!("the Consent cannot be enforced: {reason}"));
        }
    }
    if !compiled.active {
        return wrong("status", "the Consent is not active");
    }
    if provision.str_at("type") != Some("permit") || provision.get("provision").is_some() {
        return wrong("provision", "the Consent is no plain permit");
    }
    let bound = |name: &str| provision.get("period").and_then(|period| period.get(name));
    if bound("start").is_none() || bound("end").is_none() {
        return wrong("provision.period", "the Consent has no period with a start and an end");
    }
    if compiled.period.end <= session.context.now() {
        return wrong("provision.period", "the period of the Consent is over");
    }
    let mut names_own = false;
    for criterion in compiled.readings.iter().flatten().flat_map(|rule| &rule.criteria) {
        match criterion {
            Criterion::Actor(actors) => {
                for actor in actors.iter().filter(|actor| actor.role != "performer") {
                    if !session.lens.is_exactly_own(actor) {
                        return wrong(
                            "provision.actor",
                            "an actor is another than the organization of the client",
                        );
                    }
                    names_own = true;
                }
            }
            Criterion::Purpose(purposes) => {
                let allowed = session.lens.party().role.row().purposes;
                let is_allowed =
                    |purpose: &Code| allowed.iter().any(|code| purpose.is_within(&Code::purpose(code)));
                if !purposes.iter().all(is_allowed) {
                    return wrong("provision.purpose", "a purpose is none that the client may have");
                }
            }
            Criterion::Label(labels) => {
                let covers = |label: &Code| {
                    let is_covered =
                        |code: &&str| Code::new(CodeSystem::ActCode, (*code).to_owned()).is_within(label);
                    SEPARATE_FORMS.iter().any(is_covered)
                };
                if labels.iter().any(covers) {
                    return wrong("provision.securityLabel", "a label needs a consent of its own form");
                }
            }
            Criterion::Partly(_) => {
                return wrong("provision", "a value has no code and no reference that can be computed");
            }
            _ => {}
        }
    }
    if names_own { Ok(()) } else { wrong("provision.actor", "no actor is the organization of the client") }
}

/// The Patients with the member's name and birth date who have the coverage, each with the identifier for the answer.
fn matching(
    session: &Session<'_>,
    member: Node<'_>,
    coverage: Node<'_>,
) -> Result<Vec<(ResourceId, Value)>, Refusal> {
    let mut found = Vec::new();
    for current in namesakes(session, member)? {
        let text = session.repository().newest(&current)?.text;
        let Ok(tree) = parse(text.into_bytes()) else { continue };
        if is_same_person(member, tree.root()) && is_covered(session, &current.id, coverage)? {
            let identifier = member_identifier(tree.root(), &current.id, session);
            found.push((current.id, identifier));
        }
    }
    Ok(found)
}

/// The Patients with a birth date and family name, hidden ones included; none if there are too many to tell apart.
fn namesakes(session: &Session<'_>, member: Node<'_>) -> Result<Vec<Current>, Refusal> {
    let Some(patients) = r4().resource("Patient") else { return Ok(Vec::new()) };
    let reading = session.reading(session.context.now(), false);
    let mut found = BTreeMap::new();
    let families = member.items_at("name").filter_map(|name| name.str_at("family"));
    for family in families.filter(|family| !family.trim().is_empty()) {
        let Some(birth) = member.str_at("birthDate") else { continue };
        let escaped = family.replace(['\\', ',', '|', '$'], " ");
        let criteria = [("birthdate".to_owned(), birth.to_owned()), ("family".to_owned(), escaped)];
        let Ok(query) = parse_query(&reading, patients, &criteria) else { continue };
        let stored = session.stored(patients, &Filter::all(query.filters), NAMESAKES_MAX + 1)?;
        found.extend(stored.into_iter().map(|current| (current.row, current)));
    }
    if found.len() > NAMESAKES_MAX {
        return Ok(Vec::new());
    }
    Ok(found.into_values().collect())
}

/// Whether a coverage of the patient shares an identifier or the subscriber's number with the one that is asked for.
fn is_covered(session: &Session<'_>, patient: &ResourceId, asked: Node<'_>) -> Result<bool, Refusal> {
    let found =
        r4().resource("Coverage").and_then(|def| Some((def, session.params.find(def, "beneficiary")?)));
    let Some((def, param)) = found else { return Ok(false) };
    for row in session.repository().referrers(def, param, "Patient", patient.as_str())? {
        let current = session.repository().current_of_row(row)?.filter(|current| !current.deleted);
        let Some(current) = current else { continue };
        let text = session.repository().newest(&current)?.text;
        let Ok(tree) = parse(text.into_bytes()) else { continue };
        let known = tree.root();
        let numbers = |coverage: Node<'_>| -> Vec<(String, String)> {
            let text = |node: Node<'_>, name: &str| node.str_at(name).unwrap_or_default().to_owned();
            let pairs =
                coverage.items_at("identifier").map(|node| (text(node, "system"), text(node, "value")));
            pairs.filter(|(_, value)| !value.is_empty()).collect()
        };
        let subscriber = |coverage: Node<'_>| coverage.str_at("subscriberId").map(str::to_owned);
        let has_number = numbers(known).iter().any(|number| numbers(asked).contains(number));
        if has_number || (subscriber(asked).is_some() && subscriber(asked) == subscriber(known)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether family name, one given name and date of birth agree, and the administrative gender where both state it.
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

/// The member's number: its member number (MB), else the hospital's record number (MR), else its id on this server. The insurer
/// must not learn any other identifier.
fn member_identifier(patient: Node<'_>, id: &ResourceId, session: &Session<'_>) -> Value {
    let kind = json!({"coding": [{"system": IDENTIFIER_TYPE, "code": "MB"}]});
    let of_type = |code: &str| {
        patient.items_at("identifier").find(|identifier| {
            let codings = identifier.get("type").into_iter().flat_map(|kind| kind.items_at("coding"));
            let is_type = |coding: Node<'_>| {
                coding.str_at("system") == Some(IDENTIFIER_TYPE) && coding.str_at("code") == Some(code)
            };
            identifier.str_at("value").is_some() && codings.into_iter().any(is_type)
        })
    };
    let (system, value) = match of_type("MB").or_else(|| of_type("MR")) {
        Some(identifier) => (
            identifier.str_at("system").map(str::to_owned),
            identifier.str_at("value").unwrap_or_default().to_owned(),
        ),
        None => (Some(format!("{}/Patient", session.context.options.base_url)), id.to_string()),
    };
    match system {
        Some(system) => json!({"type": kind, "system": system, "value": value}),
        None => json!({"type": kind, "value": value}),
    }
}

/// Stores the Consent for the matched patient, with an access record of who handed it in.
fn file(session: &Session<'_>, call: &Call<'_>, consent: Node<'_>, patient: &str) -> Result<(), Refusal> {
    let mut text = String::new();
    crate::model::minify(consent, &mut text);
    let mut resource: Value = serde_json::from_str(&text).map_err(|_| no_match())?;
    if let Some(members) = resource.as_object_mut() {
        members.shift_remove("id");
        members.insert("patient".to_owned(), json!({"reference": patient}));
    }
    // The patient's own denials stay in force: several Consents combine as they always do.
    let mut change = made(session, &resource).map_err(|_| no_match())?;
    let mut draft = Draft::packed(&session.context.packing);
    draft.push(session.snapshot(), &mut change)?;
    let party = session.lens.party();
    let asked = call.request.asked();
    let mut access = session.context.begin_record(party, ("$member-match", Action::Execute), asked)?;
    super::audit::add_change(&mut access, &change);
    draft.batch.writes.extend(audit::writes(&access, 0));
    session.context.kv.commit(draft.batch).wait()?;
    Ok(())
}
