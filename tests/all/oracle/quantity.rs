//! Quantities: numbers with units, converted if both units are UCUM units of one dimension.
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use octofhir_ucum::{CanonicalUnit, Number, get_canonical_units};

use super::escape::{split, unescape};
use super::number::{Bounds, Stretch};
use super::prefix::Prefix;

pub const UCUM: &str = "http://unitsofmeasure.org";

/// A number with its unit in a resource.
#[derive(Clone, Debug)]
pub struct Amount {
    pub number: Number,
    pub system: Option<String>,
    pub code: Option<String>,
    pub unit: Option<String>,
}

impl Amount {
    fn is_coded(&self, system: &str, code: &str) -> bool {
        self.system.as_deref() == Some(system) && self.code.as_deref() == Some(code)
    }

    fn is_written(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code) || self.unit.as_deref() == Some(code)
    }

    /// The number in canonical units, if they are the wanted ones.
    fn in_canonical(&self, wanted: &CanonicalUnit) -> Option<Number> {
        let own = canonical(self.system.as_deref()?, self.code.as_deref()?)?;
        if own.unit == wanted.unit { convert(self.number, &own) } else { None }
    }
}

/// The canonical form of a UCUM unit; `None` for other systems, unknown units and non-linear scales.
fn canonical(system: &str, code: &str) -> Option<CanonicalUnit> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Option<CanonicalUnit>>>> =
        LazyLock::new(|| Mutex::new(HashMap::new()));
    if system != UCUM {
        return None;
    }
    let mut known = KNOWN.lock().unwrap();
    known.entry(code.to_owned()).or_insert_with(|| get_canonical_units(code).ok()).clone()
}

fn convert(number: Number, unit: &CanonicalUnit) -> Option<Number> {
    let (digits, exponent) =
        number.checked_mul(unit.factor)?.checked_add(unit.offset)?.to_integer_and_exponent();
    // Digits beyond the twentieth are noise from factors such as one sixtieth.
    let surplus = u32::try_from(digits.unsigned_abs().to_string().len().saturating_sub(20)).ok()?;
    let unit = 10_i128.pow(surplus);
    let rounded = (digits + digits.signum() * unit / 2) / unit;
    Number::parse(&format!("{rounded}e{}", exponent + i32::try_from(surplus).ok()?))
}

/// A quantity in a resource: a point has equal ends, and a missing end is unbounded.
#[derive(Clone, Debug)]
pub struct Quantity {
    pub low: Option<Amount>,
    pub high: Option<Amount>,
}

impl Quantity {
    fn ends(&self) -> impl Iterator<Item = &Amount> {
        self.low.iter().chain(&self.high)
    }

    /// The numbers as written.
    fn as_written(&self) -> Stretch {
        Stretch {
            low: self.low.as_ref().map(|amount| amount.number),
            high: self.high.as_ref().map(|amount| amount.number),
        }
    }

    /// The numbers in canonical units; `None` if one end has a unit of another dimension.
    fn in_canonical(&self, unit: &CanonicalUnit) -> Option<Stretch> {
        let end = |amount: &Option<Amount>| match amount {
            Some(amount) => amount.in_canonical(unit).map(Some),
            None => Some(None),
        };
        Some(Stretch { low: end(&self.low)?, high: end(&self.high)? })
    }
}

/// The unit in a query.
enum Unit {
    Any,
    /// `||code`: quantities with this code or this human-readable unit.
    Written(String),
    Coded {
        system: String,
        code: String,
    },
}

/// The condition of a quantity parameter.
pub struct AskedQuantity {
    prefix: Prefix,
    bounds: Bounds,
    unit: Unit,
}

impl AskedQuantity {
    /// Parses a value with its prefix, still escaped.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (prefix, rest) = Prefix::split(text);
        Self::new(prefix, rest)
    }

    pub fn new(prefix: Prefix, text: &str) -> Result<Self, String> {
        let parts = split(text, '|');
        let unit = match parts.as_slice() {
            [_] => Unit::Any,
            [_, system, code] if system.is_empty() && !code.is_empty() => Unit::Written(unescape(code)),
            [_, system, code] if !system.is_empty() && !code.is_empty() => {
                Unit::Coded { system: unescape(system), code: unescape(code) }
            }
            _ => return Err(format!("`{text}` is no quantity")),
        };
        Ok(Self { prefix, bounds: Bounds::parse(&parts[0])?, unit })
    }

    pub fn finds(&self, quantity: &Quantity) -> bool {
        let as_written = || self.bounds.finds(self.prefix, &quantity.as_written());
        match &self.unit {
            Unit::Any => as_written(),
            Unit::Written(code) => quantity.ends().all(|end| end.is_written(code)) && as_written(),
            Unit::Coded { system, code } => {
                if quantity.ends().all(|end| end.is_coded(system, code)) {
                    as_written()
                } else {
                    self.finds_converted(quantity, system, code).unwrap_or(false)
                }
            }
        }
    }

    fn finds_converted(&self, quantity: &Quantity, system: &str, code: &str) -> Option<bool> {
        let unit = canonical(system, code)?;
        let bounds = self.bounds.map(|number| convert(number, &unit))?;
        Some(bounds.finds(self.prefix, &quantity.in_canonical(&unit)?))
    }
}
