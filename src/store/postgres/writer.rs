//! The writer thread of this process: takes the pending commits, acquires the lock that all writers share, checks the
//! commits' expectations, and writes them in one transaction.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postgres::types::{ToSql, Type};
use postgres::{Client, Row, SimpleQueryMessage, Transaction};

use crate::model::hex;
use crate::store::clock::Clock;
use crate::store::key::{Space, erased_row};
use crate::store::kv::NotWritable;
use crate::store::pending::{Pending, WAIT_MAX, group, patience};
use crate::store::random::random_bytes;
use crate::store::ticket::{CommitResult, Resolver};

use super::super::batch::{Batch, CommitError, Committed, Expectation, Sequence};
use super::PostgresOptions;
use super::numbers::{number, sequence};
use super::schema::ConnectionError;
use super::shared::Shared;

/// How long the writer waits before it tries a database again that did not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// How often the writer checks a database that did not answer, while there is nothing to commit.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The advisory lock of long readers, such as a backup: while anybody holds it shared, nothing is dropped.
pub(super) const KEEPING: i64 = 0x6368_6172_746b_6565;
/// How often outdated versions are dropped, and how many keys at once.
const TIDY_EVERY: Duration = Duration::from_secs(10);
const TIDIED_MAX: i64 = 10_000;

#[derive(Default)]
struct Inner {
    pending: VecDeque<Pending>,
    closing: bool,
    /// Whether a group of commits is being written.
    is_writing: bool,
    /// The database's last error, until it answers again.
    failure: Option<String>,
}

/// The queue between the writer and those who commit.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, batch: Batch, resolver: Option<Resolver>) {
        let pending = Pending::new(batch, resolver);
        let mut inner = self.lock();
        if inner.closing {
            return pending.resolve(Err(CommitError::Stopped));
        }
        inner.pending.push_back(pending);
        drop(inner);
        self.changed.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().pending.len()
    }

    /// The database's last error, if it has not answered since.
    pub(super) fn health(&self) -> Result<(), NotWritable> {
        self.lock().failure.clone().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Whether anything that was handed over cannot be read yet.
    pub(super) fn is_behind(&self) -> bool {
        let inner = self.lock();
        inner.is_writing || !inner.pending.is_empty()
    }

    fn set_failure(&self, failure: Option<String>) {
        self.lock().failure = failure;
    }

    /// Waits for commits and takes a group. The group is empty when it is time for other work; `None` when the queue is closed
    /// and empty.
    fn take_group(&self) -> Option<Vec<Pending>> {
        self.lock().is_writing = false;
        let is_idle = |inner: &mut Inner| inner.pending.is_empty() && !inner.closing;
        let idle_max = if self.lock().failure.is_some() { LOOK_EVERY } else { TIDY_EVERY };
        let waited = self.changed.wait_timeout_while(self.lock(), idle_max, is_idle);
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(patience) = patience(&inner.pending) {
            let may_wait = |inner: &mut Inner| {
                inner.pending.iter().all(|pending| pending.resolver.is_none()) && !inner.closing
            };
            let waited = self.changed.wait_timeout_while(inner, patience, may_wait);
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let group = group(|| inner.pending.pop_front());
        inner.is_writing = !group.is_empty();
        (!group.is_empty() || !inner.closing).then_some(group)
    }

    /// Waits before the database is tried again, unless the store closes.
    fn pause(&self) {
        let inner = self.lock();
        drop(self.changed.wait_timeout_while(inner, PAUSE, |inner| !inner.closing));
    }
}

/// The head row of the database, read under its lock.
struct Head {
    last: Committed,
}

/// How writing a group ended.
enum GroupResult {
    /// The group is done; the results are in the order of its commits.
    Answered(Vec<CommitResult>),
    /// Nothing was written; the text is the database's error.
    Failed(String),
    /// It is unknown whether the group was written, since the database does not answer.
    LeftOpen(String),
}

/// The state of the writer thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    retained: Duration,
    reading: Duration,
    client: Option<Box<Client>>,
    tidied: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        clock: Arc<dyn Clock>,
        options: &PostgresOptions,
    ) -> Self {
        let (retained, reading) = (options.retained, options.reading);
        Self { shared, queue, clock, retained, reading, client: None, tidied: None }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(group) = self.queue.take_group() {
            if !group.is_empty() {
                self.write(group);
            } else if self.queue.health().is_err() {
                self.look();
            }
            if self.tidied.is_none_or(|tidied| tidied.elapsed() >= TIDY_EVERY) {
                self.tidied = Some(Instant::now());
                // If this fails, the next round drops the versions.
                if self.tidy().is_err() {
                    self.client = None;
                }
            }
        }
    }

    fn write(&mut self, mut group: Vec<Pending>) {
        loop {
            let (id, now) = (unique(), self.clock.now());
            let went = match self.connected() {
                Ok(client) => {
                    let batches: Vec<&Batch> = group.iter().map(|pending| &pending.batch).collect();
                    match commit_group(client, (&batches, &id), now) {
                        Ok(answers) => GroupResult::Answered(answers),
                        Err(broken) => {
                            self.client = None;
                            self.what_became_of(&id, broken)
                        }
                    }
                }
                Err(error) => GroupResult::Failed(error.to_string()),
            };
            match went {
                GroupResult::Answered(answers) => {
                    self.queue.set_failure(None);
                    for (pending, answer) in group.into_iter().zip(answers) {
                        pending.resolve(answer);
                    }
                    return;
                }
                GroupResult::LeftOpen(failure) => {
                    tracing::error!(failure, "whether the database took the last commits is not known");
                    self.queue.set_failure(Some(failure));
                    for pending in group {
                        pending.resolve(Err(CommitError::Busy));
                    }
                    return;
                }
                GroupResult::Failed(failure) => {
                    tracing::error!(failure, "the database took no commits");
                    self.queue.set_failure(Some(failure));
                    let is_late = |pending: &Pending| pending.since.elapsed() >= WAIT_MAX;
                    let (late, left): (Vec<Pending>, Vec<Pending>) = group.into_iter().partition(is_late);
                    for pending in late {
                        pending.resolve(Err(CommitError::Busy));
                    }
                    if left.is_empty() {
                        return;
                    }
                    group = left;
                    self.queue.pause();
                }
            }
        }
    }

    /// Checks whether a database that did not answer does so again.
    fn look(&mut self) {
        let answers =
            self.connected().and_then(|client| client.batch_execute("SELECT 1").map_err(ConnectionError::of));
        match answers {
            Ok(()) => {
                tracing::info!("the database answers again");
                self.queue.set_failure(None);
            }
            Err(_) => self.client = None,
        }
    }

    fn connected(&mut self) -> Result<&mut Client, ConnectionError> {
        if self.client.as_ref().is_some_and(|client| client.is_closed()) {
            self.client = None;
        }
        match &mut self.client {
            Some(client) => Ok(client),
            empty => Ok(empty.insert(self.shared.pool.connect()?)),
        }
    }

    /// Finds out whether a group was written whose connection broke during the commit. Under the lock of all writers, the
    /// group's id is either in the database or will never be.
    fn what_became_of(&mut self, id: &Id, Broken { error, answers }: Broken) -> GroupResult {
        let Some(answers) = answers else { return GroupResult::Failed(error.to_string()) };
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            if let Ok(client) = self.connected() {
                match is_there(client, id) {
                    Ok(true) => return GroupResult::Answered(answers),
                    Ok(false) => return GroupResult::Failed(error.to_string()),
                    Err(_) => self.client = None,
                }
            }
            if Instant::now() >= deadline {
                // Unknown. `Busy` tells the waiting callers to read the state again before they retry.
                return GroupResult::LeftOpen(error.to_string());
            }
            self.queue.pause();
        }
    }

    /// Advances the oldest state that can be opened, and drops versions that nobody can read.
    fn tidy(&mut self) -> Result<(), ConnectionError> {
        let now = self.clock.now();
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let (retained, reading) =
            (now.saturating_sub(millis(self.retained)), now.saturating_sub(millis(self.reading)));
        let oldest_used = self.shared.oldest_used();
        let client = self.connected()?;
        let mut transaction = client.transaction().map_err(ConnectionError::of)?;
        let free =
            asked(&mut transaction, "SELECT pg_try_advisory_xact_lock($1)", &[(&KEEPING, Type::INT8)])?;
        if !free.first().is_some_and(|row| row.get(0)) {
            // A backup may read its snapshot for longer than any request.
            return Ok(());
        }
        head(&mut transaction)?;
        let moved = "UPDATE head SET horizon = GREATEST(horizon, \
             (SELECT COALESCE(MAX(sequence), 0) FROM commits WHERE time < $1)) RETURNING horizon";
        let rows = asked(&mut transaction, moved, &[(&retained, Type::INT8)])?;
        let horizon = rows.first().map_or(0, |row| row.get::<_, i64>(0));
        // A state that can no longer be opened may still be read through a snapshot that was opened earlier.
        let rows = asked(
            &mut transaction,
            "SELECT COALESCE(MAX(sequence), 0) FROM commits WHERE time < $1",
            &[(&reading, Type::INT8)],
        )?;
        let read_no_more = rows.first().map_or(0, |row| row.get::<_, i64>(0));
        let oldest_used = oldest_used.map_or(i64::MAX, number);
        let free = horizon.min(read_no_more).min(oldest_used);
        let dropped = "WITH freed AS (DELETE FROM outdated WHERE ctid IN (SELECT ctid FROM outdated WHERE sequence <= $1 \
             ORDER BY sequence LIMIT $2) RETURNING key, since), \
             newest AS (SELECT key, MAX(since) AS since FROM freed GROUP BY key) \
             DELETE FROM entries USING newest WHERE entries.key = newest.key \
             AND (entries.sequence < newest.since OR (entries.sequence = newest.since AND entries.value IS NULL))";
        asked(&mut transaction, dropped, &[(&free, Type::INT8), (&TIDIED_MAX, Type::INT8)])?;
        asked(&mut transaction, "DELETE FROM commits WHERE sequence < $1", &[(&free, Type::INT8)])?;
        transaction.commit().map_err(ConnectionError::of)
    }
}

/// The random id of a group of commits.
type Id = [u8; 16];

fn unique() -> Id {
    // Without randomness ids are equal, and a group whose connection broke could be mistaken for another one.
    random_bytes().unwrap_or_default()
}

fn text(id: &Id) -> String {
    hex(id)
}

fn asked(
    transaction: &mut Transaction<'_>,
    statement: &str,
    params: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, ConnectionError> {
    transaction.query_typed(statement, params).map_err(ConnectionError::of)
}

/// Reads the head row with the lock that every writer takes first. Later reads in this transaction see all earlier commits.
fn head(transaction: &mut Transaction<'_>) -> Result<Head, ConnectionError> {
    let rows = asked(transaction, "SELECT sequence, time, next_row FROM head FOR UPDATE", &[])?;
    let row = rows.first().ok_or_else(|| ConnectionError("the table head is empty".to_owned()))?;
    let first_row = u64::try_from(row.get::<_, i64>(2)).unwrap_or(1);
    Ok(Head { last: Committed { sequence: sequence(row.get(0)), time: row.get(1), first_row } })
}

/// Keys that the group has written so far: the sequence, and whether the key exists.
type Overlay = BTreeMap<Vec<u8>, (Sequence, bool)>;

/// What a group of commits writes.
#[derive(Default)]
struct Written {
    keys: Vec<Vec<u8>>,
    sequences: Vec<i64>,
    values: Vec<Option<Vec<u8>>>,
    overlay: Overlay,
    /// Keys that may have older versions, each with the commit from which on nobody needs those.
    outdated: Vec<(Vec<u8>, i64)>,
    /// The last commit of the group that erases rows.
    erased: Option<i64>,
}

impl Written {
    fn add(&mut self, committed: Committed, batch: Batch) {
        let at = number(committed.sequence);
        if batch.writes.iter().any(|write| write.value.is_some() && erased_row(&write.key).is_some()) {
            self.erased = Some(at);
        }
        // Of several writes of one key in a commit, the last one counts.
        let mut last: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for write in batch.writes {
            last.insert(write.key, write.value);
        }
        for (key, value) in last {
            let is_new = matches!(
                Space::of(&key),
                Some(Space::Record | Space::History | Space::Audit | Space::AuditPatient)
            );
            if !is_new || value.is_none() {
                self.outdated.push((key.clone(), at));
            }
            self.overlay.insert(key.clone(), (committed.sequence, value.is_some()));
            self.keys.push(key);
            self.sequences.push(at);
            self.values.push(value);
        }
    }
}

/// A group whose commit was not acknowledged.
struct Broken {
    error: ConnectionError,
    /// Set if the connection broke during the commit: the results, in case the database has the group after all.
    answers: Option<Vec<CommitResult>>,
}

impl From<ConnectionError> for Broken {
    fn from(error: ConnectionError) -> Self {
        Self { error, answers: None }
    }
}

/// A transaction that holds the lock of all writers. Dropped before its commit, it is rolled back.
struct Locked<'c> {
    client: &'c mut Client,
    is_open: bool,
}

impl<'c> Locked<'c> {
    /// Begins the transaction and reads the head row with the lock, in one round trip.
    fn begin(client: &'c mut Client) -> Result<(Self, Head), ConnectionError> {
        const STATEMENTS: &str = "BEGIN; SELECT sequence, time, next_row FROM head FOR UPDATE";
        let transaction = Self { client, is_open: true };
        let answered = transaction.client.simple_query(STATEMENTS).map_err(ConnectionError::of)?;
        let row = answered.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or_else(|| ConnectionError("the table head is empty".to_owned()))?;
        let column = |column: usize| {
            let number = row.get(column).and_then(|text| text.parse::<i64>().ok());
            number.ok_or_else(|| ConnectionError("the table head holds no numbers".to_owned()))
        };
        let first_row = u64::try_from(column(2)?).unwrap_or(1);
        let last = Committed { sequence: sequence(column(0)?), time: column(1)?, first_row };
        Ok((transaction, Head { last }))
    }

    fn ask(
        &mut self,
        statement: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, ConnectionError> {
        self.client.query_typed(statement, params).map_err(ConnectionError::of)
    }

    fn commit(mut self) -> Result<(), ConnectionError> {
        self.is_open = false;
        self.client.batch_execute("COMMIT").map_err(ConnectionError::of)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // If the connection is broken, the database rolls back by itself.
            let _ = self.client.batch_execute("ROLLBACK");
        }
    }
}

/// Checks the expectations of a group and writes it in one transaction.
fn commit_group(
    client: &mut Client,
    (batches, id): (&[&Batch], &Id),
    now: i64,
) -> Result<Vec<CommitResult>, Broken> {
    let (mut transaction, Head { mut last }) = Locked::begin(client)?;
    let known = newest(&mut transaction, batches)?;
    let mut written = Written::default();
    let mut answers = Vec::new();
    for batch in batches {
        if !holds(&mut transaction, batch, (&known, &written.overlay))? {
            answers.push(Err(CommitError::Conflict { readable_at: last.sequence }));
            continue;
        }
        let committed = last.next(batch, now);
        let mut batch = Batch::clone(batch);
        batch.stamp(committed);
        last = Committed { first_row: committed.first_row + batch.rows, ..committed };
        written.add(committed, batch);
        answers.push(Ok(committed));
    }
    if written.keys.is_empty() && !answers.iter().any(Result::is_ok) {
        return Ok(answers);
    }
    let (keys, since): (Vec<Vec<u8>>, Vec<i64>) = written.outdated.into_iter().unzip();
    let next_row = i64::try_from(last.first_row).unwrap_or(i64::MAX);
    // One statement is one round trip.
    let statement = "WITH written AS (INSERT INTO entries (key, sequence, value) SELECT * FROM unnest($1, $2, $3)), \
         old AS (INSERT INTO outdated (sequence, key, since) SELECT since, key, since FROM unnest($4, $5) AS new (key, since)), \
         group_of AS (INSERT INTO commits (sequence, time, id) VALUES ($6, $7, $10::text::uuid)) \
         UPDATE head SET sequence = $6, time = $7, next_row = $8, horizon = GREATEST(horizon, $9)";
    transaction.ask(
        statement,
        &[
            (&written.keys, Type::BYTEA_ARRAY),
            (&written.sequences, Type::INT8_ARRAY),
            (&written.values, Type::BYTEA_ARRAY),
            (&keys, Type::BYTEA_ARRAY),
            (&since, Type::INT8_ARRAY),
            (&number(last.sequence), Type::INT8),
            (&last.time, Type::INT8),
            (&next_row, Type::INT8),
            (&written.erased.unwrap_or(0), Type::INT8),
            (&text(id), Type::TEXT),
        ],
    )?;
    match transaction.commit() {
        Ok(()) => Ok(answers),
        Err(error) => Err(Broken { error, answers: Some(answers) }),
    }
}

/// The sequence of the newest version of every key that the group's expectations name; absent keys are missing.
fn newest(
    transaction: &mut Locked<'_>,
    batches: &[&Batch],
) -> Result<BTreeMap<Vec<u8>, Sequence>, ConnectionError> {
    let expectations = batches.iter().flat_map(|batch| &batch.expectations);
    let keys: BTreeSet<&Vec<u8>> = expectations
        .filter_map(|expectation| match expectation {
            Expectation::Key { key, .. } => Some(key),
            Expectation::Unchanged { .. } => None,
        })
        .collect();
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let keys: Vec<&Vec<u8>> = keys.into_iter().collect();
    let statement = "SELECT wanted.key, newest.sequence FROM unnest($1) AS wanted (key), LATERAL \
         (SELECT sequence, value FROM entries WHERE entries.key = wanted.key ORDER BY sequence DESC LIMIT 1) AS newest \
         WHERE newest.value IS NOT NULL";
    let rows = transaction.ask(statement, &[(&keys, Type::BYTEA_ARRAY)])?;
    Ok(rows.iter().map(|row| (row.get(0), sequence(row.get(1)))).collect())
}

/// Whether the expectations of a commit hold after the commits before it in its group.
fn holds(
    transaction: &mut Locked<'_>,
    batch: &Batch,
    (known, overlay): (&BTreeMap<Vec<u8>, Sequence>, &Overlay),
) -> Result<bool, ConnectionError> {
    for expectation in &batch.expectations {
        let holds = match expectation {
            Expectation::Key { key, sequence } => {
                let newest = match overlay.get(key) {
                    Some((sequence, true)) => Some(*sequence),
                    Some((_, false)) => None,
                    None => known.get(key).copied(),
                };
                newest == *sequence
            }
            Expectation::Unchanged { range, since } => {
                let is_pending = overlay.range(range.start.clone()..range.end.clone()).next().is_some();
                !is_pending
                    && {
                        let statement = "SELECT EXISTS (SELECT 1 FROM entries WHERE key >= $1 AND key < $2 AND sequence > $3)";
                        let params: [(&(dyn ToSql + Sync), Type); 3] = [
                            (&range.start, Type::BYTEA),
                            (&range.end, Type::BYTEA),
                            (&number(*since), Type::INT8),
                        ];
                        let rows = transaction.ask(statement, &params)?;
                        !rows.first().is_some_and(|row| row.get(0))
                    }
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the database has a group of commits. Takes the writers' lock, so the answer is final.
fn is_there(client: &mut Client, id: &Id) -> Result<bool, ConnectionError> {
    let mut transaction = client.transaction().map_err(ConnectionError::of)?;
    head(&mut transaction)?;
    let statement = "SELECT sequence FROM commits WHERE id = $1::text::uuid";
    let rows = asked(&mut transaction, statement, &[(&text(id), Type::TEXT)])?;
    Ok(!rows.is_empty())
}
