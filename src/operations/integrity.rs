//! Referential integrity, where a deployment asks for it: computed on the view of the party, so that it tells nothing of
//! what is hidden.
use crate::consent::{DataFacts, Writing};
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
        let is_there = match session.lens.keeps_record() {
            true => session.exists(&key)?,
            false => matches!(session.look(def, &key.id)?, Seen::Resource { .. }),
        };
        if !is_there {
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
    (before, writing): (Option<Node<'_>>, Writing),
    resource: Node<'_>,
) -> Result<bool, Refusal> {
    let party = session.lens.party();
    // The own organization's feeds and staff record what comes, in any order.
    let records = session.lens.records(writing);
    if party.assign_ids || (records && session.lens.keeps_record()) {
        return Ok(true);
    }
    let data = DataFacts::of(resource);
    let before = before.map(DataFacts::of).unwrap_or_default();
    let own = |reference: &String| *reference == data.reference;
    for owner in data.owners.difference(&before.owners).filter(|owner| !own(owner)) {
        let is_there = match key_of(owner) {
            // Told by an answer of its own, the same for hidden and absent.
            Some(_) if data.type_name == "Consent" => true,
            Some(_) if records => true,
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
                if session.lens.keeps_record() || session.repository().is_visible(row, &session.lens)? {
                    let message = format!("a {} refers to the resource", source.name);
                    let issue = Issue::error(IssueCode::Conflict, message);
                    return Err(Refusal::new(RefusalKind::Conflict, issue));
                }
            }
        }
    }
    Ok(())
}
