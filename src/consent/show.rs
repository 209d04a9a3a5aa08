//! Shows stored resources to a party, after the decision and with masking. No other code makes a [`Disclosed`] of a stored
//! resource.
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use crate::auth::Permission;
use crate::definitions::r4;
use crate::model::{Millis, Node, parse};
use crate::search::Keep;
use crate::store::{Current, StoreError, Stored};

use super::codes::Code;
use super::data::DataFacts;
use super::decision::{Basis, Decision};
use super::disclosed::{Disclosed, Shown};
use super::high_water_mark::HighWaterMark;
use super::ladder::Known;
use super::lens::{Lens, Target};
use super::obligations::of_data;
use super::reference_masking::{NamedTarget, Redisclosure, accompanied, masked, telling_references};
use super::release::Release;
use super::requester::Requester;
use super::stored::load;

impl Lens<'_> {
    /// Shows the newest version of a resource, if the party may see it.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn show(&self, stored: &Stored, version_id: &str) -> Result<Option<Disclosed>, StoreError> {
        self.show_before(stored, version_id, &mut HighWaterMark::default())
    }

    /// Like [`Self::show`], for scopes with one of these permissions, whatever the interaction is.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn show_to(
        &self,
        letters: &[Permission],
        stored: &Stored,
        version_id: &str,
    ) -> Result<Option<Disclosed>, StoreError> {
        self.show_before_to(letters, stored, version_id, &mut HighWaterMark::default())
    }

    /// Shows the newest version of a row. The facts of the row decide where they are enough.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn show_newest(
        &self,
        current: &Current,
        stored: &Stored,
        version_id: &str,
    ) -> Result<Option<Disclosed>, StoreError> {
        let Some(decision) = self.decided_by_facts(current.def, &current.facts) else {
            return self.show(stored, version_id);
        };
        let data = DataFacts::of_row(current.def, &current.facts);
        if !decision.permit {
            self.withhold(format!("{}/{}", stored.def.name, stored.id), data.owners, decision.basis);
            return Ok(None);
        }
        let is_writer = || self.has_written(stored);
        self.disclosed(stored, version_id, decision.basis, (data.owners, data.labels), &is_writer).map(Some)
    }

    /// Makes what is shown of a version, after the decision.
    pub(super) fn disclosed(
        &self,
        stored: &Stored,
        version_id: &str,
        basis: Basis,
        (patients, labels): (BTreeSet<String>, BTreeSet<Code>),
        is_writer: &dyn Fn() -> Result<bool, StoreError>,
    ) -> Result<Disclosed, StoreError> {
        let reference = format!("{}/{}", stored.def.name, stored.id);
        let release = Release { reference, version_id: version_id.to_owned(), patients, basis, labels };
        let stamped = stored.stamped(version_id);
        let text = self.without_the_hidden(stored, &stamped, is_writer)?;
        let is_whole = text.is_none();
        let mut text = text.unwrap_or(stamped);
        if !of_data(&Decision { permit: true, basis: release.basis.clone() }, &release.labels).is_empty() {
            text = self.with_notice(&text, &release.basis)?;
        }
        Ok(Disclosed::of(Shown { text, is_whole, time: stored.time, release }))
    }

    /// The text with the notice and the Consent that must accompany it (42 CFR 2.32).
    fn with_notice(&self, text: &str, basis: &Basis) -> Result<String, StoreError> {
        let Basis::Consent { id, rule } = basis else { return Ok(text.to_owned()) };
        let consent = format!("Consent/{id}");
        let who = self.party.organization.as_deref().or(self.party.fhir_user.as_deref()).unwrap_or_default();
        let scope = format!("{consent}, {rule}, to {who} for {}", self.party.purposes.join(", "));
        let form = match load(&self.repository, &consent)? {
            Some(stored) => form_of(self.tree(&stored)?.root()),
            None => None,
        };
        let corrupt = || StoreError::Corrupt("a text that was shown".to_owned());
        accompanied(text, &Redisclosure { consent, scope, form }).ok_or_else(corrupt)
    }

    /// The text of a version with references to hidden targets masked; `None` if nothing is masked.
    fn without_the_hidden(
        &self,
        stored: &Stored,
        text: &str,
        is_writer: &dyn Fn() -> Result<bool, StoreError>,
    ) -> Result<Option<String>, StoreError> {
        if !["\"display\"", "\"_display\"", "\"identifier\"", "\"text\""].iter().any(|key| text.contains(key))
        {
            return Ok(None);
        }
        let version = (stored.row, stored.sequence);
        let telling = match self.telling.get(&version) {
            Some(known) => known,
            None => {
                let telling: Arc<[NamedTarget]> = telling_references(self.tree(stored)?.root()).into();
                self.telling.insert(version, telling.clone());
                telling
            }
        };
        let hidden = self.hidden_of(&telling)?;
        if hidden.is_empty() || is_writer()? {
            return Ok(None);
        }
        let corrupt = || StoreError::Corrupt(format!("the text of row {}", stored.row));
        masked(text, &hidden).map(Some).ok_or_else(corrupt)
    }

    /// The targets of a resource's references that the party must not learn about.
    pub(super) fn hidden_targets(&self, resource: Node<'_>) -> Result<Vec<NamedTarget>, StoreError> {
        self.hidden_of(&telling_references(resource))
    }

    /// Those of these targets that the party must not learn about. CHOICE: the own organization is shown references to absent
    /// resources as written, and can thereby tell them from hidden ones; for other parties both are masked.
    fn hidden_of(&self, telling: &[NamedTarget]) -> Result<Vec<NamedTarget>, StoreError> {
        let mut hidden = Vec::new();
        for named in telling {
            match self.target(named)? {
                Target::Shown => {}
                Target::Absent if self.is_own => {}
                Target::Absent | Target::Hidden => hidden.push(named.clone()),
            }
        }
        Ok(hidden)
    }

    /// Whether the target of a reference is shown to the party, cached.
    fn target(&self, named: &NamedTarget) -> Result<Target, StoreError> {
        let lock = || self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(named) {
            return Ok(*known);
        }
        let found = self.look_for(named)?;
        lock().insert(named.clone(), found);
        Ok(found)
    }

    /// Shows what was derived from accesses to, or decisions about, these patients (`Patient/id`): to a party that audits, and to
    /// the patient (or a representative) if it is about that patient alone.
    #[must_use]
    pub fn show_derived(&self, text: String, patients: BTreeSet<String>, time: Millis) -> Option<Disclosed> {
        let is_own = !patients.is_empty() && patients.iter().all(|patient| self.is_subject(patient));
        let tree = parse(text.clone().into_bytes()).ok()?;
        let name = tree.root().str_at("resourceType").unwrap_or_default();
        // Only AuditEvents have scopes of their own; other derived content is no resource of the store.
        let is_access_record = r4().resource(name).is_some_and(|def| def.rules.is_access_record);
        let is_reached = !is_access_record || self.is_reached(self.reach.letters(name), tree.root());
        ((self.may_audit() || is_own) && is_reached)
            .then(|| Disclosed::gathered(text, time, patients, Vec::new()))
    }

    /// Shows what a Consent of this patient (`Patient/id`) would change: also to own staff who record Consents. The caller has checked
    /// that they see the Patient, and has counted only what they see of the file.
    #[must_use]
    pub fn show_preview(&self, text: String, patient: String, time: Millis) -> Option<Disclosed> {
        let patients = BTreeSet::from([patient]);
        if self.is_own && self.party.role.row().records_consents {
            return Some(Disclosed::gathered(text, time, patients, Vec::new()));
        }
        self.show_derived(text, patients, time)
    }

    /// Shows the number of a member to a party that may file Consents. The caller has matched the member by name, date of birth
    /// and coverage.
    #[must_use]
    pub fn show_match(&self, text: String, patient: String, time: Millis) -> Option<Disclosed> {
        let patients = BTreeSet::from([patient]);
        self.party.files_consent.then(|| Disclosed::gathered(text, time, patients, Vec::new()))
    }

    /// The data subjects (`Patient/id`) of a resource, including those that it takes on from others.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn subjects_of(&self, resource: Node<'_>) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.with_what_it_names(&self.facts_of(resource))?.owners)
    }

    /// The decision about a resource, with its basis, for explanations. Nothing is released.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn decision(&self, resource: Node<'_>) -> Result<Decision, StoreError> {
        self.decide(&self.facts_of(resource))
    }

    /// Whether the party may see a resource, stored or not, by scopes and Consents.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn may_see(&self, resource: Node<'_>) -> Result<bool, StoreError> {
        let data = self.with_what_it_names(&self.facts_of(resource))?;
        let letters = self.reach.letters(&data.type_name);
        let reach = self.reach.of(letters, &data.type_name, &data.owners, Some(resource));
        Ok(reach == Keep::Keep && self.decide(&data)?.permit)
    }

    pub(super) fn decide(&self, data: &DataFacts) -> Result<Decision, StoreError> {
        self.decide_as(data, &self.requester)
    }

    /// The decision about a whole resource for the party, acting as this requester. The caller checks the scopes.
    pub(super) fn decide_as(&self, data: &DataFacts, requester: &Requester) -> Result<Decision, StoreError> {
        let ruling = self.rule(&Known::Resource(data), requester)?;
        ruling.decision.ok_or_else(|| StoreError::Corrupt("a decision about a whole resource".to_owned()))
    }
}

/// The form that was signed, as the name and the value of an extension's `value[x]`.
fn form_of(consent: Node<'_>) -> Option<(&'static str, serde_json::Value)> {
    let value = |node: Node<'_>| {
        let mut text = String::new();
        crate::model::minify(node, &mut text);
        serde_json::from_str(&text).ok()
    };
    let attachment = consent.get("sourceAttachment").and_then(value).map(|form| ("valueAttachment", form));
    attachment.or_else(|| consent.get("sourceReference").and_then(value).map(|form| ("valueReference", form)))
}
