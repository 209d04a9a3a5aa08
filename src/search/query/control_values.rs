//! Parses the values of control parameters.
use crate::definitions::{ParamType, TypeDef, r4};
use crate::search::control::Control;
use crate::search::text::alternatives;

use super::super::invalid_value::InvalidValue;
use super::{Contained, Include, Query, Reading, Sort, SortKey, Summary, TotalMode};

/// Parses one control parameter into a query.
///
/// # Errors
/// A message that says what is wrong with the value.
pub(super) fn control_value(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    query: &mut Query,
    (control, modifier): (Control, Option<&str>),
    value: &str,
) -> Result<(), InvalidValue> {
    let bad = |what: &str| format!("`{value}` is not {what}");
    let is_include = matches!(control, Control::Include | Control::RevInclude);
    let iterate = match modifier {
        None => false,
        // R4 search.html#revinclude; clients still send the name of STU3, `recurse`.
        Some("iterate" | "recurse") if is_include => true,
        Some(modifier) => return Err(format!("the modifier `:{modifier}` is not served for it").into()),
    };
    match control {
        Control::Count => query.count = Some(value.parse().map_err(|_| bad("a number of matches"))?),
        Control::Sort => {
            for key in alternatives(value) {
                query.sort.push(sort(reading, def, &key)?);
            }
        }
        Control::Include => query.includes.push(include(reading, def, value, iterate)?),
        Control::RevInclude => query.rev_includes.push(include(reading, def, value, iterate)?),
        Control::Summary => {
            query.summary = match value {
                "true" => Summary::True,
                "false" => Summary::False,
                "text" => Summary::Text,
                "data" => Summary::Data,
                "count" => Summary::Count,
                _ => return Err(bad("one of true, text, data, count, false").into()),
            };
        }
        Control::Elements => query.elements = alternatives(value),
        Control::Total => {
            query.total = Some(match value {
                "none" => TotalMode::None,
                "estimate" => TotalMode::Estimate,
                "accurate" => TotalMode::Accurate,
                _ => return Err(bad("one of none, estimate, accurate").into()),
            });
        }
        Control::Contained => {
            query.contained = match value {
                "false" => Contained::False,
                "true" => Contained::True,
                "both" => Contained::Both,
                _ => return Err(bad("one of true, false, both").into()),
            };
        }
        Control::ContainedType => {
            query.gives_contained = match value {
                "container" => false,
                "contained" => true,
                _ => return Err(bad("one of container, contained").into()),
            };
        }
        Control::Type => {
            for name in alternatives(value) {
                let def = r4().resource(&name).ok_or_else(|| format!("`{name}` is no resource type"))?;
                if !query.types.iter().any(|known| known.id == def.id) {
                    query.types.push(def);
                }
            }
        }
        Control::Explain => {
            query.explain = match value {
                "true" => true,
                "false" => false,
                _ => return Err(bad("one of true, false").into()),
            };
        }
        Control::Cursor => query.cursor = Some(value.to_owned()),
        Control::Answer => {}
    }
    Ok(())
}

fn sort(reading: &Reading<'_>, def: &'static TypeDef, key: &str) -> Result<Sort, InvalidValue> {
    let (code, descending) = key.strip_prefix('-').map_or((key, false), |code| (code, true));
    let key = match code {
        "_id" => SortKey::Id,
        "_lastUpdated" => SortKey::LastUpdated,
        code => {
            let param =
                reading.find(def, code).ok_or_else(|| format!("unknown parameter `{code}` to sort by"))?;
            if matches!(param.kind, ParamType::Composite | ParamType::Special) {
                return Err(format!("`{code}` has no order to sort by").into());
            }
            SortKey::Param(param)
        }
    };
    Ok(Sort { key, descending })
}

fn include(
    reading: &Reading<'_>,
    own: &'static TypeDef,
    value: &str,
    iterate: bool,
) -> Result<Include, InvalidValue> {
    if value == "*" {
        return Ok(Include { source: None, param: None, target: None, iterate });
    }
    let mut parts = value.split(':');
    let resource = |name: &str| r4().resource(name).ok_or_else(|| format!("`{name}` is no resource type"));
    let source = resource(parts.next().unwrap_or_default())?;
    let code = parts.next().ok_or_else(|| "an include names a type and a parameter".to_owned())?;
    let target = parts.next().map(|name| resource(name).map(|def| &*def.name)).transpose()?;
    if parts.next().is_some() {
        return Err(format!("`{value}` has more than three parts").into());
    }
    let param = match code {
        "*" => None,
        code => {
            let param = reading.find(source, code).filter(|param| param.kind == ParamType::Reference);
            let wrong =
                || format!("`{code}` is no reference parameter of {} (searching {})", source.name, own.name);
            Some(param.ok_or_else(wrong)?.id)
        }
    };
    Ok(Include { source: Some(&source.name), param, target, iterate })
}
