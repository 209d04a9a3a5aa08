//! The context that a query is parsed in, and functions that parse parts of it.
use std::sync::Arc;

use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Millis, ResourceId};
use crate::search::filter::Filter;
use crate::search::param::{ValueContext, about, date_span};
use crate::search::params::{Param, SearchParams};
use crate::search::text::{Prefix, prefixed, split_escaped};

use super::super::invalid_value::InvalidValue;
use super::suggest;

/// The context that a query is parsed in.
#[derive(Clone, Copy)]
pub struct Reading<'r> {
    pub params: &'r SearchParams,
    pub asking: ValueContext<'r>,
    /// Whether unknown parameters are ignored.
    pub lenient: bool,
}

impl Reading<'_> {
    pub(in crate::search) fn find(&self, def: &TypeDef, code: &str) -> Option<Arc<Param>> {
        self.params.find(def, code).filter(|param| param.is_ready).cloned()
    }

    pub(in crate::search) fn unknown(&self, def: &TypeDef, code: &str) -> String {
        suggest::unknown(self.params, def, code, code)
    }
}

/// The id in a token value of `_id`. Its system is implied, so any system is accepted. `None` for an invalid id, which finds
/// nothing.
pub(in crate::search) fn id_of(value: &str) -> Option<ResourceId> {
    match split_escaped(value, '|') {
        Some((system, id)) => ResourceId::parse(id).filter(|_| !system.is_empty()),
        None => ResourceId::parse(value),
    }
}

/// The filter for a `_lastUpdated` value with a prefix.
pub(in crate::search) fn last_updated(value: &str, now: Millis) -> Result<Filter, InvalidValue> {
    let (prefix, text) = prefixed(value);
    let asked = date_span(text)?;
    Ok(match prefix {
        // A single moment overlaps an interval exactly if it lies within it.
        Prefix::Ap => Filter::LastUpdated(Prefix::Eq, about(asked, now).of_millis()),
        prefix => Filter::LastUpdated(prefix, asked.of_millis()),
    })
}

/// The types that a chain continues with: the named one, or all targets of the reference.
pub(in crate::search) fn chain_targets(
    param: &Param,
    named: Option<&str>,
) -> Result<Vec<&'static TypeDef>, InvalidValue> {
    if param.kind != ParamType::Reference {
        return Err(format!("`{}` is no reference; a chain goes along references", param.code).into());
    }
    match named {
        Some(name) => match param.targets.iter().find(|target| **target == name) {
            Some(target) => Ok(r4().resource(target).into_iter().collect()),
            None => Err(format!("`{}` does not lead to {name}", param.code).into()),
        },
        None => Ok(param.targets.iter().filter_map(|target| r4().resource(target)).collect()),
    }
}
