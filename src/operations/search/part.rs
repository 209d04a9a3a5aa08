//! One type of a search: what is looked for in it, and what that may tell of whom.
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

/// What a query finds: only what is shown whole, where it asks for what a mask may leave out of an answer.
pub(in super::super) fn finding(params: &SearchParams, filters: &[Filter], sort: &[Sort]) -> SearchPart {
    let is_masked = |id: u32| params.is_masked(id);
    let sorts_by = |sort: &Sort| matches!(&sort.key, SortKey::Param(param) if params.is_masked(param.id));
    let asks = filters.iter().any(|filter| filter.asks_for_texts(&is_masked));
    if asks || sort.iter().any(sorts_by) { SearchPart::Whole } else { SearchPart::Visible }
}

/// The query as the self link has it: what was used of it.
pub(super) fn self_text(query: &Query) -> String {
    let used = query.used.iter().filter(|(name, _)| name != "_cursor");
    used.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// Whether the record of an answer needs a look-up, and of what: the answer shows `shown` matches of `total`. It needs one where more
/// was counted than is shown, and where a value may pick out somebody whom neither the answer shows nor the request names by id.
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
        // Whom the request names by id the record tells as it is written.
        PersonalValue::Resource(types, id) => {
            !types.contains(&"Patient") || !named.contains(&format!("Patient/{id}"))
        }
        _ => true,
    });
    // A value of what is searched for that was the only criterion is either of whom it has shown, or of several.
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
