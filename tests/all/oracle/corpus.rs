//! The resources that are searched, and the values that each parameter finds in them.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use chartward::definitions::{SearchParamRow, r4};
use chartward::fhirpath::Element;
use chartward::model::{Node, ResourceKey, Tree, minify, parse};

use super::extract::Extractor;
use super::occurrence::Occurrence;
use super::words::Texts;

/// The base URL of the resources: an absolute URL under it is a local reference.
pub const OWN_BASE: &str = "http://127.0.0.1/fhir";

/// Resources by their index, in the order of creation.
pub type Set = BTreeSet<usize>;

/// The values of one parameter in each resource of a type, in the order of creation.
pub type Column = Vec<(usize, Vec<Occurrence>)>;

/// A type and the URL of one of its parameters.
type Place = (&'static str, &'static str);

/// A resource with derived data.
pub struct Resource {
    tree: Tree,
    pub key: ResourceKey,
    /// The resource that contains it, if any; then it is found through links only.
    pub container: Option<usize>,
    /// Milliseconds since 1970.
    pub updated: i64,
    texts: OnceLock<Texts>,
}

impl Resource {
    fn new(tree: Tree, updated: i64) -> Self {
        let root = tree.root();
        let (type_name, id) = (root.str_at("resourceType").unwrap(), root.str_at("id").unwrap_or("none"));
        let key = ResourceKey::new(type_name, id).unwrap();
        Self { tree, key, container: None, updated, texts: OnceLock::new() }
    }

    /// The contained resources of the resource with that index.
    fn contained(&self, number: usize) -> Vec<Self> {
        let parsed = |node: Node<'_>| {
            let mut text = String::new();
            minify(node, &mut text);
            parse(text.into_bytes()).unwrap()
        };
        let inner = self.root().items_at("contained").map(parsed);
        inner.map(|tree| Self { container: Some(number), ..Self::new(tree, self.updated) }).collect()
    }

    pub fn root(&self) -> Node<'_> {
        self.tree.root()
    }

    pub fn element(&self) -> Element<'_> {
        Element::resource(self.tree.root()).unwrap()
    }

    pub fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| Texts::of(self.element()))
    }
}

/// Answers searches over the resources that it holds.
pub struct Oracle {
    pub(super) resources: Vec<Resource>,
    pub(super) now: i64,
    by_type: BTreeMap<&'static str, Vec<usize>>,
    contained: BTreeMap<&'static str, Vec<usize>>,
    by_fragment: HashMap<(usize, String), usize>,
    by_key: HashMap<ResourceKey, usize>,
    by_url: HashMap<(&'static str, String), Vec<usize>>,
    columns: Mutex<HashMap<Place, Arc<Column>>>,
}

impl Oracle {
    /// Creates an oracle for resources in the order of creation, each with its time of last update (milliseconds since 1970).
    pub fn new(resources: Vec<(Tree, i64)>, now: i64) -> Self {
        let resources: Vec<Resource> =
            resources.into_iter().map(|(tree, updated)| Resource::new(tree, updated)).collect();
        let mut by_type: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
        let mut by_key = HashMap::new();
        let mut by_url: HashMap<(&'static str, String), Vec<usize>> = HashMap::new();
        for (number, resource) in resources.iter().enumerate() {
            by_type.entry(resource.key.type_name).or_default().push(number);
            by_key.insert(resource.key.clone(), number);
            if let Some(url) = resource.root().str_at("url") {
                by_url.entry((resource.key.type_name, url.to_owned())).or_default().push(number);
            }
        }
        let mut resources = resources;
        let inner: Vec<Resource> =
            (0..).zip(&resources).flat_map(|(number, one)| one.contained(number)).collect();
        let mut contained: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
        let mut by_fragment = HashMap::new();
        for resource in inner {
            let number = resources.len();
            contained.entry(resource.key.type_name).or_default().push(number);
            let id = resource.key.id.to_string();
            by_fragment.entry((resource.container.unwrap(), id)).or_insert(number);
            resources.push(resource);
        }
        let columns = Mutex::new(HashMap::new());
        Self { resources, now, by_type, contained, by_fragment, by_key, by_url, columns }
    }

    /// The names of the types that have resources.
    pub fn types(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_type.keys().copied()
    }

    /// The resources of a type.
    pub fn all(&self, type_name: &str) -> &[usize] {
        self.by_type.get(type_name).map_or(&[], Vec::as_slice)
    }

    /// The resources of a type, and the contained ones, which links lead to.
    pub fn all_and_contained(&self, type_name: &str) -> impl Iterator<Item = usize> + '_ {
        let contained = self.contained.get(type_name).map_or(&[][..], Vec::as_slice);
        self.all(type_name).iter().chain(contained).copied()
    }

    /// The resource that `#id` means in a resource or in one that it contains.
    pub fn within(&self, number: usize, id: &str) -> Option<usize> {
        let container = self.resources[number].container.unwrap_or(number);
        self.by_fragment.get(&(container, id.to_owned())).copied()
    }

    /// The resource with that type and id.
    pub fn number(&self, key: &ResourceKey) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// The resources of a type with that canonical URL.
    pub fn with_url(&self, type_name: &'static str, url: &str) -> &[usize] {
        self.by_url.get(&(type_name, url.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// The values of a parameter in the resources of a type; computed once.
    pub fn column(&self, type_name: &'static str, row: &'static SearchParamRow) -> Arc<Column> {
        let place = (type_name, row.url.as_str());
        if let Some(column) = self.columns.lock().unwrap().get(&place) {
            return Arc::clone(column);
        }
        let extractor = Extractor::new(row, self.now);
        let of = |number: usize| (number, extractor.occurrences(&self.resources[number]));
        let column = Arc::new(self.all_and_contained(type_name).map(of).collect::<Column>());
        self.columns.lock().unwrap().insert(place, Arc::clone(&column));
        column
    }

    /// The values of a parameter in one resource.
    pub fn found(&self, number: usize, row: &'static SearchParamRow) -> Vec<Occurrence> {
        let (column, at) = self.cell(number, row);
        column[at].1.clone()
    }

    /// Whether a parameter has any value in one resource.
    pub fn has(&self, number: usize, row: &'static SearchParamRow) -> bool {
        let (column, at) = self.cell(number, row);
        !column[at].1.is_empty()
    }

    fn cell(&self, number: usize, row: &'static SearchParamRow) -> (Arc<Column>, usize) {
        let column = self.column(self.resources[number].key.type_name, row);
        let at = column.binary_search_by_key(&number, |(number, _)| *number).unwrap();
        (column, at)
    }
}

/// A resource type by its name.
pub fn resource_type(name: &str) -> Result<&'static str, String> {
    r4().resource(name).map(|def| &*def.name).ok_or_else(|| format!("there is no type `{name}`"))
}

/// The type and its base types.
fn lineage(type_name: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut at = r4().find(type_name);
    while let Some(def) = at {
        names.push(&*def.name);
        at = def.base.and_then(|base| r4().get(base));
    }
    names
}

/// A parameter without an expression is supported only if its meaning needs none.
fn is_served(row: &SearchParamRow) -> bool {
    row.expression.is_some() || matches!(row.code.as_str(), "_text" | "_content")
}

/// The parameters of a type, inherited ones included.
pub fn params(type_name: &str) -> Vec<&'static SearchParamRow> {
    let bases = lineage(type_name);
    let is_of = |row: &SearchParamRow| row.base.iter().any(|base| bases.contains(&base.as_str()));
    r4().search_params().iter().filter(|row| is_served(row) && is_of(row)).collect()
}

/// The parameter with that code.
pub fn param(type_name: &str, code: &str) -> Result<&'static SearchParamRow, String> {
    let bases = lineage(type_name);
    let is_of = |row: &SearchParamRow| row.base.iter().any(|base| bases.contains(&base.as_str()));
    r4().search_params()
        .iter()
        .find(|row| row.code == code && is_served(row) && is_of(row))
        .ok_or_else(|| format!("{type_name} has no parameter `{code}`"))
}
