//! A bloom filter: tells for most absent keys that a run does not hold them, without reading a block.
use std::hash::Hasher as _;

/// Bits for each key part. With `PROBES` probes about one in a hundred absent parts is reported as present.
const BITS_PER_PART: usize = 10;
const PROBES: u64 = 6;

/// A bloom filter over hashes of key parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bloom {
    bytes: Vec<u8>,
}

impl Bloom {
    /// Builds a filter from the hashes of the parts.
    pub(super) fn new(hashes: &[u64]) -> Self {
        let mut bloom = Self { bytes: vec![0; (hashes.len() * BITS_PER_PART).div_ceil(8).max(8)] };
        for hash in hashes {
            for (byte, bit) in bloom.probes(*hash) {
                if let Some(byte) = bloom.bytes.get_mut(byte) {
                    *byte |= bit;
                }
            }
        }
        bloom
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
    }
}
