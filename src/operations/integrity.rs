//! Referential integrity, if the deployment enables it. It is judged by what the party sees, so that it reveals nothing that is
//! hidden.
use crate::consent::{DataFacts, Writing};
use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Issue, IssueCode, JsonKind, Node, Reference, ReferenceTarget, ResourceId, ResourceKey};
use crate::store::{Expectation, Key, KeyRange, Space};

use super::answer::{Refusal, RefusalKind};
use super::session::{Seen, Session};
use super::tasks::is_closed_work;

/// Refuses a resource with a reference to something that the party does not see, or, for a record keeper, that does not exist.
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

/// Whether everything exists that a resource is newly about, and whether the party sees what the resource names, because that
/// gives it subjects and labels. Writes about hidden resources are refused, so writes about absent ones must be refused, too.
/// Parties that may choose ids can tell the two apart anyway, and load files in any order.
pub(super) fn is_about_what_is_there(
    session: &Session<'_>,
    (before, writing): (Option<Node<'_>>, Writing),
    resource: Node<'_>,
) -> Result<bool, Refusal> {
    let party = session.lens.party();
    // Feeds and staff of the own organization record data in any order.
    let records = session.lens.records(writing);
    if party.assign_ids || (records && session.lens.keeps_record()) {
        return Ok(true);
    }
    let data = session.lens.facts_of(resource);
    let before = before.map(DataFacts::of).unwrap_or_default();
    let own = |reference: &String| *reference == data.reference;
    for owner in data.owners.difference(&before.owners).filter(|owner| !own(owner)) {
        let is_there = match key_of(owner) {
            // `check_patient` has its own answer for Consents, the same for hidden and absent patients.
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

/// At most so many referring resources are counted.
const COUNTED_MAX: usize = 1_000;

/// Refuses to delete a resource while others refer to it that the party knows of and the same request does not delete. This
/// protects Patients by default, and everything with referential integrity. Referrers that the party must not know of do not
/// count: they keep their subject, and that patient's Consents still govern them. Returns what the commit expects.
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

/// How many referrers of a resource the party knows of, without those that the same request deletes; at most one over the limit.
pub(super) fn referrers(session: &Session<'_>, def: &TypeDef, id: &ResourceId) -> Result<usize, Refusal> {
    let knows_all = session.context.options.referential_integrity && session.lens.keeps_record();
    let mut count = 0;
    for source in r4().resources().filter(|source| !source.rules.is_access_record) {
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

/// Expects that nothing is written about a patient before the commit: every such write adds an access record under this prefix.
pub(super) fn nothing_new_about(session: &Session<'_>, id: &ResourceId) -> Expectation {
    let concerned = Key::new(Space::AuditPatient).text(id.as_str().as_bytes()).into_bytes();
    let since = session.snapshot().sequence();
    Expectation::Unchanged { range: KeyRange::prefix(concerned), since }
}
