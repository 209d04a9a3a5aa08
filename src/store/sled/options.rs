//! The settings of the sled backend.
use std::path::PathBuf;
use std::time::Duration;

/// How a data directory is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    pub path: PathBuf,
    /// Whether a commit waits for the disk. Only a demo that keeps nothing turns this off.
    pub sync: bool,
    /// At this size, in bytes, a memory table is written to sled. There are at most two tables.
    pub table_bytes_max: usize,
    /// At this size, in bytes, a journal file is closed.
    pub journal_bytes_max: u64,
    /// The size of the cache of decoded blocks, in bytes.
    pub block_cache_bytes: u64,
    /// The size of sled's own cache, in bytes.
    pub sled_cache_bytes: u64,
    /// If no table was written for this long, runs are merged further than writing requires.
    pub settle_after: Duration,
    /// How many attempts, a second apart, the background makes at a write that the operating system refuses. sled remembers a
    /// failed write until it is reopened, so a failure that lasts longer is permanent; the store then refuses writes.
    pub failures_max: u32,
    /// How long one write of sled may take. After that the store refuses writes until a restart.
    pub answer_max: Duration,
}

impl SledOptions {
    /// The default settings for a directory.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            path: path.into(),
            sync: true,
            table_bytes_max: 24 * 1024 * 1024,
            journal_bytes_max: 64 * MIB,
            block_cache_bytes: 32 * MIB,
            sled_cache_bytes: 32 * MIB,
            settle_after: Duration::from_secs(10),
            failures_max: 30,
            answer_max: Duration::from_secs(60),
        }
    }
}
