//! The registry of definitions: the tables, resolved into types that refer to each other. Types are looked up by name once, and
//! by number afterwards.
use std::collections::{BTreeSet, HashMap, HashSet};

use foldhash::fast::FixedState;

use super::extract::Tables;
use super::tables::{
    CompartmentRow, ElementRow, InvariantRow, Kind, ParamType, SearchParamRow, Strength, SubjectRow, TypeRow,
};
use super::type_rules::{TypeRules, rules_of};

/// The number of a type in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(u16);

/// The number of an element in its type, in the order of the standard.
pub type ElementId = u16;

/// The maximum cardinality of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Max {
    Times(u16),
    Unbounded,
}

impl Max {
    /// Whether JSON writes the element as an array (R4 json.html: every element that may repeat).
    #[must_use]
    pub fn is_list(self) -> bool {
        self != Max::Times(1)
    }
}

/// An element with resolved types.
#[derive(Debug)]
pub struct ElementDef {
    pub name: Box<str>,
    pub min: u16,
    pub max: Max,
    pub choice: bool,
    pub summary: bool,
    pub modifier: bool,
    /// The permitted types; for a Reference with the permitted target types (empty: any).
    pub types: Box<[(TypeId, Box<[TypeId]>)]>,
    pub binding: Option<(Strength, Box<str>)>,
    pub invariants: Box<[InvariantRow]>,
    /// Whether a Patient that this element refers to is a data subject of the resource.
    pub is_subject: bool,
}

/// The meaning of a JSON property: an element, and one of its types.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    pub element: ElementId,
    pub type_id: TypeId,
}

/// A type with its elements, and an index of their JSON names.
#[derive(Debug)]
pub struct TypeDef {
    pub id: TypeId,
    pub name: Box<str>,
    pub kind: Kind,
    pub is_abstract: bool,
    pub base: Option<TypeId>,
    pub elements: Box<[ElementDef]>,
    pub invariants: Box<[InvariantRow]>,
    /// Whether the type, or the type of one of its elements, has an element that names data subjects or holds a resource.
    pub has_subjects: bool,
    pub rules: TypeRules,
    /// Looked up for every element of every resource; its names are the standard's own, so the hash needs no key.
    properties: HashMap<Box<str>, Property, FixedState>,
}

impl TypeDef {
    /// The element behind a JSON property name such as `birthDate` or `valueQuantity` (without a leading `_`).
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Property> {
        self.properties.get(name).copied()
    }

    /// The element by its FHIRPath name; a choice has its bare name (`value`).
    #[must_use]
    pub fn element(&self, name: &str) -> Option<&ElementDef> {
        self.elements.iter().find(|element| &*element.name == name)
    }

    /// An element by its number.
    #[must_use]
    pub fn element_at(&self, id: ElementId) -> Option<&ElementDef> {
        self.elements.get(usize::from(id))
    }
}

/// The codes of a value set, by system.
#[derive(Debug, Default)]
pub struct ValueSet {
    codes: HashMap<Box<str>, HashSet<Box<str>>>,
}

impl ValueSet {
    /// Whether the value set contains the code; an element of type `code` has no system.
    #[must_use]
    pub fn contains(&self, system: Option<&str>, code: &str) -> bool {
        match system {
            Some(system) => self.codes.get(system).is_some_and(|codes| codes.contains(code)),
            None => self.codes.values().any(|codes| codes.contains(code)),
        }
    }

    /// All systems and codes.
    pub fn codes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.codes.iter().flat_map(|(system, codes)| codes.iter().map(move |code| (&**system, &**code)))
    }
}

/// The definitions of the standard, by name and by number.
#[derive(Debug)]
pub struct Registry {
    types: Vec<TypeDef>,
    by_name: HashMap<Box<str>, TypeId>,
    /// The number of each type that is a storable resource type, and the types in the order of these numbers.
    numbers: Vec<Option<u16>>,
    numbered: Vec<TypeId>,
    search_params: Vec<SearchParamRow>,
    compartments: Vec<CompartmentRow>,
    value_sets: HashMap<Box<str>, ValueSet>,
    parents: HashMap<(Box<str>, Box<str>), Vec<String>>,
    subjects: Vec<SubjectRow>,
}

impl Registry {
    /// Resolves the tables. References to names that no table defines are dropped.
    #[must_use]
    pub fn new(tables: Tables) -> Self {
        let by_name: HashMap<Box<str>, TypeId> = tables
            .types
            .iter()
            .zip(0..)
            .map(|(row, number)| (row.name.clone().into_boxed_str(), TypeId(number)))
            .collect();
        let types = tables
            .types
            .into_iter()
            .zip(0..)
            .map(|(row, n)| resolve_type(row, TypeId(n), &by_name))
            .collect();
        let mut value_sets: HashMap<Box<str>, ValueSet> = HashMap::new();
        for row in tables.value_sets {
            let codes = row.codes.into_iter().map(String::into_boxed_str).collect();
            value_sets.entry(row.url.into()).or_default().codes.insert(row.system.into(), codes);
        }
        let parents = tables
            .code_hierarchy
            .into_iter()
            .map(|row| ((row.system.into_boxed_str(), row.code.into_boxed_str()), row.parents))
            .collect();
        let (search_params, compartments) = (tables.search_params, tables.compartments);
        let is_stored = |def: &TypeDef| def.kind == Kind::Resource && !def.is_abstract;
        let types: Vec<TypeDef> = types;
        let numbered: Vec<TypeId> = types.iter().filter(|def| is_stored(def)).map(|def| def.id).collect();
        let mut numbers = vec![None; types.len()];
        for (id, number) in numbered.iter().zip(0..) {
            if let Some(place) = numbers.get_mut(usize::from(id.0)) {
                *place = Some(number);
            }
        }
        let subjects = Vec::new();
        Self { types, by_name, numbers, numbered, search_params, compartments, value_sets, parents, subjects }
    }

    /// The registry, with the elements that name data subjects marked.
    #[must_use]
    pub fn with_subjects(mut self, rows: Vec<SubjectRow>) -> Self {
        for row in rows.iter().filter(|row| row.subject) {
            let Some((of, name)) = row.path.trim_end_matches("[x]").rsplit_once('.') else { continue };
            let Some(id) = self.by_name.get(of) else { continue };
            let def = self.types.get_mut(usize::from(id.0));
            let element = def.and_then(|def| def.elements.iter_mut().find(|element| &*element.name == name));
            if let Some(element) = element {
                element.is_subject = true;
            }
        }
        // Repeats until no further type has an element whose type names data subjects.
        loop {
            let reaches = |def: &TypeDef| {
                def.elements.iter().any(|element| {
                    element.is_subject
                        || element.types.iter().any(|(id, _)| {
                            self.get(*id).is_some_and(|of| of.has_subjects || of.kind == Kind::Resource)
                        })
                })
            };
            let found: Vec<usize> = (0..self.types.len())
                .filter(|at| self.types.get(*at).is_some_and(|def| !def.has_subjects && reaches(def)))
                .collect();
            if found.is_empty() {
                break;
            }
            for at in found {
                if let Some(def) = self.types.get_mut(at) {
                    def.has_subjects = true;
                }
            }
        }
        self.subjects = rows;
        self
    }

    /// For every element that may refer to a Patient: whether that Patient is a data subject, and why.
    #[must_use]
    pub fn subjects(&self) -> &[SubjectRow] {
        &self.subjects
    }

    /// The type of that name: a resource type, a datatype, or the path of a backbone element.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&TypeDef> {
        self.by_name.get(name).and_then(|id| self.types.get(usize::from(id.0)))
    }

    /// A resource type that can be stored: neither abstract nor a datatype.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&TypeDef> {
        self.find(name).filter(|def| def.kind == Kind::Resource && !def.is_abstract)
    }

    /// A type by its number. INVARIANT: numbers come only from this registry, so there is always one.
    #[must_use]
    pub fn get(&self, id: TypeId) -> Option<&TypeDef> {
        self.types.get(usize::from(id.0))
    }

    /// All resource types that can be stored, by name.
    pub fn resources(&self) -> impl Iterator<Item = &TypeDef> {
        self.types.iter().filter(|def| def.kind == Kind::Resource && !def.is_abstract)
    }

    /// The number of a resource type in the alphabetical order of R4. The store's keys contain this number.
    #[must_use]
    pub fn resource_number(&self, id: TypeId) -> Option<u16> {
        self.numbers.get(usize::from(id.0)).copied().flatten()
    }

    /// The resource type of that number.
    #[must_use]
    pub fn resource_numbered(&self, number: u16) -> Option<&TypeDef> {
        self.numbered.get(usize::from(number)).and_then(|id| self.get(*id))
    }

    /// Every type of the registry.
    pub fn types(&self) -> impl Iterator<Item = &TypeDef> {
        self.types.iter()
    }

    /// Whether a type is the other type, or derived from it.
    #[must_use]
    pub fn is_a(&self, id: TypeId, ancestor: TypeId) -> bool {
        let mut at = Some(id);
        while let Some(current) = at {
            if current == ancestor {
                return true;
            }
            at = self.get(current).and_then(|def| def.base);
        }
        false
    }

    /// All search parameters of the standard, and our own.
    #[must_use]
    pub fn search_params(&self) -> &[SearchParamRow] {
        &self.search_params
    }

    /// The search parameter with that canonical URL.
    #[must_use]
    pub fn search_param(&self, url: &str) -> Option<&SearchParamRow> {
        self.search_params.iter().find(|row| row.url == url)
    }

    /// The parameters that make a resource of a type a member of a compartment (R4 compartmentdefinition.html).
    #[must_use]
    pub fn compartment_params(&self, compartment: &str, resource: &str) -> &[String] {
        self.compartments
            .iter()
            .find(|row| row.compartment == compartment && row.resource == resource)
            .map_or(&[], |row| &row.params)
    }

    /// A value set with a required binding; `None` if the standard enumerates no codes for it.
    #[must_use]
    pub fn value_set(&self, url: &str) -> Option<&ValueSet> {
        self.value_sets.get(url)
    }

    /// The codes directly broader than this one.
    #[must_use]
    pub fn broader(&self, system: &str, code: &str) -> &[String] {
        self.parents.get(&(Box::from(system), Box::from(code))).map_or(&[], Vec::as_slice)
    }

    /// The URLs of the code systems whose hierarchy is embedded.
    #[must_use]
    pub fn hierarchical_systems(&self) -> Vec<&str> {
        let systems: BTreeSet<&str> = self.parents.keys().map(|(system, _)| &**system).collect();
        systems.into_iter().collect()
    }

    /// The codes of a system that have broader codes, with these.
    pub fn hierarchy(&self, system: &str) -> impl Iterator<Item = (&str, &[String])> {
        let of_system = move |((known, _), _): &(&(Box<str>, Box<str>), &Vec<String>)| &**known == system;
        self.parents.iter().filter(of_system).map(|((_, code), parents)| (&**code, parents.as_slice()))
    }

    /// The types of all search parameters, for computed tables.
    pub fn param_types(&self) -> impl Iterator<Item = ParamType> + '_ {
        self.search_params.iter().map(|row| row.kind)
    }
}

fn resolve_type(row: TypeRow, id: TypeId, by_name: &HashMap<Box<str>, TypeId>) -> TypeDef {
    let mut properties = HashMap::default();
    let elements: Box<[ElementDef]> =
        row.elements.into_iter().map(|element| resolve(element, by_name)).collect();
    for (element, number) in elements.iter().zip(0..) {
        for (type_id, _) in &element.types {
            let property = Property { element: number, type_id: *type_id };
            let name = match (element.choice, name_of(*type_id, by_name)) {
                (true, Some(of)) => choice_name(&element.name, of),
                _ => element.name.clone(),
            };
            properties.entry(name).or_insert(property);
        }
    }
    TypeDef {
        id,
        base: row.base.as_deref().and_then(|base| by_name.get(base)).copied(),
        rules: rules_of(&row.name),
        name: row.name.into(),
        kind: row.kind,
        is_abstract: row.is_abstract,
        elements,
        invariants: row.invariants.into(),
        has_subjects: false,
        properties,
    }
}

fn resolve(row: ElementRow, by_name: &HashMap<Box<str>, TypeId>) -> ElementDef {
    let types = row
        .types
        .iter()
        .filter_map(|of| {
            let targets =
                of.targets.iter().filter_map(|target| by_name.get(target.as_str()).copied()).collect();
            by_name.get(of.code.as_str()).map(|id| (*id, targets))
        })
        .collect();
    ElementDef {
        name: row.name.into(),
        min: row.min,
        max: row.max.map_or(Max::Unbounded, Max::Times),
        choice: row.choice,
        summary: row.summary,
        modifier: row.modifier,
        types,
        binding: row.binding.map(|binding| (binding.strength, binding.value_set.into())),
        invariants: row.invariants.into(),
        is_subject: false,
    }
}

fn name_of(id: TypeId, by_name: &HashMap<Box<str>, TypeId>) -> Option<&str> {
    by_name.iter().find(|(_, other)| **other == id).map(|(name, _)| &**name)
}

/// `value` + `dateTime` is `valueDateTime` (R4 formats.html#choice).
fn choice_name(element: &str, of: &str) -> Box<str> {
    let mut letters = of.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    element.chars().chain(first).chain(letters).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use crate::definitions::{Kind, Max, r4};

    #[test]
    fn r4_is_complete() {
        let registry = r4();
        assert_eq!(registry.resources().count(), 146);
        assert_eq!(registry.types().filter(|def| def.kind == Kind::Primitive).count(), 20);
        let (own, of_r4): (Vec<_>, Vec<_>) =
            registry.search_params().iter().partition(|row| row.url.starts_with("https://chartward.org/"));
        assert_eq!((of_r4.len(), own.len()), (1397, 2));
        assert!(registry.types().all(|def| def.elements.iter().all(|element| !element.types.is_empty())));
    }

    #[test]
    fn a_choice_is_found_by_its_json_names() {
        let observation = r4().resource("Observation").unwrap();
        let quantity = observation.property("valueQuantity").unwrap();
        let string = observation.property("valueString").unwrap();
        assert_eq!(quantity.element, string.element);
        assert_ne!(quantity.type_id, string.type_id);
        assert!(observation.property("value").is_none());
        assert!(observation.property("valueAddress").is_none());
        assert!(observation.element("value").unwrap().choice);
    }

    #[test]
    fn backbones_and_content_references_resolve() {
        let registry = r4();
        let contact = registry.find("Patient.contact").unwrap();
        assert_eq!(contact.kind, Kind::Backbone);
        assert!(contact.property("relationship").is_some());
        let section = registry.find("Composition.section").unwrap();
        let nested = section.property("section").unwrap();
        assert_eq!(nested.type_id, section.id);
        assert_eq!(section.element("section").unwrap().max, Max::Unbounded);
    }

    #[test]
    fn value_sets_compartments_and_hierarchies_answer() {
        let registry = r4();
        let gender = registry.value_set("http://hl7.org/fhir/ValueSet/administrative-gender").unwrap();
        assert!(gender.contains(None, "female"));
        assert!(!gender.contains(None, "f"));
        assert!(registry.compartment_params("Patient", "Condition").contains(&"patient".to_owned()));
        let reasons = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
        assert_eq!(registry.broader(reasons, "BTG"), ["ETREAT"]);
        let id = registry.resource("Patient").unwrap().property("id").unwrap();
        assert_eq!(&*registry.get(id.type_id).unwrap().name, "id");
    }
}
