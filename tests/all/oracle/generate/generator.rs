//! The state of a generator run: the resources, the inventory of what can be searched, and the random numbers.
use chartward::definitions::{ParamType, SearchParamRow};

use super::inventory::Inventory;
use super::random::Random;
use crate::oracle::corpus::Oracle;

/// A parameter name with modifiers or links, and a value.
pub type Pair = (String, String);

pub struct Generator<'o> {
    pub oracle: &'o Oracle,
    pub inventory: Inventory,
    pub random: Random,
}

impl<'o> Generator<'o> {
    pub fn new(oracle: &'o Oracle, seed: u64) -> Self {
        Self { oracle, inventory: Inventory::of(oracle), random: Random::new(seed) }
    }

    pub fn type_of(&self, number: usize) -> &'static str {
        self.oracle.resources[number].key.type_name
    }

    /// Any resource.
    pub fn resource(&mut self) -> Option<usize> {
        let count = self.oracle.resources.len();
        if count == 0 { None } else { Some(self.random.below(count)) }
    }

    /// Any resource of a type.
    pub fn resource_of(&mut self, type_name: &str) -> Option<usize> {
        self.random.pick(self.oracle.all(type_name)).copied()
    }

    /// The parameters that have values in a resource and are wanted.
    pub fn rows(
        &self,
        number: usize,
        wanted: impl Fn(&SearchParamRow) -> bool,
    ) -> Vec<&'static SearchParamRow> {
        let rows = self.inventory.rows.get(self.type_of(number)).map_or(&[][..], Vec::as_slice);
        rows.iter().copied().filter(|&row| wanted(row) && self.oracle.has(number, row)).collect()
    }

    /// A resource and a parameter of a kind with a value in it. Half are chosen by resource, so that frequent types occur often,
    /// half by parameter, so that rare parameters occur too.
    pub fn place_of(&mut self, kind: ParamType) -> Option<(usize, &'static SearchParamRow)> {
        if self.random.chance(50) {
            for _ in 0..20 {
                let number = self.resource()?;
                let rows = self.rows(number, |row| row.kind == kind);
                if let Some(row) = self.random.pick(&rows) {
                    return Some((number, *row));
                }
            }
        }
        let places = self.inventory.places.get(&kind)?;
        let (type_name, row) = *self.random.pick(places)?;
        let column = self.oracle.column(type_name, row);
        let numbers: Vec<usize> =
            column.iter().filter(|(_, found)| !found.is_empty()).map(|(number, _)| *number).collect();
        Some((*self.random.pick(&numbers)?, row))
    }
}
