//! A bloom filter: tells for most absent keys that a run does not hold them, without reading a block.
use std::hash::Hasher as _;

/// Bits for each key part. With `PROBES` probes about one in a hundred absent parts is reported as present.
const BITS_PER_PART: usize = 10;
const PROBES: u64 = 6;
/// The size of a filter that can be halved is a multiple of this, so it can be halved twelve times.
const FOLDABLE_BYTES: usize = 4_096;

/// A bloom filter over hashes of key parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bloom {
    bytes: Vec<u8>,
}

impl Bloom {
    /// Builds a filter from the hashes of the parts.
    pub(super) fn new(hashes: &[u64]) -> Self {
        let mut bloom = Self::for_parts(hashes.len());
        for hash in hashes {
            bloom.insert(*hash);
        }
        bloom
    }

    /// An empty filter with room for that many parts.
    fn for_parts(count: usize) -> Self {
        Self { bytes: vec![0; (count * BITS_PER_PART).div_ceil(8).max(8)] }
    }

    /// An empty filter for at most that many parts; [`Bloom::folded`] makes it smaller if there were fewer.
    pub(super) fn for_at_most(count: usize) -> Self {
        Self { bytes: vec![0; (count * BITS_PER_PART).div_ceil(8).next_multiple_of(FOLDABLE_BYTES)] }
    }

    /// The filter, halved as long as it is more than twice as large as that many parts need. A bit's place in the half is its
    /// place modulo the half's size, so no part is lost.
    pub(super) fn folded(mut self, parts: usize) -> Self {
        let needed = (parts * BITS_PER_PART).div_ceil(8).max(8);
        while self.bytes.len().is_multiple_of(2) && self.bytes.len() / 2 >= needed {
            let upper = self.bytes.split_off(self.bytes.len() / 2);
            self.bytes.iter_mut().zip(upper).for_each(|(byte, other)| *byte |= other);
            self.bytes.shrink_to_fit();
        }
        self
    }

    /// For how many parts it has room.
    pub(super) fn parts(&self) -> usize {
        self.bytes.len() * 8 / BITS_PER_PART
    }

    /// Inserts a part; `false` if it seemed to be there already.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        let mut is_new = false;
        for (byte, bit) in self.probes(hash) {
            if let Some(byte) = self.bytes.get_mut(byte) {
                is_new |= *byte & bit == 0;
                *byte |= bit;
            }
        }
        is_new
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `false` means that the part is certainly absent.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.probes(hash).all(|(byte, bit)| self.bytes.get(byte).is_some_and(|byte| byte & bit != 0))
    }

    fn probes(&self, hash: u64) -> impl Iterator<Item = (usize, u8)> + use<> {
        let bits = u64::try_from(self.bytes.len()).unwrap_or(1).max(1) * 8;
        let second = hash.rotate_left(32) | 1;
        (0..PROBES).map(move |probe| {
            let bit = hash.wrapping_add(probe.wrapping_mul(second)) % bits;
            (usize::try_from(bit / 8).unwrap_or(0), 1_u8 << (bit % 8))
        })
    }
}

/// The hash of a key part. Filters are stored, so this function must never change.
pub(super) fn hash(part: &[u8]) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(part);
    // FNV alone mixes the high bits of short keys badly.
    let mixed = hasher.0 ^ (hasher.0 >> 32);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (mixed >> 29)
}

struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bloom, hash};

    #[test]
    fn what_is_held_is_found_and_most_else_is_not() {
        let hashes: Vec<u64> = (0..10_000).map(|number: u32| hash(&number.to_be_bytes())).collect();
        let bloom = Bloom::new(&hashes);
        assert!(hashes.iter().all(|hash| bloom.may_hold(*hash)));
        let wrong =
            (10_000..20_000).filter(|number: &u32| bloom.may_hold(hash(&number.to_be_bytes()))).count();
        assert!(wrong < 300, "{wrong} of 10000 absent keys look present");
        // Each part is inserted 40 times, as by merges of runs that hold the same keys.
        let mut estimated = Bloom::for_at_most(400_000);
        let new: usize = (0..40).map(|_| hashes.iter().filter(|hash| estimated.insert(**hash)).count()).sum();
        let folded = estimated.folded(new);
        assert!((9_900..=10_000).contains(&new), "{new}");
        assert!(folded.bytes().len() < 3 * bloom.bytes().len(), "{}", folded.bytes().len());
        assert!(hashes.iter().all(|hash| folded.may_hold(*hash)));
    }
}
