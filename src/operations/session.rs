//! One request's view of the store: its snapshot, its party, its lens.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::auth::{Party, Permission};
use crate::consent::{Disclosed, HighWaterMark, Lens, LensParts, depends_on_others};
use crate::definitions::{TypeDef, r4};
use crate::model::{Millis, Node, ResourceId, ResourceKey, parse};
use crate::search::{Everything, Filter, Reading, SearchParams, ValueContext};
use crate::store::{
    Current, HistoryPlace, Report, Repository, Search, Sequence, Snapshot, StoreError, Stored, View, Way,
};

use super::answer::{Answer, Body, Kind, Refusal};
use super::context::Context;
use super::matches::KnownMatches;
use super::place::Place;
use super::table::{Code, Interaction};

/// Shows a version with its id, if the party may see it; the newest version comes with the facts of its row.
type Show<'a> = dyn Fn(Option<&Current>, &Stored, &str) -> Result<Option<Disclosed>, StoreError> + 'a;

pub(super) struct Session<'s> {
    pub(super) context: &'s Context,
    pub(super) lens: Lens<'s>,
    /// The search parameters that are in force.
    pub(super) params: Arc<SearchParams>,
    /// `Type/id` of what the same transaction writes.
    pub(super) coming: BTreeSet<String>,
    /// `Type/id` of what the same transaction deletes.
    pub(super) going: BTreeSet<String>,
    /// Identifiers (system, value) of the Patients among them, with the ids of these Patients.
    pub(super) coming_identifiers: BTreeMap<(String, String), Vec<String>>,
    /// The criteria of conditional interactions and references (`Type?criteria`), for the record of accesses.
    criteria: RefCell<BTreeSet<String>>,
    pub(super) matched: KnownMatches,
}

fn lens_parts<'s>(context: &'s Context, party: Arc<Party>, snapshot: &'s dyn Snapshot) -> LensParts<'s, 's> {
    let (settings, consents) = (context.settings.clone(), &context.consents);
    LensParts { snapshot, party, settings, consents, now: context.now() }
}

impl<'s> Session<'s> {
    pub(super) fn new(
        context: &'s Context,
        party: Arc<Party>,
        snapshot: &'s dyn Snapshot,
    ) -> Result<Self, Refusal> {
        let lens = Lens::new(lens_parts(context, party, snapshot))?;
        Ok(Self {
            context,
            lens,
            params: context.index.params(snapshot)?,
            coming: BTreeSet::new(),
            going: BTreeSet::new(),
            coming_identifiers: BTreeMap::new(),
            criteria: RefCell::default(),
            matched: KnownMatches::default(),
        })
    }

    /// Treats a resource that the same commit writes as existing.
    pub(super) fn expect(&mut self, reference: String, resource: Option<Node<'_>>) {
        if let Some(resource) = resource {
            self.lens.expect(reference.clone(), resource);
        }
        self.coming.insert(reference);
    }

    /// Notes criteria that were searched by, for the record of accesses.
    pub(super) fn looked_for(&self, criteria: String) {
        self.criteria.borrow_mut().insert(criteria);
    }

    /// The criteria that were noted since the last call.
    pub(super) fn take_criteria(&self) -> Vec<String> {
        self.criteria.take().into_iter().collect()
    }

    /// The lens of another party on the same snapshot, for explanations.
    pub(super) fn lens_of(&self, party: Arc<Party>) -> Result<Lens<'s>, Refusal> {
        Ok(Lens::new(lens_parts(self.context, party, self.snapshot()))?)
    }

    /// An answer made from decisions or accesses about these patients, if the party may have it; otherwise 404.
    pub(super) fn about(&self, text: String, patients: BTreeSet<String>) -> Result<Answer, Refusal> {
        let shown = self.lens.show_derived(text, patients, self.context.now());
        let shown = shown.ok_or_else(Refusal::not_found)?;
        Ok(Answer::new(Kind::Ok, Body::Disclosed(shown)))
    }

    /// The session of a read: the lens applies the interaction's permission to the requested type.
    pub(super) fn for_reading(self, row: &Interaction, place: &Place) -> Self {
        // Searches whose row has no permission are checked type by type.
        let permission = match row.code {
            Code::Search | Code::SearchByPost => Some(Permission::Search),
            _ => row.permission,
        };
        let Some(permission) = permission else { return self };
        Self { lens: self.lens.for_reading(permission, place.def()), ..self }
    }

    /// How this request's queries are parsed.
    pub(super) fn reading(&self, now: Millis, lenient: bool) -> Reading<'_> {
        let asking = ValueContext { now, base_url: &self.context.options.base_url };
        Reading { params: &self.params, asking, lenient }
    }

    pub(super) fn repository(&self) -> &Repository<'s> {
        self.lens.repository()
    }

    pub(super) fn snapshot(&self) -> &'s dyn Snapshot {
        self.lens.repository().snapshot()
    }

    pub(super) fn version_id(&self, sequence: Sequence) -> String {
        self.context.cipher.id(sequence)
    }

    /// The newest version that has a text; if the newest version of all is a deletion, the one before it.
    pub(super) fn newest_text(&self, current: &Current) -> Result<Option<Stored>, Refusal> {
        let newest = HistoryPlace { sequence: Sequence(u64::MAX), row: current.row };
        Ok(self.repository().text_before(newest)?)
    }

    /// The labels and subjects of a row's versions after a commit, by which its older versions are judged, too.
    pub(super) fn later(&self, row: u64, sequence: Sequence) -> Result<HighWaterMark, Refusal> {
        let mut later = HighWaterMark::default();
        for newer in self.repository().versions_after(row, sequence)? {
            let newer = self.repository().version(row, newer)?.filter(|stored| !stored.text.is_empty());
            if let Some(newer) = newer {
                self.lens.remember(&newer, &mut later)?;
            }
        }
        Ok(later)
    }

    /// The stored resources of a type that fulfil a condition, at most `most` of them, hidden ones included. For the server's own
    /// decisions, never for an answer.
    pub(super) fn stored(
        &self,
        def: &'static TypeDef,
        filter: &Filter,
        most: usize,
    ) -> Result<Vec<Current>, Refusal> {
        let view = View::new(self.repository(), None, &Everything);
        let report = Report::default();
        let rows = Search::new(&view, def, filter, &[], &report)?.page(None, Way::Onward, most)?;
        Ok(self.repository().current_of_rows(&rows)?)
    }

    /// The patients (`Patient/id`) whom the newest version of a resource is about, by itself and by what it names.
    pub(super) fn subjects_of(&self, current: &Current) -> Result<BTreeSet<String>, Refusal> {
        match self.newest_text(current)?.map(|stored| parse(stored.text.into_bytes())) {
            Some(Ok(tree)) => Ok(self.lens.subjects_of(tree.root())?),
            Some(Err(_)) | None => Ok(BTreeSet::new()),
        }
    }

    /// The ids of the patients whom a resource is about: from the facts of its row if these suffice.
    pub(super) fn patients_of(&self, current: &Current) -> Result<Vec<String>, Refusal> {
        if !depends_on_others(&current.def.name) {
            return Ok(current.facts.patients.clone());
        }
        let subjects = self.subjects_of(current)?;
        let ids = subjects.iter().filter_map(|subject| subject.strip_prefix("Patient/"));
        Ok(ids.map(str::to_owned).collect())
    }

    /// Whether a reference leads to a resource that exists, or that the same transaction writes.
    pub(super) fn exists(&self, key: &ResourceKey) -> Result<bool, Refusal> {
        if self.coming.contains(&key.to_string()) {
            return Ok(true);
        }
        let Some(def) = r4().resource(key.type_name) else { return Ok(false) };
        Ok(self.repository().current(def, &key.id)?.is_some_and(|current| !current.deleted))
    }

    /// Whether a reference leads to a resource that the party sees, or that the same transaction writes.
    pub(super) fn is_seen(&self, key: &ResourceKey) -> Result<bool, Refusal> {
        if self.coming.contains(&key.to_string()) {
            return Ok(true);
        }
        let Some(def) = r4().resource(key.type_name) else { return Ok(false) };
        let current = self.repository().current(def, &key.id)?.filter(|current| !current.deleted);
        let is_visible = |current: Current| self.repository().is_visible(current.row, &self.lens);
        Ok(current.map(is_visible).transpose()?.unwrap_or(false))
    }

    /// What the party may see of a resource; a hidden one looks like one that never existed.
    pub(super) fn look(&self, def: &'static TypeDef, id: &ResourceId) -> Result<Seen, Refusal> {
        self.look_by(def, id, &|current, stored, version_id| match current {
            Some(current) => self.lens.show_newest(current, stored, version_id),
            None => self.lens.show(stored, version_id),
        })
    }

    /// Like `look`, for scopes with one of these permissions: changing a resource needs another right than reading it.
    pub(super) fn look_to(
        &self,
        letters: &[Permission],
        def: &'static TypeDef,
        id: &ResourceId,
    ) -> Result<Seen, Refusal> {
        self.look_by(def, id, &|_, stored, version_id| self.lens.show_to(letters, stored, version_id))
    }

    /// What a writer with a scope with one of these permissions works on: what it sees; for a record keeper what is stored.
    pub(super) fn look_to_write(
        &self,
        letters: &[Permission],
        def: &'static TypeDef,
        id: &ResourceId,
    ) -> Result<Writable, Refusal> {
        let seen = self.look_to(letters, def, id)?;
        match seen {
            Seen::Resource { current, stored, disclosed } => {
                let is_whole = disclosed.is_whole();
                let version_id = disclosed.version_id().to_owned();
                Ok(Writable::Resource { current, stored, version_id, is_whole })
            }
            Seen::Deleted(current) => Ok(Writable::Deleted(current)),
            Seen::Nothing { current: Some(current) } if self.lens.keeps_record() => {
                let Some(stored) = self.newest_text(&current)? else {
                    return Ok(Writable::Nothing { current: Some(current) });
                };
                let tree = parse(stored.text.clone().into_bytes()).map_err(|_| Refusal::not_found())?;
                if !self.lens.is_within_reach(letters, tree.root())? {
                    return Ok(Writable::Nothing { current: Some(current) });
                }
                if current.deleted {
                    return Ok(Writable::Deleted(current));
                }
                let version_id = self.version_id(stored.sequence);
                let (current, stored) = (Box::new(current), Box::new(stored));
                Ok(Writable::Resource { current, stored, version_id, is_whole: true })
            }
            Seen::Nothing { current } => Ok(Writable::Nothing { current }),
        }
    }

    fn look_by(&self, def: &'static TypeDef, id: &ResourceId, show: &Show<'_>) -> Result<Seen, Refusal> {
        let Some(current) = self.repository().current(def, id)? else {
            return Ok(Seen::Nothing { current: None });
        };
        let hidden = |current: Current| Ok(Seen::Nothing { current: Some(current) });
        if current.deleted {
            let Some(before) = self.newest_text(&current)? else { return hidden(current) };
            let shown = show(None, &before, &self.version_id(before.sequence))?;
            return if shown.is_some() { Ok(Seen::Deleted(current)) } else { hidden(current) };
        }
        let stored = self.repository().newest(&current)?;
        match show(Some(&current), &stored, &self.version_id(stored.sequence))? {
            Some(disclosed) => Ok(Seen::Resource {
                current: Box::new(current),
                stored: Box::new(stored),
                disclosed: Box::new(disclosed),
            }),
            None => hidden(current),
        }
    }
}

/// What a writer may change at an id.
pub(super) enum Writable {
    Resource {
        current: Box<Current>,
        stored: Box<Stored>,
        version_id: String,
        /// Whether no part of it is masked for the writer.
        is_whole: bool,
    },
    Deleted(Current),
    /// Nothing that the writer may know of; `current` is what is really stored.
    Nothing {
        current: Option<Current>,
    },
}

/// What a party sees at an id.
pub(super) enum Seen {
    Resource {
        current: Box<Current>,
        stored: Box<Stored>,
        disclosed: Box<Disclosed>,
    },
    /// It was deleted, and the party may see what was deleted.
    Deleted(Current),
    /// Nothing; `current` is what is really stored, for the server's own checks and never for an answer.
    Nothing {
        current: Option<Current>,
    },
}
