//! Who was refused without being known: wrong secrets, tokens of nobody. The first is put on record at once, those that
//! follow are counted and put on record together a minute later, so that nobody fills the disk with them.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::audit::{Access, Action, writes};
use crate::auth::Party;
use crate::model::Millis;
use crate::store::Batch;

use super::super::engine::Engine;

/// For how long refusals are counted before they are put on record, in milliseconds.
const COUNTED_MS: Millis = 60_000;
/// How many names are told apart in one record.
const NAMES_MAX: usize = 64;
/// The status of all of them.
const STATUS: u16 = 401;

/// What somebody was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// An access token that is none, has ended or is not trusted.
    AccessToken,
    /// A client that has not proven who it is, or has a grant that is none.
    Client,
    /// A user name with a wrong password.
    Password,
}

impl Refused {
    fn line(self) -> &'static str {
        match self {
            Self::AccessToken => "access tokens",
            Self::Client => "POST /auth/token",
            Self::Password => "POST /auth/login",
        }
    }
}

/// Refusals of one sort since some moment, by the name that they were for where it is a registered one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    since: Millis,
    times: u64,
    names: BTreeMap<String, u64>,
}

impl Counted {
    fn add(&mut self, name: Option<String>) {
        self.times += 1;
        let Some(name) = name else { return };
        if self.names.len() < NAMES_MAX || self.names.contains_key(&name) {
            *self.names.entry(name).or_default() += 1;
        }
    }

    /// What is to go on record, if there is anything; from now on it is counted anew.
    fn take(&mut self, refused: Refused, now: Millis) -> Option<String> {
        let Self { times, names, .. } = std::mem::replace(self, Self { since: now, ..Self::default() });
        if times == 0 {
            return None;
        }
        let of: String = names.iter().map(|(name, times)| format!(", of {name} {times}")).collect();
        Some(format!("{} refused: {times}{of}", refused.line()))
    }
}

/// What is counted, and when some of it is due.
pub(in super::super) struct Refusals {
    counted: Mutex<BTreeMap<Refused, Counted>>,
    due: AtomicI64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { counted: Mutex::default(), due: AtomicI64::new(Millis::MAX) }
    }
}

impl Refusals {
    /// Counts one; gives what is to go on record now.
    fn count(&self, refused: Refused, name: Option<String>, now: Millis) -> Option<String> {
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let counted =
            all.entry(refused).or_insert_with(|| Counted { since: Millis::MIN, ..Counted::default() });
        counted.add(name);
        if now.saturating_sub(counted.since) >= COUNTED_MS {
            return counted.take(refused, now);
        }
        self.due.fetch_min(counted.since.saturating_add(COUNTED_MS), Ordering::Relaxed);
        None
    }

    /// What is to go on record at a moment.
    fn due(&self, now: Millis) -> Vec<String> {
        if now < self.due.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        self.due.store(Millis::MAX, Ordering::Relaxed);
        let mut lines = Vec::new();
        for (refused, counted) in all.iter_mut().filter(|(_, counted)| counted.times > 0) {
            if now.saturating_sub(counted.since) >= COUNTED_MS {
                lines.extend(counted.take(*refused, now));
            } else {
                self.due.fetch_min(counted.since.saturating_add(COUNTED_MS), Ordering::Relaxed);
            }
        }
        lines
    }
}

impl Engine {
    /// Counts a refusal of somebody who is not known. `name` is who it was said to be: it is kept if it is registered.
    pub fn count_refusal(&self, refused: Refused, name: Option<&str>) {
        let registry = &self.authorization.registry;
        let is_registered = |name: &&str| match refused {
            Refused::AccessToken => false,
            Refused::Client => registry.client(name).is_ok_and(|client| client.is_some()),
            Refused::Password => registry.user(name).is_ok_and(|user| user.is_some()),
        };
        let name = name.filter(is_registered).map(str::to_owned);
        if let Some(line) = self.refusals.count(refused, name, self.now()) {
            self.record_refused(line);
        }
    }

    /// Puts on record what was counted a minute ago.
    pub(in super::super) fn record_refusals_due(&self) {
        self.refusals.due(self.now()).into_iter().for_each(|line| self.record_refused(line));
    }

    /// Puts on record what was counted and is not, before a server ends.
    pub fn record_refusals(&self) {
        let at_the_end = self.now().saturating_add(COUNTED_MS);
        self.refusals.due(at_the_end).into_iter().for_each(|line| self.record_refused(line));
    }

    /// Nothing is released by a refusal, so nobody waits for its record.
    fn record_refused(&self, line: String) {
        let mut access = Access::of(&Party::nobody(), "operation", Action::Execute, line, self.now());
        access.status = STATUS;
        access.role = access.subject.clone();
        drop(self.kv().commit(Batch { writes: writes(&access, 0), ..Batch::default() }));
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusals, Refused};

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let refusals = Refusals::default();
        let count = |name: Option<&str>, now| refusals.count(Refused::Password, name.map(str::to_owned), now);
        assert_eq!(count(Some("ann"), 5).as_deref(), Some("POST /auth/login refused: 1, of ann 1"));
        for now in 6..1_000 {
            assert_eq!(count(Some(if now % 2 == 0 { "ann" } else { "doc" }), now), None);
        }
        assert_eq!(refusals.count(Refused::AccessToken, None, 30_005).map(|_| ()), Some(()));
        assert_eq!(refusals.count(Refused::AccessToken, None, 30_006), None);
        assert!(refusals.due(60_004).is_empty());
        let line = "POST /auth/login refused: 994, of ann 497, of doc 497";
        assert_eq!(refusals.due(60_005), [line]);
        assert!(refusals.due(90_004).is_empty());
        assert_eq!(refusals.due(90_005), ["access tokens refused: 1"]);
        assert!(refusals.due(1_000_000).is_empty());
        // However many names there are, a record stays short.
        assert!(count(None, 2_000_000).is_some());
        (0..10_000).for_each(|number| drop(count(Some(&format!("n{number}")), 2_000_001)));
        let line = refusals.due(2_060_000).pop().unwrap();
        assert!(line.contains("refused: 10000,") && line.len() < 1_000, "{line}");
    }
}
