//! Evaluates search conditions on a single resource in memory: one contained in another, or generated on request.
use crate::model::{Millis, Node};

use super::entry::Entry;
use super::filter::Filter;
use super::invalid_value::InvalidValue;
use super::text::Prefix;

/// Whether a resource with these entries, last updated at `time`, fulfils a condition.
///
/// # Errors
/// Conditions on other resources, which one resource alone cannot answer.
pub fn fulfils(
    filter: &Filter,
    resource: Node<'_>,
    entries: &[Entry],
    time: Option<Millis>,
) -> Result<bool, InvalidValue> {
    let each = |filters: &[Filter], stop_at: bool| -> Result<bool, InvalidValue> {
        for filter in filters {
            if fulfils(filter, resource, entries, time)? == stop_at {
                return Ok(stop_at);
            }
        }
        Ok(!stop_at)
    };
    match filter {
        Filter::Entries(matchers) => {
            Ok(entries.iter().any(|entry| matchers.iter().any(|matcher| matcher.finds(entry))))
        }
        Filter::Text(param, check) => Ok(check.accepts(param, resource)),
        Filter::Id(ids) => Ok(ids.iter().any(|id| Some(id.as_str()) == resource.str_at("id"))),
        Filter::LastUpdated(prefix, asked) => Ok(time.is_some_and(|time| match prefix {
            Prefix::Eq | Prefix::Ap => asked.start <= time && time < asked.end,
            Prefix::Ne => time < asked.start || asked.end <= time,
            Prefix::Gt | Prefix::Sa => asked.end <= time,
            Prefix::Ge => asked.start <= time,
            Prefix::Lt | Prefix::Eb => time < asked.start,
            Prefix::Le => time < asked.end,
        })),
        Filter::All(filters) => each(filters, false),
        Filter::Any(filters) => each(filters, true),
        Filter::Not(filter) => Ok(!fulfils(filter, resource, entries, time)?),
        Filter::Chain(..) | Filter::Has(..) | Filter::Lookup(_) => {
            Err("chains, reverse chains and lists cannot be asked for here".into())
        }
    }
}
