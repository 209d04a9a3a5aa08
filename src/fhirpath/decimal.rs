//! Decimal numbers as FHIR writes them.
use rust_decimal::Decimal;

/// A number as FHIR writes it, with its digits; exponents are resolved. `None` beyond 28 digits.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}
