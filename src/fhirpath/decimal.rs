//! Parses decimal numbers as FHIR writes them.
use rust_decimal::Decimal;

/// The decimal in a FHIR number, with all its digits and without an exponent; `None` beyond 28 digits.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}
