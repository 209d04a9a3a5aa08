//! Referential integrity, where a deployment asks for it: computed on the view of the party, so that it tells nothing of
//! what is hidden.
use crate::consent::{DataFacts, Writing};
use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Issue, IssueCode, JsonKind, Node, Reference, ReferenceTarget, ResourceId, ResourceKey};
use crate::store::{Expectation, Key, KeyRange, Space};

use super::answer::{Refusal, RefusalKind};
use super::session::{Seen, Session};
use super::tasks::is_closed_work;

/// Refuses a resource that refers to what the party does not see.
pub(super) fn check_references(session: &Session<'_>, resource: Node<'_>) -> Result<(), Refusal> {
    if !session.context.options.referential_integrity {
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

/// More referring resources are not counted one by one.
const COUNTED_MAX: usize = 1_000;

/// Refuses to delete what something refers to that the party sees and that the same request does not delete: a Patient always, unless
/// the deployment has it otherwise, and everything where it asks for referential integrity. What the party does not see keeps its
/// subject, and stays governed by that patient's Consents. Gives what has to stay so.
pub(super) fn check_referrers(
    session: &Session<'_>,
    def: &TypeDef,
    id: &ResourceId,
) -> Result<Vec<Expectation>, Refusal> {
    let options = &session.context.options;
    let is_kept_patient = &*def.name == "Patient" && options.keep_patients_referred_to;
    if !options.referential_integrity && !is_kept_patient {
        return Ok(Vec::new());
    }
    let what = match referrers(session, def, id)? {
        0 if is_kept_patient => return Ok(vec![nothing_new_about(session, id)]),
        0 => return Ok(Vec::new()),
        1 => "one resource refers".to_owned(),
        count if count > COUNTED_MAX => format!("more than {COUNTED_MAX} resources refer"),
        count => format!("{count} resources refer"),
    };
    let instead = match is_kept_patient {
        true => ", or what is about this patient alone with it by `_cascade=delete`",
        false => "",
    };
    let message = format!("{what} to the {}: delete what refers to it first{instead}", def.name);
    Err(Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::Conflict, message)))
}

/// How many resources refer to one that the party knows of and the same request does not delete; one more than are counted at most.
pub(super) fn referrers(session: &Session<'_>, def: &TypeDef, id: &ResourceId) -> Result<usize, Refusal> {
    let knows_all = session.context.options.referential_integrity && session.lens.keeps_record();
    let mut count = 0;
    for source in r4().resources().filter(|source| &*source.name != "AuditEvent") {
        let mut rows = Vec::new();
        let references = session.params.of(source).iter().filter(|param| param.kind == ParamType::Reference);
        for param in references.filter(|param| param.targets.contains(&&*def.name)) {
            rows.extend(session.repository().referrers(source, param, &def.name, id.as_str())?);
        }
        rows.sort_unstable();
        rows.dedup();
        for row in rows {
            let Some(current) = session.repository().current_of_row(row)? else { continue };
            let is_itself = current.def.id == def.id && current.id == *id;
            let goes = session.going.contains(&format!("{}/{}", current.def.name, current.id));
            if current.deleted || is_itself || goes || is_closed_work(session, &current)? {
                continue;
            }
            if knows_all || session.repository().is_visible(row, &session.lens)? {
                count += 1;
                if count > COUNTED_MAX {
                    return Ok(count);
                }
            }
        }
    }
    Ok(count)
}

/// That nothing is written about a patient meanwhile: it would be on record as such.
pub(super) fn nothing_new_about(session: &Session<'_>, id: &ResourceId) -> Expectation {
    let concerned = Key::new(Space::AuditPatient).text(id.as_str().as_bytes()).into_bytes();
    let since = session.snapshot().sequence();
    Expectation::Unchanged { range: KeyRange::prefix(concerned), since }
}
