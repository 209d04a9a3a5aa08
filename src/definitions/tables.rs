//! The rows of the tables in `profiles/`: one struct per table, one JSON object per line. They hold facts only
//! (paths, cardinalities, types, flags, expressions, codes), none of the standard's prose.
use serde::{Deserialize, Serialize};

fn is_false(value: &bool) -> bool {
    !*value
}

/// What sort of type a [`TypeRow`] describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Primitive,
    Complex,
    /// A type that lives inside one element of another, such as `Patient.contact`.
    Backbone,
    Resource,
}

/// `data-subjects.ndjson`: whether a Patient that an element names is a data subject of the resource. There is a row for every
/// element that may name a Patient, directly or by way of another resource. Ours, not the standard's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectRow {
    /// The type or backbone type and the element, a choice with `[x]`.
    pub path: String,
    /// Whether the standard permits a reference to a Patient itself.
    pub patient: bool,
    pub subject: bool,
    pub why: String,
}

/// `types.ndjson`: one type with its elements in the order of the standard, inherited ones included.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TypeRow {
    pub name: String,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    #[serde(default, rename = "abstract", skip_serializing_if = "is_false")]
    pub is_abstract: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<ElementRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invariants: Vec<InvariantRow>,
}

/// One element of a type. A choice such as `value[x]` is one row with its name without the `[x]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ElementRow {
    pub name: String,
    #[serde(default)]
    pub min: u16,
    /// `None` is the standard's `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u16>,
    pub types: Vec<ElementTypeRow>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub choice: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub summary: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub modifier: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invariants: Vec<InvariantRow>,
}

/// One permitted type of an element; `targets` are the resource types that a Reference may name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ElementTypeRow {
    pub code: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
}

/// How firmly an element is bound to its value set (R4 terminologies.html#strength).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    Required,
    Extensible,
    Preferred,
    Example,
}

/// The value set that an element is bound to, by its canonical URL without version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BindingRow {
    pub strength: Strength,
    pub value_set: String,
}

/// A constraint of the standard: a FHIRPath expression that must be true of the element it stands on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvariantRow {
    pub key: String,
    /// True where the standard says `warning` rather than `error`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub warning: bool,
    pub expression: String,
}

/// The types of search parameters (R4 search.html#ptypes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamType {
    Number,
    Date,
    String,
    Token,
    Reference,
    Composite,
    Quantity,
    Uri,
    Special,
}

/// `search-parameters.ndjson`: one SearchParameter of the standard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SearchParamRow {
    pub code: String,
    pub url: String,
    pub base: Vec<String>,
    #[serde(rename = "type")]
    pub kind: ParamType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentRow>,
    /// `phonetic`, `nearby`, `other`: parameters whose value is not simply what the expression selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

/// One part of a composite parameter: the URL of the parameter it is made of, and where to evaluate it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentRow {
    pub definition: String,
    pub expression: String,
}

/// `compartments.ndjson`: which parameters of a type make a resource a member of a compartment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompartmentRow {
    pub compartment: String,
    #[serde(rename = "type")]
    pub resource: String,
    pub params: Vec<String>,
}

/// `value-sets.ndjson`: the codes of one system in one value set that some element is bound to as `required`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValueSetRow {
    pub url: String,
    pub system: String,
    pub codes: Vec<String>,
}

/// `code-hierarchy.ndjson`: the narrower-than relation of the code systems that consent decisions need.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodeHierarchyRow {
    pub system: String,
    pub code: String,
    pub parents: Vec<String>,
}
