//! Suggests the nearest known name for an unknown parameter.
use crate::definitions::TypeDef;
use crate::search::control::{COMMON_FILTERS, CONTROLS};
use crate::search::params::SearchParams;

/// Names at a greater edit distance are not taken for misspellings.
const DISTANCE_MAX: usize = 3;

/// The message for a parameter that a type does not have.
pub(super) fn unknown(params: &SearchParams, def: &TypeDef, name: &str, code: &str) -> String {
    if params.find(def, code).is_some() {
        return format!(
            "the parameter `{code}` of {} is being indexed and cannot be searched by yet",
            def.name
        );
    }
    let known = params.of(def).iter().map(|param| &*param.code);
    let known = known.chain(COMMON_FILTERS.iter().map(|(name, ..)| *name));
    let known = known.chain(CONTROLS.iter().map(|(name, ..)| *name));
    let nearest = known.map(|known| (distance(known, code), known)).min();
    let hint = match nearest {
        Some((distance, known)) if distance <= DISTANCE_MAX => format!("; did you mean `{known}`?"),
        _ => String::new(),
    };
    format!("unknown parameter `{name}` for {}{hint}", def.name)
}

/// The edit distance: how many letters must be changed, added or removed to turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (number, letter) in a.chars().enumerate() {
        let mut next = vec![number + 1];
        for (column, other) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&row, column) + usize::from(letter != *other);
            next.push(changed.min(at(&row, column + 1) + 1).min(at(&next, column) + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
