//! `Consent/$decide`: what would be decided if somebody asked, computed by the code that decides. It releases nothing.
use crate::auth::Role;
use crate::consent::{Decision, obligations};
use crate::definitions::r4;
use crate::model::{IssueCode, Node, ResourceKey, parse};

use super::super::answer::{Answer, Refusal};
use super::super::parameters::{Call, Parameters};
use super::super::session::{Seen, Session};
use super::describe::{KnownSentences, described};
use super::hypothetical_party::{HypotheticalParty, may_ask};

/// Takes `actor` (reference), `role`, `purpose` (any number), and `resource` (a reference, or the resource itself), or `patient`
/// with `type` for any resource of that type that has neither labels nor dates.
pub(in super::super) fn decide(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    // Checked before anything is read, so that the refusal reveals nothing.
    may_ask(session)?;
    let role = call.text("role")?.map(|code| {
        let unknown = || Refusal::bad_request(IssueCode::Value, format!("there is no role `{code}`"));
        Role::parse(&code).ok_or_else(unknown)
    });
    let somebody =
        HypotheticalParty::of_actor(&call.required("actor")?, role.transpose()?, call.texts("purpose"))?;
    // A patient gets the same 404 for absent resources, hidden ones and those of others, so that it reveals nothing.
    let text = resource_text(session, call)?;
    let tree = parse(text.into_bytes())
        .map_err(|error| Refusal::bad_request(IssueCode::Structure, error.to_string()))?;
    let owners = crate::consent::DataFacts::of(tree.root()).owners;
    if !session.lens.may_audit()
        && (owners.is_empty() || !owners.iter().all(|owner| session.lens.is_subject(owner)))
    {
        return Err(Refusal::not_found());
    }
    let decision = asked(session, &somebody, tree.root())?;
    let mut out = described(session, &decision, Parameters::default(), &mut KnownSentences::default())?;
    for obligation in obligations(&decision, tree.root()) {
        out = out.code("obligation", obligation.code());
    }
    session.about(out.json(), owners)
}

/// The decision about a resource for a hypothetical party.
pub(super) fn asked(
    session: &Session<'_>,
    who: &HypotheticalParty,
    resource: Node<'_>,
) -> Result<Decision, Refusal> {
    Ok(session.lens_of(who.party())?.decision(resource)?)
}

/// The resource that the decision is about: as sent, as stored, or a minimal one of the given type.
fn resource_text(session: &Session<'_>, call: &Call<'_>) -> Result<String, Refusal> {
    if let Some(node) = call.resource("resource", None) {
        let mut text = String::new();
        crate::model::minify(node, &mut text);
        return Ok(text);
    }
    if let Some(reference) = call.text("resource")? {
        let key = reference.split_once('/').and_then(|(name, id)| ResourceKey::new(name, id));
        let def = key.as_ref().and_then(|key| r4().resource(key.type_name));
        let (Some(key), Some(def)) = (key, def) else {
            return Err(Refusal::bad_request(IssueCode::Value, "the resource is no reference"));
        };
        // Only auditors ask about resources that they do not see.
        if !session.lens.may_audit() && !matches!(session.look(def, &key.id)?, Seen::Resource { .. }) {
            return Err(Refusal::not_found());
        }
        let current = session.repository().current(def, &key.id)?.filter(|current| !current.deleted);
        return match current {
            Some(current) => Ok(session.repository().newest(&current)?.text),
            None => Err(Refusal::not_found()),
        };
    }
    let patient = call.required("patient")?;
    let id = patient.strip_prefix("Patient/").unwrap_or(&patient);
    let type_name = call.text("type")?.unwrap_or_else(|| "Patient".to_owned());
    let def = r4().resource(&type_name).ok_or_else(|| {
        Refusal::bad_request(IssueCode::Value, format!("there is no resource type `{type_name}`"))
    })?;
    let resource = if &*def.name == "Patient" {
        serde_json::json!({"resourceType": "Patient", "id": id})
    } else {
        serde_json::json!({"resourceType": type_name, "subject": {"reference": format!("Patient/{id}")}})
    };
    Ok(resource.to_string())
}
