//! Chains and `_has`, built from references that the resources contain.
use chartward::definitions::{ParamType, SearchParamRow};

use super::generator::{Generator, Pair};
use super::inventory::linked;
use super::parameter::may_lead_to;
use crate::oracle::corpus::param;

/// The maximum number of generated links.
const DEPTH_MAX: usize = 3;

impl Generator<'_> {
    /// A reference from the resource to another local one.
    pub fn link(&mut self, number: usize) -> Option<(&'static SearchParamRow, usize)> {
        let rows = self.rows(number, |row| row.kind == ParamType::Reference);
        let row = *self.random.pick(&rows)?;
        let found = self.oracle.found(number, row);
        let targets: Vec<usize> =
            found.iter().filter_map(|occurrence| linked(self.oracle, number, occurrence)).collect();
        let target = *self.random.pick(&targets)?;
        may_lead_to(row, self.type_of(target)).then_some((row, target))
    }

    /// A condition on a resource that this one refers to.
    pub fn chain(&mut self, number: usize, depth: usize) -> Option<Pair> {
        let (row, target) = self.link(number)?;
        let (name, value) = self.at_the_end(target, depth)?;
        let type_name = self.type_of(target);
        let untyped = is_clear(row, &name) && self.random.chance(50);
        let head = if untyped { row.code.clone() } else { format!("{}:{type_name}", row.code) };
        Some((format!("{head}.{name}"), value))
    }

    /// A condition on a resource that refers to this one.
    pub fn reversed(&mut self, number: usize, depth: usize) -> Option<Pair> {
        let referrers = self.inventory.referrers.get(&number)?;
        let (from, row) = *self.random.pick(referrers)?;
        let (name, value) = self.at_the_end(from, depth)?;
        Some((format!("_has:{}:{}:{name}", self.type_of(from), row.code), value))
    }

    fn at_the_end(&mut self, number: usize, depth: usize) -> Option<Pair> {
        let further = depth + 1 < DEPTH_MAX;
        match self.random.below(12) {
            0 | 1 if further => self.chain(number, depth + 1),
            2 if further => self.reversed(number, depth + 1),
            3 => self.missing(number),
            4 => self.words(number),
            _ => self.plain(number),
        }
    }
}

/// Whether the name has the same meaning for every possible target type that has it.
pub fn is_clear(row: &SearchParamRow, name: &str) -> bool {
    if row.targets.len() == 1 {
        return true;
    }
    if row.targets.is_empty() || name.contains('.') || name.starts_with("_has:") {
        return false;
    }
    let (code, modifier) = name.split_once(':').unwrap_or((name, ""));
    let rows: Vec<&SearchParamRow> =
        row.targets.iter().filter_map(|target| param(target, code).ok()).collect();
    let alike = rows.windows(2).all(|pair| pair[0].kind == pair[1].kind && pair[0].usage == pair[1].usage);
    alike && !matches!(modifier, "below" | "above")
}
