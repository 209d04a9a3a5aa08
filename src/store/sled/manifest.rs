//! The manifest: which runs exist, and up to which commit sled has the data. It is written last, so that after a crash
//! either the old or the new manifest is valid.
use serde::{Deserialize, Serialize};

use crate::store::kv::StoreError;

use super::super::batch::{Committed, Sequence};
use super::disk::Disk;
use super::format::{self, DIRECTORY_FORMAT};
use super::run::RunFacts;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The last commit whose writes are in the records and runs.
    pub(super) sequence: u64,
    pub(super) time: i64,
    pub(super) next_row: u64,
    pub(super) next_run: u64,
    /// The number of a run that a merge is writing, or has left unfinished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) merging: Option<u64>,
    /// From the oldest to the newest.
    pub(super) runs: Vec<RunFacts>,
    /// The last commit of an erasure that is not complete; 0 if all are.
    pub(super) erasing: u64,
    /// The records of rows that were erased up to this commit have been removed.
    pub(super) purged: u64,
    /// Rows were erased since sled's directory was last rewritten, so it must be rewritten at the next start.
    pub(super) renew: bool,
}

impl Manifest {
    /// The manifest of a new directory.
    pub(super) fn empty() -> Self {
        Self { format: DIRECTORY_FORMAT, next_row: 1, next_run: 1, ..Self::default() }
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
        Self::parse(json)
    }

    fn parse(json: &[u8]) -> Result<Self, StoreError> {
        /// The part of a manifest that all formats have.
        #[derive(Deserialize)]
        struct AnyFormat {
            format: u32,
        }
        let corrupt = |_| StoreError::Corrupt("the manifest".to_owned());
        let AnyFormat { format } = serde_json::from_slice(json).map_err(corrupt)?;
        if format != DIRECTORY_FORMAT {
            return Err(format::other(&format!("the data directory (format {format})")));
        }
        serde_json::from_slice(json).map_err(corrupt)
    }

    pub(super) fn write(&self, disk: &Disk) -> Result<(), StoreError> {
        let mut json = serde_json::to_vec(self).map_err(|error| StoreError::Io(error.to_string()))?;
        json.extend_from_slice(&crc32fast::hash(&json).to_be_bytes());
        disk.write_manifest(json)
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;
    use crate::store::kv::StoreError;

    #[test]
    fn another_format_is_refused_and_not_taken_for_damage() {
        // The first format had no fields for erasures; a later one may have others.
        for json in [
            r#"{"format":1,"sequence":9,"time":1,"next_row":2,"next_run":1,"runs":[]}"#,
            r#"{"format":2}"#,
            r#"{"format":4,"else":true}"#,
        ] {
            let refused = Manifest::parse(json.as_bytes());
            assert!(
                matches!(&refused, Err(StoreError::Format(said)) if said.contains("backup")),
                "{refused:?}"
            );
        }
        assert!(matches!(Manifest::parse(b"{"), Err(StoreError::Corrupt(_))));
        let own = serde_json::to_vec(&Manifest::empty()).unwrap();
        assert_eq!(Manifest::parse(&own).unwrap(), Manifest::empty());
    }
}
