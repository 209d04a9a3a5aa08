//! Referential integrity, where a deployment asks for it: computed on the view of the party, so that it tells nothing of
//! what is hidden.
use crate::consent::DataFacts;
use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Issue, IssueCode, JsonKind, Node, Reference, ReferenceTarget, ResourceId, ResourceKey};

use super::answer::{Refusal, RefusalKind};
use super::session::{Seen, Session};

/// Refuses a resource that refers to what the party does not see.
pub(super) fn check_references(session: &Session<'_>, resource: Node<'_>) -> Result<(), Refusal> {
    if !session.engine.options.referential_integrity {
        return Ok(());
    }
    for node in resource.subtree().filter(|node| node.key() == "reference" && node.kind() == JsonKind::String)
    {
        let ReferenceTarget::Relative(key) = Reference::parse(node.text()).target else { continue };
        if session.coming.contains(&key.to_string()) {
            continue;
        }
        let Some(def) = r4().resource(key.type_name) else { continue };
        if !matches!(session.look(def, &key.id)?, Seen::Resource { .. }) {
            let message = format!("a reference to a {} leads nowhere", key.type_name);
            return Err(Refusal::new(RefusalKind::Unprocessable, Issue::error(IssueCode::NotFound, message)));
        }
    }
    Ok(())
}

/// Whether all that a resource newly is about is there for the party: whose subjects or labels it will have. Written about
/// what is hidden it is refused, so it is about what is not there. Who may choose ids is told apart anyway, and loads files
/// in any order.
pub(super) fn is_about_what_is_there(
    session: &Session<'_>,
    before: Option<Node<'_>>,
    resource: Node<'_>,
) -> Result<bool, Refusal> {
    let party = session.lens.party();
    if party.assign_ids {
        return Ok(true);
    }
    let data = DataFacts::of(resource);
    let before = before.map(DataFacts::of).unwrap_or_default();
    let own = |reference: &String| *reference == data.reference;
    for owner in data.owners.difference(&before.owners).filter(|owner| !own(owner)) {
        // Whose Consents are recorded may be hidden from who records them: that is the work of some.
        let is_there = match key_of(owner) {
            Some(key) if data.type_name == "Consent" && !party.role.row().does_work => {
                session.is_seen(&key)?
            }
            Some(key) => session.exists(&key)?,
            None => true,
        };
        if !is_there {
            return Ok(false);
        }
    }
    let (named, known) = match data.type_name.as_str() {
        "Binary" => (&data.outgoing, &before.outgoing),
        _ => (&data.named, &before.named),
    };
    for reference in named.difference(known).filter(|reference| !data.owners.contains(*reference)) {
        if let Some(key) = key_of(reference)
            && !session.is_seen(&key)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn key_of(reference: &str) -> Option<ResourceKey> {
    let (type_name, id) = reference.split_once('/')?;
    ResourceKey::new(type_name, id)
}

/// Refuses to delete what something that the party sees refers to.
pub(super) fn check_referrers(session: &Session<'_>, def: &TypeDef, id: &ResourceId) -> Result<(), Refusal> {
    if !session.engine.options.referential_integrity {
        return Ok(());
    }
    for source in r4().resources() {
        let references = session.params.of(source).iter().filter(|param| param.kind == ParamType::Reference);
        for param in references.filter(|param| param.targets.contains(&&*def.name)) {
            for row in session.repository().referrers(source, param, &def.name, id.as_str())? {
                if session.repository().is_visible(row, &session.lens)? {
                    let message = format!("a {} refers to the resource", source.name);
                    let issue = Issue::error(IssueCode::Conflict, message);
                    return Err(Refusal::new(RefusalKind::Conflict, issue));
                }
            }
        }
    }
    Ok(())
}
