//! Numbers: points and ranges in resources, and the range that a number in a query stands for.
use octofhir_ucum::Number;

use super::prefix::Prefix;

/// A number or range in a resource, both ends included; a missing end is unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub low: Option<Number>,
    pub high: Option<Number>,
}

impl Stretch {
    pub fn point(number: Number) -> Self {
        Self { low: Some(number), high: Some(number) }
    }
}

/// A number in a query, with the range of its precision (upper end excluded) and the range for `ap`.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    value: Number,
    low: Number,
    high: Number,
    near_low: Number,
    near_high: Number,
}

impl Bounds {
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("`{text}` is no number"))
    }

    fn read(text: &str) -> Option<Self> {
        let place = last_place(text)?;
        let value = Number::parse(text)?;
        let half = Number::from_i64(5).checked_mul(Number::power_of_ten(place - 1))?;
        let tenth = value.abs().checked_mul(Number::power_of_ten(-1))?;
        Some(Self {
            value,
            low: value.checked_sub(half)?,
            high: value.checked_add(half)?,
            near_low: value.checked_sub(tenth)?,
            near_high: value.checked_add(tenth)?,
        })
    }

    /// The same, converted to another unit.
    pub fn map(&self, convert: impl Fn(Number) -> Option<Number>) -> Option<Self> {
        Some(Self {
            value: convert(self.value)?,
            low: convert(self.low)?,
            high: convert(self.high)?,
            near_low: convert(self.near_low)?,
            near_high: convert(self.near_high)?,
        })
    }

    /// Whether the value of a resource matches.
    pub fn finds(&self, prefix: Prefix, stretch: &Stretch) -> bool {
        let Stretch { low, high } = *stretch;
        match prefix {
            Prefix::Eq => self.hold(stretch),
            Prefix::Ne => !self.hold(stretch),
            Prefix::Gt => high.is_none_or(|high| high > self.value),
            Prefix::Ge => high.is_none_or(|high| high >= self.value),
            Prefix::Lt => low.is_none_or(|low| low < self.value),
            Prefix::Le => low.is_none_or(|low| low <= self.value),
            Prefix::Sa => low.is_some_and(|low| low > self.value),
            Prefix::Eb => high.is_some_and(|high| high < self.value),
            Prefix::Ap => {
                low.is_none_or(|low| low <= self.near_high) && high.is_none_or(|high| high >= self.near_low)
            }
        }
    }

    fn hold(&self, stretch: &Stretch) -> bool {
        stretch.low.is_some_and(|low| low >= self.low) && stretch.high.is_some_and(|high| high < self.high)
    }
}

/// The power of ten of the last written digit. `1e2` counts as `1.0e2`.
fn last_place(text: &str) -> Option<i32> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.parse::<i32>().ok()?)),
        None => (text, None),
    };
    let digits = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    if !is_digits(whole) || !fraction.is_none_or(is_digits) {
        return None;
    }
    let places = match (fraction, exponent) {
        (Some(fraction), _) => i32::try_from(fraction.len()).ok()?,
        (None, Some(_)) => 1,
        (None, None) => 0,
    };
    Some(exponent.unwrap_or(0) - places)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The condition of a number parameter.
pub struct AskedNumber {
    prefix: Prefix,
    bounds: Bounds,
}

impl AskedNumber {
    pub fn new(prefix: Prefix, text: &str) -> Result<Self, String> {
        Ok(Self { prefix, bounds: Bounds::parse(text)? })
    }

    /// Parses a value with its prefix.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (prefix, number) = Prefix::split(text);
        Self::new(prefix, number)
    }

    pub fn finds(&self, stretch: &Stretch) -> bool {
        self.bounds.finds(self.prefix, stretch)
    }
}
