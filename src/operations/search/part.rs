//! One type of a search: its conditions, and whom its answer may concern without showing them.
use crate::consent::SearchPart;
use crate::definitions::TypeDef;
use crate::search::{Filter, PersonalValue, Query, SearchParams, Sort, SortKey, sought};
use crate::store::Sequence;

use super::super::answer::Unshown;
use super::super::request::{encode, patients_named};
use super::super::session::Session;

/// One type of a search.
pub(super) struct Part {
    pub(super) def: &'static TypeDef,
    pub(super) filters: Vec<Filter>,
    pub(super) sort: Vec<Sort>,
}

/// Which resources a query finds: only those shown whole, if it asks for something that masking may leave out of an answer.
pub(in super::super) fn finding(params: &SearchParams, filters: &[Filter], sort: &[Sort]) -> SearchPart {
    let is_masked = |id: u32| params.is_masked(id);
    let sorts_by = |sort: &Sort| matches!(&sort.key, SortKey::Param(param) if params.is_masked(param.id));
    let asks = filters.iter().any(|filter| filter.asks_for_texts(&is_masked));
    if asks || sort.iter().any(sorts_by) { SearchPart::Whole } else { SearchPart::Visible }
}

/// The query as in the self link: the parameters that were used.
pub(super) fn self_text(query: &Query) -> String {
    let used = query.used.iter().filter(|(name, _)| name != "_cursor");
    used.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// Whether the record of an answer that shows `shown` of `total` matches needs a look-up, and of what. It does if more was
/// counted than shown, or if a value may identify somebody whom neither the answer shows nor the request names by id.
pub(super) fn unshown(
    session: &Session<'_>,
    parts: &[Part],
    (path, used): (&str, &[(String, String)]),
    (shown, total): (usize, Option<usize>),
    searched: Sequence,
) -> Option<Unshown> {
    let counted = total.is_some_and(|total| total > shown);
    let named = patients_named(path.split('/'), used);
    let mut values = Vec::new();
    for Part { def, filters, .. } in parts {
        values.extend(filters.iter().flat_map(|filter| sought(&session.params, def, filter)));
    }
    values.retain(|value| match value {
        // Patients whom the request names by id are in the record from the start.
        PersonalValue::Resource(types, id) => {
            !types.contains(&"Patient") || !named.contains(&format!("Patient/{id}"))
        }
        _ => true,
    });
    // If such a value is the only criterion, it belongs to a patient whom the answer shows, or to several.
    let is_only = match parts {
        [Part { filters, .. }] => match filters.as_slice() {
            [Filter::Entries(matchers)] => {
                matchers.len() == 1 && matches!(values.as_slice(), [PersonalValue::Resources(..)])
            }
            [Filter::Id(ids)] => ids.len() == 1,
            _ => false,
        },
        _ => false,
    };
    let is_told = shown > 0 && is_only;
    (counted || !(values.is_empty() || is_told)).then_some(Unshown { counted, searched })
}
