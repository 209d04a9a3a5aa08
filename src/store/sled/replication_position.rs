//! The position of a standby in the primary's journal.
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::store::kv::StoreError;

use super::super::batch::Sequence;
use super::commit_record::Seal;
use super::journal::{self, FileHeader};

/// A position in the journal: the end of what was handed out last.
#[derive(Clone)]
pub(super) struct ReplicationPosition {
    pub(super) after: Sequence,
    pub(super) path: PathBuf,
    pub(super) at: u64,
    pub(super) seal: Seal,
}
/// How many bytes are read at once.
pub(super) const READ_BYTES: u64 = 16 * 1024 * 1024;

pub(super) fn corrupt(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt(format!("{} {what}", path.display()))
}

/// The position where the record after a commit begins.
pub(super) fn place_after(folder: &Path, after: Sequence) -> Result<ReplicationPosition, StoreError> {
    let files = journal::files_with_records(folder)?;
    let found = files.iter().rposition(|(first, _)| first.0 <= after.0 + 1);
    // In a restored store the first sequence is that of the backup, so the first file may begin above 1.
    let found = found.or((after == Sequence(0)).then_some(0));
    let Some((_, path)) = found.and_then(|place| files.get(place)) else { return Err(StoreError::Expired) };
    let bytes = journal::read_file(path)?;
    let header = FileHeader::parse(path, &bytes)?;
    let mut reader = header.reader(&bytes);
    let mut end = (reader.at, reader.seal);
    while reader.next.0 <= after.0 {
        if reader.next(path)?.is_none() {
            break;
        }
        end = (reader.at, reader.seal);
    }
    let (at, seal) = end;
    Ok(ReplicationPosition { after, path: path.clone(), at: u64::try_from(at).unwrap_or(0), seal })
}

/// Reads a file from a position on, up to `limit` bytes. A compressed file is decompressed as a whole first.
pub(super) fn read_from(place: &ReplicationPosition, limit: u64) -> Result<Vec<u8>, StoreError> {
    if place.path.extension().is_some_and(|extension| extension == "zst") {
        let whole = journal::read_file(&place.path)?;
        let rest = whole.get(usize::try_from(place.at).unwrap_or(usize::MAX)..).unwrap_or_default();
        return Ok(rest.get(..usize::try_from(limit).unwrap_or(usize::MAX)).unwrap_or(rest).to_vec());
    }
    let mut file = File::open(&place.path)?;
    file.seek(SeekFrom::Start(place.at))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
