//! Composites (R4 search.html#composite): parts that are true of the same occurrence.
use crate::definitions::ParamType;
use crate::search::entry::{Encoded, Form};
use crate::search::matcher::{Ask, Check};
use crate::search::params::Param;
use crate::search::text::parts;

/// More combinations of the values of one occurrence are not indexed.
const COMBINATIONS_MAX: usize = 256;

/// Every combination of the values of the parts: their keys one after the other, then their tails.
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

/// Reads a part as its own type says.
type PartAsks<'p> = dyn Fn(&Param, &str) -> Result<Vec<Ask>, String> + 'p;

/// `part$part`.
pub(super) fn asks(param: &Param, value: &str, part_asks: &PartAsks<'_>) -> Result<Vec<Ask>, String> {
    let values = parts(value, '$');
    if values.len() != param.components.len() {
        return Err(format!("`{value}` does not have {} parts separated by `$`", param.components.len()));
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

/// A part is indexed in its first form alone: a token asked for by system is found by its tail.
fn part_ask(kind: ParamType, ask: &Ask) -> Ask {
    let form = Form::Second.byte();
    match (kind, ask.start.split_first()) {
        (ParamType::Token, Some((first, system))) if *first == form => {
            Ask::all(Form::Value).with_tails(vec![system.to_vec()])
        }
        _ => ask.clone(),
    }
}

/// The range of the first part that is no whole key, after the keys of those before it.
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
