//! Replication to a standby: the primary hands out the commits after a given one in the form of a journal file; the standby
//! verifies its seals and repeats the commits with the same numbers.
use std::path::Path;
use std::sync::PoisonError;

use crate::store::key::{Key, Space};
use crate::store::kv::{At, Kv as _, StoreError};
use crate::store::ticket::Ticket;

use super::super::batch::{Batch, Committed, Sequence, Start, Write};
use super::Sled;
use super::journal::{self, FileHeader};
use super::replication_position::{READ_BYTES, ReplicationPosition, corrupt, place_after, read_from};

/// How often the next journal file is looked for again, if the background has compressed, and so renamed, it meanwhile.
const RETRIES_MAX: usize = 3;

impl Sled {
    /// The commits after `after`, oldest first, up to a limit of bytes; `None` if there are none yet. Only commits that are
    /// durable here are handed out.
    ///
    /// # Errors
    /// [`StoreError::Expired`] if the journal does not go back that far; [`StoreError`] if it cannot be read.
    pub fn committed_after(&self, after: Sequence) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..RETRIES_MAX {
            match self.look_after(after) {
                // The background may compress and so rename a closed file between listing and opening.
                Err(StoreError::Io(_)) => {
                    *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                found => return found,
            }
        }
        self.look_after(after)
    }

    fn look_after(&self, after: Sequence) -> Result<Option<Vec<u8>>, StoreError> {
        let published = self.state.published();
        if after >= published {
            return Ok(None);
        }
        let lock = || self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().clone().filter(|place| place.after == after && place.path.exists());
        let place = match known {
            Some(place) => place,
            None => place_after(&self.journal_folder, after)?,
        };
        let mut limit = READ_BYTES;
        let (whole, end) = loop {
            let bytes = read_from(&place, limit)?;
            if bytes.is_empty() {
                // The file ended at this position; the next commit is in the next file.
                let next = place_after(&self.journal_folder, after)?;
                let is_same = next.path == place.path && next.at == place.at;
                *lock() = (!is_same).then_some(next);
                return if is_same { Ok(None) } else { self.look_after(after) };
            }
            let is_cut = u64::try_from(bytes.len()).unwrap_or(0) >= limit;
            let header = journal::file_header(Sequence(after.0 + 1), &place.seal);
            let whole = [header, bytes].concat();
            let parsed = FileHeader::parse(&place.path, &whole)?;
            let mut reader = parsed.reader(&whole);
            let mut end = (reader.at, after, reader.seal);
            // A record that is only half written yet will be whole at the next call.
            while let Some(record) = reader.next(&place.path)? {
                if record.committed.sequence > published {
                    break;
                }
                end = (reader.at, record.committed.sequence, reader.seal);
            }
            if end.1 > after || !is_cut {
                break (whole, end);
            }
            // A single commit is larger than the limit.
            limit = limit.saturating_mul(4);
        };
        let (at, last, seal) = end;
        if last == after {
            return Ok(None);
        }
        let read = u64::try_from(at.saturating_sub(journal::FILE_HEADER)).unwrap_or(0);
        *lock() = Some(ReplicationPosition { after: last, at: place.at + read, seal, ..place });
        Ok(Some(whole.get(..at).unwrap_or_default().to_vec()))
    }

    /// Repeats the commits that a primary has handed out, and returns the last one. All are durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a seal is broken, or if the commits do not continue this store's contents.
    pub fn follow(&self, handed_out: &[u8]) -> Result<Sequence, StoreError> {
        let name = Path::new("what was handed out");
        let header = FileHeader::parse(name, handed_out)?;
        let mut last = self.state.published();
        if header.first.0 != last.0 + 1 {
            return Err(corrupt(
                name,
                &format!("begins with commit {}, and {} was the last here", header.first.0, last.0),
            ));
        }
        let snapshot = self.snapshot(At::Latest)?;
        let mut reader = header.reader(handed_out);
        let mut batches: Vec<(Committed, Batch)> = Vec::new();
        while let Some(record) = reader.next(name)? {
            let Committed { sequence, first_row, .. } = record.committed;
            for row in &record.erased {
                let current = Key::new(Space::Current).number(*row).into_bytes();
                if snapshot.get(&current)?.is_some() {
                    let what = format!(
                        "holds of commit {} only what an erasure has left, and row {row} is here still; make the standby anew",
                        sequence.0
                    );
                    return Err(corrupt(name, &what));
                }
            }
            let writes = record.writes.into_iter().map(|(key, value)| Write {
                key: key.to_vec(),
                value: value.map(|value| value.to_vec()),
                ..Write::default()
            });
            let batch = Batch {
                writes: writes.collect(),
                rows: record.rows,
                start: Some(Start { sequence, row: first_row }),
                ..Batch::default()
            };
            batches.push((record.committed, batch));
        }
        // Nothing is committed if the bytes did not arrive completely.
        if reader.at != handed_out.len() {
            return Err(corrupt(name, "ends in the middle of a record"));
        }
        let given: Vec<(Committed, Ticket)> =
            batches.into_iter().map(|(there, batch)| (there, self.commit(batch))).collect();
        for (there, ticket) in given {
            let here = ticket.wait().map_err(|error| StoreError::Io(error.to_string()))?;
            if (here.sequence, here.first_row) != (there.sequence, there.first_row) {
                return Err(corrupt(
                    name,
                    &format!("commit {} became {} here", there.sequence.0, here.sequence.0),
                ));
            }
            last = here.sequence;
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::batch::KeyRange;
    use std::sync::Arc;

    use super::*;
    use crate::store::kv::{At, Direction, Flow};
    use crate::store::{SledOptions, SystemClock};

    fn open(folder: &Path) -> Sled {
        // Small tables, so that the journal has many files, most of them compressed.
        let options = SledOptions { table_bytes_max: 20_000, sync: false, ..SledOptions::new(folder) };
        Sled::open(&options, Arc::new(SystemClock)).unwrap()
    }

    fn put(store: &Sled, key: &[u8], value: Option<&[u8]>, rows: u64) {
        let write = Write { key: key.to_vec(), value: value.map(<[u8]>::to_vec), ..Write::default() };
        store.commit(Batch { writes: vec![write], rows, ..Batch::default() }).wait().unwrap();
    }

    fn all(store: &Sled) -> Vec<(Vec<u8>, Vec<u8>, Sequence)> {
        let snapshot = store.snapshot(At::Latest).unwrap();
        let mut found = Vec::new();
        snapshot
            .scan(&KeyRange::prefix(Vec::new()), Direction::Forward, &mut |key, value| {
                found.push((key.to_vec(), value.to_vec()));
                Flow::Next
            })
            .unwrap();
        let with = |(key, value): (Vec<u8>, Vec<u8>)| {
            let (_, sequence) = snapshot.get(&key).unwrap().unwrap();
            (key, value, sequence)
        };
        found.into_iter().map(with).collect()
    }

    fn last(store: &Sled) -> Sequence {
        store.snapshot(At::Latest).unwrap().sequence()
    }

    #[test]
    fn a_store_that_follows_becomes_the_same() {
        let folders = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, mut second) = (open(folders.0.path()), open(folders.1.path()));
        assert!(first.committed_after(Sequence(0)).unwrap().is_none(), "nothing was committed");
        let mut handed_out = 0;
        for number in 0..600_u32 {
            let key = [&[2][..], &(number % 90).to_be_bytes()].concat();
            let value = number.to_be_bytes().repeat(40);
            put(&first, &key, (number % 7 > 0).then_some(&value), u64::from(number % 3));
            if number % 50 == 49 {
                while let Some(bytes) = first.committed_after(last(&second)).unwrap() {
                    assert_eq!(second.follow(&bytes).unwrap(), last(&second));
                    handed_out += 1;
                }
            }
            if number == 300 {
                // The standby continues where it was before it was closed.
                drop(second);
                second = open(folders.1.path());
            }
        }
        assert!(handed_out >= 12);
        assert_eq!((last(&second), all(&second)), (last(&first), all(&first)));
        // A standby that starts late reads all files from the first.
        let late = tempfile::tempdir().unwrap();
        let third = open(late.path());
        while let Some(bytes) = first.committed_after(last(&third)).unwrap() {
            third.follow(&bytes).unwrap();
        }
        assert_eq!(all(&third), all(&first));
        // All three then assign the same numbers.
        for store in [&first, &second, &third] {
            let (key, at) = crate::store::Key::new(crate::store::Space::Current).stamped();
            let stamp = crate::store::Stamp {
                place: crate::store::StampPlace::Key,
                offset: at,
                what: crate::store::Stamped::Row(0),
            };
            let write = Write { key: key.into_bytes(), value: Some(Vec::new()), stamps: [stamp].into() };
            store.commit(Batch { writes: vec![write], rows: 1, ..Batch::default() }).wait().unwrap();
        }
        assert_eq!(all(&second), all(&first));
    }

    #[test]
    fn what_is_changed_on_the_way_is_refused() {
        let folders = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (open(folders.0.path()), open(folders.1.path()));
        for number in 0..20_u8 {
            put(&first, &[2, number], Some(&[number; 30]), 1);
        }
        let bytes = first.committed_after(Sequence(0)).unwrap().unwrap();
        let mut changed = bytes.clone();
        changed[70] ^= 1;
        assert!(second.follow(&changed).is_err());
        assert!(second.follow(&bytes[..20]).is_err());
        assert!(second.follow(&bytes[..bytes.len() - 5]).is_err());
        assert_eq!(last(&second), Sequence(0));
        // The standby accepts the correct bytes afterwards.
        second.follow(&bytes).unwrap();
        assert_eq!(all(&second), all(&first));
        // Commits that do not continue the store's contents are refused.
        let bytes = first.committed_after(Sequence(3)).unwrap().unwrap();
        assert!(matches!(second.follow(&bytes), Err(StoreError::Corrupt(_))));
    }
}
