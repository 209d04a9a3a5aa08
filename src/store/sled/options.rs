//! The settings of the store.
use std::path::PathBuf;
use std::time::Duration;

/// How a directory is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    pub path: PathBuf,
    /// Whether a commit waits for the disk. Only a demo that leaves nothing behind goes without.
    pub sync: bool,
    /// A memory table is written down at this size, in bytes. There are at most two.
    pub table_bytes_max: usize,
    /// A journal file is closed at this size, in bytes.
    pub journal_bytes_max: u64,
    /// Decoded blocks kept in memory, in bytes.
    pub block_cache_bytes: u64,
    /// sled's own cache, in bytes.
    pub sled_cache_bytes: u64,
    /// When no table was written down for so long, runs are merged further than writing needs.
    pub settle_after: Duration,
    /// How many tries, a second apart, the operating system has to take back that it refuses what the background writes. sled
    /// remembers a failed write for as long as it is open, so what does not pass soon will not; then writes are refused.
    pub failures_max: u32,
    /// How long one write of sled may take before it is taken to be lost. Then writes are refused until a restart.
    pub answer_max: Duration,
}

impl SledOptions {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            path: path.into(),
            sync: true,
            table_bytes_max: 32 * 1024 * 1024,
            journal_bytes_max: 64 * MIB,
            block_cache_bytes: 32 * MIB,
            sled_cache_bytes: 64 * MIB,
            settle_after: Duration::from_secs(10),
            failures_max: 30,
            answer_max: Duration::from_secs(60),
        }
    }
}
