//! Storage: the backend interface ([`Kv`]) and its backends, the key layouts, and the reading and writing of resources
//! above them. This is the only folder of the library that touches the disk.

mod batch;
mod clock;
mod dump;
mod key;
mod kv;
mod memory;
mod pack;
mod pending;
mod postgres;
mod private;
mod random;
mod resource;
mod sled;
#[cfg(test)]
mod suite;
mod ticket;

pub use self::sled::{
    Chain, OpenReport, PointInTime, RolledForward, Sled, SledFigures, SledOptions, read_chain, verify_chain,
};
pub use batch::{
    Batch, CommitError, Committed, Expectation, KeyRange, Sequence, Stamp, StampPlace, Stamped, Start, Write,
};
pub use clock::{Clock, SystemClock};
pub use dump::{Dumped, read_dump, read_dump_without, write_dump};
pub use key::{
    Key, Space, consents_key, definitions_key, governing_key, indexed_key, number_at, page_queries,
    persons_key, registrations_key, row_of, text_prefix,
};
pub use kv::{At, Direction, Figure, Flow, Kv, NotWritable, Snapshot, StoreError};
pub use memory::Memory;
pub use postgres::{ConnectionError, Postgres, PostgresOptions};
pub use private::{make_private_file, make_private_folder};
pub use random::{NoRandomness, fill_random, random_bytes};
pub use resource::{
    Change, Current, Derive, Derived, Draft, File, Findings, Fingerprint, HistoryEntry, HistoryPlace,
    HistoryRange, HistoryScope, Method, Packing, Report, ReportStep, Repository, Search, Stored,
    VersionCipher, View, Way, Writer, compare_values,
};
pub use ticket::{Resolver, Ticket};
