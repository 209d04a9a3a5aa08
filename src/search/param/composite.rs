//! Composites (R4 search.html#composite): components whose values belong to the same element.
use crate::definitions::ParamType;
use crate::search::entry::{Encoded, Form};
use crate::search::matcher::{Ask, Check};
use crate::search::params::Param;
use crate::search::text::parts;

use super::super::invalid_value::InvalidValue;

/// Further combinations of the values of one element are not indexed.
const COMBINATIONS_MAX: usize = 256;

/// Encodes every combination of the components' values: first their keys, then their tails.
pub(in crate::search) fn extract(of_parts: &[Vec<Encoded>], out: &mut Vec<Encoded>) {
    let mut combined = vec![Encoded::new(Form::Composite)];
    for values in of_parts {
        let pairs = combined.iter().flat_map(|before| values.iter().map(move |value| (before, value)));
        combined = pairs
            .take(COMBINATIONS_MAX)
            .map(|(before, value)| Encoded {
                key: [before.key.as_slice(), &value.key].concat(),
                tail: [before.tail.as_slice(), &value.tail].concat(),
            })
            .collect();
    }
    out.append(&mut combined);
}

/// Parses the value of a component by the component's own type.
type PartAsks<'p> = dyn Fn(&Param, &str) -> Result<Vec<Ask>, InvalidValue> + 'p;

/// Parses a composite value `part$part`.
pub(super) fn asks(param: &Param, value: &str, part_asks: &PartAsks<'_>) -> Result<Vec<Ask>, InvalidValue> {
    let values = parts(value, '$');
    if values.len() != param.components.len() {
        return Err(
            format!("`{value}` does not have {} parts separated by `$`", param.components.len()).into()
        );
    }
    let mut combined: Vec<Vec<(ParamType, Ask)>> = vec![Vec::new()];
    for (component, value) in param.components.iter().zip(values) {
        let asks = part_asks(&component.param, value)?;
        combined = combined
            .iter()
            .flat_map(|before| {
                asks.iter().map(|ask| {
                    let mut all = before.clone();
                    all.push((component.param.kind, part_ask(component.param.kind, ask)));
                    all
                })
            })
            .collect();
    }
    Ok(combined.into_iter().map(together).collect())
}

/// A token component is indexed in its `Value` form only, so a search by system alone checks the tail.
fn part_ask(kind: ParamType, ask: &Ask) -> Ask {
    let form = Form::Second.byte();
    match (kind, ask.start.split_first()) {
        (ParamType::Token, Some((first, system))) if *first == form => {
            Ask::all(Form::Value).with_tails(vec![system.to_vec()])
        }
        _ => ask.clone(),
    }
}

/// Combines the components: exact keys first, then the range of the first component that has no exact key; the rest becomes a
/// check.
fn together(asks: Vec<(ParamType, Ask)>) -> Ask {
    let mut before = vec![Form::Composite.byte()];
    let mut ask = None;
    for (_, part) in &asks {
        let start = [before.as_slice(), &part.start].concat();
        if !part.is_whole_key {
            ask = Some(Ask::range(start, [before.as_slice(), &part.end].concat()));
            break;
        }
        before = start;
    }
    let ask = ask.unwrap_or_else(|| Ask::beginning(before));
    let is_range_alone = |(number, (_, part)): (usize, &(ParamType, Ask))| {
        part.tails.is_none() && part.check == Check::None && (part.is_whole_key || number + 1 == asks.len())
    };
    if (0..).zip(&asks).all(is_range_alone) { ask } else { ask.with(Check::Parts(asks)) }
}
