//! The one writer: takes the commits that have gathered, checks what they expect, seals them into the journal with one
//! sync for all, makes them readable, and answers.
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::store::clock::Clock;
use crate::store::key::erased_row;
use crate::store::kv::{Direction, StoreError};
use crate::store::pending::{Pending, WAIT_MAX, group, patience};
use crate::store::ticket::{CommitResult, Resolver};

use super::super::batch::{Batch, CommitError, Committed, Expectation, KeyRange, Sequence};
use super::commit_record::{Encoder, Seal};
use super::cursor;
use super::journal::{AppendError, Journal};
use super::state::State;
use super::table::Table;

/// While the disk is full commits that nobody waits for wait for room, up to so many bytes; then the store says that it is not well, and what
/// cannot be recorded is not let through any more.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What is said where sled does not return from a write.
pub(super) const NO_ANSWER: &str =
    "sled does not come back from a write; everything is in the journal, and a restart reads it";
/// How long the writer waits for room before it tries again.
const ROOM_PAUSE: Duration = Duration::from_millis(200);
/// So many bytes of such commits are written at once.
const SOON_BYTES_MAX: usize = 1024 * 1024;

/// What the writer and those who hand it work share.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// For the writer: there is something to do.
    work: Condvar,
    /// For all others.
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    pending: VecDeque<Pending>,
    /// How many of those that are pending somebody waits for, and the bytes of all.
    awaited: usize,
    bytes: usize,
    /// How many are being written.
    writing: usize,
    closing: bool,
    /// Why nothing more is written.
    stopped: Option<CommitError>,
    /// The last failure of the disk, in the words of the operating system.
    failure: Option<String>,
    /// The disk had no room for the last group.
    is_full: bool,
    /// The journal grew a new file and the table before is to be written down.
    frozen: bool,
    /// The first sequence of the file that the writer appends to.
    journal_first: Sequence,
    /// The writer has ended.
    ended: bool,
}

impl Inner {
    fn pop(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.awaited -= usize::from(pending.resolver.is_some());
        self.bytes -= pending.batch.bytes();
        Some(pending)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the writer a commit; without a resolver it may wait a moment for others.
    pub(super) fn push(&self, batch: Batch, resolver: Option<Resolver>) {
        let pending = Pending::new(batch, resolver);
        let mut inner = self.lock();
        if let Some(error) = inner.stopped.clone() {
            return pending.resolve(Err(error));
        }
        if inner.closing {
            return pending.resolve(Err(CommitError::Stopped));
        }
        let was_waiting = !inner.pending.is_empty();
        let is_awaited = pending.resolver.is_some();
        inner.awaited += usize::from(is_awaited);
        inner.bytes += pending.batch.bytes();
        let is_due = is_awaited || inner.bytes >= SOON_BYTES_MAX || !was_waiting;
        inner.pending.push_back(pending);
        drop(inner);
        if is_due {
            self.work.notify_one();
        }
    }

    /// Lets the writer finish what is queued and end.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
        self.changed.notify_all();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until a table is to be written down, or for so long. `false` when the writer has ended.
    pub(super) fn wait_for_frozen(&self, patience: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, patience, |inner| !inner.frozen && !inner.ended)
            .unwrap_or_else(PoisonError::into_inner);
        !inner.ended
    }

    /// Whether the background is waited for: a table is to be written down, or the store closes.
    pub(super) fn is_awaited(&self) -> bool {
        let inner = self.lock();
        inner.frozen || inner.closing || inner.ended
    }

    pub(super) fn set_frozen(&self, frozen: bool) {
        self.lock().frozen = frozen;
        self.changed.notify_all();
    }

    /// Says which file the writer appends to: those before it are closed.
    pub(super) fn set_journal(&self, first: Sequence) {
        self.lock().journal_first = first;
    }

    pub(super) fn journal_first(&self) -> Sequence {
        self.lock().journal_first
    }

    /// Refuses everything from now on.
    pub(super) fn stop(&self, failure: String) {
        let error = CommitError::Stopped;
        let mut inner = self.lock();
        inner.failure = Some(failure);
        inner.stopped = Some(error.clone());
        (inner.awaited, inner.bytes) = (0, 0);
        for pending in inner.pending.drain(..) {
            pending.resolve(Err(error.clone()));
        }
        self.changed.notify_all();
    }

    /// Waits before a failed work is tried again; shorter if the writer ends.
    pub(super) fn pause(&self, patience: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |inner| !inner.ended);
        drop(waited);
    }

    /// Takes back commits that nobody waits for and that the disk had no room for, to be written before all others. `false`
    /// if the store closes.
    fn hold(&self, batches: Vec<Batch>) -> bool {
        let mut inner = self.lock();
        if inner.closing {
            return false;
        }
        for batch in batches.into_iter().rev() {
            inner.bytes += batch.bytes();
            inner.pending.push_front(Pending::new(batch, None));
        }
        // Who waits is told at once that there is no room; these can wait.
        let may_wait = |inner: &mut Inner| inner.awaited == 0 && !inner.closing;
        drop(self.work.wait_timeout_while(inner, ROOM_PAUSE, may_wait));
        true
    }

    /// Whether so many commits wait for room that no more can.
    pub(super) fn is_overfull(&self) -> bool {
        let inner = self.lock();
        inner.bytes >= HELD_BYTES_MAX && inner.is_full
    }

    /// Whether the last commits were taken.
    pub(super) fn is_writable(&self) -> bool {
        let inner = self.lock();
        inner.stopped.is_none() && !inner.is_full
    }

    fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    pub(super) fn note(&self, failure: String) {
        self.lock().failure = Some(failure);
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Whether anything that was handed over is not readable yet.
    pub(super) fn is_behind(&self) -> bool {
        let inner = self.lock();
        inner.writing > 0 || !inner.pending.is_empty()
    }

    /// How many commits wait, and their bytes.
    pub(super) fn pending(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.pending.len(), inner.bytes)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped.is_some()
    }

    /// The next group, or `None` when there is nothing left and the store is closing.
    fn take_group(&self) -> Option<Vec<Pending>> {
        let mut inner = self.lock();
        inner.writing = 0;
        inner = self
            .work
            .wait_while(inner, |inner| inner.pending.is_empty() && !inner.closing)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(patience) = patience(&inner.pending) {
            let may_wait =
                |inner: &mut Inner| inner.awaited == 0 && inner.bytes < SOON_BYTES_MAX && !inner.closing;
            let waited = self.work.wait_timeout_while(inner, patience, may_wait);
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let group = group(|| inner.pop());
        inner.writing = group.len();
        (!group.is_empty()).then_some(group)
    }

    /// Waits until the background has written the older table down. `false` if writing has stopped meanwhile, or if the
    /// background is stuck, which stops it.
    fn wait_for_room(&self, is_stuck: &dyn Fn() -> bool) -> bool {
        let mut inner = self.lock();
        while inner.frozen && inner.stopped.is_none() && !(inner.closing && inner.failure.is_some()) {
            let patience = Duration::from_millis(500);
            (inner, _) = self.changed.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner);
            if inner.frozen && is_stuck() {
                drop(inner);
                self.stop(NO_ANSWER.to_owned());
                return false;
            }
            while inner.pending.front().is_some_and(|pending| pending.since.elapsed() > WAIT_MAX) {
                if let Some(pending) = inner.pop() {
                    pending.resolve(Err(CommitError::Busy));
                }
            }
        }
        inner.stopped.is_none() && !inner.frozen
    }
}

/// The writer's own state.
pub(super) struct Writer {
    pub(super) state: Arc<State>,
    pub(super) queue: Arc<Queue>,
    pub(super) journal: Journal,
    pub(super) seal: Seal,
    /// The last commit; `first_row` is the next free row.
    pub(super) last: Committed,
    pub(super) clock: Arc<dyn Clock>,
    /// How long one write of sled may take.
    pub(super) answer_max: Duration,
    pub(super) table_bytes_max: usize,
    pub(super) journal_bytes_max: u64,
    /// Something was erased: what was written before is to leave the memory table and the open file.
    pub(super) is_erasing: bool,
}

/// What the commits of a group have written, which nobody else can see yet: of the keys that one of them expects something of.
#[derive(Default)]
struct Overlay {
    written: BTreeMap<Vec<u8>, (Sequence, bool)>,
    expected: HashSet<Vec<u8>>,
    ranges: Vec<KeyRange>,
}

impl Overlay {
    fn of(group: &[Pending]) -> Self {
        let mut overlay = Self::default();
        if group.len() > 1 {
            for expectation in group.iter().flat_map(|pending| &pending.batch.expectations) {
                match expectation {
                    Expectation::Key { key, .. } => drop(overlay.expected.insert(key.clone())),
                    Expectation::Unchanged { range, .. } => overlay.ranges.push(range.clone()),
                }
            }
        }
        overlay
    }

    fn note(&mut self, committed: Committed, batch: &Batch) {
        /// To ask more ranges than this takes longer than to note what nobody asks for.
        const RANGES_MAX: usize = 8;
        let is_asked_for = |key: &Vec<u8>| {
            self.ranges.len() > RANGES_MAX
                || self.expected.contains(key)
                || self.ranges.iter().any(|range| range.contains(key))
        };
        for write in batch.writes.iter().filter(|write| is_asked_for(&write.key)) {
            self.written.insert(write.key.clone(), (committed.sequence, write.value.is_some()));
        }
    }
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(group) = self.queue.take_group() {
            if !self.write(group) || (self.is_table_full() && !self.freeze()) {
                break;
            }
        }
        self.queue.end();
    }

    fn is_table_full(&self) -> bool {
        let sources = self.state.sources();
        let bytes = sources.tables.first().map_or(0, |table| table.bytes());
        self.is_erasing || bytes >= self.table_bytes_max || self.journal.len() >= self.journal_bytes_max
    }

    /// Begins a new table and a new journal file, once the table before is written down.
    fn freeze(&mut self) -> bool {
        let is_stuck = || self.state.disk.writes_for() > self.answer_max;
        if !self.queue.wait_for_room(&is_stuck) {
            return false;
        }
        let next = Sequence(self.last.sequence.0 + 1);
        if self.journal.rotate(next, &self.seal).is_err() {
            // The old file still takes records; the next group tries again.
            return true;
        }
        self.is_erasing = false;
        self.queue.set_journal(self.journal.first());
        // Said before it is so: the background clears the flag only after it has written a table down.
        self.queue.set_frozen(true);
        self.state.replace(|sources| sources.tables.insert(0, Arc::new(Table::default())));
        true
    }

    fn write(&mut self, group: Vec<Pending>) -> bool {
        let mut encoder =
            Encoder { seal: self.seal, bytes: Vec::new(), group: Sequence(self.last.sequence.0 + 1) };
        let mut overlay = Overlay::of(&group);
        let mut written: Vec<(Committed, Batch)> = Vec::new();
        let mut is_soon: Vec<bool> = Vec::new();
        let mut answers: Answers = Vec::new();
        let mut last = self.last;
        for Pending { mut batch, resolver, .. } in group {
            let answer = match self.holds(&batch, &overlay) {
                Ok(true) => {
                    let committed = last.next(&batch, self.clock.now());
                    batch.stamp(committed);
                    match encoder.push(committed, &batch) {
                        Ok(()) => {
                            overlay.note(committed, &batch);
                            last = Committed { first_row: committed.first_row + batch.rows, ..committed };
                            written.push((committed, batch));
                            is_soon.push(resolver.is_none());
                            Ok(committed)
                        }
                        Err(_) => Err(CommitError::Full),
                    }
                }
                Ok(false) => Err(CommitError::Conflict { readable_at: last.sequence }),
                Err(_) => Err(CommitError::Stopped),
            };
            answers.push((resolver, answer));
        }
        if !written.is_empty() {
            match self.journal.append(&encoder.bytes) {
                Ok(()) => {
                    self.seal = encoder.seal;
                    self.last = last;
                    self.queue.set_full(false);
                    self.publish(written);
                }
                Err(AppendError::NothingWritten(error)) => {
                    // CHOICE: whatever kept the operating system from taking the bytes, nothing of them was kept, so
                    // the store is whole and says that it has no room.
                    self.queue.note(error.to_string());
                    self.queue.set_full(true);
                    fail(answers, &CommitError::Full);
                    let soon = written.into_iter().zip(is_soon).filter(|(_, is_soon)| *is_soon);
                    let held: Vec<Batch> = soon.map(|((_, batch), _)| batch).collect();
                    if !held.is_empty() && !self.queue.hold(held) {
                        tracing::error!(
                            "records of accesses were lost: there was no room for them until the end"
                        );
                    }
                    return true;
                }
                Err(AppendError::Unknown(error)) => {
                    self.queue.stop(error.to_string());
                    fail(answers, &CommitError::Stopped);
                    return false;
                }
            }
        }
        for (resolver, answer) in answers {
            if let Some(resolver) = resolver {
                resolver.resolve(answer);
            }
        }
        true
    }

    fn publish(&mut self, written: Vec<(Committed, Batch)>) {
        let sources = self.state.sources();
        let Some(table) = sources.tables.first() else { return };
        let mut erased = BTreeMap::new();
        // Held, it spares each insertion from asking all other threads how far they are.
        let _pinned = crossbeam_epoch::pin();
        for (committed, batch) in written {
            for write in batch.writes {
                if let Some(row) = erased_row(&write.key).filter(|_| write.value.is_some()) {
                    erased.insert(row, committed.sequence);
                }
                table.insert(Bytes::from(write.key), committed.sequence, write.value.map(Bytes::from));
            }
        }
        table.set_last(self.last);
        if !erased.is_empty() {
            self.is_erasing = true;
            self.state.erase(&erased);
        }
        self.state.publish(self.last.sequence, self.last.time);
        if let Some(newest) = erased.values().max() {
            self.state.forget_before(*newest);
        }
    }

    fn holds(&self, batch: &Batch, overlay: &Overlay) -> Result<bool, StoreError> {
        if batch.expectations.is_empty() {
            return Ok(true);
        }
        let sources = self.state.sources();
        for expectation in &batch.expectations {
            let holds = match expectation {
                Expectation::Key { key, sequence } => {
                    let newest = match overlay.written.get(key) {
                        Some((sequence, true)) => Some(*sequence),
                        Some((_, false)) => None,
                        None => self
                            .state
                            .newest(&sources, key, Sequence(u64::MAX))?
                            .and_then(|(sequence, value)| value.map(|_| sequence)),
                    };
                    newest == *sequence
                }
                Expectation::Unchanged { range, since } => {
                    let mut pending = overlay.written.range(range.start.clone()..range.end.clone());
                    pending.next().is_none() && !self.changed_since(range, *since)?
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn changed_since(&self, range: &KeyRange, since: Sequence) -> Result<bool, StoreError> {
        let mut sources = super::state::Sources::clone(&*self.state.sources());
        sources.runs.retain(|run| run.facts.sequence_max > since.0);
        let mut cursors = self.state.cursors(&sources, range, Direction::Forward)?;
        let (mut key, mut versions) = (Vec::new(), Vec::new());
        while cursor::next_key(&mut cursors, Direction::Forward, &mut key, &mut versions)? {
            if versions.drain(..).any(|version| version.sequence > since) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What each commit of a group is told, where somebody waits.
type Answers = Vec<(Option<Resolver>, CommitResult)>;

fn fail(answers: Answers, error: &CommitError) {
    for (resolver, answer) in answers {
        let Some(resolver) = resolver else { continue };
        let answer = match answer {
            Err(CommitError::Conflict { readable_at }) => Err(CommitError::Conflict { readable_at }),
            _ => Err(error.clone()),
        };
        resolver.resolve(answer);
    }
}
