//! Maps method and path to a row of the table.
use crate::definitions::{TypeDef, r4};
use crate::model::{Issue, IssueCode, ResourceId, VersionId};

use super::answer::{Refusal, RefusalKind};
use super::operation::{Operation, operations_of, operations_of_system};
use super::place::{Place, Route};
use super::request::{Headers, Payload, Request};
use super::table::{INTERACTIONS, Interaction, Level};
use super::verb::Verb;

impl Route {
    /// The route of a method and a path. HEAD is routed like GET.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 for a method that the path does not have.
    fn find(verb: Verb, path: &[String]) -> Result<Self, Refusal> {
        let verb = if verb == Verb::Head { Verb::Get } else { verb };
        let (place, rows) = rows_of(path)?;
        let row = rows.into_iter().find(|row| row.verb == verb).ok_or_else(|| {
            let issue = Issue::error(IssueCode::NotSupported, format!("{} is not allowed here", verb.name()));
            Refusal::new(RefusalKind::MethodNotAllowed, issue)
        })?;
        Ok(Self { row, place })
    }
}

impl Request {
    /// A request without headers and body. It is routed here, once.
    #[must_use]
    pub fn new(verb: Verb, path: Vec<String>, query: Vec<(String, String)>) -> Self {
        let route = Route::find(verb, &path);
        Self { verb, path, query, headers: Headers::default(), payload: Payload::None, route }
    }
}

/// The methods that a path has.
#[must_use]
pub fn allowed(path: &[String]) -> Vec<&'static str> {
    let rows = rows_of(path).map_or_else(|_| Vec::new(), |(_, rows)| rows);
    let verbs = [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete];
    verbs.into_iter().filter(|verb| rows.iter().any(|row| row.verb == *verb)).map(Verb::name).collect()
}

/// What a path names, and the rows of the table that have it.
fn rows_of(path: &[String]) -> Result<(Place, Vec<&'static Interaction>), Refusal> {
    let (level, place, tail) = place(path)?;
    let fits = |row: &&Interaction| {
        row.level == level
            && row.tail.len() == tail.len()
            && row.tail.iter().zip(tail).all(|(want, got)| *want == "*" || want == got)
    };
    let mut rows: Vec<&Interaction> = INTERACTIONS.iter().filter(fits).collect();
    match place.def() {
        Some(def) => rows.extend(operations_of(def).flat_map(Operation::rows).filter(fits)),
        None => rows.extend(operations_of_system().flat_map(Operation::rows).filter(fits)),
    }
    if rows.is_empty() {
        return Err(unknown(format!("there is nothing at `{}`", path.join("/"))));
    }
    match (place, tail) {
        (Place::Instance(def, id), [_, version]) => {
            let version = VersionId::parse(version).ok_or_else(Refusal::not_found)?;
            Ok((Place::Version(def, id, version), rows))
        }
        (place, _) => Ok((place, rows)),
    }
}

fn unknown(message: String) -> Refusal {
    Refusal::new(RefusalKind::NotFound, Issue::error(IssueCode::NotFound, message))
}

fn place(path: &[String]) -> Result<(Level, Place, &[String]), Refusal> {
    let is_operation = |segment: &String| segment.starts_with(['_', '$']) || segment == "metadata";
    let Some((first, rest)) = path.split_first() else { return Ok((Level::System, Place::System, path)) };
    if is_operation(first) {
        return Ok((Level::System, Place::System, path));
    }
    let def = r4().resource(first).ok_or_else(|| unknown(format!("there is no resource type `{first}`")))?;
    match rest.split_first() {
        None => Ok((Level::Type, Place::Type(def), rest)),
        Some((second, _)) if is_operation(second) => Ok((Level::Type, Place::Type(def), rest)),
        Some((second, tail)) => match ResourceId::parse(second) {
            Some(id) => {
                Ok(compartment(def, &id, tail).unwrap_or((Level::Instance, Place::Instance(def, id), tail)))
            }
            None => Err(Refusal::not_found()),
        },
    }
}

/// The compartment paths `Type/id/Type` and `Type/id/*`.
fn compartment<'p>(
    def: &'static TypeDef,
    id: &ResourceId,
    tail: &'p [String],
) -> Option<(Level, Place, &'p [String])> {
    let (member, rest) = tail.split_first()?;
    let member = if member == "*" { None } else { Some(r4().resource(member)?) };
    Some((Level::Compartment, Place::Compartment(def, id.clone(), member), rest))
}
