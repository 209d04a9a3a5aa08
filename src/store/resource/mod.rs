//! Resources, built on the backend interface: versions, the state of the newest version, changes as batches, history, and
//! the rows that a query finds.

mod change;
mod current;
mod entries;
mod erasure;
mod history;
mod packing;
mod plan;
mod record;
mod repository;
mod verify;
mod version_id;
mod writer;

pub use change::{Change, Derive, Derived, Draft};
pub use current::Current;
pub(super) use current::is_deleted;
pub use erasure::File;
pub use history::{HistoryEntry, HistoryPlace, HistoryRange, HistoryScope};
pub use packing::Packing;
pub use plan::{Report, ReportStep, Search, View, Way, compare_values};
pub use record::{Method, Stored};
pub use repository::Repository;
pub use verify::Findings;
pub use version_id::VersionCipher;
pub use writer::Fingerprint;
pub use writer::Writer;
