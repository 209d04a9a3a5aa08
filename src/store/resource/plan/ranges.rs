//! The key ranges of conditions.
use crate::definitions::{TypeDef, r4};
use crate::model::ResourceId;
use crate::search::{APART, Entry, Filter, Matcher};
use crate::store::key::{Key, Space};
use crate::store::resource::repository::Repository;

use super::super::super::batch::KeyRange;
use super::super::entries::every;

/// Space, type and parameter precede the value of a posting.
pub(super) const BEFORE_VALUE: usize = 1 + 2 + 4;

/// The value of a posting: the bytes between its parameter and its row.
pub(super) fn value_of(key: &[u8]) -> &[u8] {
    key.get(BEFORE_VALUE..key.len().saturating_sub(8)).unwrap_or_default()
}

pub(super) fn number(def: &TypeDef) -> u16 {
    r4().resource_number(def.id).unwrap_or(u16::MAX)
}

/// The prefix of all postings of a parameter.
pub(super) fn param_prefix(type_number: u16, param: u32) -> Vec<u8> {
    Key::new(Space::Posting).short(type_number).word(param).into_bytes()
}

/// The range of postings that a matcher may accept.
pub(super) fn matcher_range(type_number: u16, matcher: &Matcher) -> KeyRange {
    let prefix = param_prefix(type_number, matcher.param);
    let with = |value: &[u8]| [prefix.as_slice(), value].concat();
    KeyRange { start: with(&matcher.start), end: with(&matcher.end) }
}

/// The prefix of the postings of one entry; the rows follow it.
pub(super) fn entry_prefix(type_number: u16, entry: &Entry) -> Vec<u8> {
    [param_prefix(type_number, entry.param).as_slice(), &entry.value].concat()
}

/// The prefix of the postings that all resources of a type have; the rows follow it.
pub(super) fn every_prefix(type_number: u16) -> Vec<u8> {
    entry_prefix(type_number, &every())
}

/// The prefix of the postings of the resources of a type that their facts set apart.
pub(super) fn apart_prefix(type_number: u16) -> Vec<u8> {
    entry_prefix(type_number, &Entry::present(APART))
}

/// The history keys of all versions of a type.
pub(super) fn history_range(def: &TypeDef) -> KeyRange {
    KeyRange::prefix(Key::new(Space::History).short(number(def)).into_bytes())
}

impl Repository<'_> {
    /// The key ranges that a condition's result depends on: while no key in them changes, the result stays the same. A condition
    /// on other resources includes every change of their types.
    #[must_use]
    pub fn ranges_read(&self, def: &TypeDef, filter: &Filter) -> Vec<KeyRange> {
        match filter {
            Filter::Entries(matchers) => {
                matchers.iter().map(|matcher| matcher_range(number(def), matcher)).collect()
            }
            Filter::Id(ids) => ids.iter().map(|id| id_range(def, id)).collect(),
            Filter::Text(..) | Filter::LastUpdated(..) | Filter::Not(_) | Filter::Lookup(_) => {
                vec![history_range(def)]
            }
            Filter::All(filters) | Filter::Any(filters) => {
                filters.iter().flat_map(|filter| self.ranges_read(def, filter)).collect()
            }
            Filter::Chain(_, links) => {
                let of_links = links.iter().flat_map(|link| {
                    let mut ranges = self.ranges_read(link.def, &link.filter);
                    ranges.push(history_range(link.def));
                    ranges
                });
                of_links.chain([history_range(def)]).collect()
            }
            Filter::Has(_, link) => vec![history_range(link.def), history_range(def)],
        }
    }
}

/// The range that contains the key of an id.
fn id_range(def: &TypeDef, id: &ResourceId) -> KeyRange {
    KeyRange::prefix(Key::new(Space::Id).short(number(def)).text(id.as_str().as_bytes()).into_bytes())
}
