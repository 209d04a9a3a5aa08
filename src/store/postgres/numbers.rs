//! Converts sequences to the signed integers of the database and back.
use super::super::batch::Sequence;

pub(super) fn number(sequence: Sequence) -> i64 {
    i64::try_from(sequence.0).unwrap_or(i64::MAX)
}

pub(super) fn sequence(number: i64) -> Sequence {
    Sequence(u64::try_from(number).unwrap_or(0))
}
