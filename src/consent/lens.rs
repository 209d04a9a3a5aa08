//! The lens: what one party may see of one snapshot. Everything that leaves the house passes through it; nothing else can
//! make a [`Disclosed`].
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::{Party, Permission, Role};
use crate::definitions::{TypeDef, TypeId, r4};
use crate::model::{Millis, Node, ResourceKey, parse};
use crate::search::{Facts, Keep, Mask, Scope, search_params};
use crate::store::{Repository, Snapshot, StoreError, Stored};

use super::codes::{Code, CodeSystem};
use super::data::DataFacts;
use super::decide::{Basis, Decision, Requester, Settings, decide};
use super::matching::needs_content;
use super::program::{Program, compile};
use super::programs::{OfState, Programs};
use super::reach::{ADMINISTRATIVE, Reach};

/// The last state of a resource: a text that its reader may have. It has no public constructor.
#[derive(Clone, Debug)]
pub struct Disclosed {
    text: String,
    /// `Type/id`, where it is one resource of the store.
    reference: String,
    version_id: String,
    time: Millis,
    patients: BTreeSet<String>,
    basis: Basis,
}

impl Disclosed {
    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    #[must_use]
    pub fn version_id(&self) -> &str {
        &self.version_id
    }

    #[must_use]
    pub fn time(&self) -> Millis {
        self.time
    }

    /// `Patient/id` of everybody it is about.
    #[must_use]
    pub fn patients(&self) -> &BTreeSet<String> {
        &self.patients
    }

    /// What the disclosure rests on.
    #[must_use]
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// A text made of nothing but disclosed parts and what is no secret.
    pub(super) fn gathered(text: String, time: Millis, patients: BTreeSet<String>) -> Self {
        let (reference, version_id) = (String::new(), String::new());
        Self { text, reference, version_id, time, patients, basis: Basis::NotGoverned }
    }

    /// A resource that this one contains, and its type.
    #[must_use]
    pub fn contained(&self, id: &str) -> Option<(Self, &'static TypeDef)> {
        let tree = parse(self.text.clone().into_bytes()).ok()?;
        let inner = tree.root().items_at("contained").find(|inner| inner.str_at("id") == Some(id))?;
        let def = r4().resource(inner.str_at("resourceType")?)?;
        let mut text = String::new();
        crate::model::minify(inner, &mut text);
        Some((Self { text, ..self.clone() }, def))
    }

    /// The same resource with only some of its elements, marked as a part (R4 search.html#elements).
    #[must_use]
    pub fn reduced(&self, keep: &dyn Fn(&str) -> bool) -> Self {
        let Ok(tree) = parse(self.text.clone().into_bytes()) else { return self.clone() };
        let mut text = String::from("{");
        for child in tree.root().children().filter(|child| keep(child.key())) {
            if text.len() > 1 {
                text.push(',');
            }
            if child.key() == "meta" {
                text.push_str("\"meta\":");
                text.push_str(&subsetted(child));
            } else {
                crate::model::quote(child.key(), &mut text);
                text.push(':');
                crate::model::minify(child, &mut text);
            }
        }
        text.push('}');
        Self { text, ..self.clone() }
    }
}

/// The meta of a part: it says that it is one.
fn subsetted(meta: Node<'_>) -> String {
    const TAG: &str =
        "{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ObservationValue\",\"code\":\"SUBSETTED\"}";
    let mut text = String::from("{");
    for child in meta.children().filter(|child| child.key() != "tag") {
        crate::model::quote(child.key(), &mut text);
        text.push(':');
        crate::model::minify(child, &mut text);
        text.push(',');
    }
    text.push_str("\"tag\":[");
    for tag in meta.items_at("tag") {
        crate::model::minify(tag, &mut text);
        text.push(',');
    }
    text.push_str(TAG);
    text.push_str("]}");
    text
}

/// What feeds identities and subjects of decisions is written by the own staff alone.
const FEEDS_IDENTITIES: [&str; 6] =
    ["Organization", "Practitioner", "PractitionerRole", "Group", "CareTeam", "RelatedPerson"];

/// What patients make themselves; of all that is there already they change their Consents alone.
/// CHOICE: what professionals have recorded is not theirs to change (45 CFR 164.526 lets them ask for an amendment).
const PATIENTS_WRITE: [&str; 4] = ["Consent", "Communication", "QuestionnaireResponse", "DocumentReference"];

/// Whether a write makes something, or changes what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    New,
    Change,
}

/// What a party may see of a snapshot.
pub struct Lens<'s> {
    repository: Repository<'s>,
    party: Arc<Party>,
    settings: Arc<Settings>,
    requester: Requester,
    is_own: bool,
    reach: Reach,
    programs: Arc<OfState>,
    /// What the facts of a type's resources about one patient (or none, as an empty id) decide.
    kept: Mutex<HashMap<TypeId, HashMap<String, Keep>>>,
    /// What resources that consents name as `related` refer to.
    references: Mutex<HashMap<String, Arc<BTreeSet<String>>>>,
}

impl<'s> Lens<'s> {
    /// The lens of a party at a moment.
    ///
    /// # Errors
    /// [`StoreError`] if the party's organization cannot be read.
    pub fn new(
        snapshot: &'s dyn Snapshot,
        party: Arc<Party>,
        (settings, programs): (Arc<Settings>, &Programs),
        now: Millis,
    ) -> Result<Self, StoreError> {
        let repository = Repository::new(snapshot);
        let mut requester = Requester {
            now,
            purposes: party.purposes.iter().map(|code| Code::purpose(code)).collect(),
            payer: party.role == Role::Insurer,
            self_patient: party.own_patient().map(|id| format!("Patient/{id}")),
            ..Requester::default()
        };
        for actor in [&party.fhir_user, &party.organization].into_iter().flatten() {
            add_actor(&repository, actor, &mut requester)?;
        }
        let is_own = !requester.actors.is_disjoint(&settings.own);
        requester.actions = if is_own { vec!["access", "use"] } else { vec!["access", "use", "disclose"] };
        Ok(Self {
            repository,
            settings,
            requester,
            is_own,
            reach: Reach::new(party.clone()),
            party,
            programs: programs.of(snapshot)?,
            kept: Mutex::default(),
            references: Mutex::default(),
        })
    }

    /// The lens of an interaction that needs this permission on a type, or on all.
    #[must_use]
    pub fn for_reading(self, permission: Permission, def: Option<&'static TypeDef>) -> Self {
        Self { reach: self.reach.asked(permission, def), ..self }
    }

    /// The resources that the lens looks at.
    #[must_use]
    pub fn repository(&self) -> &Repository<'s> {
        &self.repository
    }

    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// Whether the party is staff of the own organization.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Shows a version, if the party may see it. `later` are newer versions of the same resource: their labels and
    /// subjects hold for the older one too.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn show(
        &self,
        stored: &Stored,
        version_id: &str,
        later: &[&Stored],
    ) -> Result<Option<Disclosed>, StoreError> {
        self.show_to(self.reach.letters(&stored.def.name), stored, version_id, later)
    }

    /// Shows a version to whom a scope with one of these letters reaches it, whatever the interaction is.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn show_to(
        &self,
        letters: &[Permission],
        stored: &Stored,
        version_id: &str,
        later: &[&Stored],
    ) -> Result<Option<Disclosed>, StoreError> {
        let (mut data, mut is_reached) = self.reached(letters, stored)?;
        for newer in later {
            let (newer, is_newer_reached) = self.reached(letters, newer)?;
            is_reached = is_reached && is_newer_reached;
            data.labels.extend(newer.labels);
            data.owners.extend(newer.owners);
        }
        data.level();
        if !is_reached {
            return Ok(None);
        }
        let decision = self.decide(&data)?;
        if !decision.permit {
            return Ok(None);
        }
        Ok(Some(Disclosed {
            text: stored.stamped(version_id),
            reference: format!("{}/{}", stored.def.name, stored.id),
            version_id: version_id.to_owned(),
            time: stored.time,
            patients: data.owners,
            basis: decision.basis,
        }))
    }

    /// Shows a resource that was made from what the party may see, such as an AuditEvent for who may audit.
    #[must_use]
    pub fn show_derived(&self, text: String, def: &TypeDef, time: Millis) -> Option<Disclosed> {
        let permitted = &*def.name == "AuditEvent" && self.party.may_audit();
        let tree = parse(text.clone().into_bytes()).ok()?;
        let is_reached = self.is_reached(self.reach.letters(&def.name), tree.root());
        (permitted && is_reached).then(|| Disclosed::gathered(text, time, BTreeSet::new()))
    }

    /// Whether a scope with one of these letters reaches all of a type, whatever is in it and whosoever it is.
    #[must_use]
    pub fn reaches_all(&self, letters: &[Permission], def: &TypeDef) -> bool {
        self.reach.is_whole(letters, &def.name)
    }

    /// Whether a scope with one of these letters reaches a resource: by its type, by whose it is, and by what is in it.
    #[must_use]
    pub fn is_reached(&self, letters: &[Permission], resource: Node<'_>) -> bool {
        let reach = |data: DataFacts| self.reach.of(letters, &data.type_name, &data.owners, Some(resource));
        // A store that fails here fails what follows; until then nothing is reached.
        self.facts(resource).is_ok_and(|data| reach(data) == Keep::Keep)
    }

    /// Whether the party may see a resource that is about to be written, or was sent by it.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn may_see(&self, resource: Node<'_>) -> Result<bool, StoreError> {
        let data = self.facts(resource)?;
        let letters = self.reach.letters(&data.type_name);
        let reach = self.reach.of(letters, &data.type_name, &data.owners, Some(resource));
        Ok(reach == Keep::Keep && self.decide(&data)?.permit)
    }

    /// Whether the party may write a resource: to collect and correct is another action than to read. What is
    /// overwritten is asked for as well as what it is overwritten with.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn may_write(&self, resource: Node<'_>, writing: Writing) -> Result<bool, StoreError> {
        let data = self.facts(resource)?;
        let name = data.type_name.as_str();
        let is_patient = self.party.role == Role::Patient;
        let is_staff = self.is_own && !is_patient;
        if FEEDS_IDENTITIES.contains(&name) || (name == "Patient" && resource.get("link").is_some()) {
            return Ok(is_staff);
        }
        if name == "Consent" {
            // Who is named by a Consent does not write it: the patient does, or the own staff that records it.
            let own = self.party.own_patient().map(|id| format!("Patient/{id}"));
            return Ok(
                is_staff || own.is_some_and(|own| data.owners.len() == 1 && data.owners.contains(&own))
            );
        }
        if is_patient && (writing == Writing::Change || !PATIENTS_WRITE.contains(&name)) {
            return Ok(false);
        }
        if data.owners.is_empty() {
            return Ok(is_staff);
        }
        if !self.is_own && name == "Patient" && writing == Writing::New {
            // Somebody else's new file is theirs to make; whether it may be seen is decided when it is read.
            return Ok(self.party.role == Role::System);
        }
        let requester = Requester { actions: vec!["correct", "collect"], ..self.requester.clone() };
        self.decide_as(&data, &requester).map(|decision| decision.permit)
    }

    fn data(&self, stored: &Stored) -> Result<DataFacts, StoreError> {
        let corrupt = || StoreError::Corrupt(format!("the text of row {}", stored.row));
        let tree = parse(stored.text.clone().into_bytes()).map_err(|_| corrupt())?;
        self.facts(tree.root())
    }

    /// The facts of a resource. Some are about whom others are about, and as sensitive.
    fn facts(&self, resource: Node<'_>) -> Result<DataFacts, StoreError> {
        let mut data = DataFacts::of(resource);
        let Some(element) = proxy_element(&data.type_name) else { return Ok(data) };
        for proxy in resource.items_at(element).filter_map(|proxy| proxy.str_at("reference")) {
            let proxy = super::data::plain(proxy);
            let key = proxy.split_once('/').and_then(|(name, id)| ResourceKey::new(name, id));
            let Some((key, def)) = key.and_then(|key| r4().resource(key.type_name).map(|def| (key, def)))
            else {
                continue;
            };
            let Some(current) = self.repository.current(def, &key.id)? else { continue };
            data.owners.extend(current.facts.patients.iter().map(|id| format!("Patient/{id}")));
            if current.facts.labelled && !current.deleted {
                let stored = self.repository.newest(&current)?;
                let corrupt = || StoreError::Corrupt(format!("the text of row {}", stored.row));
                let tree = parse(stored.text.clone().into_bytes()).map_err(|_| corrupt())?;
                data.labels.extend(DataFacts::of(tree.root()).labels);
            }
        }
        data.level();
        Ok(data)
    }

    /// The facts of a version, and whether a scope with one of these letters reaches it.
    fn reached(&self, letters: &[Permission], stored: &Stored) -> Result<(DataFacts, bool), StoreError> {
        let corrupt = || StoreError::Corrupt(format!("the text of row {}", stored.row));
        let tree = parse(stored.text.clone().into_bytes()).map_err(|_| corrupt())?;
        let data = self.facts(tree.root())?;
        let reach = self.reach.of(letters, &data.type_name, &data.owners, Some(tree.root()));
        Ok((data, reach == Keep::Keep))
    }

    fn decide(&self, data: &DataFacts) -> Result<Decision, StoreError> {
        self.decide_as(data, &self.requester)
    }

    fn decide_as(&self, data: &DataFacts, requester: &Requester) -> Result<Decision, StoreError> {
        let refuse = Decision { permit: false, basis: Basis::NotGoverned };
        if data.type_name == "AuditEvent" && !self.party.may_audit() {
            return Ok(refuse);
        }
        if self.reach.is_outside_context(&data.owners) {
            return Ok(refuse);
        }
        if data.owners.is_empty() {
            let house = Code::new(CodeSystem::of(PHYSICAL_TYPE), "ho");
            let is_house = data.type_name == "Location" && data.codes.contains(&house);
            let permit = if is_house { self.is_staff() } else { self.may_see_ungoverned(&data.type_name) };
            return Ok(Decision { permit, basis: Basis::NotGoverned });
        }
        let mut programs = Vec::new();
        for owner in &data.owners {
            programs.extend(self.programs(owner)?.iter().cloned());
        }
        let mut data = data.clone();
        for related in programs.iter().flat_map(|program| &program.related) {
            if self.references_of(related)?.contains(&data.reference) {
                data.incoming.insert(related.clone());
            }
        }
        Ok(decide(&programs, &data, requester, &self.settings))
    }

    fn may_see_ungoverned(&self, type_name: &str) -> bool {
        ADMINISTRATIVE.contains(&type_name) || self.is_staff()
    }

    fn is_staff(&self) -> bool {
        self.is_own && self.party.role != Role::Patient
    }

    /// The Consents of a patient (`Patient/id`), compiled once for all requests until a Consent is written.
    fn programs(&self, owner: &str) -> Result<Arc<Vec<Program>>, StoreError> {
        if let Some(known) = self.programs.get(owner) {
            return Ok(known);
        }
        let mut programs = Vec::new();
        if let Some(def) = r4().resource("Consent") {
            let of_patient = search_params().find(def, "patient").zip(owner.split_once('/'));
            let rows = match of_patient {
                Some((param, (type_name, id))) => self.repository.referrers(def, param, type_name, id)?,
                None => Vec::new(),
            };
            for row in rows {
                let Some(current) = self.repository.current_of_row(row)? else { continue };
                let stored = self.repository.newest(&current)?;
                let corrupt = || StoreError::Corrupt(format!("the text of row {row}"));
                let tree = parse(stored.text.into_bytes()).map_err(|_| corrupt())?;
                programs.push(compile(tree.root()));
            }
        }
        let programs = Arc::new(programs);
        self.programs.insert(owner, &programs);
        Ok(programs)
    }

    fn references_of(&self, reference: &str) -> Result<Arc<BTreeSet<String>>, StoreError> {
        let lock = || self.references.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(reference) {
            return Ok(known.clone());
        }
        let outgoing = match load(&self.repository, reference)? {
            Some(stored) => self.data(&stored)?.outgoing,
            None => BTreeSet::new(),
        };
        let outgoing = Arc::new(outgoing);
        lock().insert(reference.to_owned(), outgoing.clone());
        Ok(outgoing)
    }
}

impl Mask for Lens<'_> {
    fn scope(&self, def: &TypeDef) -> Scope {
        if &*def.name == "AuditEvent" && !self.party.may_audit() {
            return Scope::Nothing;
        }
        if !self.reach.has_scopes(&def.name) {
            return Scope::Nothing;
        }
        Scope::Unknown
    }

    fn keep(&self, def: &TypeDef, facts: &Facts) -> Keep {
        // Without labels all resources of a type about the same patient are alike.
        let patient = match facts.patients.as_slice() {
            [] if !facts.labelled => "",
            [patient] if !facts.labelled => patient,
            _ => return self.keep_by_facts(def, facts),
        };
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keep) = lock().get(&def.id).and_then(|of_type| of_type.get(patient)) {
            return *keep;
        }
        let keep = self.keep_by_facts(def, facts);
        lock().entry(def.id).or_default().insert(patient.to_owned(), keep);
        keep
    }

    fn keep_resource(&self, _: &TypeDef, resource: Node<'_>) -> bool {
        // A store that fails here fails the read that follows; until then nothing is shown.
        self.may_see(resource).is_ok_and(|permit| permit)
    }
}

impl Lens<'_> {
    fn keep_by_facts(&self, def: &TypeDef, facts: &Facts) -> Keep {
        let owners: BTreeSet<String> = facts.patients.iter().map(|id| format!("Patient/{id}")).collect();
        if proxy_element(&def.name).is_some() && self.reach.has_scopes(&def.name) {
            return Keep::NeedResource;
        }
        match self.reach.of(self.reach.letters(&def.name), &def.name, &owners, None) {
            Keep::Keep => {}
            decided @ (Keep::Drop | Keep::NeedResource) => return decided,
        }
        // A Location may be somebody's house.
        if facts.labelled || (&*def.name == "Location" && !self.is_staff()) {
            return Keep::NeedResource;
        }
        if self.reach.is_outside_context(&owners) {
            return Keep::Drop;
        }
        if owners.is_empty() {
            return if self.may_see_ungoverned(&def.name) { Keep::Keep } else { Keep::Drop };
        }
        // Without labels, and where no Consent asks for more, the decision rests on the requester and on whose it is.
        let mut data = DataFacts { owners, type_name: def.name.to_string(), ..DataFacts::default() };
        data.level();
        let mut programs: Arc<Vec<Program>> = Arc::default();
        for owner in &data.owners {
            let Ok(found) = self.programs(owner) else { return Keep::NeedResource };
            if found.iter().any(|program| needs_content(program, &self.requester, &self.settings)) {
                return Keep::NeedResource;
            }
            if programs.is_empty() {
                programs = found;
            } else {
                Arc::make_mut(&mut programs).extend(found.iter().cloned());
            }
        }
        if decide(&programs, &data, &self.requester, &self.settings).permit { Keep::Keep } else { Keep::Drop }
    }
}

/// The element whose resources tell whom a resource is about: a Provenance is about whom its targets are about, and a Binary
/// is shown as its security context is (R4 binary.html#security).
fn proxy_element(type_name: &str) -> Option<&'static str> {
    match type_name {
        "Provenance" => Some("target"),
        "Binary" => Some("securityContext"),
        _ => None,
    }
}

fn load(repository: &Repository<'_>, reference: &str) -> Result<Option<Stored>, StoreError> {
    let Some((type_name, id)) = reference.split_once('/') else { return Ok(None) };
    let Some(key) = ResourceKey::new(type_name, id) else { return Ok(None) };
    let Some(def) = r4().resource(key.type_name) else { return Ok(None) };
    match repository.current(def, &key.id)? {
        Some(current) if !current.deleted => repository.newest(&current).map(Some),
        _ => Ok(None),
    }
}

const PHYSICAL_TYPE: &str = "http://terminology.hl7.org/CodeSystem/location-physical-type";

/// How many organizations above the own one are asked for.
const PARENTS_MAX: usize = 16;

/// Adds an actor with its identifiers, and for an organization those that it is part of.
fn add_actor(repository: &Repository<'_>, actor: &str, requester: &mut Requester) -> Result<(), StoreError> {
    let mut next = Some(actor.to_owned());
    for _ in 0..PARENTS_MAX {
        let Some(actor) = next.take() else { break };
        if !requester.actors.insert(actor.clone()) {
            break;
        }
        let Some(stored) = load(repository, &actor)? else { break };
        let Ok(tree) = parse(stored.text.into_bytes()) else { break };
        for identifier in tree.root().items_at("identifier") {
            let text = |name: &str| identifier.str_at(name).unwrap_or_default().to_owned();
            requester.identifiers.insert((text("system"), text("value")));
        }
        let parent = tree.root().get("partOf").and_then(|parent| parent.str_at("reference"));
        next = parent.map(super::data::plain);
    }
    Ok(())
}
