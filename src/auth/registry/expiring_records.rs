//! Records that expire: codes, grants, launches, used assertions, revoked tokens, sessions in browsers. An index entry per record holds its
//! expiry, and every write of a new record removes some expired ones.
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::Millis;
use crate::store::{
    At, Batch, CommitError, Direction, Expectation, Flow, Key, KeyRange, Sequence, Snapshot, Space,
    StoreError, Write, number_at,
};

use super::records::{Registry, RegistryError, epoch, key, put, read};

/// The most expired records that one write removes. It exceeds the one that the write adds, so that they do not accumulate.
const SWEPT_MAX: usize = 16;

/// The kinds of expiring records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth) enum Expiring {
    /// An authorization code.
    Code,
    /// A user's grant to a client, on which its access and refresh tokens rest.
    Grant,
    /// The context of a launch that an EHR has registered.
    Launch,
    /// The id of a used assertion.
    Assertion,
    /// The id of a revoked access token.
    Revoked,
    /// A person's session in a browser.
    Session,
}

impl Expiring {
    fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Grant => "grant",
            Self::Launch => "launch",
            Self::Assertion => "assertion",
            Self::Revoked => "revoked",
            Self::Session => "session",
        }
    }

    /// Whether changing such a record can end tokens, so that cached token statuses must be dropped.
    fn ends_tokens(self) -> bool {
        match self {
            Self::Grant | Self::Revoked => true,
            Self::Code | Self::Launch | Self::Assertion | Self::Session => false,
        }
    }
}

/// Whether a conditional write succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth) enum Kept {
    Yes,
    /// The record exists already, or has been changed meanwhile.
    No,
}

impl Registry {
    /// Stores a new record until it expires.
    pub(in crate::auth) fn keep(
        &self,
        kind: Expiring,
        id: &str,
        record: &impl Serialize,
        (expires, now): (Millis, Millis),
    ) -> Result<Kept, RegistryError> {
        let key = key(kind.name(), id);
        let mut writes = vec![put(key.clone(), record)?];
        writes.push(Write {
            key: expiry(expires, kind.name(), id),
            value: Some(Vec::new()),
            ..Write::default()
        });
        if kind == Expiring::Revoked {
            writes.push(epoch());
        }
        let (removals, swept) = self.ended(now)?;
        writes.extend(removals);
        let kept = self.apply(vec![Expectation::Key { key, sequence: None }], writes)?;
        if kept == Kept::Yes {
            self.swept.fetch_max(swept, Ordering::Relaxed);
        }
        Ok(kept)
    }

    /// A record, and the sequence of the commit that wrote it.
    pub(in crate::auth) fn kept<T: DeserializeOwned>(
        &self,
        kind: Expiring,
        id: &str,
    ) -> Result<Option<(T, Sequence)>, RegistryError> {
        Ok(kept(&*self.kv.snapshot(At::Latest)?, kind, id)?)
    }

    /// All records of a kind, with their ids.
    pub(in crate::auth) fn all_kept<T: DeserializeOwned>(
        &self,
        kind: Expiring,
    ) -> Result<Vec<(String, T)>, RegistryError> {
        let prefix = Key::new(Space::Registry).text(kind.name().as_bytes()).into_bytes();
        let mut found = Vec::new();
        let snapshot = self.kv.snapshot(At::Latest)?;
        snapshot.scan(&KeyRange::prefix(prefix.clone()), Direction::Forward, &mut |key, value| {
            let id = key.get(prefix.len()..).and_then(|rest| rest.strip_suffix(&[0, 0]));
            let id = id.and_then(|id| std::str::from_utf8(id).ok());
            found.extend(id.map(str::to_owned).zip(serde_json::from_slice(value).ok()));
            Flow::Next
        })?;
        Ok(found)
    }

    /// Replaces a record if the commit with that sequence wrote its current version. The expiry does not change.
    pub(in crate::auth) fn amend(
        &self,
        kind: Expiring,
        id: &str,
        record: &impl Serialize,
        sequence: Sequence,
        amendment: Amendment,
    ) -> Result<Kept, RegistryError> {
        let key = key(kind.name(), id);
        let mut writes = vec![put(key.clone(), record)?];
        if amendment == Amendment::EndsTokens && kind.ends_tokens() {
            writes.push(epoch());
        }
        self.apply(vec![Expectation::Key { key, sequence: Some(sequence) }], writes)
    }

    fn apply(&self, expectations: Vec<Expectation>, writes: Vec<Write>) -> Result<Kept, RegistryError> {
        match self.kv.commit(Batch { expectations, writes, ..Batch::default() }).wait() {
            Ok(_) => Ok(Kept::Yes),
            Err(CommitError::Conflict { .. }) => Ok(Kept::No),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes that remove some expired records, and the time before which none are left. The next sweep starts there, so
    /// that it does not scan the tombstones of earlier removals again.
    fn ended(&self, now: Millis) -> Result<(Vec<Write>, u64), RegistryError> {
        let at = |time: u64| Key::new(Space::Registry).text(EXPIRY.as_bytes()).number(time).into_bytes();
        let numbers = at(0).len() - 8;
        let now = u64::try_from(now).unwrap_or(0);
        let range = KeyRange { start: at(self.swept.load(Ordering::Relaxed).min(now)), end: at(now) };
        let (mut removals, mut swept) = (Vec::new(), now);
        let remove = |key: Vec<u8>| Write { key, value: None, ..Write::default() };
        let snapshot = self.kv.snapshot(At::Latest)?;
        snapshot.scan(&range, Direction::Forward, &mut |entry, _| {
            if removals.len() >= 2 * SWEPT_MAX {
                swept = number_at(entry, numbers).unwrap_or(0);
                return Flow::Stop;
            }
            let record = entry.get(numbers + 8..).unwrap_or_default();
            removals.push(remove(Key::new(Space::Registry).bytes(record).into_bytes()));
            removals.push(remove(entry.to_vec()));
            Flow::Next
        })?;
        Ok((removals, swept))
    }
}

/// Whether an amendment of a record ends tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth) enum Amendment {
    KeepsTokens,
    EndsTokens,
}

/// A record in a snapshot, and the sequence of the commit that wrote it.
pub(super) fn kept<T: DeserializeOwned>(
    snapshot: &dyn Snapshot,
    kind: Expiring,
    id: &str,
) -> Result<Option<(T, Sequence)>, StoreError> {
    read(snapshot, kind.name(), id)
}

const EXPIRY: &str = "expiry";

fn expiry(expires: Millis, kind: &str, id: &str) -> Vec<u8> {
    Key::new(Space::Registry)
        .text(EXPIRY.as_bytes())
        .number(u64::try_from(expires).unwrap_or(0))
        .text(kind.as_bytes())
        .text(id.as_bytes())
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Amendment, Expiring, Kept};
    use crate::auth::registry::Registry;
    use crate::store::{At, Direction, Flow, KeyRange, Memory, Space, SystemClock};

    fn keys(registry: &Registry) -> usize {
        let mut count = 0;
        let range = KeyRange::prefix(vec![Space::Registry.byte()]);
        let snapshot = registry.kv.snapshot(At::Latest).unwrap();
        let mut visit = |_: &[u8], _: &[u8]| {
            count += 1;
            Flow::Next
        };
        snapshot.scan(&range, Direction::Forward, &mut visit).unwrap();
        count
    }

    #[test]
    fn a_record_is_new_once_changed_once_and_gone_when_it_has_ended() {
        let registry = Registry::new(Arc::new(Memory::new(Arc::new(SystemClock))));
        let keep = |id: &str, times| registry.keep(Expiring::Code, id, &id, times).unwrap();
        assert_eq!(keep("a", (1_000, 0)), Kept::Yes);
        assert_eq!(keep("a", (1_000, 0)), Kept::No);
        let (text, sequence): (String, _) = registry.kept(Expiring::Code, "a").unwrap().unwrap();
        assert_eq!(text, "a");
        let amend = |text: &str| {
            registry.amend(Expiring::Code, "a", &text, sequence, Amendment::KeepsTokens).unwrap()
        };
        assert_eq!((amend("b"), amend("c")), (Kept::Yes, Kept::No));
        // The same id in another kind is another record.
        assert!(registry.kept::<String>(Expiring::Grant, "a").unwrap().is_none());
        keep("later", (9_000, 999));
        assert_eq!(keys(&registry), 4);
        keep("last", (9_000, 1_001));
        assert!(registry.kept::<String>(Expiring::Code, "a").unwrap().is_none());
        assert_eq!(keys(&registry), 4);
        // Expired records are removed in steps, and none is skipped.
        for number in 0..50 {
            assert_eq!(keep(&format!("n{number}"), (20_000 + number, 1_002)), Kept::Yes);
        }
        for number in 0..10 {
            assert_eq!(keep(&format!("m{number}"), (90_000, 30_000)), Kept::Yes);
        }
        assert_eq!(keys(&registry), 20);
    }
}
