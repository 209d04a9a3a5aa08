//! What is put on record of every request, beyond what its answer tells.
use crate::audit::{Access, Action, Due, Standing, writes};
use crate::auth::{Party, Role};
use crate::consent::is_own;
use crate::store::{At, Change, Sequence, Write};

use super::super::answer::Refusal;
use super::super::engine::Engine;
use super::super::request::Asked;
use super::super::session::Session;

impl Engine {
    /// The record of a party's request, with nothing released yet.
    pub(in super::super) fn begin_record(
        &self,
        party: &Party,
        (interaction, action): (&str, Action),
        asked: Asked,
    ) -> Result<Access, Refusal> {
        let mut access = Access::of(party, interaction, action, asked.line, self.now());
        match party.subject.split_once('#') {
            // The subject of another issuer's token carries its name.
            Some((issuer, subject)) if issuer.starts_with("http") => {
                (access.issuer, access.subject) = (issuer.to_owned(), subject.to_owned());
            }
            _ => self.issuer().url().clone_into(&mut access.issuer),
        }
        access.standing = Some(self.standing(party)?);
        access.request_id = asked.request_id;
        access.peer = asked.peer;
        Ok(access)
    }

    /// The record as writes of a batch, with the note that a look-up is due where one is: a search's, or that of criteria on the
    /// state of a commit.
    pub(in super::super) fn record_writes(
        &self,
        access: &Access,
        due: Option<Due>,
        searched: Option<Sequence>,
    ) -> Vec<Write> {
        let mut out = writes(access, 0);
        let by_criteria = || {
            (!access.criteria.is_empty())
                .then(|| Due { searched: searched.map(|Sequence(sequence)| sequence), ..Due::default() })
        };
        out.extend(due.or_else(by_criteria).map(|due| due.write(0)));
        out
    }

    /// What a party is to the hospital.
    pub(in super::super) fn standing(&self, party: &Party) -> Result<Standing, Refusal> {
        if matches!(party.role, Role::Patient | Role::Representative) {
            return Ok(Standing::Subject);
        }
        let Some(organization) = &party.organization else { return Ok(Standing::Outside) };
        if self.settings.own.contains(organization) {
            return Ok(Standing::Own);
        }
        let snapshot = self.kv.snapshot(At::Latest)?;
        let is_own = is_own(&*snapshot, organization, &self.settings)?;
        Ok(if is_own { Standing::Own } else { Standing::Outside })
    }
}

impl Refusal {
    /// The refusal with what the session has withheld and looked for, for the record alone.
    pub(in super::super) fn withholding(mut self, session: &Session<'_>) -> Self {
        self.withheld.extend(session.lens.take_withheld());
        self.criteria.extend(session.take_criteria());
        self
    }
}

/// The tag of events that another system has handed in: they are no part of the server's own record.
const FROM_OUTSIDE: (&str, &str) = ("urn:chartward:audit", "from-outside");

/// The text of an AuditEvent of another system, marked as such with its sender.
pub(in super::super) fn from_outside(text: &str, party: &Party) -> Option<String> {
    let mut json: serde_json::Value = serde_json::from_str(text).ok()?;
    let (system, code) = FROM_OUTSIDE;
    let tags = json.get_mut("meta")?.as_object_mut()?.entry("tag").or_insert_with(|| serde_json::json!([]));
    let tags = tags.as_array_mut()?;
    tags.retain(|tag| tag.get("system").and_then(serde_json::Value::as_str) != Some(system));
    tags.push(serde_json::json!({"system": system, "code": code, "display": format!("handed in by {}", party.client)}));
    Some(json.to_string())
}

/// Adds a change to the record of the commit that it is made with.
pub(in super::super) fn add_change(access: &mut Access, change: &Change) {
    let patients: Vec<String> =
        change.derived.facts.patients.iter().map(|id| format!("Patient/{id}")).collect();
    let done = match (&change.body, &change.prior) {
        (None, _) => Action::Delete,
        (Some(_), None) => Action::Create,
        (Some(_), Some(prior)) if prior.deleted => Action::Create,
        (Some(_), Some(_)) => Action::Update,
    };
    let labels = change.derived.facts.labels.clone();
    access.write(format!("{}/{}", change.def.name, change.id), &patients, labels, done);
}
