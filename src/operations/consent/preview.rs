//! `Consent/$preview`: who would gain access and who would lose it if a Consent were stored.
use std::collections::BTreeMap;

use crate::consent::{Lens, compile};
use crate::model::{IssueCode, Node, ResourceId, Tree};

use super::super::answer::{Answer, Body, Kind, Refusal};
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;
use super::explain::is_affordable;
use super::file::{file_of, known};
use super::hypothetical_party::may_preview;
use super::parties::parties_of;
use super::status::remarks;

/// The body is the Consent, or Parameters with it as `consent`. A stored Consent with the same id is taken to be replaced by it.
pub(in super::super) fn preview(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let missing = || Refusal::bad_request(IssueCode::Required, "the body holds no Consent");
    let consent = call.resource("consent", Some("Consent")).ok_or_else(missing)?;
    let supposed = compile(consent);
    let nobody =
        || Refusal::bad_request(IssueCode::BusinessRule, "the Consent names no Patient of this server");
    let patient = supposed.patient.clone().ok_or_else(nobody)?;
    may_preview(session, &patient)?;
    let id = patient.strip_prefix("Patient/").and_then(ResourceId::parse).ok_or_else(nobody)?;
    known(session, &id)?;
    let mut consents = session.lens.consents_of(&patient)?;
    consents.push(supposed.clone());
    let mut file = file_of(session, &id)?;
    // If the Consent is stored already, access to its stored version is not compared.
    file.retain(|tree| !is_version_of(tree.root(), consent));
    let parties = parties_of(session, &id, &consents)?;
    is_affordable(parties.len(), file.len())?;
    let mut out = Parameters::default();
    for somebody in parties {
        let before = session.lens_of(somebody.party())?;
        let after = session.lens_of(somebody.party())?.supposing(supposed.clone());
        for ((change, type_name), count) in changes(&before, &after, &file)? {
            let part = somebody.told(Parameters::default()).code("type", &type_name).count("count", count);
            out = out.parts(change, part);
        }
    }
    for remark in remarks(session, consent) {
        out = out.string("remark", &remark.diagnostics);
    }
    let shown = session.lens.show_preview(out.json(), patient, session.context.now());
    Ok(Answer::new(Kind::Ok, Body::Disclosed(shown.ok_or_else(Refusal::not_found)?)))
}

/// Whether a stored resource is the one that the other would replace.
fn is_version_of(stored: Node<'_>, other: Node<'_>) -> bool {
    let same = |name: &str| stored.str_at(name).is_some() && stored.str_at(name) == other.str_at(name);
    same("resourceType") && same("id")
}

/// How many resources of each type the party gains or loses.
fn changes(
    before: &Lens<'_>,
    after: &Lens<'_>,
    file: &[Tree],
) -> Result<BTreeMap<(&'static str, String), usize>, Refusal> {
    let mut found = BTreeMap::new();
    for tree in file {
        let change = match (before.decision(tree.root())?.permit, after.decision(tree.root())?.permit) {
            (false, true) => "gains",
            (true, false) => "loses",
            (true, true) | (false, false) => continue,
        };
        let type_name = tree.root().str_at("resourceType").unwrap_or_default().to_owned();
        *found.entry((change, type_name)).or_insert(0) += 1;
    }
    Ok(found)
}
