//! Blocks: about 4 kB of sorted entries, prefix-compressed, then zstd-compressed, with a checksum. Stored form:
//! `length (4, little-endian, highest bit set) | compressed | CRC-32 (4)`; without that bit the block is stored as it is. An entry is
//! `shared key bytes, own key bytes, sequence, value length + 1 (0 for a removal)` as variable-length numbers, then the own
//! bytes of the key and the value. Shared bytes are those that the key has in common with the key before.
use bytes::Bytes;

use crate::store::kv::StoreError;
use crate::store::pack::{pack, unpack};

use super::super::batch::Sequence;

/// A block is closed once its uncompressed entries have this many bytes.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Encodes the entries of one block.
#[derive(Default)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    last_key: Vec<u8>,
    entries: usize,
}

impl BlockBuilder {
    pub(super) fn push(&mut self, key: &[u8], sequence: Sequence, value: Option<&[u8]>) {
        let shared = key.iter().zip(&self.last_key).take_while(|(a, b)| a == b).count();
        let own = key.get(shared..).unwrap_or_default();
        put_number(&mut self.bytes, length(shared));
        put_number(&mut self.bytes, length(own.len()));
        put_number(&mut self.bytes, sequence.0);
        put_number(&mut self.bytes, value.map_or(0, |value| length(value.len()) + 1));
        self.bytes.extend_from_slice(own);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Returns the stored form of the block and resets the builder.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut packed = squeeze(&self.bytes);
        let checksum = crc32fast::hash(&packed);
        packed.extend_from_slice(&checksum.to_be_bytes());
        *self = Self::default();
        packed
    }
}

/// This bit of the length marks a block that zstd compressed.
const IS_ZSTD: u32 = 1 << 31;

fn squeeze(bytes: &[u8]) -> Vec<u8> {
    let len = short(bytes.len());
    match pack(bytes) {
        Some(packed) => [&(len | IS_ZSTD).to_le_bytes()[..], &packed].concat(),
        None => [&len.to_le_bytes()[..], bytes].concat(),
    }
}

fn expand(stored: &[u8]) -> Option<Vec<u8>> {
    let (len, packed) = stored.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len);
    if len & IS_ZSTD == 0 {
        return (packed.len() == usize::try_from(len).ok()?).then(|| packed.to_vec());
    }
    unpack(packed, usize::try_from(len & !IS_ZSTD).ok()?)
}

/// A decoded entry: the offsets of its key and value in the block.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: (u32, u32),
    sequence: Sequence,
    value: Option<(u32, u32)>,
}

/// A decoded block with complete keys.
pub(super) struct Block {
    keys: Vec<u8>,
    values: Bytes,
    entries: Vec<Entry>,
}

impl Block {
    /// Decodes the stored form.
    pub(super) fn decode(stored: &[u8]) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt("a block of postings".to_owned());
        let (packed, checksum) = stored.split_last_chunk::<4>().ok_or_else(corrupt)?;
        if crc32fast::hash(packed) != u32::from_be_bytes(*checksum) {
            return Err(corrupt());
        }
        let values = Bytes::from(expand(packed).ok_or_else(corrupt)?);
        let mut block =
            Self { keys: Vec::with_capacity(values.len() * 2), values: Bytes::new(), entries: Vec::new() };
        let mut at = 0;
        let mut last = 0..0;
        while at < values.len() {
            let mut next = || take_number(&values, &mut at).ok_or_else(corrupt);
            let (shared, own, sequence, value) = (to_usize(next()?), to_usize(next()?), next()?, next()?);
            let start = block.keys.len();
            if shared > last.len() {
                return Err(corrupt());
            }
            block.keys.extend_from_within(last.start..last.start + shared);
            block.keys.extend_from_slice(values.get(at..at + own).ok_or_else(corrupt)?);
            at += own;
            let value = value.checked_sub(1).map(to_usize);
            let value_at = at;
            at += value.unwrap_or(0);
            if at > values.len() {
                return Err(corrupt());
            }
            last = start..block.keys.len();
            block.entries.push(Entry {
                key: (short(start), short(block.keys.len())),
                sequence: Sequence(sequence),
                value: value.map(|len| (short(value_at), short(value_at + len))),
            });
        }
        block.values = values;
        Ok(block)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The memory that the block takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.keys.capacity() + self.values.len() + self.entries.capacity() * size_of::<Entry>()
    }

    pub(super) fn key(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = self.entries.get(index)?.key;
        self.keys.get(to_usize(u64::from(start))..to_usize(u64::from(end)))
    }

    pub(super) fn sequence(&self, index: usize) -> Option<Sequence> {
        self.entries.get(index).map(|entry| entry.sequence)
    }

    /// The value of an entry; `None` for a removal.
    pub(super) fn value(&self, index: usize) -> Option<Bytes> {
        let (start, end) = self.entries.get(index)?.value?;
        Some(self.values.slice(to_usize(u64::from(start))..to_usize(u64::from(end))))
    }

    /// The index of the first entry whose key is not less than this one.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        self.entries.partition_point(|entry| {
            let (start, end) = entry.key;
            self.keys
                .get(to_usize(u64::from(start))..to_usize(u64::from(end)))
                .is_some_and(|found| found < key)
        })
    }
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// INVARIANT: a block is far smaller than 4 GiB; the journal refuses larger batches.
fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Appends a variable-length number: seven bits per byte, the lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Reads a variable-length number at `at` and moves `at` behind it.
pub(super) fn take_number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Block, BlockBuilder, put_number, take_number};
    use crate::store::batch::Sequence;

    #[test]
    fn entries_come_back() {
        let mut builder = BlockBuilder::default();
        let keys: Vec<String> = (0..300).map(|number| format!("key-{number:05}")).collect();
        for key in &keys {
            builder.push(key.as_bytes(), Sequence(7), if key.ends_with('3') { None } else { Some(b"value") });
        }
        let mut stored = builder.finish();
        let block = Block::decode(&stored).unwrap();
        assert_eq!(block.len(), 300);
        for (key, index) in keys.iter().zip(0..) {
            assert_eq!(block.key(index), Some(key.as_bytes()));
            assert_eq!(block.value(index).is_none(), key.ends_with('3'));
        }
        assert_eq!(block.lower_bound(b"key-00100"), 100);
        assert_eq!(block.lower_bound(b"zzz"), 300);
        stored[10] ^= 1;
        assert!(Block::decode(&stored).is_err());
        assert!(Block::decode(b"").is_err());
    }

    #[test]
    fn numbers_of_any_size_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut at = 0;
            assert_eq!(take_number(&bytes, &mut at), Some(number));
            assert_eq!(at, bytes.len());
        }
        assert_eq!(take_number(&[0x80], &mut 0), None);
    }
}
