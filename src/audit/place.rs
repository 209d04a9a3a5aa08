//! The place of an access record in the store.
use crate::store::{Key, Sequence, Space};

/// The place of a record: its commit, and its number within the commit.
pub type RecordPlace = (Sequence, u32);

/// The place in the last twelve bytes of a key.
pub(super) fn place_of(key: &[u8]) -> Option<RecordPlace> {
    let (sequence, number) = key.last_chunk::<12>()?.split_first_chunk::<8>()?;
    Some((Sequence(u64::from_be_bytes(*sequence)), u32::from_be_bytes(*number.first_chunk::<4>()?)))
}

/// The key of a record.
pub(super) fn record_key((Sequence(sequence), number): RecordPlace) -> Vec<u8> {
    Key::new(Space::Audit).number(sequence).word(number).into_bytes()
}
