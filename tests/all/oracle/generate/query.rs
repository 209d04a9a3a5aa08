//! Whole queries: a first parameter by theme, further ones for the same resource, and a sort order.
use chartward::definitions::ParamType;

use super::generator::{Generator, Pair};
use crate::oracle::corpus::Oracle;

/// The theme of a query's first parameter.
#[derive(Clone, Copy)]
enum Theme {
    Kind(ParamType),
    Missing,
    Chain,
    Reversed,
    Filter,
    Words,
    List,
}

/// The themes with their weights, so that queries also cover rare parameters often enough.
const THEMES: [(Theme, usize); 15] = [
    (Theme::Kind(ParamType::String), 10),
    (Theme::Kind(ParamType::Token), 15),
    (Theme::Kind(ParamType::Date), 11),
    (Theme::Kind(ParamType::Number), 6),
    (Theme::Kind(ParamType::Quantity), 10),
    (Theme::Kind(ParamType::Reference), 9),
    (Theme::Kind(ParamType::Uri), 4),
    (Theme::Kind(ParamType::Composite), 9),
    (Theme::Kind(ParamType::Special), 2),
    (Theme::Missing, 3),
    (Theme::Chain, 10),
    (Theme::Reversed, 8),
    (Theme::Filter, 8),
    (Theme::Words, 4),
    (Theme::List, 1),
];

/// Random queries of every kind with values taken from the resources; most find something.
pub fn queries(oracle: &Oracle, seed: u64, count: usize) -> Vec<(String, Vec<(String, String)>)> {
    let mut generator = Generator::new(oracle, seed);
    let mut made = Vec::new();
    // Some attempts fail: a resource without references has no chain.
    for _ in 0..count * 50 {
        if made.len() == count {
            break;
        }
        made.extend(generator.query());
    }
    made
}

impl Generator<'_> {
    fn query(&mut self) -> Option<(String, Vec<Pair>)> {
        let theme = self.theme();
        let (number, first) = self.themed(theme)?;
        let mut pairs = vec![first];
        for _ in 0..self.random.below(3) {
            pairs.extend(self.further(number));
        }
        if self.random.chance(33) {
            pairs.extend(self.sort(number));
        }
        Some((self.type_of(number).to_owned(), pairs))
    }

    fn theme(&mut self) -> Theme {
        let total: usize = THEMES.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.below(total);
        for (theme, weight) in THEMES {
            if left < weight {
                return theme;
            }
            left -= weight;
        }
        Theme::Missing
    }

    /// A first parameter, and the resource that it is based on.
    fn themed(&mut self, theme: Theme) -> Option<(usize, Pair)> {
        match theme {
            Theme::Kind(kind) => return self.of_kind(kind),
            Theme::List => return self.list(),
            Theme::Missing | Theme::Chain | Theme::Reversed | Theme::Filter | Theme::Words => {}
        }
        let number = self.resource()?;
        let pair = match theme {
            Theme::Chain => self.chain(number, 0),
            Theme::Reversed => self.reversed(number, 0),
            Theme::Filter => self.filter(number),
            Theme::Words => self.words(number),
            Theme::Missing | Theme::Kind(_) | Theme::List => self.missing(number),
        };
        Some((number, pair?))
    }

    /// The id of a List, and a resource that is on it.
    fn list(&mut self) -> Option<(usize, Pair)> {
        let list = self.resource_of("List")?;
        let id = self.oracle.resources[list].key.id.to_string();
        let listed: Vec<usize> = self.oracle.listed(&id).into_iter().collect();
        let number = *self.random.pick(&listed)?;
        Some((number, ("_list".to_owned(), id)))
    }

    /// Another parameter, based on the resource or on another one of its type.
    fn further(&mut self, number: usize) -> Option<Pair> {
        let number = if self.random.chance(80) { number } else { self.resource_of(self.type_of(number))? };
        match self.random.below(24) {
            0 => self.missing(number),
            1 | 2 => self.chain(number, 0),
            3 => self.reversed(number, 0),
            4 => self.filter(number),
            5 => self.words(number),
            _ => self.plain(number),
        }
    }

    /// `_sort` by one or two parameters.
    fn sort(&mut self, number: usize) -> Option<Pair> {
        let rows = self.inventory.sortable.get(self.type_of(number))?;
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..=self.random.below(2) {
            let row = *self.random.pick(rows)?;
            let sign = if self.random.chance(50) { "-" } else { "" };
            if keys.iter().all(|key| key.trim_start_matches('-') != row.code) {
                keys.push(format!("{sign}{}", row.code));
            }
        }
        Some(("_sort".to_owned(), keys.join(",")))
    }
}
