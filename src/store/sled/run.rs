//! Runs: sorted entries in blocks, written once and never changed. The first key of every block and the bloom filter stay in
//! memory; blocks are read on demand and kept in a bounded cache.
use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::store::key::{filter_part, shared_filter_part};
use crate::store::kv::{Direction, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::block::{Block, BlockBuilder};
use super::bloom::{Bloom, hash};
use super::cursor::{Cursor, narrow};
use super::disk::{Disk, SledBatch};
use super::first_keys::FirstKeys;

/// The cache of decoded blocks, by run and block number.
pub(super) type BlockCache = quick_cache::sync::Cache<(u64, u32), Arc<Block>, ByBytes>;

/// Weighs a cached block by the memory that it takes.
#[derive(Clone)]
pub(super) struct ByBytes;

impl quick_cache::Weighter<(u64, u32), Arc<Block>> for ByBytes {
    fn weight(&self, _: &(u64, u32), block: &Arc<Block>) -> u64 {
        u64::try_from(block.weight()).unwrap_or(u64::MAX)
    }
}

/// What the manifest stores about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunFacts {
    pub(super) id: u64,
    /// How many level merges produced the run; 0 for a memory table that was written to sled.
    pub(super) level: u32,
    pub(super) blocks: u32,
    pub(super) entries: u64,
    pub(super) sequence_min: u64,
    pub(super) sequence_max: u64,
    pub(super) index_checksum: u32,
}

/// A run that is open for reading.
pub(super) struct Run {
    pub(super) facts: RunFacts,
    first_keys: FirstKeys,
    bloom: Bloom,
    disk: Arc<Disk>,
    cache: Arc<BlockCache>,
}

impl Run {
    /// Opens a run that the manifest names.
    pub(super) fn open(facts: RunFacts, disk: Arc<Disk>, cache: Arc<BlockCache>) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt(format!("the index of run {}", facts.id));
        let index = disk.read_index(facts.id)?;
        if crc32fast::hash(&index) != facts.index_checksum {
            return Err(corrupt());
        }
        let (first_keys, at) = FirstKeys::read(&index, facts.blocks).ok_or_else(corrupt)?;
        let bloom = Bloom::from_bytes(index.get(at..).ok_or_else(corrupt)?.to_vec());
        Ok(Self { facts, first_keys, bloom, disk, cache })
    }

    /// The memory that the run takes besides cached blocks, in bytes.
    pub(super) fn resident_bytes(&self) -> usize {
        self.first_keys.resident_bytes() + self.bloom.bytes().len()
    }

    fn block(&self, number: usize) -> Result<Arc<Block>, StoreError> {
        let key = (self.facts.id, u32::try_from(number).unwrap_or(u32::MAX));
        self.cache.get_or_insert_with(&key, || self.read_block(number))
    }

    fn read_block(&self, number: usize) -> Result<Arc<Block>, StoreError> {
        let stored = self.disk.read_block(self.facts.id, u32::try_from(number).unwrap_or(u32::MAX))?;
        Block::decode(&stored).map(Arc::new)
    }

    /// The first block that may hold a key: the last one whose first key is less than it. If versions of the key fill several
    /// blocks, the following blocks hold it too.
    fn block_of(&self, key: &[u8]) -> usize {
        self.first_keys.before(key).saturating_sub(1)
    }

    /// The newest version of a key that is not newer than `at`.
    pub(super) fn newest(
        &self,
        key: &[u8],
        at: Sequence,
    ) -> Result<Option<(Sequence, Option<Bytes>)>, StoreError> {
        if self.facts.sequence_min > at.0 || !self.bloom.may_hold(hash(filter_part(key))) {
            return Ok(None);
        }
        for number in self.block_of(key)..self.first_keys.len() {
            if self.first_keys.get(number).is_some_and(|first| first > key) {
                break;
            }
            let block = self.block(number)?;
            let mut index = block.lower_bound(key);
            while block.key(index) == Some(key) {
                match block.sequence(index) {
                    Some(sequence) if sequence <= at => return Ok(Some((sequence, block.value(index)))),
                    _ => index += 1,
                }
            }
            if index < block.len() {
                break;
            }
        }
        Ok(None)
    }

    /// Whether the run may hold a key of the range. The bloom filter helps only if all keys of the range share one filter part.
    pub(super) fn may_hold(&self, range: &KeyRange) -> bool {
        let first = self.first_keys.get(0).is_none_or(|first| first < range.end.as_slice());
        if !first {
            return false;
        }
        shared_filter_part(&range.start, &range.end).is_none_or(|part| self.bloom.may_hold(hash(part)))
    }

    /// About how many entries a range has, estimated from the blocks' first keys; exact if one block contains the whole range.
    pub(super) fn estimate(&self, range: &KeyRange) -> Result<u64, StoreError> {
        if self.first_keys.is_empty() {
            return Ok(0);
        }
        let (first, last) = (self.block_of(&range.start), self.block_of(&range.end));
        if first == last {
            let block = self.block(first)?;
            let inside = block.lower_bound(&range.end).saturating_sub(block.lower_bound(&range.start));
            return Ok(u64::try_from(inside).unwrap_or(0));
        }
        // The number of entries in a block varies with their length, so a block in the middle serves as the sample.
        let each = self.block(first + (last - first).div_ceil(2))?.len();
        Ok(u64::try_from((last - first).saturating_mul(each.max(1))).unwrap_or(u64::MAX))
    }

    pub(super) fn cursor(
        self: &Arc<Self>,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<RunCursor, StoreError> {
        self.cursor_by(range, direction, Run::block)
    }

    /// A cursor forward for a merge: it reads each block once, and leaves the cache to those who read again.
    pub(super) fn cursor_past_cache(self: &Arc<Self>, range: &KeyRange) -> Result<RunCursor, StoreError> {
        self.cursor_by(range, Direction::Forward, Run::read_block)
    }

    fn cursor_by(
        self: &Arc<Self>,
        range: &KeyRange,
        direction: Direction,
        block: ReadBlock,
    ) -> Result<RunCursor, StoreError> {
        let mut cursor = RunCursor { run: self.clone(), range: range.clone(), direction, block, at: None };
        cursor.start()?;
        Ok(cursor)
    }
}

/// Reads a block, from the cache or past it.
type ReadBlock = fn(&Run, usize) -> Result<Arc<Block>, StoreError>;

/// A cursor over a run.
pub(super) struct RunCursor {
    run: Arc<Run>,
    range: KeyRange,
    direction: Direction,
    block: ReadBlock,
    /// The block, its number, and the index of the entry in it.
    at: Option<(Arc<Block>, usize, usize)>,
}

impl RunCursor {
    fn start(&mut self) -> Result<(), StoreError> {
        self.at = None;
        if self.run.first_keys.is_empty() {
            return Ok(());
        }
        match self.direction {
            Direction::Forward => {
                let number = self.run.block_of(&self.range.start);
                let block = (self.block)(&self.run, number)?;
                let index = block.lower_bound(&self.range.start);
                if index < block.len() {
                    self.settle(block, number, index);
                } else {
                    self.enter(number + 1, Ordering::Less)?;
                }
            }
            Direction::Reverse => {
                let number = self.run.block_of(&self.range.end);
                let block = (self.block)(&self.run, number)?;
                match block.lower_bound(&self.range.end).checked_sub(1) {
                    Some(index) => self.settle(block, number, index),
                    None if number > 0 => self.enter(number - 1, Ordering::Greater)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Moves to the first (`Less`) or last entry of a block.
    fn enter(&mut self, number: usize, end: Ordering) -> Result<(), StoreError> {
        self.at = None;
        if number < self.run.first_keys.len() {
            let block = (self.block)(&self.run, number)?;
            let index = if end == Ordering::Less { 0 } else { block.len().saturating_sub(1) };
            self.settle(block, number, index);
        }
        Ok(())
    }

    fn settle(&mut self, block: Arc<Block>, number: usize, index: usize) {
        let inside = block.key(index).is_some_and(|key| self.range.contains(key));
        self.at = inside.then_some((block, number, index));
    }
}

impl Cursor for RunCursor {
    fn current(&self) -> Option<(&[u8], Sequence)> {
        let (block, _, index) = self.at.as_ref()?;
        block.key(*index).zip(block.sequence(*index))
    }

    fn value(&self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.at.as_ref().and_then(|(block, _, index)| block.value(*index)))
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        let Some((block, number, index)) = self.at.take() else { return Ok(()) };
        match self.direction {
            Direction::Forward if index + 1 < block.len() => self.settle(block, number, index + 1),
            Direction::Forward => self.enter(number + 1, Ordering::Less)?,
            Direction::Reverse if index > 0 => self.settle(block, number, index - 1),
            Direction::Reverse if number > 0 => self.enter(number - 1, Ordering::Greater)?,
            Direction::Reverse => {}
        }
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StoreError> {
        narrow(&mut self.range, self.direction, key);
        self.start()
    }
}

/// Writes a run. Its entries must arrive in order.
pub(super) struct RunWriter {
    facts: RunFacts,
    builder: BlockBuilder,
    first_key: Option<Box<[u8]>>,
    first_keys: FirstKeys,
    parts: Parts,
    batch: SledBatch,
    disk: Arc<Disk>,
}

/// The key parts that the filter will hold.
enum Parts {
    /// Their hashes, if nobody knows how many there will be.
    Counted(Vec<u64>),
    /// The filter itself, and how many parts it holds. The hashes of a large merge would take hundreds of megabytes.
    Estimated(Bloom, usize),
}

impl RunWriter {
    /// A writer of entries from a memory table.
    pub(super) fn new(id: u64, level: u32, disk: Arc<Disk>) -> Self {
        Self::with(id, level, disk, Parts::Counted(Vec::new()))
    }

    /// A writer of what is merged from these runs.
    pub(super) fn merging(id: u64, level: u32, disk: Arc<Disk>, runs: &[Arc<Run>]) -> Self {
        // Parts that several runs hold are counted several times here.
        let most = runs.iter().map(|run| run.bloom.parts()).sum();
        Self::with(id, level, disk, Parts::Estimated(Bloom::for_at_most(most), 0))
    }

    fn with(id: u64, level: u32, disk: Arc<Disk>, parts: Parts) -> Self {
        let facts = RunFacts {
            id,
            level,
            blocks: 0,
            entries: 0,
            sequence_min: u64::MAX,
            sequence_max: 0,
            index_checksum: 0,
        };
        Self {
            facts,
            builder: BlockBuilder::default(),
            first_key: None,
            first_keys: FirstKeys::default(),
            parts,
            batch: SledBatch::default(),
            disk,
        }
    }

    pub(super) fn push(
        &mut self,
        key: &[u8],
        sequence: Sequence,
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        self.first_key.get_or_insert_with(|| key.into());
        let hash = hash(filter_part(key));
        match &mut self.parts {
            Parts::Counted(hashes) if hashes.last() == Some(&hash) => {}
            Parts::Counted(hashes) => hashes.push(hash),
            Parts::Estimated(bloom, count) => *count += usize::from(bloom.insert(hash)),
        }
        self.builder.push(key, sequence, value);
        self.facts.entries += 1;
        self.facts.sequence_min = self.facts.sequence_min.min(sequence.0);
        self.facts.sequence_max = self.facts.sequence_max.max(sequence.0);
        if self.builder.is_full() { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> Result<(), StoreError> {
        if let Some(first) = self.first_key.take() {
            self.first_keys.push(&first);
        }
        let stored = self.builder.finish();
        self.batch.put_block(self.facts.id, self.facts.blocks, stored);
        self.facts.blocks += 1;
        self.disk.write_when_large(&mut self.batch)
    }

    /// Writes the last block and the index. The run exists once a manifest names it. `None` if it has no entries.
    pub(super) fn finish(mut self) -> Result<Option<RunFacts>, StoreError> {
        if !self.builder.is_empty() {
            self.close_block()?;
        }
        if self.facts.entries == 0 {
            return Ok(None);
        }
        let mut index = Vec::new();
        self.first_keys.put(&mut index);
        let bloom = match self.parts {
            Parts::Counted(mut hashes) => {
                hashes.sort_unstable();
                hashes.dedup();
                Bloom::new(&hashes)
            }
            Parts::Estimated(bloom, count) => bloom.folded(count),
        };
        index.extend_from_slice(bloom.bytes());
        self.facts.index_checksum = crc32fast::hash(&index);
        self.batch.put_index(self.facts.id, &index);
        self.disk.write(&mut self.batch)?;
        Ok(Some(self.facts))
    }
}
