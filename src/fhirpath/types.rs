//! Tests of a value's type, for `is`, `as` and `ofType`.
use crate::definitions::r4;

use super::ast::{TypeName, TypeOperator};
use super::evaluator::{Evaluated, EvaluationError};
use super::value::{Collection, Value};

/// Whether a value has the given type, or a type derived from it.
///
/// # Errors
/// If no type has that name.
pub(super) fn is_type(value: &Value<'_>, wanted: &TypeName) -> Result<bool, EvaluationError> {
    let system = wanted.namespace.as_deref() != Some("FHIR");
    let fhir = wanted.namespace.as_deref() != Some("System");
    let def = if fhir { r4().find(&wanted.name) } else { None };
    const SYSTEM: [&str; 8] =
        ["Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity"];
    let is_system = system && SYSTEM.contains(&wanted.name.as_str());
    if def.is_none() && !is_system && wanted.namespace.as_deref() != Some("System") {
        return Err(format!("there is no type `{}`", wanted.name).into());
    }
    Ok(match value {
        Value::Element(element) => def.is_some_and(|def| r4().is_a(element.def.id, def.id)),
        Value::Target(target) => def.is_some_and(|def| r4().is_a(target.id, def.id)),
        other => is_system && other.system_type() == Some(wanted.name.as_str()),
    })
}

/// As [`is_type`], but a primitive must have exactly the given type, as `as` and `ofType` require: a `code` is no `string` there.
pub(super) fn is_exact_type(value: &Value<'_>, wanted: &TypeName) -> Result<bool, EvaluationError> {
    use crate::definitions::Kind;
    let is = is_type(value, wanted)?;
    Ok(match value {
        Value::Element(element) if element.def.kind == Kind::Primitive => {
            is && *element.def.name == wanted.name
        }
        _ => is,
    })
}

pub(super) fn type_operator<'t>(
    operator: TypeOperator,
    values: Collection<'t>,
    type_name: &TypeName,
) -> Evaluated<'t> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else { return Ok(Vec::new()) };
    match operator {
        TypeOperator::Is if values.len() > 0 => Err("`is` takes one value".into()),
        TypeOperator::Is => Ok(vec![Value::Boolean(is_type(&value, type_name)?)]),
        // CHOICE: R4 search parameters apply `as` to repeating elements, which the first version of FHIRPath permitted. For
        // several values `as` therefore filters, as ofType() does.
        TypeOperator::As => {
            let mut kept = Vec::new();
            for value in std::iter::once(value).chain(values) {
                if is_exact_type(&value, type_name)? {
                    kept.push(value);
                }
            }
            Ok(kept)
        }
    }
}
