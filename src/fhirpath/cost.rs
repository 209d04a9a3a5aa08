//! The cost of an evaluation: steps for making, copying and comparing values and texts, and the largest size of one text and one
//! collection.
use crate::definitions::Kind;

use super::equality::equal;
use super::evaluator::{Evaluated, EvaluationError, Evaluator};
use super::value::{Collection, Value};

/// The longest text that an expression may make, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// The most values in a collection.
pub const COLLECTION_LEN_MAX: usize = 200_000;
/// How many bytes of a text are made or read in one step. With the limit of steps, all texts of an evaluation have at most 16 MB.
const STEP_BYTES: usize = 16;
/// How many bytes of a text are compared in one step.
const COMPARED_BYTES: usize = 256;

impl<'t> Evaluator<'_, 't> {
    /// Charges for a new text of this many bytes; to be called before the text is made.
    pub(super) fn text_step(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.longer_text_step(0, bytes)
    }

    /// Charges for appending this many bytes to a text that already has `before` bytes.
    pub(super) fn longer_text_step(&mut self, before: usize, bytes: usize) -> Result<(), EvaluationError> {
        if before.saturating_add(bytes) > TEXT_BYTES_MAX {
            return Err(EvaluationError::TooCostly);
        }
        self.step(bytes / STEP_BYTES)
    }

    /// Charges for a new collection of this many values; to be called before the collection is made.
    pub(super) fn collection_step(&mut self, len: usize) -> Result<(), EvaluationError> {
        collection_fits(len)?;
        self.step(len)
    }

    /// Charges for the result of an expression, because the next operation reads or copies each value once.
    pub(super) fn yielded(&mut self, values: Collection<'t>) -> Result<Collection<'t>, EvaluationError> {
        if values.iter().any(|value| made_bytes(value) > TEXT_BYTES_MAX) {
            return Err(EvaluationError::TooCostly);
        }
        let bytes: usize = values.iter().map(made_bytes).sum();
        self.collection_step(values.len().saturating_add(bytes / STEP_BYTES))?;
        Ok(values)
    }

    /// Charges for comparing each value of one collection with each value of the other.
    pub(super) fn pairs_step(
        &mut self,
        left: &[Value<'t>],
        right: &[Value<'t>],
    ) -> Result<(), EvaluationError> {
        let pairs = left.len().saturating_mul(right.len());
        // A comparison of two values ends at the end of the smaller one.
        let by_left = size(left).saturating_mul(right.len());
        let by_right = size(right).saturating_mul(left.len());
        self.step(pairs.saturating_add(by_left.min(by_right)))
    }

    /// Charges for comparing two collections without regard to order, at every level of their subtrees.
    pub(super) fn likeness_step(
        &mut self,
        left: &[Value<'t>],
        right: &[Value<'t>],
    ) -> Result<(), EvaluationError> {
        let weight = |values: &[Value<'t>]| values.len().saturating_add(size(values));
        self.step(weight(left).saturating_mul(weight(right)))
    }

    /// The distinct values, in the order of their first occurrence.
    pub(super) fn distinct(&mut self, values: impl Iterator<Item = Value<'t>>) -> Evaluated<'t> {
        let (mut kept, mut kept_size) = (Collection::new(), 0_usize);
        for value in values {
            let own = size_of(&value);
            self.step(kept.len().saturating_add(own.saturating_mul(kept.len()).min(kept_size)))?;
            if !kept.iter().any(|other| equal(&value, other) == Some(true)) {
                kept_size = kept_size.saturating_add(own);
                kept.push(value);
            }
        }
        Ok(kept)
    }
}

/// Checks the size of a collection whose values have already been charged.
pub(super) fn collection_fits(len: usize) -> Result<(), EvaluationError> {
    if len > COLLECTION_LEN_MAX { Err(EvaluationError::TooCostly) } else { Ok(()) }
}

/// The bytes of text that a value owns; text borrowed from the resource or the expression is not copied.
fn made_bytes(value: &Value<'_>) -> usize {
    match value {
        Value::String(std::borrow::Cow::Owned(text)) => text.len(),
        Value::Quantity(quantity) => quantity.unit.len(),
        _ => 0,
    }
}

/// The steps for reading each value once, beyond one step per value.
fn size(values: &[Value<'_>]) -> usize {
    values.iter().map(size_of).fold(0, usize::saturating_add)
}

fn size_of(value: &Value<'_>) -> usize {
    match value {
        Value::String(text) => text.len() / COMPARED_BYTES,
        Value::Quantity(quantity) => quantity.unit.len() / COMPARED_BYTES,
        Value::Element(element) => match element.node {
            Some(node) if element.def.kind == Kind::Primitive => node.text().len() / COMPARED_BYTES,
            Some(node) => node.subtree_len(),
            None => 0,
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use crate::fhirpath::{Element, Environment, EvaluationError, Expression};
    use crate::model::{Temporal, parse};

    fn evaluated(text: &str) -> Result<usize, EvaluationError> {
        let tree = parse(br#"{"resourceType":"Patient","name":[{"family":"F","given":["a","b"]}]}"#.to_vec());
        let tree = tree.unwrap();
        let root = Element::resource(tree.root()).unwrap();
        let expression = Expression::compile(text).unwrap();
        let environment = Environment::of(root, Temporal::from_millis(0));
        expression.evaluate(&environment, root).map(|values| values.len())
    }

    fn chain(start: &str, link: &str, times: usize) -> String {
        format!("{start}{}", link.repeat(times))
    }

    /// A collection of 64 items.
    const ITEMS: &str = "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'.toChars()";

    /// 4,096 different integers.
    fn many() -> String {
        format!("{ITEMS}.take(12).aggregate($total.select($this * 2 | $this * 2 + 1), 1)")
    }

    #[test]
    fn nothing_grows_without_bound() {
        let aggregated = |step: &str, start: &str| format!("{ITEMS}.aggregate({step}, {start})");
        let long = format!("{ITEMS}.take(16).aggregate($total & $total, 'abcdefgh')");
        assert_eq!(evaluated(&format!("{long}.length()")).unwrap(), 1);
        for text in [
            chain("'x'", ".select($this & $this)", 36),
            aggregated("$total & $total", "'x'"),
            aggregated("$total + $total", "'x'"),
            aggregated("$total.replace('x', 'xx')", "'x'"),
            aggregated("$total.replace('', 'xx')", "'x'"),
            aggregated("$total.replaceMatches('x', 'xx')", "'x'"),
            aggregated("$total.replaceMatches('.+', '$0$0')", "'x'"),
            aggregated("($total.combine($total))", "'x'"),
            aggregated("($total.combine($total)).select($this)", "'x'"),
            aggregated("($total.combine($total)).join($total.first())", "'x'"),
            aggregated("$total.encode('hex')", "'x'"),
            aggregated("$total.select($total)", "('x'.combine('x'))"),
            aggregated("$total / (1 's' / $total)", "1 'm'"),
            format!("{long}.replaceMatches('.+', {long})"),
            format!("{long}.replace('a', {long})"),
            format!("{long}.replaceMatches('a', {long})"),
            format!("{long}.replaceMatches('.+', '{}')", "$0".repeat(64)),
            format!("{ITEMS}.join({long})"),
            format!("{long}.toChars().distinct().count() + {long}.split('').count()"),
            "Patient.repeat('x' & $this.toString().replace('x', 'xx'))".to_owned(),
            "'x'.repeat($this & $this)".to_owned(),
        ] {
            assert_eq!(evaluated(&text), Err(EvaluationError::TooCostly), "{text}");
        }
    }

    #[test]
    fn every_comparison_is_counted() {
        let many = many();
        assert_eq!(evaluated(&format!("{many}.count()")), Ok(1));
        for call in [
            "distinct()",
            "isDistinct()",
            "subsetOf(MANY)",
            "supersetOf(MANY)",
            "intersect(MANY)",
            "exclude(MANY)",
            "union(MANY)",
            "select($this) ~ MANY",
        ] {
            let text = format!("{many}.{}", call.replace("MANY", &many));
            assert_eq!(evaluated(&text), Err(EvaluationError::TooCostly), "{text}");
        }
        assert_eq!(
            evaluated(&format!("{many}.select('x').distinct()")),
            Ok(1),
            "what is not compared is free"
        );
    }

    #[test]
    fn patterns_are_counted_by_their_size() {
        let long = format!("{ITEMS}.take(14).aggregate($total & $total, 'aaaaaaaa')");
        assert_eq!(evaluated("'abc'.matches('^[a-z]+$')"), Ok(1));
        let digits = format!("{}.all(toString().matches('^[0-9]+$'))", many());
        assert_eq!(evaluated(&digits), Ok(1), "one pattern is compiled once");
        let costly = format!("{long}.matches('(a?){{200}}(a*)*b')");
        let eight = vec![costly; 8].join(" or ");
        assert_eq!(evaluated(&eight), Err(EvaluationError::TooCostly));
        // A pattern that differs for every item is compiled for every item.
        let anew = format!("{ITEMS}.select({ITEMS}.all(matches('^x|' & $index.toString() & '$')))");
        assert_eq!(evaluated(&anew), Err(EvaluationError::TooCostly));
        assert!(evaluated(&format!("'a'.matches('{}')", "a".repeat(10_000))).is_err());
    }

    #[test]
    fn the_highest_expression_has_the_stack_that_it_needs() {
        let nested = (0..60).fold("'x'".to_owned(), |text, _| format!("'x'.select({text})"));
        assert_eq!(evaluated(&format!("{nested}{}", ".trace('')".repeat(60))), Ok(1));
        assert!(Expression::compile(&format!("{nested}{}", ".trace('')".repeat(10_000))).is_err());
    }

    #[test]
    fn what_overflows_is_empty() {
        for text in [
            "-(-9223372036854775807 - 1)",
            "10.log(1)",
            "'79228162514264337593543950335'.toDecimal().highBoundary(0)",
        ] {
            assert_eq!(evaluated(text), Ok(0), "{text}");
        }
        assert!(evaluated("@T10:00 + 79228162514264337593543950335 hours").is_err());
    }
}
