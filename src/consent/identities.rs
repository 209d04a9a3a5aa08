//! The identities of a party: itself, its organization with all parents, its roles, the patients it represents, and the groups
//! and teams of a Consent to which it belongs.
use std::sync::Arc;

use crate::auth::{Party, Role};
use crate::definitions::r4;
use crate::model::{Interval, Millis, Node, Temporal, parse};
use crate::search::search_params;
use crate::store::{Repository, StoreError};

use super::codes::Code;
use super::compiled_consent::identifier;
use super::consent_cache::{Actors, CachedState};
use super::requester::Requester;
use super::stored::{load, reference_at};

/// The number of organizations that are followed along `partOf`, including the first.
const PARENTS_MAX: usize = 16;

/// The requester for a party at a moment.
pub(super) fn requester(
    repository: &Repository<'_>,
    of_state: &CachedState,
    party: &Party,
    now: Millis,
) -> Result<Requester, StoreError> {
    let row = party.role.row();
    let purposes: Vec<Code> = party.purposes.iter().map(|code| Code::purpose(code)).collect();
    let is_of_role = |purpose: &Code| row.purposes.iter().any(|code| purpose.is_within(&Code::purpose(code)));
    let mut requester = Requester {
        now,
        // If the role lacks one of the purposes, none counts: permits by purpose do not match, and denials by purpose may.
        purposes: if purposes.iter().all(is_of_role) { purposes } else { Vec::new() },
        reads_files: row.reads_files,
        payer: party.role == Role::Insurer,
        self_patient: party.own_patient().map(|id| format!("Patient/{id}")),
        break_glass: party.break_glass.as_ref().map(|glass| format!("Patient/{}", glass.patient)),
        ..Requester::default()
    };
    for actor in [&party.fhir_user, &party.organization].into_iter().flatten() {
        let is_kept = actor.starts_with("Organization/") || actor.starts_with("Practitioner/");
        let found = || actors(repository, actor);
        let found = if is_kept { of_state.organization(actor, found)? } else { Arc::new(found()?) };
        if !actor.starts_with("Organization/") {
            requester.person.extend(found.references.iter().cloned());
            requester.person_identifiers.extend(found.identifiers.iter().cloned());
        }
        requester.actors.extend(found.references.iter().cloned());
        requester.identifiers.extend(found.identifiers.iter().cloned());
    }
    let Some(user) = &party.fhir_user else { return Ok(requester) };
    if user.starts_with("Practitioner/") {
        add_roles(repository, user, &mut requester)?;
    }
    if user.starts_with("RelatedPerson/") && party.role == Role::Representative {
        add_represented(repository, user, &mut requester)?;
    }
    Ok(requester)
}

/// The reference and identifiers of an actor, and for an organization those of its parents.
pub(super) fn actors(repository: &Repository<'_>, actor: &str) -> Result<Actors, StoreError> {
    let mut found = Actors::default();
    let mut next = Some(actor.to_owned());
    for _ in 0..PARENTS_MAX {
        let Some(actor) = next.take() else { break };
        if !found.references.insert(actor.clone()) {
            break;
        }
        let Some(stored) = load(repository, &actor)? else { break };
        let Ok(tree) = parse(stored.text.into_bytes()) else { break };
        found.identifiers.extend(tree.root().items_at("identifier").filter_map(identifier));
        next = reference_at(tree.root(), "partOf");
    }
    Ok(found)
}

/// Adds the practitioner's roles in the organization that the party acts for, or in none. Roles elsewhere give no right here.
fn add_roles(repository: &Repository<'_>, user: &str, requester: &mut Requester) -> Result<(), StoreError> {
    let Some(def) = r4().resource("PractitionerRole") else { return Ok(()) };
    let Some((param, (type_name, id))) = search_params().find(def, "practitioner").zip(user.split_once('/'))
    else {
        return Ok(());
    };
    for row in repository.referrers(def, param, type_name, id)? {
        let Some(current) = repository.current_of_row(row)?.filter(|current| !current.deleted) else {
            continue;
        };
        let stored = repository.newest(&current)?;
        let Ok(tree) = parse(stored.text.into_bytes()) else { continue };
        let is_here = reference_at(tree.root(), "organization")
            .is_none_or(|organization| requester.actors.contains(&organization));
        if is_here && is_in_force(tree.root(), requester.now) {
            let role = format!("PractitionerRole/{}", current.id);
            requester.person.insert(role.clone());
            requester.actors.insert(role);
            let identifiers = tree.root().items_at("identifier").filter_map(identifier);
            for identifier in identifiers {
                requester.person_identifiers.insert(identifier.clone());
                requester.identifiers.insert(identifier);
            }
        }
    }
    Ok(())
}

/// Adds the patient whom a representative represents (45 CFR 164.502(g)). Own staff has written the RelatedPerson.
fn add_represented(
    repository: &Repository<'_>,
    user: &str,
    requester: &mut Requester,
) -> Result<(), StoreError> {
    let Some(stored) = load(repository, user)? else { return Ok(()) };
    let Ok(tree) = parse(stored.text.into_bytes()) else { return Ok(()) };
    if is_in_force(tree.root(), requester.now) {
        requester.represents.extend(reference_at(tree.root(), "patient"));
    }
    Ok(())
}

/// The relation of a requester to a group or team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Member,
    Stranger,
    /// The members cannot be determined.
    Unknown,
}

/// Whether the requester is a member of a Group or CareTeam that a Consent of this patient (`Patient/id`) names.
pub(super) fn membership(
    repository: &Repository<'_>,
    team: &str,
    owner: &str,
    requester: &Requester,
) -> Result<Membership, StoreError> {
    let Some(stored) = load(repository, team)? else { return Ok(Membership::Unknown) };
    let Ok(tree) = parse(stored.text.into_bytes()) else { return Ok(Membership::Unknown) };
    let root = tree.root();
    let is_group = team.starts_with("Group/");
    let (list, who) = if is_group { ("member", "entity") } else { ("participant", "member") };
    let is_actor = |entry: &Node<'_>| {
        reference_at(*entry, who).is_some_and(|actor| requester.actors.contains(&actor))
            && is_in_force(*entry, requester.now)
    };
    let is_of_patient = is_group || reference_at(root, "subject").is_none_or(|subject| subject == owner);
    let is_listed = root.items_at(list).any(|entry| is_actor(&entry));
    if is_listed && is_of_patient && is_in_force(root, requester.now) {
        return Ok(Membership::Member);
    }
    // A Group with characteristics, or without a list of members, may have anybody in it.
    let is_described = is_group && (root.get("characteristic").is_some() || root.get("member").is_none());
    Ok(if is_described { Membership::Unknown } else { Membership::Stranger })
}

/// Active, and within its period.
fn is_in_force(node: Node<'_>, now: Millis) -> bool {
    let is_false = |name: &str| node.get(name).is_some_and(|value| value.text() == "false");
    let is_true = |name: &str| node.get(name).is_some_and(|value| value.text() == "true");
    let has_ended =
        matches!(node.str_at("status"), Some("inactive" | "entered-in-error" | "proposed" | "suspended"));
    let bound = |name: &str| {
        node.get("period")
            .and_then(|period| period.str_at(name))
            .and_then(Temporal::parse)
            .map(|date| date.interval())
    };
    let Interval { start, end } = Interval {
        start: bound("start").map_or(Interval::ALWAYS.start, |start| start.start),
        end: bound("end").map_or(Interval::ALWAYS.end, |end| end.end),
    };
    !is_false("active") && !is_true("inactive") && !has_ended && start <= now && now < end
}
