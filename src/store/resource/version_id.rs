//! Version ids: the commit sequence, encrypted by a keyed permutation, because consecutive numbers would reveal how many
//! versions exist that a client may not see.
use sha2::{Digest as _, Sha256};

use super::super::batch::Sequence;

const ROUNDS: u8 = 4;

/// Converts sequences to version ids and back. The key is in the store, and so in its backups.
#[derive(Clone)]
pub struct VersionCipher {
    key: [u8; 32],
}

impl VersionCipher {
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The version id of a commit: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self, sequence: Sequence) -> String {
        let (mut left, mut right) = halves(sequence.0);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.mix(round, right));
        }
        format!("{left:08x}{right:08x}")
    }

    /// The commit of a version id; `None` if the text does not have the form of one.
    #[must_use]
    pub fn sequence(&self, id: &str) -> Option<Sequence> {
        if id.len() != 16 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let (mut left, mut right) = halves(u64::from_str_radix(id, 16).ok()?);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.mix(round, left), left);
        }
        Some(Sequence(u64::from(left) << 32 | u64::from(right)))
    }

    fn mix(&self, round: u8, half: u32) -> u32 {
        let digest = Sha256::new()
            .chain_update(self.key)
            .chain_update([round])
            .chain_update(half.to_be_bytes())
            .finalize();
        digest.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

fn halves(number: u64) -> (u32, u32) {
    let half = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or(0);
    (half(number >> 32), half(number))
}

#[cfg(test)]
mod tests {
    use super::VersionCipher;
    use crate::store::batch::Sequence;

    #[test]
    fn ids_go_back_to_their_sequence_and_tell_nothing_of_it() {
        let cipher = VersionCipher::new([7; 32]);
        for number in [0, 1, 2, 1 << 40, u64::MAX] {
            assert_eq!(cipher.sequence(&cipher.id(Sequence(number))), Some(Sequence(number)));
        }
        assert_ne!(cipher.id(Sequence(1))[..8], cipher.id(Sequence(2))[..8]);
        assert_ne!(cipher.id(Sequence(1)), VersionCipher::new([8; 32]).id(Sequence(1)));
        assert_eq!(cipher.sequence("1"), None);
    }
}
