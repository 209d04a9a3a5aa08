//! The writer thread: takes the pending commits, checks their expectations, appends them to the journal with one sync for
//! all, makes them readable, and resolves their tickets.
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

/// While the disk is full, commits that nobody waits for (access records) are held for later. Beyond this many bytes the
/// store reports bad health, so that no access is allowed that cannot be recorded.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The error message if a write of sled does not return.
pub(super) const NO_ANSWER: &str =
    "sled does not come back from a write; everything is in the journal, and a restart reads it";
/// How long the writer waits before it tries again to write to a full disk.
const ROOM_PAUSE: Duration = Duration::from_millis(200);
/// Commits that nobody waits for are written without further delay once they have this many bytes.
const SOON_BYTES_MAX: usize = 1024 * 1024;

/// The queue between the writer, the background and those who commit.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// Notifies the writer of work.
    work: Condvar,
    /// Notifies everybody else of changes.
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    pending: VecDeque<Pending>,
    /// How many pending commits somebody waits for, and the size of all pending commits.
    awaited: usize,
    bytes: usize,
    /// How many commits are being written.
    writing: usize,
    closing: bool,
    /// Set when the store refuses all writes.
    stopped: Option<CommitError>,
    /// The last failure of the disk, in the words of the operating system.
    failure: Option<String>,
    /// The disk had no room for the last group.
    is_full: bool,
    /// A full table waits to be written to sled; the journal has begun a new file.
    frozen: bool,
    /// The first sequence of the open journal file.
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

    /// Hands a commit to the writer. A commit without a resolver may be delayed a little so that it shares a sync.
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

    /// Makes the writer finish what is pending and end.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
        self.changed.notify_all();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until a table must be written, at most for `patience`. `false` when the writer has ended.
    pub(super) fn wait_for_frozen(&self, patience: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, patience, |inner| !inner.frozen && !inner.ended)
            .unwrap_or_else(PoisonError::into_inner);
        !inner.ended
    }

    /// Whether somebody waits for the background: a table must be written, or the store closes.
    pub(super) fn is_awaited(&self) -> bool {
        let inner = self.lock();
        inner.frozen || inner.closing || inner.ended
    }

    pub(super) fn set_frozen(&self, frozen: bool) {
        self.lock().frozen = frozen;
        self.changed.notify_all();
    }

    /// Sets which journal file is open; the files before it are closed.
    pub(super) fn set_journal(&self, first: Sequence) {
        self.lock().journal_first = first;
    }

    pub(super) fn journal_first(&self) -> Sequence {
        self.lock().journal_first
    }

    /// Refuses all commits from now on, pending ones too.
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

    /// Waits before failed work is tried again, shorter if the writer ends.
    pub(super) fn pause(&self, patience: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |inner| !inner.ended);
        drop(waited);
    }

    /// Puts back commits that nobody waits for and that the disk had no room for; they come first in the next group. `false` if
    /// the store closes.
    fn hold(&self, batches: Vec<Batch>) -> bool {
        let mut inner = self.lock();
        if inner.closing {
            return false;
        }
        for batch in batches.into_iter().rev() {
            inner.bytes += batch.bytes();
            inner.pending.push_front(Pending::new(batch, None));
        }
        // Pauses, unless somebody waits for a commit: that one must be refused at once while the disk is full.
        let may_wait = |inner: &mut Inner| inner.awaited == 0 && !inner.closing;
        drop(self.work.wait_timeout_while(inner, ROOM_PAUSE, may_wait));
        true
    }

    /// Whether the held commits have reached their limit while the disk is full.
    pub(super) fn is_overfull(&self) -> bool {
        let inner = self.lock();
        inner.bytes >= HELD_BYTES_MAX && inner.is_full
    }

    /// Whether the last group was written.
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

    /// Whether anything that was handed over cannot be read yet.
    pub(super) fn is_behind(&self) -> bool {
        let inner = self.lock();
        inner.writing > 0 || !inner.pending.is_empty()
    }

    /// How many commits are pending, and their bytes.
    pub(super) fn pending(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.pending.len(), inner.bytes)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped.is_some()
    }

    /// The next group of commits; `None` when the queue is closed and empty.
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

    /// Waits until the background has written the older table. `false` if writes have stopped, if the store closes after a
    /// failure, or if sled does not return from a write, which stops the writes.
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

/// The state of the writer thread.
pub(super) struct Writer {
    pub(super) state: Arc<State>,
    pub(super) queue: Arc<Queue>,
    pub(super) journal: Journal,
    pub(super) seal: Seal,
    /// The last commit; its `first_row` is the next free row.
    pub(super) last: Committed,
    pub(super) clock: Arc<dyn Clock>,
    /// How long one write of sled may take.
    pub(super) answer_max: Duration,
    pub(super) table_bytes_max: usize,
    pub(super) journal_bytes_max: u64,
    /// Rows were erased: a new memory table and journal file must begin, so that the old ones can be purged of them.
    pub(super) is_erasing: bool,
}

/// The group's own writes, which are not readable yet, of those keys that an expectation of the group names.
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
        /// With more ranges than this, recording every key is cheaper than checking the ranges for each key.
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
    /// Runs until the queue is closed and empty.
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

    /// Begins a new table and a new journal file, after the background has written the table before.
    fn freeze(&mut self) -> bool {
        let is_stuck = || self.state.disk.writes_for() > self.answer_max;
        if !self.queue.wait_for_room(&is_stuck) {
            return false;
        }
        let next = Sequence(self.last.sequence.0 + 1);
        if self.journal.rotate(next, &self.seal).is_err() {
            // The old file still accepts records; the writer tries again after the next group.
            return true;
        }
        self.is_erasing = false;
        self.queue.set_journal(self.journal.first());
        // Set before the new table exists, since the background clears the flag whenever it has written a table.
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
                    // CHOICE: whatever the reason of the failure, nothing was written. So the store is intact, and the commits
                    // are refused as if the disk were full.
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
        let mut writes = Vec::with_capacity(written.iter().map(|(_, batch)| batch.writes.len()).sum());
        for (committed, batch) in written {
            for write in batch.writes {
                if let Some(row) = erased_row(&write.key).filter(|_| write.value.is_some()) {
                    erased.insert(row, committed.sequence);
                }
                writes.push((write.key, committed.sequence, write.value));
            }
        }
        // In their order neighbours follow each other, so most of the way to a place is still in the processor's cache. Of
        // several writes of a key in one commit the last counts, so the sort must be stable.
        writes.sort_by(|a, b| a.0.cmp(&b.0));
        // Pinning the epoch once makes the pins of the single insertions cheap.
        let _pinned = crossbeam_epoch::pin();
        for (key, sequence, value) in writes {
            table.insert(Bytes::from(key), sequence, value.map(Bytes::from));
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

/// The results of a group's commits, with a resolver where somebody waits.
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
