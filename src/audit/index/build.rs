//! Makes the index of the stored records, a few records at a time.
use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::log::Records;
use crate::store::{
    At, Batch, CommitError, Direction, Expectation, Flow, Key, KeyRange, Kv, Repository, Snapshot, Space,
    StoreError, Write,
};

use super::super::making::Making;
use super::super::place::RecordPlace;
use super::entries::INDEXED;
use super::events::Described;
use super::segment::{Segment, Summary, number_of, summaries, summary_key};
use super::shapes::Shapes;
use super::walk::View;

/// The version of the format of keys and values. An index of another version is made anew.
const FORMAT: u32 = 1;
/// The number of records in a segment.
const SEGMENT_RECORDS: usize = 1_024;
/// The maximum number of records that one step indexes; searches see them afterwards.
const RECORDS_READ: usize = 256;
/// The number of keys that one commit removes of an outdated index.
const KEYS_REMOVED: usize = 10_000;
/// How often taking a view is tried again because a segment was stored meanwhile.
const TRIES_MAX: usize = 4;

/// The index of one server's store. Records that do not fill a segment yet are held in memory.
pub struct AuditIndex {
    /// The number of records in a new segment.
    segment_records: usize,
    held: Mutex<OpenSegment>,
    /// Locked while records are indexed.
    shapes: Mutex<Shapes>,
}

impl Default for AuditIndex {
    fn default() -> Self {
        Self::with_segments_of(SEGMENT_RECORDS)
    }
}

#[derive(Default)]
struct OpenSegment {
    /// The last record of the last stored segment when this segment was begun.
    after: Option<RecordPlace>,
    segment: Arc<Segment>,
    /// Whether the form of the stored segments was checked.
    is_checked: bool,
}

impl AuditIndex {
    /// An index whose new segments get this many records each; stored segments keep what they have.
    #[must_use]
    pub(super) fn with_segments_of(segment_records: usize) -> Self {
        Self { segment_records, held: Mutex::default(), shapes: Mutex::default() }
    }

    /// A consistent view of the index and the store at this moment.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn view(&self, kv: &dyn Kv) -> Result<View, StoreError> {
        let mut tries = 0;
        loop {
            // The open segment is taken before the snapshot, so that the snapshot contains all of its records.
            let (after, segment) = {
                let held = self.held();
                (held.after, held.segment.clone())
            };
            let snapshot = kv.snapshot(At::Latest)?;
            let last = last_segment(&*snapshot)?;
            let continues = after == last.map(|(_, summary)| summary.last);
            tries += 1;
            if continues || tries >= TRIES_MAX {
                let held = Some(segment).filter(|segment| continues && !segment.body.records.is_empty());
                return Ok(View { snapshot, held, last });
            }
        }
    }

    /// Indexes some of the records that are not indexed yet. Returns whether there may be more.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or written.
    pub fn advance(&self, kv: &dyn Kv, making: &Making<'_>) -> Result<bool, StoreError> {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.held().is_checked {
            check_form(kv, making)?;
            self.held().is_checked = true;
        }
        let snapshot = kv.snapshot(At::Latest)?;
        let last = last_segment(&*snapshot)?;
        let after = last.map(|(_, summary)| summary.last);
        let (from, room) = {
            let mut held = self.held();
            if held.after != after {
                // Another server has stored a segment.
                *held = OpenSegment { after, is_checked: true, ..OpenSegment::default() };
            }
            let records = &held.segment.body.records;
            (
                records.last().map(|record| record.place).or(after),
                self.segment_records.saturating_sub(records.len()),
            )
        };
        let wanted = room.min(RECORDS_READ);
        let described = described(&*snapshot, from, wanted, (making, &mut shapes))?;
        let may_be_more = described.len() == wanted;
        let full = {
            let mut held = self.held();
            let segment = Arc::make_mut(&mut held.segment);
            described.into_iter().for_each(|described| segment.add(described));
            let is_full = segment.body.records.len() >= self.segment_records;
            is_full.then(|| held.segment.clone())
        };
        if let Some(segment) = full {
            let number = last.map_or(0, |(number, _)| number.saturating_add(1));
            let stored = store(kv, &segment, number)?;
            let after = if stored { segment.summary().map(|summary| summary.last) } else { None };
            *self.held() = OpenSegment { after, is_checked: true, ..OpenSegment::default() };
        }
        Ok(may_be_more)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, OpenSegment> {
        // No code panics while it holds this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most `wanted` records after a place, with the entries of their events.
pub(super) fn described(
    snapshot: &dyn Snapshot,
    after: Option<RecordPlace>,
    wanted: usize,
    (making, shapes): (&Making<'_>, &mut Shapes),
) -> Result<Vec<Described>, StoreError> {
    let repository = Repository::new(snapshot);
    let mut records = Records::new(snapshot, None, Direction::Forward, None).after(after);
    let mut described = Vec::new();
    while described.len() < wanted {
        let Some((place, access)) = records.read()? else { break };
        described.push(Described::of(&repository, place, &access, (making, shapes))?);
    }
    Ok(described)
}

/// The last stored segment.
pub(super) fn last_segment(snapshot: &dyn Snapshot) -> Result<Option<(u32, Summary)>, StoreError> {
    let mut found = None;
    snapshot.scan(&KeyRange::prefix(summaries()), Direction::Reverse, &mut |key, value| {
        found = number_of(key).zip(Summary::read(value));
        Flow::Stop
    })?;
    Ok(found)
}

fn failed(error: &CommitError) -> StoreError {
    StoreError::Io(error.to_string())
}

/// Stores a segment. Returns `false` if another server has stored one with that number.
fn store(kv: &dyn Kv, segment: &Segment, number: u32) -> Result<bool, StoreError> {
    let mut batch = Batch::default();
    batch.expectations.push(Expectation::Key { key: summary_key(number), sequence: None });
    let pairs = segment.pairs(number).into_iter();
    batch.writes = pairs.map(|(key, value)| Write { key, value: Some(value), ..Write::default() }).collect();
    match kv.commit(batch).wait() {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict { .. }) => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

fn form_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"audit-index").into_bytes()
}

/// What the entries depend on besides the records: the format, the parameters, and the base URL of the server.
fn form(making: &Making<'_>) -> String {
    let parameters = INDEXED.iter().fold(0, |all: u64, param| all.rotate_left(5) ^ param.fingerprint);
    format!("{FORMAT} {parameters:016x} {}", making.base_url)
}

/// The base URL for which the index was made, if there is an index.
pub(super) fn base_url_of_index(snapshot: &dyn Snapshot) -> Result<Option<String>, StoreError> {
    let found = snapshot.get(&form_key())?;
    let text = found.and_then(|(value, _)| String::from_utf8(value.to_vec()).ok());
    Ok(text.and_then(|text| text.splitn(3, ' ').nth(2).map(str::to_owned)))
}

/// Removes an index of another form: one of another release, or one for another base URL.
fn check_form(kv: &dyn Kv, making: &Making<'_>) -> Result<(), StoreError> {
    let form = form(making);
    let snapshot = kv.snapshot(At::Latest)?;
    if snapshot.get(&form_key())?.is_some_and(|(value, _)| value == form.as_bytes()) {
        return Ok(());
    }
    loop {
        let snapshot = kv.snapshot(At::Latest)?;
        let mut batch = Batch::default();
        snapshot.scan(
            &KeyRange::prefix(vec![Space::AuditIndex.byte()]),
            Direction::Forward,
            &mut |key, _| {
                batch.writes.push(Write { key: key.to_vec(), ..Write::default() });
                if batch.writes.len() < KEYS_REMOVED { Flow::Next } else { Flow::Stop }
            },
        )?;
        let is_last = batch.writes.len() < KEYS_REMOVED;
        if is_last {
            let value = Some(form.clone().into_bytes());
            batch.writes.push(Write { key: form_key(), value, ..Write::default() });
        }
        kv.commit(batch).wait().map_err(|error| failed(&error))?;
        if is_last {
            return Ok(());
        }
    }
}
