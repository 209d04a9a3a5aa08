//! The PostgreSQL backend, for installations that outgrow one machine: the same keys, with one table row for each version
//! of a key. Several servers may share one database: the lock of one table row makes their commits sequential, and every
//! request reads its own snapshot.
//!
//! | table | columns |
//! |---|---|
//! | entries | key, sequence, value (null: the key was removed); one row for each version |
//! | head | the last sequence and time, the next row, the oldest state that can still be opened, the table format |
//! | commits | the last sequence of each group of commits, its time, and a random id by which its writer recognises it |
//! | outdated | keys that a commit wrote again or removed: their older versions are dropped once nobody can read them |
mod kept;
mod numbers;
mod options;
mod pool;
mod schema;
mod shared;
mod snapshot;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::batch::Batch;
use super::clock::Clock;
use super::kv::{At, Figure, Kv, NotWritable, Snapshot, StoreError};
use super::ticket::Ticket;
use kept::Kept;
use pool::Pool;
use snapshot::PostgresSnapshot;
use writer::{Queue, Writer};

pub use options::PostgresOptions;
pub use schema::ConnectionError;
use shared::Shared;

/// A store in a PostgreSQL database.
pub struct Postgres {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Postgres {
    /// Connects to the database, and creates the tables if they are missing.
    ///
    /// # Errors
    /// If the database cannot be reached, is a standby, may lose acknowledged commits, or has tables of another format.
    pub fn open(options: &PostgresOptions, clock: Arc<dyn Clock>) -> Result<Self, ConnectionError> {
        let pool = Pool::new(options)?;
        schema::prepare(&mut *pool.connect()?, &options.schema)?;
        let shared = Arc::new(Shared { pool, kept: Kept::new(options.kept_bytes), used: Mutex::default() });
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(shared.clone(), queue.clone(), clock, options);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| ConnectionError(error.to_string()))?;
        Ok(Self { shared, queue, writer: Mutex::new(Some(thread)) })
    }

    /// Drops the schema with all its data. A store that is still open on it can no longer be used.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub fn destroy(options: &PostgresOptions) -> Result<(), ConnectionError> {
        schema::destroy(&mut *Pool::new(options)?.connect()?, &options.schema)
    }

    /// Writes the commits that are still pending and stops the writer.
    pub fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the writer needs no handling: a commit that is dropped unresolved is answered with `Stopped`.
        let _ = writer.map(JoinHandle::join);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.close();
    }
}

impl Kv for Postgres {
    fn snapshot(&self, at: At) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(PostgresSnapshot::begin(&self.shared, at)?))
    }

    fn health(&self) -> Result<(), NotWritable> {
        self.queue.health()
    }

    fn is_local(&self) -> bool {
        false
    }

    fn keep(&self) -> Result<Box<dyn Send>, StoreError> {
        let failed = |error: ConnectionError| StoreError::Io(error.to_string());
        let mut client = self.shared.pool.connect().map_err(failed)?;
        let statement = format!("SELECT pg_advisory_lock_shared({})", writer::KEEPING);
        client.batch_execute(&statement).map_err(ConnectionError::of).map_err(failed)?;
        // The lock is released when the connection closes.
        Ok(Box::new(Mutex::new(client)))
    }

    fn figures(&self) -> Vec<Figure> {
        let count = |value: usize| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
        let figure = |name, help, value| Figure { name, help, value };
        vec![
            figure(
                "store_writable",
                "1 while writes are accepted",
                f64::from(u8::from(self.health().is_ok())),
            ),
            figure("store_commits_pending", "Commits that wait for the writer", count(self.queue.len())),
            figure("store_connections", "Open connections to the database", count(self.shared.pool.open())),
            figure("store_snapshots", "Snapshots in use", count(self.shared.used().values().sum())),
        ]
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let (ticket, resolver) = Ticket::new();
        self.queue.push(batch, Some(resolver));
        ticket
    }

    fn commit_soon(&self, batch: Batch) {
        self.queue.push(batch, None);
    }

    fn is_behind(&self) -> bool {
        self.queue.is_behind()
    }
}

#[cfg(test)]
mod tests {
    use crate::store::batch::CommitError;
    use crate::store::batch::Expectation;
    use crate::store::batch::Write;
    use std::collections::BTreeMap;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::store::SystemClock;
    use crate::store::batch::KeyRange;
    use crate::store::kv::{Direction, Flow};
    use crate::store::suite::database;

    #[test]
    fn what_is_acknowledged_is_there_when_connections_break() {
        let Some(url) = database("what_is_acknowledged_is_there_when_connections_break") else { return };
        let schema = format!("broken_{}", std::process::id());
        let options = PostgresOptions { schema: schema.clone(), ..PostgresOptions::new(&url) };
        let store = Postgres::open(&options, Arc::new(SystemClock)).unwrap();
        let ends = AtomicBool::new(false);
        let (mut acknowledged, mut left_open) = (Vec::new(), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
                let statement =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
                let name = format!("chartward {schema}");
                while !ends.load(Ordering::Relaxed) {
                    client.query(statement, &[&name]).unwrap();
                    std::thread::sleep(Duration::from_millis(25));
                }
            });
            for number in 0..80_u32 {
                let key = [&[2][..], &number.to_be_bytes()].concat();
                let batch = Batch {
                    expectations: vec![Expectation::Key { key: key.clone(), sequence: None }],
                    writes: vec![Write {
                        key,
                        value: Some(number.to_be_bytes().to_vec()),
                        ..Write::default()
                    }],
                    rows: 1,
                    ..Batch::default()
                };
                match store.commit(batch).wait() {
                    Ok(committed) => acknowledged.push((number, committed)),
                    // Never `Conflict`: the writer repeats a group only if the database does not have it.
                    Err(CommitError::Busy) => left_open += 1,
                    Err(error) => panic!("{number}: {error}"),
                }
            }
            ends.store(true, Ordering::Relaxed);
        });
        assert!(acknowledged.len() > 50, "{left_open} of 80 were left open");
        let snapshot = store.snapshot(At::Latest).unwrap();
        for pair in acknowledged.windows(2) {
            assert!(pair[0].1.sequence < pair[1].1.sequence && pair[0].1.first_row < pair[1].1.first_row);
        }
        for (number, committed) in acknowledged {
            let key = [&[2][..], &number.to_be_bytes()].concat();
            let (value, sequence) = snapshot.get(&key).unwrap().unwrap();
            assert_eq!((&*value, sequence), (&number.to_be_bytes()[..], committed.sequence));
        }
        drop(snapshot);
        drop(store);
        Postgres::destroy(&options).unwrap();
    }

    #[test]
    fn what_either_of_two_stores_writes_the_other_reads_at_once() {
        let Some(url) = database("what_either_of_two_stores_writes_the_other_reads_at_once") else { return };
        let schema = format!("either_{}", std::process::id());
        // Little is kept, so that answers are also dropped and read again; and old versions go at once.
        let options = PostgresOptions {
            schema,
            kept_bytes: 30_000,
            retained: Duration::ZERO,
            reading: Duration::ZERO,
            ..PostgresOptions::new(&url)
        };
        let stores = [0, 1].map(|_| Postgres::open(&options, Arc::new(SystemClock)).unwrap());
        let mut model = BTreeMap::new();
        let mut seed = 7_u32;
        let mut below = |most: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from((seed >> 16) % most).unwrap()
        };
        for round in 0..300_usize {
            let mut writes = Vec::new();
            for number in 0..below(4) {
                let key = vec![3 + below(4), number, below(12)];
                let value = (below(3) > 0).then(|| vec![below(250); 1 + usize::from(below(200))]);
                match &value {
                    Some(value) => drop(model.insert(key.clone(), value.clone())),
                    None => drop(model.remove(&key)),
                }
                writes.push(Write { key, value, ..Write::default() });
            }
            stores[round % 2].commit(Batch { writes, ..Batch::default() }).wait().unwrap();
            // The one that did not write; sometimes it has not looked for several commits.
            if below(3) > 0 {
                let snapshot = stores[(round + 1) % 2].snapshot(At::Latest).unwrap();
                let mut found = BTreeMap::new();
                let first = 3 + below(4);
                let end = if below(2) == 0 { 7 } else { first + 1 };
                let range = KeyRange { start: vec![first], end: vec![end] };
                let direction = if below(2) == 0 { Direction::Forward } else { Direction::Reverse };
                snapshot
                    .scan(&range, direction, &mut |key, value| {
                        found.insert(key.to_vec(), value.to_vec());
                        Flow::Next
                    })
                    .unwrap();
                let expected: BTreeMap<_, _> = model
                    .range(range.start..range.end)
                    .map(|(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone()))
                    .collect();
                assert_eq!(found, expected, "round {round}");
                let keys: Vec<Vec<u8>> = (0..20).map(|_| vec![3 + below(4), below(4), below(12)]).collect();
                for (key, read) in keys.iter().zip(snapshot.get_each(&keys).unwrap()) {
                    assert_eq!(
                        read.map(|(value, _)| value.to_vec()),
                        model.get(key).cloned(),
                        "round {round}"
                    );
                    assert_eq!(
                        snapshot.get(key).unwrap().map(|(value, _)| value.to_vec()),
                        model.get(key).cloned()
                    );
                }
            }
        }
        drop(stores);
        Postgres::destroy(&options).unwrap();
    }

    #[test]
    fn the_last_who_holds_a_store_may_be_a_task() {
        let Some(url) = database("the_last_who_holds_a_store_may_be_a_task") else { return };
        let schema = format!("task_{}", std::process::id());
        let options = PostgresOptions { schema, ..PostgresOptions::new(&url) };
        let store = Postgres::open(&options, Arc::new(SystemClock)).unwrap();
        assert!(store.snapshot(At::Latest).unwrap().get(&[2]).unwrap().is_none());
        assert!(store.shared.pool.open() > 0);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async { tokio::spawn(async move { drop(store) }).await }).unwrap();
        Postgres::destroy(&options).unwrap();
    }

    #[test]
    fn what_is_outdated_is_dropped_when_nobody_can_read_it() {
        let Some(url) = database("what_is_outdated_is_dropped_when_nobody_can_read_it") else { return };
        let schema = format!("tidied_{}", std::process::id());
        let options = PostgresOptions {
            schema: schema.clone(),
            retained: Duration::ZERO,
            reading: Duration::ZERO,
            ..PostgresOptions::new(&url)
        };
        let put = |store: &Postgres, value: Option<&[u8]>| {
            let write = Write { key: vec![3, 1], value: value.map(<[u8]>::to_vec), ..Write::default() };
            store.commit(Batch { writes: vec![write], ..Batch::default() }).wait().unwrap();
        };
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        let mut versions = || -> i64 {
            client.query_one(&format!("SELECT count(*) FROM \"{schema}\".entries"), &[]).unwrap().get(0)
        };
        // The store tidies up when it starts and after its first commit, but keeps what an open snapshot or `keep` needs.
        let store = Postgres::open(&options, Arc::new(SystemClock)).unwrap();
        let kept = store.keep().unwrap();
        let old = store.snapshot(At::Latest).unwrap();
        for value in [Some(&b"1"[..]), Some(b"2"), Some(b"3")] {
            put(&store, value);
        }
        assert_eq!(versions(), 3);
        drop((old, store));
        std::thread::sleep(Duration::from_millis(5));
        let store = Postgres::open(&options, Arc::new(SystemClock)).unwrap();
        put(&store, None);
        drop(store);
        assert_eq!(versions(), 4);
        drop(kept);
        std::thread::sleep(Duration::from_millis(5));
        let store = Postgres::open(&options, Arc::new(SystemClock)).unwrap();
        put(&store, Some(b"4"));
        drop(store);
        assert!(versions() <= 2, "the newest, and what it may have outdated");
        Postgres::destroy(&options).unwrap();
    }

    /// Forwards bytes between a local port and the database, unless it is cut.
    struct Proxy {
        url: String,
        /// The forwarded connections; `None` while the proxy is cut.
        open: Arc<Mutex<Option<Vec<TcpStream>>>>,
    }

    impl Proxy {
        fn start(url: &str) -> Proxy {
            let (before, rest) = url.split_once('@').unwrap();
            let (target, after) = rest.split_once('/').unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let own = format!("{before}@{}/{after}", listener.local_addr().unwrap());
            let target = target.to_owned();
            let open = Arc::new(Mutex::new(Some(Vec::new())));
            let proxy = Proxy { url: own, open: open.clone() };
            std::thread::spawn(move || {
                for client in listener.incoming() {
                    let client = client.unwrap();
                    let mut open = open.lock().unwrap();
                    let Some(streams) = open.as_mut() else { continue };
                    let server = TcpStream::connect(&target).unwrap();
                    for (from, to) in [(&client, &server), (&server, &client)] {
                        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                        std::thread::spawn(move || {
                            std::io::copy(&mut from, &mut to).ok();
                            to.shutdown(Shutdown::Both).ok();
                        });
                    }
                    streams.extend([client, server]);
                }
            });
            proxy
        }

        /// Closes every connection before it returns, so that nothing passes from then on.
        fn cut(&self) {
            for stream in self.open.lock().unwrap().take().into_iter().flatten() {
                stream.shutdown(Shutdown::Both).ok();
            }
        }

        fn mend(&self) {
            *self.open.lock().unwrap() = Some(Vec::new());
        }
    }

    #[test]
    fn an_outage_ends_by_itself() {
        let Some(url) = database("an_outage_ends_by_itself") else { return };
        let proxy = Proxy::start(&url);
        let schema = format!("outage_{}", std::process::id());
        let options = PostgresOptions { schema: schema.clone(), ..PostgresOptions::new(&proxy.url) };
        let store = Postgres::open(&options, Arc::new(SystemClock)).unwrap();
        let put = |number: u8| {
            let write = Write { key: vec![2, number], value: Some(vec![number]), ..Write::default() };
            store.commit(Batch { writes: vec![write], ..Batch::default() }).wait()
        };
        put(1).unwrap();
        proxy.cut();
        assert_eq!(put(2), Err(CommitError::Busy));
        assert!(store.health().is_err() && store.snapshot(At::Latest).is_err());
        proxy.mend();
        // The store notices without any commit.
        let since = std::time::Instant::now();
        while store.health().is_err() {
            assert!(since.elapsed() < Duration::from_secs(20), "it stays where it was");
            std::thread::sleep(Duration::from_millis(20));
        }
        put(3).unwrap();
        let snapshot = store.snapshot(At::Latest).unwrap();
        assert!(snapshot.get(&[2, 1]).unwrap().is_some() && snapshot.get(&[2, 3]).unwrap().is_some());
        drop(snapshot);
        drop(store);
        Postgres::destroy(&options).unwrap();
    }
}
