//! Referential integrity, where a deployment asks for it: computed on the view of the party, so that it tells nothing of
//! what is hidden.
use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Issue, IssueCode, JsonKind, Node, Reference, ReferenceTarget, ResourceId};

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
