//! Builds the tables from the resources of an official package: StructureDefinitions with snapshots, SearchParameters,
//! CompartmentDefinitions, expanded ValueSets and CodeSystems. Takes parsed resources; reads no files.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::tables::{
    BindingRow, CodeHierarchyRow, CompartmentRow, ComponentRow, ElementRow, ElementTypeRow, InvariantRow,
    Kind, SearchParamRow, Strength, TypeRow, ValueSetRow,
};

/// The code systems whose hierarchy the consent engine needs.
const HIERARCHIES: [&str; 3] = [
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
];

/// Resources of a package, collected one by one; [`Package::tables`] turns them into rows.
#[derive(Default)]
pub struct Package {
    structures: BTreeMap<String, Value>,
    params: BTreeMap<String, Value>,
    compartments: BTreeMap<String, Value>,
    value_sets: BTreeMap<String, Value>,
    code_systems: BTreeMap<String, Value>,
}

/// The rows made from a package, each table in a stable order.
pub struct Tables {
    pub types: Vec<TypeRow>,
    pub search_params: Vec<SearchParamRow>,
    pub compartments: Vec<CompartmentRow>,
    pub value_sets: Vec<ValueSetRow>,
    pub code_hierarchy: Vec<CodeHierarchyRow>,
}

impl Package {
    /// Adds a resource. Resources that no table needs are ignored, also ValueSets without an expansion.
    pub fn add(&mut self, resource: Value) {
        let url = text(&resource, "url").to_owned();
        match text(&resource, "resourceType") {
            "StructureDefinition" if defines_a_type(&resource) => {
                self.structures.insert(text(&resource, "type").to_owned(), resource);
            }
            // The core package also contains the examples of the SearchParameter page.
            "SearchParameter" if !last_segment(&url).starts_with("example") => {
                self.params.insert(url, resource);
            }
            "CompartmentDefinition" => {
                self.compartments.insert(url, resource);
            }
            "CodeSystem" => {
                self.code_systems.insert(url, resource);
            }
            "ValueSet" if resource.get("expansion").is_some() => {
                self.value_sets.insert(url, resource);
            }
            _ => {}
        }
    }

    /// The tables of all resources added so far.
    #[must_use]
    pub fn tables(&self) -> Tables {
        let types: Vec<TypeRow> = self.structures.values().flat_map(type_rows).collect();
        let value_sets = self.value_set_rows(&types);
        Tables {
            search_params: self.params.values().filter_map(search_param_row).collect(),
            compartments: self.compartments.values().flat_map(compartment_rows).collect(),
            code_hierarchy: HIERARCHIES
                .iter()
                .filter_map(|url| self.code_systems.get(*url))
                .flat_map(hierarchy_rows)
                .collect(),
            value_sets,
            types,
        }
    }

    fn value_set_rows(&self, types: &[TypeRow]) -> Vec<ValueSetRow> {
        let required: BTreeSet<&str> = types
            .iter()
            .flat_map(|row| &row.elements)
            .filter_map(|element| element.binding.as_ref())
            .filter(|binding| binding.strength == Strength::Required)
            .map(|binding| binding.value_set.as_str())
            .collect();
        let mut rows = Vec::new();
        for url in required {
            let Some(value_set) = self.value_sets.get(url) else { continue };
            let mut systems: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            expansion(value_set.pointer("/expansion/contains"), &mut systems);
            for (system, codes) in systems {
                rows.push(ValueSetRow { url: url.to_owned(), system, codes: codes.into_iter().collect() });
            }
        }
        rows
    }
}

/// Whether a structure defines a type of FHIR: profiles only constrain one, and logical models are no FHIR types.
fn defines_a_type(structure: &Value) -> bool {
    text(structure, "derivation") != "constraint" && text(structure, "kind") != "logical"
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn last_segment(url: &str) -> String {
    url.rsplit('/').next().unwrap_or(url).to_owned()
}

fn type_rows(structure: &Value) -> Vec<TypeRow> {
    let name = text(structure, "type");
    let url = text(structure, "url");
    let kind = match text(structure, "kind") {
        "resource" => Kind::Resource,
        "primitive-type" => Kind::Primitive,
        _ => Kind::Complex,
    };
    let mut rows: Vec<TypeRow> = Vec::new();
    for element in structure.pointer("/snapshot/element").and_then(Value::as_array).into_iter().flatten() {
        let path = text(element, "path");
        let is_root = path == name;
        if is_root || holds_children(element) {
            rows.push(TypeRow {
                name: path.to_owned(),
                kind: if is_root { kind } else { Kind::Backbone },
                base: if is_root {
                    structure.get("baseDefinition").and_then(Value::as_str).map(last_segment)
                } else {
                    list(element, "type").next().map(|of| text(of, "code").to_owned())
                },
                is_abstract: is_root && structure.get("abstract") == Some(&Value::Bool(true)),
                elements: Vec::new(),
                invariants: invariant_rows(element, url),
            });
        }
        let Some((parent, leaf)) = path.rsplit_once('.') else { continue };
        if kind == Kind::Primitive {
            continue;
        }
        if let Some(row) = rows.iter_mut().find(|row| row.name == parent) {
            row.elements.push(element_row(element, leaf, kind, url));
        }
    }
    rows
}

/// Backbone elements define their children in place; `contentReference` elements reuse the children of another element.
fn holds_children(element: &Value) -> bool {
    list(element, "type").any(|of| matches!(text(of, "code"), "BackboneElement" | "Element"))
}

fn element_row(element: &Value, leaf: &str, kind: Kind, url: &str) -> ElementRow {
    let path = text(element, "path");
    let choice = leaf.ends_with("[x]");
    let types = if let Some(target) = element.get("contentReference").and_then(Value::as_str) {
        vec![ElementTypeRow { code: target.trim_start_matches('#').to_owned(), targets: Vec::new() }]
    } else if holds_children(element) {
        vec![ElementTypeRow { code: path.to_owned(), targets: Vec::new() }]
    } else {
        element_types(element, kind)
    };
    ElementRow {
        name: leaf.trim_end_matches("[x]").to_owned(),
        min: element.get("min").and_then(Value::as_u64).and_then(|min| u16::try_from(min).ok()).unwrap_or(0),
        max: text(element, "max").parse().ok(),
        types,
        choice,
        summary: element.get("isSummary") == Some(&Value::Bool(true)),
        modifier: element.get("isModifier") == Some(&Value::Bool(true)),
        binding: binding_row(element),
        invariants: if holds_children(element) { Vec::new() } else { invariant_rows(element, url) },
    }
}

fn element_types(element: &Value, kind: Kind) -> Vec<ElementTypeRow> {
    list(element, "type")
        .map(|of| ElementTypeRow {
            code: match text(of, "code") {
                code if code.starts_with("http://hl7.org/fhirpath/") => {
                    system_type(text(element, "path"), kind, of)
                }
                code => code.to_owned(),
            },
            targets: texts(of, "targetProfile")
                .iter()
                .map(|target| last_segment(target))
                .filter(|target| target != "Resource")
                .collect(),
        })
        .collect()
}

/// In the package `id`, `url` and the values of primitives have a FHIRPath system type; an extension names the FHIR type, but
/// wrongly says `string` for `Resource.id`.
fn system_type(path: &str, kind: Kind, of: &Value) -> String {
    if kind == Kind::Resource && path.matches('.').count() == 1 && path.ends_with(".id") {
        return "id".to_owned();
    }
    list(of, "extension")
        .find_map(|extension| {
            extension.get("valueUrl").or_else(|| extension.get("valueUri")).and_then(Value::as_str)
        })
        .unwrap_or("string")
        .to_owned()
}

fn binding_row(element: &Value) -> Option<BindingRow> {
    let binding = element.get("binding")?;
    let strength = match text(binding, "strength") {
        "required" => Strength::Required,
        "extensible" => Strength::Extensible,
        "preferred" => Strength::Preferred,
        _ => Strength::Example,
    };
    let value_set = text(binding, "valueSet").split('|').next().unwrap_or_default().to_owned();
    (!value_set.is_empty()).then_some(BindingRow { strength, value_set })
}

fn invariant_rows(element: &Value, url: &str) -> Vec<InvariantRow> {
    list(element, "constraint")
        .filter(|constraint| {
            let source = text(constraint, "source");
            source.is_empty() || source == url
        })
        .filter(|constraint| !text(constraint, "expression").is_empty())
        .map(|constraint| InvariantRow {
            key: text(constraint, "key").to_owned(),
            warning: text(constraint, "severity") == "warning",
            expression: text(constraint, "expression").to_owned(),
        })
        .collect()
}

fn search_param_row(param: &Value) -> Option<SearchParamRow> {
    Some(SearchParamRow {
        code: text(param, "code").to_owned(),
        url: text(param, "url").to_owned(),
        base: texts(param, "base"),
        kind: serde_json::from_value(param.get("type")?.clone()).ok()?,
        expression: param.get("expression").and_then(Value::as_str).map(str::to_owned),
        targets: texts(param, "target"),
        components: list(param, "component")
            .map(|part| ComponentRow {
                definition: text(part, "definition").to_owned(),
                expression: text(part, "expression").to_owned(),
            })
            .collect(),
        usage: param
            .get("xpathUsage")
            .and_then(Value::as_str)
            .filter(|usage| *usage != "normal")
            .map(str::to_owned),
    })
}

fn compartment_rows(definition: &Value) -> Vec<CompartmentRow> {
    list(definition, "resource")
        .map(|entry| CompartmentRow {
            compartment: text(definition, "code").to_owned(),
            resource: text(entry, "code").to_owned(),
            params: texts(entry, "param"),
        })
        .filter(|row| !row.params.is_empty())
        .collect()
}

fn expansion(contains: Option<&Value>, systems: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in contains.and_then(Value::as_array).into_iter().flatten() {
        if entry.get("abstract") != Some(&Value::Bool(true)) && !text(entry, "code").is_empty() {
            systems
                .entry(text(entry, "system").to_owned())
                .or_default()
                .insert(text(entry, "code").to_owned());
        }
        expansion(entry.get("contains"), systems);
    }
}

fn hierarchy_rows(code_system: &Value) -> Vec<CodeHierarchyRow> {
    let mut parents: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    concepts(list(code_system, "concept"), None, &mut parents);
    parents
        .into_iter()
        .map(|(code, parents)| CodeHierarchyRow {
            system: text(code_system, "url").to_owned(),
            code,
            parents: parents.into_iter().collect(),
        })
        .filter(|row| !row.parents.is_empty())
        .collect()
}

fn concepts<'v>(
    nested: impl Iterator<Item = &'v Value>,
    parent: Option<&str>,
    parents: &mut BTreeMap<String, BTreeSet<String>>,
) {
    for concept in nested {
        let code = text(concept, "code");
        parents.entry(code.to_owned()).or_default().extend(parent.map(str::to_owned));
        for property in list(concept, "property") {
            let other = text(property, "valueCode").to_owned();
            match text(property, "code") {
                "subsumedBy" => drop(parents.entry(code.to_owned()).or_default().insert(other)),
                "child" => drop(parents.entry(other).or_default().insert(code.to_owned())),
                _ => {}
            }
        }
        let below: Vec<&Value> = list(concept, "concept").collect();
        concepts(below.into_iter(), Some(code), parents);
    }
}
