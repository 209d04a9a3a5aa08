//! A patient's record as the pages of the chart read it.
use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::auth::Role;
use crate::model::{Node, Tree};
use crate::operations::{Refusal, RefusalKind};

use super::super::asking::{Asking, next_query, tree};
use super::super::parts::{called, name_of};
use super::super::problem::Problem;
use super::super::visit::Visit;

/// How many items a list of the chart shows at once.
pub(super) const PAGE_LEN: &str = "50";

/// Elements of items that refer to people and organizations, who are called by their names.
const PEOPLE: [&str; 7] = ["requester", "recorder", "asserter", "author", "individual", "payor", "performer"];
/// Types of people and organizations.
const PEOPLE_TYPES: [&str; 5] =
    ["Practitioner", "PractitionerRole", "Organization", "RelatedPerson", "Patient"];
/// How many names one search looks up.
const NAMES_MAX: usize = 50;

/// The matches of a search, with the names of those to whom they refer.
#[derive(Default)]
pub(in super::super) struct Found {
    tree: Option<Tree>,
    /// Names by `Type/id`, of those to whom the resources refer without a name.
    names: BTreeMap<String, String>,
}

impl Found {
    /// The matches, in order.
    pub(in super::super) fn resources(&self) -> impl Iterator<Item = Node<'_>> {
        let entries = self.tree.iter().flat_map(|tree| tree.root().items_at("entry"));
        let is_match = |entry: &Node<'_>| {
            entry.get("search").and_then(|search| search.str_at("mode")).is_none_or(|mode| mode == "match")
        };
        entries.filter(is_match).filter_map(|entry| entry.get("resource"))
    }

    /// How many there are, on all pages.
    pub(super) fn total(&self) -> Option<&str> {
        Some(self.tree.as_ref()?.root().get("total")?.raw())
    }

    /// The query of the next page.
    pub(super) fn next(&self) -> Option<&str> {
        next_query(self.tree.as_ref()?.root())
    }

    /// What the target of a reference is called.
    pub(super) fn called(&self, reference: Node<'_>) -> Option<String> {
        called(reference).or_else(|| self.names.get(reference.str_at("reference")?).cloned())
    }

    /// The references to people and organizations that bring no name, as type and id.
    fn nameless(&self) -> BTreeSet<(String, String)> {
        let nodes = self.resources().flat_map(Node::subtree).filter(|node| PEOPLE.contains(&node.key()));
        let references = nodes.flat_map(Node::items).filter(|reference| called(*reference).is_none());
        let keys = references.filter_map(|reference| reference.str_at("reference")?.split_once('/'));
        let known = keys.filter(|(type_name, id)| PEOPLE_TYPES.contains(type_name) && !id.contains('/'));
        known.map(|(type_name, id)| (type_name.to_owned(), id.to_owned())).collect()
    }

    pub(in super::super) fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources().next().is_none()
    }
}

/// The record of one patient, in the name of whoever looks at it.
pub(in super::super) struct Record {
    pub(in super::super) asking: Asking,
    pub(in super::super) id: String,
    pub(super) patient: Tree,
    pub(super) allergies: Found,
}

impl Record {
    /// Opens the record that the first open part of the visit's path names: the patient, and the allergies that stand at the head
    /// of every page.
    pub(in super::super) async fn open(visit: &Visit) -> Result<Self, Problem> {
        let (asking, id) = (visit.asking()?, visit.path.first().map_or("", String::as_str));
        let patient = asking.resource(&["Patient", id], Vec::new()).await?;
        let mut record = Self { asking, id: id.to_owned(), patient, allergies: Found::default() };
        let standing = ("clinical-status:not", "resolved,inactive");
        record.allergies = record.about("AllergyIntolerance", "patient", &[standing]).await?;
        Ok(record)
    }

    /// What is stored of a type about the patient; `by` is the search parameter that leads to the patient.
    pub(in super::super) async fn about(
        &self,
        type_name: &str,
        by: &str,
        also: &[(&str, &str)],
    ) -> Result<Found, Problem> {
        let patient = format!("Patient/{}", self.id);
        let pairs = [(by, patient.as_str()), ("_count", PAGE_LEN), ("_total", "accurate")];
        let pairs = pairs.into_iter().chain(also.iter().copied());
        self.search(type_name, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()).await
    }

    /// A further page of a search, whose query the page before has given.
    pub(in super::super) async fn search(
        &self,
        type_name: &str,
        query: Vec<(String, String)>,
    ) -> Result<Found, Problem> {
        match self.asking.get(vec![type_name.to_owned()], query).await {
            Ok(answer) => {
                let mut found = Found { tree: Some(tree(&answer)?), names: BTreeMap::new() };
                found.names = self.names_of(found.nameless()).await?;
                Ok(found)
            }
            // What a role may not search for is not there for it.
            Err(Refusal { kind: RefusalKind::Forbidden, .. }) => Ok(Found::default()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The names of people and organizations, with a search for each type and `NAMES_MAX` ids.
    async fn names_of(&self, keys: BTreeSet<(String, String)>) -> Result<BTreeMap<String, String>, Problem> {
        let mut names = BTreeMap::new();
        for type_name in PEOPLE_TYPES {
            let own = keys.iter().filter(|(known, _)| known == type_name);
            let ids: Vec<&str> = own.map(|(_, id)| id.as_str()).collect();
            for ids in ids.chunks(NAMES_MAX) {
                let query = [("_id", ids.join(",")), ("_count", NAMES_MAX.to_string())];
                let query = query.map(|(name, value)| (name.to_owned(), value)).to_vec();
                let Ok(answer) = self.asking.get(vec![type_name.to_owned()], query).await else { continue };
                let people = Found { tree: Some(tree(&answer)?), names: BTreeMap::new() };
                for person in people.resources() {
                    if let Some((id, name)) = person.str_at("id").zip(name_of(person)) {
                        names.insert(format!("{type_name}/{id}"), name);
                    }
                }
            }
        }
        Ok(names)
    }

    /// The names of people and organizations by their references.
    pub(in super::super) async fn names(
        &self,
        references: BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let keys = references.iter().filter_map(|reference| reference.split_once('/'));
        self.names_of(keys.map(|(type_name, id)| (type_name.to_owned(), id.to_owned())).collect()).await
    }

    /// The patient's name.
    pub(in super::super) fn name(&self) -> String {
        name_of(self.patient.root()).unwrap_or_else(|| "Name not recorded".to_owned())
    }

    /// Whether whoever looks is told who saw the record: its subject, who acts for the subject, and who watches over disclosures.
    pub(super) fn is_told_who_saw(&self) -> bool {
        matches!(self.asking.party.role, Role::Patient | Role::Representative | Role::PrivacyOfficer)
    }

    /// The path of one of the record's pages.
    pub(in super::super) fn path(&self, page: &str) -> String {
        let glue = if page.is_empty() { "" } else { "/" };
        format!("/p/{}{glue}{page}", crate::operations::encode(&self.id))
    }

    /// The page, below the record, of the results of one code (`system|code`). A system is a URL, whose slashes separate nothing here.
    pub(super) fn trend_of(code: &str) -> String {
        format!("results/{}", crate::operations::encode(code).replace('/', "%2F"))
    }

    /// A link to the page of an item of the record.
    pub(in super::super) fn link(&self, resource: Node<'_>, text: &str) -> Markup {
        match (resource.str_at("resourceType"), resource.str_at("id")) {
            (Some(type_name), Some(id)) => html! { a href={ "/fhir/" (type_name) "/" (id) } { (text) } },
            _ => html! { (text) },
        }
    }
}
