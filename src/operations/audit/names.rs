//! The names of professionals and organizations as the store has them, for people who read an account of accesses.
use crate::definitions::r4;
use crate::model::{Node, ResourceId, ResourceKey, human_name, parse};

use super::super::answer::Refusal;
use super::super::session::{Seen, Session};

/// The name of a professional, an organization or a device (`Type/id`); `None` if it cannot be read.
pub(in super::super) fn name_of(session: &Session<'_>, reference: &str) -> Option<String> {
    with(session, reference, |resource| {
        let names = resource.get("name");
        match resource.str_at("resourceType")? {
            "Organization" | "HealthcareService" | "Location" => names?.as_str().map(str::to_owned),
            "Practitioner" => human_name(resource.items_at("name").next()?),
            "PractitionerRole" => {
                let practitioner = resource.get("practitioner")?.str_at("reference")?;
                name_of(session, practitioner).filter(|_| practitioner.starts_with("Practitioner/"))
            }
            "Device" => resource.items_at("deviceName").next()?.str_at("name").map(str::to_owned),
            _ => None,
        }
    })
}

/// The name of a patient, if the party may see it.
pub(super) fn patient_name(session: &Session<'_>, id: &ResourceId) -> Result<Option<String>, Refusal> {
    let Some(patients) = r4().resource("Patient") else { return Ok(None) };
    let Seen::Resource { disclosed, .. } = session.look(patients, id)? else { return Ok(None) };
    let tree = parse(disclosed.text().as_bytes().to_vec()).ok();
    Ok(tree.and_then(|tree| human_name(tree.root().items_at("name").next()?)))
}

/// The name of the own organization.
pub(super) fn own_organization(session: &Session<'_>) -> Option<String> {
    session.context.settings.own.iter().find_map(|own| name_of(session, own))
}

/// The address of an organization, as one line.
pub(super) fn address_of(session: &Session<'_>, reference: &str) -> Option<String> {
    with(session, reference, |resource| {
        let address = resource.items_at("address").next()?;
        if let Some(text) = address.str_at("text") {
            return Some(text.to_owned());
        }
        let lines = address.items_at("line").filter_map(Node::as_str);
        let rest = ["postalCode", "city", "state", "country"];
        let parts: Vec<&str> = lines.chain(rest.iter().filter_map(|name| address.str_at(name))).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    })
}

/// Reads the newest version of a resource, if the resource exists.
fn with<T>(session: &Session<'_>, reference: &str, read: impl FnOnce(Node<'_>) -> Option<T>) -> Option<T> {
    let (type_name, id) = reference.split_once('/')?;
    let key = ResourceKey::new(type_name, id)?;
    let def = r4().resource(key.type_name)?;
    let current = session.repository().current(def, &key.id).ok()??;
    if current.deleted {
        return None;
    }
    let stored = session.repository().newest(&current).ok()?;
    let tree = parse(stored.text.into_bytes()).ok()?;
    read(tree.root())
}
