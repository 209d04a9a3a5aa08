//! The first keys of a run's blocks, in one piece of memory: a run has a million blocks and more.
use super::block::{put_number, take_number};

/// Keys in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FirstKeys {
    bytes: Vec<u8>,
    /// Where each key ends in `bytes`.
    ends: Vec<usize>,
}

impl FirstKeys {
    pub(super) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start..end)
    }

    /// How many keys are less than this one.
    pub(super) fn before(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(|first| first < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Appends the stored form: each key after its length.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for key in (0..self.len()).filter_map(|number| self.get(number)) {
            put_number(out, u64::try_from(key.len()).unwrap_or(0));
            out.extend_from_slice(key);
        }
    }

    /// Reads that many keys, and how long their stored form is. `None` if it is too short.
    pub(super) fn read(stored: &[u8], count: u32) -> Option<(Self, usize)> {
        let mut at = 0;
        let mut keys = Self::default();
        for _ in 0..count {
            let len = usize::try_from(take_number(stored, &mut at)?).ok()?;
            keys.push(stored.get(at..at.checked_add(len)?)?);
            at += len;
        }
        keys.bytes.shrink_to_fit();
        keys.ends.shrink_to_fit();
        Some((keys, at))
    }

    /// The memory that they take, in bytes.
    pub(super) fn resident_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::FirstKeys;

    #[test]
    fn keys_are_found_and_read_as_they_were_put() {
        let all: [&[u8]; 4] = [b"", b"ab", b"abc", b"b"];
        let mut keys = FirstKeys::default();
        all.iter().for_each(|key| keys.push(key));
        assert_eq!(
            (0..5).map(|number| keys.get(number)).collect::<Vec<_>>(),
            [Some(all[0]), Some(all[1]), Some(all[2]), Some(all[3]), None]
        );
        for (key, expected) in [("", 0), ("a", 1), ("ab", 1), ("abb", 2), ("abc", 2), ("az", 3), ("c", 4)] {
            assert_eq!(keys.before(key.as_bytes()), expected, "{key}");
        }
        let mut stored = Vec::new();
        keys.put(&mut stored);
        stored.push(9);
        assert_eq!(FirstKeys::read(&stored, 4), Some((keys, stored.len() - 1)));
        assert_eq!(FirstKeys::read(&stored[..3], 4), None);
    }
}
