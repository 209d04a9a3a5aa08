//! The rows of the tables in `profiles/`: one struct per table, one JSON object per line. They contain only facts (paths,
//! cardinalities, types, flags, expressions, codes), none of the standard's text.
use serde::{Deserialize, Serialize};

fn is_false(value: &bool) -> bool {
    !*value
}

/// The kind of type that a [`TypeRow`] describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Primitive,
    Complex,
    /// A type that lives inside one element of another, such as `Patient.contact`.
    Backbone,
    Resource,
}

/// `data-subjects.ndjson`: whether a Patient that an element refers to is a data subject of the resource. Each element that may
/// refer to a Patient, directly or through another resource, has a row. This table is ours, not the standard's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectRow {
    /// The path of the element in its type or backbone type; a choice ends with `[x]`.
    pub path: String,
    /// Whether the standard permits a reference to a Patient itself.
    pub patient: bool,
    pub subject: bool,
    pub why: String,
}

/// `types.ndjson`: a type with its elements in the order of the standard, including inherited ones.
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

/// An element of a type. A choice such as `value[x]` is one row, named without `[x]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ElementRow {
    pub name: String,
    #[serde(default)]
    pub min: u16,
    /// `None` stands for the standard's `*`.
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

/// A permitted type of an element; `targets` are the permitted target types of a Reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ElementTypeRow {
    pub code: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
}

/// The strength of a binding to a value set (R4 terminologies.html#strength).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    Required,
    Extensible,
    Preferred,
    Example,
}

/// The value set of a binding, by its canonical URL without version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BindingRow {
    pub strength: Strength,
    pub value_set: String,
}

/// An invariant of the standard: a FHIRPath expression that must be true of the element that it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvariantRow {
    pub key: String,
    /// True if the standard says `warning` instead of `error`.
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
    /// `phonetic`, `nearby`, `other`: the parameter's value is not simply what the expression selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

/// A component of a composite parameter: the URL of its parameter, and the expression on the composite.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentRow {
    pub definition: String,
    pub expression: String,
}

/// `compartments.ndjson`: the parameters that make a resource of a type a member of a compartment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompartmentRow {
    pub compartment: String,
    #[serde(rename = "type")]
    pub resource: String,
    pub params: Vec<String>,
}

/// `value-sets.ndjson`: the codes of one system in a value set with a required binding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValueSetRow {
    pub url: String,
    pub system: String,
    pub codes: Vec<String>,
}

/// `code-hierarchy.ndjson`: the broader codes of each code, for the code systems that consent decisions need.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodeHierarchyRow {
    pub system: String,
    pub code: String,
    pub parents: Vec<String>,
}
