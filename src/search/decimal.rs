//! Encodes decimals of any size as bytes that sort like the numbers, and computes the range that a written number stands for (R4
//! search.html#number).
/// A decimal number of any size, or an infinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    BelowAll,
    Finite(Finite),
    AboveAll,
}

/// `0.d1d2d3... × 10^exponent`, without leading or trailing zero digits; zero has no digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finite {
    negative: bool,
    digits: Vec<u8>,
    exponent: i32,
}

/// Numbers with larger exponents are refused: no measurement needs them.
const EXPONENT_MAX: i32 = 4_000;

impl Finite {
    /// Parses a number such as `-12.30e4`; `None` if the text is not a number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Written::parse(text).map(|written| written.value())
    }

    /// `number` × 10^`point`.
    #[must_use]
    pub fn of_integer(number: i128, point: i32) -> Self {
        let digits: Vec<u8> = number.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
        finite(number < 0, &digits, point)
    }

    /// The number as text with a sign, digits and an exponent, for arithmetic libraries.
    #[must_use]
    pub fn to_text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        format!("{sign}0.{digits}e{}", self.exponent)
    }

    /// Rounded to so many digits, so that arithmetic results that differ only in later digits become equal.
    #[must_use]
    pub fn rounded(&self, digits: usize) -> Self {
        let Some(next) = self.digits.get(digits) else { return self.clone() };
        let mut kept: Vec<u8> = self.digits.iter().copied().take(digits).collect();
        let mut exponent = self.exponent;
        if *next >= 5 {
            let mut at = kept.len();
            loop {
                if at == 0 {
                    kept.insert(0, 1);
                    exponent += 1;
                    break;
                }
                at -= 1;
                if let Some(digit) = kept.get_mut(at) {
                    if *digit < 9 {
                        *digit += 1;
                        break;
                    }
                    *digit = 0;
                }
            }
        }
        while kept.last() == Some(&0) {
            kept.pop();
        }
        Self { negative: self.negative, digits: kept, exponent }
    }
}

impl Amount {
    /// Appends bytes that sort among others as the number does; no encoding is a prefix of another.
    pub fn push(&self, out: &mut Vec<u8>) {
        let finite = match self {
            Self::BelowAll => return out.push(0x01),
            Self::AboveAll => return out.push(0xfe),
            Self::Finite(finite) => finite,
        };
        if finite.digits.is_empty() {
            return out.push(0x80);
        }
        let mut bytes = Vec::with_capacity(4 + finite.digits.len() / 2);
        let exponent = u16::try_from(finite.exponent + i32::from(i16::MAX)).unwrap_or(0);
        bytes.extend_from_slice(&exponent.to_be_bytes());
        for pair in finite.digits.chunks(2) {
            let (first, second) = (pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0));
            bytes.push(first * 10 + second + 1);
        }
        bytes.push(0);
        if finite.negative {
            out.push(0x7f);
            out.extend(bytes.iter().map(|byte| 0xff - byte));
        } else {
            out.push(0x81);
            out.append(&mut bytes);
        }
    }

    /// The encoded bytes of the number.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.push(&mut out);
        out
    }
}

/// The length of the encoded number at the beginning of the bytes.
#[must_use]
pub fn amount_len(bytes: &[u8]) -> Option<usize> {
    let end = match bytes.first()? {
        0x01 | 0x80 | 0xfe => return Some(1),
        0x7f => 0xff,
        _ => 0x00,
    };
    // Skips the exponent, which may contain the byte that ends the digits.
    bytes.get(3..)?.iter().position(|byte| *byte == end).map(|at| at + 4)
}

/// A number as it was written, with its trailing zeros.
#[derive(Clone, Debug)]
pub struct Written {
    negative: bool,
    digits: String,
    /// The power of ten of the last digit.
    point: i32,
}

impl Written {
    /// Parses a number of a query or a resource.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                (mantissa, exponent.strip_prefix('+').unwrap_or(exponent).parse::<i32>().ok()?)
            }
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // CHOICE: the standard says that `1e2` covers 95 to 105, as if it were written `1.0e2`.
        let fraction = if fraction.is_empty() && text.contains(['e', 'E']) { "0" } else { fraction };
        let digits = format!("{whole}{fraction}");
        let is_number = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let point = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let size = i32::try_from(digits.len()).ok()?;
        (is_number && point.abs() + size <= EXPONENT_MAX).then_some(Self { negative, digits, point })
    }

    /// The exact number.
    #[must_use]
    pub fn value(&self) -> Finite {
        let digits: Vec<u8> = self.digits.bytes().map(|byte| byte - b'0').collect();
        finite(self.negative, &digits, self.point)
    }

    /// The range that the number stands for: half a unit of its last digit to each side.
    #[must_use]
    pub fn bounds(&self) -> (Finite, Finite) {
        // Ten times the digits, minus five and plus five.
        let tenfold = self.signed().saturating_mul(10);
        let by = |delta: i128| Finite::of_integer(tenfold.saturating_add(delta), self.point - 1);
        (by(-5), by(5))
    }

    /// The range of a tenth of the number to each side (R4 search.html#prefix, `ap`).
    #[must_use]
    pub fn about(&self) -> (Finite, Finite) {
        let tenfold = self.signed().saturating_mul(10);
        let tenth = self.signed().saturating_abs();
        let by = |delta: i128| Finite::of_integer(tenfold.saturating_add(delta), self.point - 1);
        (by(-tenth), by(tenth))
    }

    /// The digits as a signed integer; digits after the 30th are ignored.
    fn signed(&self) -> i128 {
        const DIGITS_MAX: usize = 30;
        let text = self.digits.trim_start_matches('0');
        let number: i128 =
            text.get(..DIGITS_MAX.min(text.len())).and_then(|text| text.parse().ok()).unwrap_or(0);
        if self.negative { -number } else { number }
    }
}

/// The number with these digits, the last of which has the weight `10^point`.
fn finite(negative: bool, digits: &[u8], point: i32) -> Finite {
    let first = digits.iter().position(|digit| *digit != 0);
    let Some(first) = first else { return Finite::default() };
    let last = digits.iter().rposition(|digit| *digit != 0).unwrap_or(first);
    let exponent = i32::try_from(digits.len() - first).unwrap_or(0).saturating_add(point);
    let digits = digits.get(first..=last).unwrap_or_default().to_vec();
    Finite { negative, digits, exponent }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Finite, Written, amount_len};

    fn bytes(text: &str) -> Vec<u8> {
        Amount::Finite(Finite::parse(text).unwrap()).bytes()
    }

    #[test]
    fn bytes_sort_as_numbers_do() {
        let sorted = [
            "-1e30", "-1000", "-100.5", "-100", "-99.99", "-1", "-0.5", "-0.05", "-1e-30", "0", "1e-30",
            "0.05", "0.5", "0.51", "1", "1.01", "1.1", "2", "9.99", "10", "99.5", "100", "100.001", "1000",
            "1e30",
        ];
        let mut all: Vec<Vec<u8>> = sorted.iter().map(|text| bytes(text)).collect();
        let before = all.clone();
        all.sort();
        assert_eq!(before, all);
        assert!(Amount::BelowAll.bytes() < bytes("-1e30") && bytes("1e30") < Amount::AboveAll.bytes());
        for text in sorted {
            let mut longer = bytes(text);
            let len = longer.len();
            longer.extend_from_slice(&[0, 0, 255, 7]);
            assert_eq!(amount_len(&longer), Some(len), "{text}");
        }
        assert_eq!(bytes("1.50"), bytes("15e-1"));
        assert_eq!(bytes("-0.0"), bytes("0"));
    }

    #[test]
    fn precision_is_that_of_the_last_digit() {
        let check = |text: &str, low: &str, high: &str| {
            let parse = |text: &str| Finite::parse(text).unwrap();
            assert_eq!(Written::parse(text).unwrap().bounds(), (parse(low), parse(high)), "{text}");
        };
        check("100", "99.5", "100.5");
        check("100.00", "99.995", "100.005");
        check("1e2", "95", "105");
        check("1.0e2", "95", "105");
        check("-5.4", "-5.45", "-5.35");
        check("0", "-0.5", "0.5");
        let (low, high) = Written::parse("-20").unwrap().about();
        assert_eq!((low, high), (Finite::parse("-22").unwrap(), Finite::parse("-18").unwrap()));
        for wrong in ["", "x", "1.2.3", "--1", ".", "1e", "1e99999"] {
            assert!(Written::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn rounding_carries() {
        let rounded = |text: &str, digits| Finite::parse(text).unwrap().rounded(digits);
        assert_eq!(rounded("1.9996", 4), Finite::parse("2").unwrap());
        assert_eq!(rounded("999.96", 4), Finite::parse("1000").unwrap());
        assert_eq!(rounded("1.23449", 4), Finite::parse("1.234").unwrap());
    }
}
