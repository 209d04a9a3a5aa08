//! The manifest: which runs there are and how far they go. It is written last, so that any crash leaves the old one or
//! the new one.
use serde::{Deserialize, Serialize};

use crate::store::kv::StoreError;

use super::super::batch::{Committed, Sequence};
use super::disk::Disk;
use super::run::RunFacts;

/// The format of everything in the directory. Raised with a migration and a fixture.
const FORMAT: u32 = 2;
/// The format before, whose manifest lacks what erasures need and whose journal is read as it is.
const FORMAT_BEFORE: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The last commit whose writes are in the records and runs.
    pub(super) sequence: u64,
    pub(super) time: i64,
    pub(super) next_row: u64,
    pub(super) next_run: u64,
    /// From the oldest to the newest.
    pub(super) runs: Vec<RunFacts>,
    /// The commit of the newest erasure that is not complete; 0 if there is none.
    #[serde(default)]
    pub(super) erasing: u64,
    /// The erasures up to this commit have had their records removed.
    #[serde(default)]
    pub(super) purged: u64,
    /// Something was erased since sled's files were written anew.
    #[serde(default)]
    pub(super) renew: bool,
}

impl Manifest {
    /// The manifest of an empty directory.
    pub(super) fn empty() -> Self {
        Self { format: FORMAT, next_row: 1, next_run: 1, ..Self::default() }
    }

    pub(super) fn applied(&self) -> Committed {
        Committed { sequence: Sequence(self.sequence), time: self.time, first_row: self.next_row }
    }

    pub(super) fn read(disk: &Disk) -> Result<Self, StoreError> {
        let Some(stored) = disk.read_manifest()? else { return Ok(Self::empty()) };
        let corrupt = || StoreError::Corrupt("the manifest".to_owned());
        let (json, checksum) = stored.split_last_chunk::<4>().ok_or_else(corrupt)?;
        if crc32fast::hash(json) != u32::from_be_bytes(*checksum) {
            return Err(corrupt());
        }
        let mut manifest: Self = serde_json::from_slice(json).map_err(|_| corrupt())?;
        if manifest.format == FORMAT_BEFORE {
            manifest.format = FORMAT;
        }
        if manifest.format != FORMAT {
            return Err(StoreError::Io(format!(
                "the directory has format {}, this is {FORMAT}",
                manifest.format
            )));
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, disk: &Disk) -> Result<(), StoreError> {
        let mut json = serde_json::to_vec(self).map_err(|error| StoreError::Io(error.to_string()))?;
        json.extend_from_slice(&crc32fast::hash(&json).to_be_bytes());
        disk.write_manifest(json)
    }
}
