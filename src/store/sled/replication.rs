//! One store follows another: what one has committed after a commit is handed out as a file of the journal of its own, and
//! the other checks its seals and commits the same again, with the same numbers.
use std::path::Path;
use std::sync::PoisonError;

use crate::store::key::{Key, Space};
use crate::store::kv::{At, Kv as _, StoreError};
use crate::store::ticket::Ticket;

use super::super::batch::{Batch, Committed, Sequence, Start, Write};
use super::Sled;
use super::journal::{self, FileHeader};
use super::replication_position::{READ_BYTES, ReplicationPosition, corrupt, place_after, read_from};

/// How often a file is looked for again that was packed meanwhile.
const RETRIES_MAX: usize = 3;

impl Sled {
    /// What was committed after a commit, oldest first, up to some bytes; `None` if there is nothing more yet. Nothing is
    /// handed out that is not durable here.
    ///
    /// # Errors
    /// [`StoreError::Expired`] if the journal does not go back so far; [`StoreError`] if it cannot be read.
    pub fn committed_after(&self, after: Sequence) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..RETRIES_MAX {
            match self.look_after(after) {
                // A closed file may be packed between being found and being opened; it has another name then.
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
                // The file ended there; what comes after is in the next one.
                let next = place_after(&self.journal_folder, after)?;
                let is_same = next.path == place.path && next.at == place.at;
                *lock() = (!is_same).then_some(next);
                return if is_same { Ok(None) } else { self.look_after(after) };
            }
            let is_cut = u64::try_from(bytes.len()).unwrap_or(0) >= limit;
            let header = journal::file_header(place.format, Sequence(after.0 + 1), &place.seal);
            let whole = [header, bytes].concat();
            let parsed =
                FileHeader::parse(&whole).ok_or_else(|| corrupt(&place.path, "has no valid header"))?;
            let mut reader = parsed.reader(&whole);
            let mut end = (reader.at, after, reader.seal);
            // What is half written now is whole the next time.
            while let Some(record) = reader.next(&place.path)? {
                if record.committed.sequence > published {
                    break;
                }
                end = (reader.at, record.committed.sequence, reader.seal);
            }
            if end.1 > after || !is_cut {
                break (whole, end);
            }
            // One commit is larger than what was read.
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

    /// Commits what another store has handed out, and gives the last commit. Everything is durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a seal is broken, or if it does not follow from what is here.
    pub fn follow(&self, handed_out: &[u8]) -> Result<Sequence, StoreError> {
        let name = Path::new("what was handed out");
        let header = FileHeader::parse(handed_out).ok_or_else(|| corrupt(name, "has no valid header"))?;
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
                stamps: Vec::new(),
            });
            let batch = Batch {
                writes: writes.collect(),
                rows: record.rows,
                start: Some(Start { sequence, row: first_row }),
                ..Batch::default()
            };
            batches.push((record.committed, batch));
        }
        // Nothing is committed of what did not come whole.
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
        // Small enough that the journal has many files, most of them compressed.
        let options = SledOptions { table_bytes_max: 20_000, sync: false, ..SledOptions::new(folder) };
        Sled::open(&options, Arc::new(SystemClock)).unwrap()
    }

    fn put(store: &Sled, key: &[u8], value: Option<&[u8]>, rows: u64) {
        let write = Write { key: key.to_vec(), value: value.map(<[u8]>::to_vec), stamps: Vec::new() };
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
                // It goes on where it was after it was closed.
                drop(second);
                second = open(folders.1.path());
            }
        }
        assert!(handed_out >= 12);
        assert_eq!((last(&second), all(&second)), (last(&first), all(&first)));
        // One that comes late goes through all files from the first.
        let late = tempfile::tempdir().unwrap();
        let third = open(late.path());
        while let Some(bytes) = first.committed_after(last(&third)).unwrap() {
            third.follow(&bytes).unwrap();
        }
        assert_eq!(all(&third), all(&first));
        // And counts on from there as the first would.
        for store in [&first, &second, &third] {
            let (key, at) = crate::store::Key::new(crate::store::Space::Current).stamped();
            let stamp = crate::store::Stamp {
                place: crate::store::StampPlace::Key,
                offset: at,
                what: crate::store::Stamped::Row(0),
            };
            let write = Write { key: key.into_bytes(), value: Some(Vec::new()), stamps: vec![stamp] };
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
        // It goes on with what is right.
        second.follow(&bytes).unwrap();
        assert_eq!(all(&second), all(&first));
        // What does not follow from what is here is no use.
        let bytes = first.committed_after(Sequence(3)).unwrap().unwrap();
        assert!(matches!(second.follow(&bytes), Err(StoreError::Corrupt(_))));
    }
}
