//! Cursors over sorted sources, and the merge of several cursors into what a snapshot shows.
use bytes::Bytes;

use crate::store::kv::{Direction, Flow, StoreError};

use super::super::batch::{KeyRange, Sequence};

/// A position in one sorted source. Versions of one key are adjacent, in any order.
pub(super) trait Cursor {
    /// The key and sequence at the position; `None` at the end.
    fn current(&self) -> Option<(&[u8], Sequence)>;

    /// The value at the position; `None` for a removal or at the end.
    fn value(&self) -> Result<Option<Bytes>, StoreError>;

    fn advance(&mut self) -> Result<(), StoreError>;

    /// Moves to the first key that is not before this one in the cursor's direction.
    fn seek(&mut self, key: &[u8]) -> Result<(), StoreError>;
}

/// Cuts a range down to what a seek to this key leaves of it.
pub(super) fn narrow(range: &mut KeyRange, direction: Direction, key: &[u8]) {
    match direction {
        Direction::Forward => range.start = key.to_vec().max(std::mem::take(&mut range.start)),
        Direction::Reverse => {
            // The end is exclusive, so it becomes the next possible key.
            let mut end = key.to_vec();
            end.push(0);
            range.end = end.min(std::mem::take(&mut range.end));
        }
    }
}

/// One version of a key, as the merge reads it from a cursor.
pub(super) struct Version {
    pub(super) sequence: Sequence,
    pub(super) value: Option<Bytes>,
}

/// Visits the newest version of every key that is not newer than `at`, except removals.
pub(super) fn scan(
    cursors: &mut [Box<dyn Cursor + '_>],
    direction: Direction,
    at: Sequence,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Flow,
) -> Result<(), StoreError> {
    let mut key = Vec::new();
    let mut versions = Vec::new();
    while next_key(cursors, direction, &mut key, &mut versions)? {
        let newest = versions
            .drain(..)
            .filter(|version| version.sequence <= at)
            .max_by_key(|version| version.sequence);
        let Some(Version { value: Some(value), .. }) = newest else { continue };
        match visit(&key, &value) {
            Flow::Next => {}
            Flow::Stop => return Ok(()),
            Flow::Seek(to) => {
                let is_ahead = match direction {
                    Direction::Forward => to > key,
                    Direction::Reverse => to < key,
                };
                if is_ahead {
                    for cursor in cursors.iter_mut() {
                        cursor.seek(&to)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Takes the next key in order from all cursors, with all its versions. `false` at the end.
pub(super) fn next_key(
    cursors: &mut [Box<dyn Cursor + '_>],
    direction: Direction,
    key: &mut Vec<u8>,
    versions: &mut Vec<Version>,
) -> Result<bool, StoreError> {
    let keys = cursors.iter().filter_map(|cursor| cursor.current().map(|(key, _)| key));
    let first = match direction {
        Direction::Forward => keys.min(),
        Direction::Reverse => keys.max(),
    };
    let Some(first) = first else { return Ok(false) };
    key.clear();
    key.extend_from_slice(first);
    for cursor in cursors.iter_mut() {
        while let Some((found, sequence)) = cursor.current() {
            if found != key.as_slice() {
                break;
            }
            versions.push(Version { sequence, value: cursor.value()? });
            cursor.advance()?;
        }
    }
    Ok(true)
}
