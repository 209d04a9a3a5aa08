//! The format of a data directory. A directory in another format is refused with the commands that convert it.
use std::path::Path;

use crate::store::kv::StoreError;

/// The format of the whole data directory, which its manifest states. Raising it makes directories of earlier releases unreadable
/// except by `backup` and `restore`.
pub(super) const DIRECTORY_FORMAT: u32 = 3;

/// The first bytes of every journal file.
pub(super) const JOURNAL_MAGIC: &[u8; 8] = b"CWJOURN2";
/// The part of the magic that journal files of all formats have.
const ANY_JOURNAL: &[u8] = b"CWJOURN";

/// Refuses something that is in another format.
pub(super) fn other(what: &str) -> StoreError {
    StoreError::Format(format!(
        "{what} is in a format that this release does not read. Convert the directory: run `chartward backup FILE` with the \
         release that wrote it, then `chartward restore FILE` with this one"
    ))
}

/// The bytes of a journal file after its magic.
pub(super) fn after_magic<'b>(path: &Path, bytes: &'b [u8]) -> Result<&'b [u8], StoreError> {
    match bytes.strip_prefix(JOURNAL_MAGIC) {
        Some(rest) => Ok(rest),
        None if bytes.starts_with(ANY_JOURNAL) => Err(other(&path.display().to_string())),
        None => Err(StoreError::Corrupt(format!("{} has no valid header", path.display()))),
    }
}
