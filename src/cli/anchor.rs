//! Notes the signed roots of the record of accesses outside the store: beside the journal, so that a truncated or emptied journal
//! is detected; and in a configured file, which may lie on another machine where nobody with access to this one can change it.
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audit::SignedRoot;
use crate::model::{Millis, Temporal};
use crate::store::{
    At, Batch, Direction, Flow, Key, KeyRange, Kv, Snapshot, Space, StoreError, Write, make_private_file,
};

use super::clock::now;

/// A note: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AnchorLine {
    /// A root over this many access records was signed.
    Root(SignedRoot),
    /// The store was restored from a backup, which explains a lower number of records.
    Restored(Restored),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restored {
    /// The number of access records noted before the restore, if one was noted.
    pub(super) from: Option<u64>,
    pub(super) to: u64,
    /// Milliseconds since 1970.
    pub(super) time: Millis,
    /// The name of the operating system account that restored the backup.
    pub(super) by: String,
}

impl Restored {
    pub(super) fn told(&self) -> String {
        let before = self.from.map_or("unknown".to_owned(), |from| from.to_string());
        let time = Temporal::from_millis(self.time).to_text();
        format!(
            "restored from a backup at {time} by {}: {} access records, {before} before",
            self.by, self.to
        )
    }
}

/// The key under which a store notes that it was restored.
fn restored_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"audit-restored").into_bytes()
}

/// The restore that a write notes; `None` if the write is about something else.
pub(super) fn restore_told(key: &[u8], value: Option<&[u8]>) -> Option<Restored> {
    value.filter(|_| key == restored_key()).and_then(|value| serde_json::from_slice(value).ok())
}

/// The file beside the journal of a data directory.
fn beside_journal(data: &Path) -> PathBuf {
    data.join("audit-count.json")
}

/// Where roots are noted: beside the journal, if the data directory is on disk, and in the configured file.
#[derive(Clone, Debug, Default)]
pub(super) struct Anchor {
    pub(super) data: Option<PathBuf>,
    pub(super) file: Option<PathBuf>,
}

impl Anchor {
    /// Notes a root. A failure is only logged, because the root is also in the store.
    pub(super) fn note(&self, noted: &AnchorLine) {
        let text = serde_json::to_string(noted).unwrap_or_default();
        let kept = self.data.as_ref().map(|data| replace(&beside_journal(data), &text));
        let sent = self.file.as_ref().map(|file| append(file, &text));
        for error in [kept, sent].into_iter().flatten().filter_map(Result::err) {
            tracing::error!(error, "the root of the record of accesses could not be noted");
        }
    }

    /// Notes a restore in the store. The caller notes it outside the store, with [`Anchor::note`].
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub(super) fn note_restore(&self, store: &dyn Kv, from: Option<u64>) -> Result<Restored, String> {
        let snapshot = store.snapshot(At::Latest).map_err(|error| error.to_string())?;
        let to = records_in(&*snapshot).map_err(|error| error.to_string())?;
        let by = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        let by = by.unwrap_or_else(|_| "an account without a name".to_owned());
        let restored = Restored { from, to, time: now(), by };
        let value = serde_json::to_vec(&restored).map_err(|error| error.to_string())?;
        let write = Write { key: restored_key(), value: Some(value), ..Write::default() };
        let batch = Batch { writes: vec![write], ..Batch::default() };
        store.commit(batch).wait().map_err(|error| error.to_string())?;
        Ok(restored)
    }

    /// The largest number of access records in any note.
    pub(super) fn count(&self) -> Option<u64> {
        let of_file = self.file.as_ref().and_then(|file| read(file).ok());
        let of_data = self.data.as_ref().and_then(|data| read(&beside_journal(data)).ok());
        let last = of_file.into_iter().chain(of_data).flatten();
        last.map(|noted| match noted {
            AnchorLine::Root(root) => root.size,
            AnchorLine::Restored(restored) => restored.to,
        })
        .max()
    }
}

fn replace(path: &Path, text: &str) -> Result<(), String> {
    let part = path.with_extension("part");
    let written = make_private_file(&part).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    });
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn append(path: &Path, text: &str) -> Result<(), String> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(format!("{text}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// The notes in a file.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<AnchorLine>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display())))
        .collect()
}

/// The notes in the file beside the journal; none if the directory has no such file.
///
/// # Errors
/// If the file exists and cannot be read.
pub(super) fn read_beside_journal(data: &Path) -> Result<Vec<AnchorLine>, String> {
    let path = beside_journal(data);
    if path.exists() { read(&path) } else { Ok(Vec::new()) }
}

/// The number of access records in a store.
///
/// # Errors
/// If the store cannot be read.
fn records_in(snapshot: &dyn Snapshot) -> Result<u64, StoreError> {
    let mut count = 0;
    let all = KeyRange::prefix(vec![Space::Audit.byte()]);
    snapshot.scan(&all, Direction::Forward, &mut |_, _| {
        count += 1;
        Flow::Next
    })?;
    Ok(count)
}
