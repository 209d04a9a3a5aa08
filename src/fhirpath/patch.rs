//! FHIRPath Patch (R4 fhirpatch.html): the operations in a Parameters resource, each applied where its path selects.
use serde_json::{Map, Value as Json};

use crate::definitions::{Kind, TypeDef, r4};
use crate::model::{
    Issue, IssueCode, JsonKind, Node, Outcome, PATCH_OPERATIONS_MAX, Temporal, Tree, message_error, parse,
};

use super::ast::Expr;
use super::element::Element;
use super::evaluate::Expression;
use super::evaluator::{Environment, STEPS_MAX};
use super::value::Value;

message_error! {
    /// Why an operation of a FHIRPath Patch cannot be applied: a message for the client.
    PatchError
}

/// How many bytes of JSON all operations of a patch may read; each operation reads the whole resource.
const PATCHED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The fewest steps that the path of an operation may take, however many operations share the limit of steps.
const OPERATION_STEPS_MIN: u64 = 10_000;

/// Applies the operations of a Parameters resource in order and returns the patched JSON of the resource.
///
/// # Errors
/// An outcome that names the operation which cannot be applied, or that says that the patch exceeds a limit (`too-costly`).
pub fn apply_patch(resource: &str, parameters: Node<'_>, now: Temporal) -> Result<String, Outcome> {
    let count = parameters.items_at("parameter").count();
    if count > PATCH_OPERATIONS_MAX {
        let message = format!("a patch has at most {PATCH_OPERATIONS_MAX} operations");
        return Err(Outcome::error(IssueCode::TooCostly, message));
    }
    let share = u64::try_from(count).ok().and_then(|count| STEPS_MAX.checked_div(count)).unwrap_or(STEPS_MAX);
    let steps_max = share.max(OPERATION_STEPS_MIN);
    let mut bytes_left = PATCHED_BYTES_MAX;
    let mut text = resource.to_owned();
    for (operation, number) in parameters.items_at("parameter").zip(0_usize..) {
        let place = format!("Parameters.parameter[{number}]");
        if operation.str_at("name") != Some("operation") {
            return Err(Issue::error(IssueCode::Structure, "a patch has parameters named `operation`")
                .at(place)
                .into());
        }
        // Each operation parses the resource again, which is charged; what it adds is part of the patch, so growth is bounded
        // too.
        bytes_left = bytes_left.checked_sub(text.len()).ok_or_else(|| {
            let message = "the patch has more operations than so large a resource allows";
            Outcome::from(Issue::error(IssueCode::TooCostly, message).at(place.clone()))
        })?;
        text = apply_one(&text, operation, (now, steps_max))
            .map_err(|message| Outcome::from(Issue::error(IssueCode::Processing, message).at(place)))?;
    }
    Ok(text)
}

/// A step from a JSON value to a value inside it.
#[derive(Clone, Debug, PartialEq)]
enum PathStep {
    Key(String),
    Index(usize),
}

fn apply_one(text: &str, operation: Node<'_>, limits: (Temporal, u64)) -> Result<String, PatchError> {
    let tree = parse(text.as_bytes().to_vec()).map_err(|error| error.to_string())?;
    let mut json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let part = |name: &str| operation.items_at("part").find(|part| part.str_at("name") == Some(name));
    let string = |name: &str| {
        let value =
            part(name).and_then(|part| part.children().find(|child| child.key().starts_with("value")));
        value.and_then(Node::as_str)
    };
    let integer = |name: &str| -> Result<usize, PatchError> {
        let value = part(name).and_then(|part| part.get("valueInteger"));
        value
            .and_then(|value| value.text().parse().ok())
            .ok_or_else(|| format!("`{name}` is missing or no integer").into())
    };
    let path = string("path").ok_or("`path` is missing")?;
    let expression = Expression::compile(path).map_err(|error| format!("`path`: {error}"))?;
    let target = Target::find(&tree, &expression, limits)?;
    let value = || part("value").ok_or_else(|| "`value` is missing".to_owned());
    match string("type").unwrap_or_default() {
        "add" => {
            let name = string("name").ok_or("`name` is missing")?;
            target.add(&mut json, name, value()?)?;
        }
        "insert" => target.insert(&mut json, integer("index")?, value()?)?,
        "replace" => target.replace(&mut json, value()?)?,
        "delete" => target.delete(&mut json)?,
        "move" => target.reorder(&mut json, integer("source")?, integer("destination")?)?,
        other => return Err(format!("there is no operation `{other}`").into()),
    }
    Ok(serde_json::to_string(&json).map_err(|error| error.to_string())?)
}

/// The elements that a path selects, and the list that they are in.
struct Target<'t> {
    /// At most two selected elements: one is required, and a second shows that there are several.
    found: Vec<(Element<'t>, Vec<PathStep>)>,
    /// If nothing is selected: the parent and the name that the last step of the path would have.
    absent: Option<(Element<'t>, Vec<PathStep>, String)>,
}

impl<'t> Target<'t> {
    fn find(
        tree: &'t Tree,
        expression: &Expression,
        (now, steps_max): (Temporal, u64),
    ) -> Result<Self, PatchError> {
        let root = Element::resource(tree.root()).ok_or("the document is no resource of R4")?;
        let environment = Environment { steps_max, ..Environment::of(root, now) };
        let select = |expression: &Expression| -> Result<Vec<(Element<'t>, Vec<PathStep>)>, PatchError> {
            let elements = expression.elements(&environment, root).map_err(|error| error.to_string())?;
            let placed = |element| Some((element, steps_to(tree, element)?));
            Ok(elements.into_iter().filter_map(placed).take(2).collect())
        };
        let found = select(expression)?;
        let mut absent = None;
        if found.is_empty()
            && let Expr::Member { base: Some(base), name } = expression.root()
        {
            let base = Expression::from_expr(String::new(), (**base).clone());
            if let [(parent, steps)] = select(&base)?.as_slice() {
                absent = Some((*parent, steps.clone(), name.clone()));
            }
        }
        Ok(Self { found, absent })
    }

    fn single(&self) -> Result<&(Element<'t>, Vec<PathStep>), PatchError> {
        match self.found.as_slice() {
            [one] => Ok(one),
            [] => Err("the path selects nothing".into()),
            _ => Err("the path selects more than one element".into()),
        }
    }

    fn add(&self, json: &mut Json, name: &str, value: Node<'_>) -> Result<(), PatchError> {
        let (parent, steps) = self.single()?;
        let (key, value, is_list) = built(parent.def, name, value)?;
        let object = at(json, steps)
            .and_then(Json::as_object_mut)
            .ok_or("the path selects no element with children")?;
        if !is_list {
            if object.contains_key(&key) {
                return Err(format!("`{name}` is there already and occurs at most once").into());
            }
            object.insert(key, value);
            return Ok(());
        }
        match object.entry(key).or_insert_with(|| Json::Array(Vec::new())) {
            Json::Array(list) => list.push(value),
            _ => return Err(format!("`{name}` is no list").into()),
        }
        Ok(())
    }

    /// The list that the selected elements are in, or would be in: the steps to its parent, a type and its JSON name.
    fn list(&self) -> Result<(Vec<PathStep>, &'static TypeDef, String), PatchError> {
        if let Some((parent, steps, name)) = &self.absent {
            return Ok((steps.clone(), parent.def, name.clone()));
        }
        let Some((element, steps)) = self.found.first() else {
            return Err("the path selects nothing".into());
        };
        let mut steps = steps.clone();
        if !matches!(steps.pop(), Some(PathStep::Index(_))) {
            return Err("the path selects no list".into());
        }
        match steps.pop() {
            Some(PathStep::Key(key)) => Ok((steps, element.def, key)),
            _ => Err("the path selects no list".into()),
        }
    }

    fn insert(&self, json: &mut Json, index: usize, value: Node<'_>) -> Result<(), PatchError> {
        let (steps, def, key) = self.list()?;
        let value = match &self.absent {
            Some((parent, ..)) => built(parent.def, &key, value)?.1,
            None => plain_value(def, value)?,
        };
        let object = at(json, &steps).and_then(Json::as_object_mut).ok_or("the path selects no list")?;
        let list = object.entry(key).or_insert_with(|| Json::Array(Vec::new()));
        let list = list.as_array_mut().ok_or("the path selects no list")?;
        if index > list.len() {
            return Err(format!("the list has {} items, so there is no place {index}", list.len()).into());
        }
        list.insert(index, value);
        Ok(())
    }

    fn replace(&self, json: &mut Json, value: Node<'_>) -> Result<(), PatchError> {
        let (element, steps) = self.single()?;
        let value = plain_value(element.def, value)?;
        if let Some(place) = at(json, steps) {
            *place = value;
            return Ok(());
        }
        // A primitive with only extensions so far: it has a `_name` property and no value.
        let Some((PathStep::Key(key), parent)) = steps.split_last() else {
            return Err("the path selects nothing".into());
        };
        let object = at(json, parent).and_then(Json::as_object_mut).ok_or("the path selects nothing")?;
        object.insert(key.clone(), value);
        Ok(())
    }

    fn delete(&self, json: &mut Json) -> Result<(), PatchError> {
        if self.found.is_empty() {
            return Ok(());
        }
        let (_, steps) = self.single()?;
        remove(json, steps);
        Ok(())
    }

    fn reorder(&self, json: &mut Json, source: usize, destination: usize) -> Result<(), PatchError> {
        let (mut steps, _, key) = self.list()?;
        steps.push(PathStep::Key(key));
        let list = at(json, &steps).and_then(Json::as_array_mut).ok_or("the path selects no list")?;
        if source >= list.len() || destination >= list.len() {
            return Err(format!("the list has {} items", list.len()).into());
        }
        let item = list.remove(source);
        list.insert(destination, item);
        Ok(())
    }
}

/// The steps from the root to an element: keys and indexes of the JSON.
fn steps_to(tree: &Tree, element: Element<'_>) -> Option<Vec<PathStep>> {
    let wanted = element.node.or(element.sibling)?.index();
    let mut steps = Vec::new();
    let mut at = tree.root();
    while at.index() != wanted {
        let (child, number) =
            at.children().zip(0..).take_while(|(child, _)| child.index() <= wanted).last()?;
        steps.push(match at.kind() {
            JsonKind::Array => PathStep::Index(number),
            _ => PathStep::Key(child.key().trim_start_matches('_').to_owned()),
        });
        at = child;
    }
    Some(steps)
}

fn at<'j>(json: &'j mut Json, steps: &[PathStep]) -> Option<&'j mut Json> {
    steps.iter().try_fold(json, |json, step| match step {
        PathStep::Key(key) => json.get_mut(key),
        PathStep::Index(index) => json.get_mut(index),
    })
}

/// Removes the value at a place and its `_name` sibling, and then each parent that becomes empty.
fn remove(json: &mut Json, steps: &[PathStep]) {
    let Some((last, parent)) = steps.split_last() else { return };
    match (last, at(json, parent)) {
        (PathStep::Key(key), Some(Json::Object(object))) => {
            object.shift_remove(key);
            object.shift_remove(&format!("_{key}"));
        }
        (PathStep::Index(index), Some(Json::Array(list))) if *index < list.len() => {
            list.remove(*index);
            if let Some((PathStep::Key(key), above)) = parent.split_last()
                && let Some(Json::Array(siblings)) =
                    at(json, above).and_then(|json| json.get_mut(format!("_{key}")))
                && *index < siblings.len()
            {
                siblings.remove(*index);
            }
        }
        _ => {}
    }
    let is_empty = match at(json, parent) {
        Some(Json::Object(object)) => object.is_empty(),
        Some(Json::Array(list)) => list.is_empty(),
        _ => false,
    };
    if is_empty {
        remove(json, parent);
    }
}

/// The JSON name and the value of an element added as `name`, and whether the element is a list.
fn built(parent: &TypeDef, name: &str, value: Node<'_>) -> Result<(String, Json, bool), PatchError> {
    let unknown = || format!("{} has no element `{name}`", parent.name);
    let element = parent.element(name).ok_or_else(unknown)?;
    let key = if element.choice {
        let given = value.children().map(|child| child.key()).find_map(|key| key.strip_prefix("value"));
        format!("{name}{}", given.ok_or("the value of a choice names its type")?)
    } else {
        name.to_owned()
    };
    let property = parent.property(&key).ok_or_else(unknown)?;
    let def = r4().get(property.type_id).ok_or_else(unknown)?;
    Ok((key, plain_value(def, value)?, element.max.is_list()))
}

/// The value of a parameter: its `value[x]`, or for a backbone element an object built from its parts.
fn plain_value(def: &TypeDef, value: Node<'_>) -> Result<Json, PatchError> {
    if let Some(given) = value.children().find(|child| child.key().starts_with("value")) {
        let mut text = String::new();
        crate::model::minify(given, &mut text);
        return Ok(serde_json::from_str(&text).map_err(|error| error.to_string())?);
    }
    if def.kind == Kind::Primitive {
        return Err("the value is missing".into());
    }
    let mut object = Map::new();
    for part in value.items_at("part") {
        let name = part.str_at("name").ok_or("a part has no name")?;
        let (key, value, is_list) = built(def, name, part)?;
        match (is_list, object.get_mut(&key)) {
            (true, Some(Json::Array(list))) => list.push(value),
            (true, _) => drop(object.insert(key, Json::Array(vec![value]))),
            (false, None) => drop(object.insert(key, value)),
            (false, Some(_)) => return Err(format!("`{name}` is given twice").into()),
        }
    }
    Ok(Json::Object(object))
}

impl Expression {
    /// The elements that the expression selects. Evaluated values also borrow from the expression, so the elements are looked up
    /// in the tree again to outlive it.
    fn elements<'e, 't: 'e>(
        &'e self,
        environment: &Environment<'t>,
        focus: Element<'t>,
    ) -> Result<Vec<Element<'t>>, super::EvaluationError> {
        let shorter: Environment<'e> = environment.clone();
        let values = self.evaluate(&shorter, focus)?;
        let Some(tree) = focus.node.map(Node::tree) else { return Ok(Vec::new()) };
        let again = |node: Option<Node<'e>>| node.and_then(|node| tree.node(node.index()));
        Ok(values
            .into_iter()
            .filter_map(|value| match value {
                Value::Element(found) => {
                    Some(Element { node: again(found.node), sibling: again(found.sibling), def: found.def })
                }
                _ => None,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::apply_patch;
    use crate::model::{IssueCode, PATCH_OPERATIONS_MAX, Temporal, parse};

    fn patched(resource: &str, path: &str, count: usize) -> Result<String, IssueCode> {
        let operation = format!(
            r#"{{"name":"operation","part":[{{"name":"type","valueCode":"add"}},{{"name":"path","valueString":"{path}"}},{{"name":"name","valueString":"alias"}},{{"name":"value","valueString":"a"}}]}}"#
        );
        let operations = vec![operation; count].join(",");
        let text = format!(r#"{{"resourceType":"Parameters","parameter":[{operations}]}}"#);
        let parameters = parse(text.into_bytes()).unwrap();
        let now = Temporal::from_millis(0);
        apply_patch(resource, parameters.root(), now).map_err(|outcome| outcome.issues[0].code)
    }

    #[test]
    fn a_patch_has_limits() {
        let small = r#"{"resourceType":"Organization"}"#;
        let made = patched(small, "Organization", PATCH_OPERATIONS_MAX).unwrap();
        assert_eq!(made.matches("\"a\"").count(), PATCH_OPERATIONS_MAX);
        assert_eq!(patched(small, "Organization", PATCH_OPERATIONS_MAX + 1), Err(IssueCode::TooCostly));
        let large = format!(r#"{{"resourceType":"Organization","name":"{}"}}"#, "n".repeat(24 * 1024 * 1024));
        assert!(patched(&large, "Organization", 2).is_ok());
        assert_eq!(patched(&large, "Organization", 3), Err(IssueCode::TooCostly));
        // All operations of a patch share one limit of steps.
        let costly = "Organization.where('x'.select($this & $this & $this & $this).select($this & $this & $this & $this).select($this & $this & $this & $this).select($this & $this & $this & $this).select($this & $this & $this & $this).select($this & $this & $this & $this).length() > 0)";
        assert!(patched(small, costly, 1).is_ok());
        assert_eq!(
            patched(small, &costly.replace("'x'", "'xxxxxxxxxxxxxxxxxxxx'"), 100),
            Err(IssueCode::Processing)
        );
    }
}
