//! Counts refusals of unknown parties: wrong secrets, invalid tokens, requests that reached no interaction. The first one is
//! recorded at once; those that follow are counted by kind and source address and recorded together a minute later, so that
//! nobody can fill the disk with them. It also remembers which routine actions of clients, such as reading metrics, are recorded
//! for today: they get one record a day.
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::Millis;

/// For how long refusals are counted before they are recorded, in milliseconds.
pub(super) const COUNTED_MS: Millis = 60_000;
/// How many names, and how many addresses, one record lists.
const NAMES_MAX: usize = 64;
const DAY_MS: Millis = 24 * 60 * 60 * 1_000;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A request without an access token where one is needed.
    NoToken,
    /// A request that reached no interaction: its HTTP or its path was refused.
    Request,
    /// An access token that is invalid, expired or not trusted.
    AccessToken,
    /// A client that failed to authenticate, or presented an invalid grant.
    Client,
    /// A user name with a wrong password.
    Password,
}

impl Refused {
    fn line(self) -> &'static str {
        match self {
            Self::NoToken => "requests without an access token",
            Self::Request => "requests that came to no interaction",
            Self::AccessToken => "access tokens",
            Self::Client => "POST /auth/token",
            Self::Password => "sign-ins",
        }
    }

    /// The status with which refusals of this kind are recorded.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::NoToken | Self::AccessToken | Self::Client | Self::Password => 401,
            Self::Request => 400,
        }
    }
}

/// The name that a refused request claimed, and its network address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown<'u> {
    pub name: Option<&'u str>,
    pub address: Option<&'u str>,
}

/// Refusals of one kind since some time, by claimed name (if it is registered) and by address.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    since: Millis,
    times: u64,
    names: BTreeMap<String, u64>,
    addresses: BTreeMap<String, u64>,
}

impl Counted {
    fn add(&mut self, who: Unknown<'_>) {
        self.times += 1;
        for (known, one) in [(&mut self.names, who.name), (&mut self.addresses, who.address)] {
            let Some(one) = one else { continue };
            if let Some(times) = known.get_mut(one) {
                *times += 1;
            } else if known.len() < NAMES_MAX {
                known.insert(one.to_owned(), 1);
            }
        }
    }

    /// The line to record, if anything was counted; counting begins anew.
    fn take(&mut self, refused: Refused, now: Millis) -> Option<String> {
        let fresh = Self { since: now, ..Self::default() };
        let Self { times, names, addresses, .. } = std::mem::replace(self, fresh);
        if times == 0 {
            return None;
        }
        let of: String = names.iter().map(|(name, times)| format!(", of {name} {times}")).collect();
        let from: String =
            addresses.iter().map(|(address, times)| format!(", from {address} {times}")).collect();
        Some(format!("{} refused: {times}{of}{from}", refused.line()))
    }
}

/// The counters, and when the next of them is due.
pub(in super::super) struct Refusals {
    counted: Mutex<BTreeMap<Refused, Counted>>,
    due: AtomicI64,
    /// The current day, and the clients and their routine actions that are recorded for it.
    daily: Mutex<(Millis, HashSet<(String, String)>)>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { counted: Mutex::default(), due: AtomicI64::new(Millis::MAX), daily: Mutex::default() }
    }
}

impl Refusals {
    /// Counts a refusal; returns the line to record now, if there is one.
    pub(super) fn count(&self, refused: Refused, who: Unknown<'_>, now: Millis) -> Option<String> {
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let counted =
            all.entry(refused).or_insert_with(|| Counted { since: Millis::MIN, ..Counted::default() });
        counted.add(who);
        if now.saturating_sub(counted.since) >= COUNTED_MS {
            return counted.take(refused, now);
        }
        self.due.fetch_min(counted.since.saturating_add(COUNTED_MS), Ordering::Relaxed);
        None
    }

    /// The lines that are due at a time.
    pub(super) fn due(&self, now: Millis) -> Vec<(Refused, String)> {
        if now < self.due.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        self.due.store(Millis::MAX, Ordering::Relaxed);
        let mut lines = Vec::new();
        for (refused, counted) in all.iter_mut().filter(|(_, counted)| counted.times > 0) {
            if now.saturating_sub(counted.since) >= COUNTED_MS {
                lines.extend(counted.take(*refused, now).map(|line| (*refused, line)));
            } else {
                self.due.fetch_min(counted.since.saturating_add(COUNTED_MS), Ordering::Relaxed);
            }
        }
        lines
    }

    /// Whether a client does something for the first time today, as far as this process knows.
    pub(super) fn is_first_today(&self, client: &str, line: &str, now: Millis) -> bool {
        let daily = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        daily.0 != now.div_euclid(DAY_MS) || !daily.1.contains(&(client.to_owned(), line.to_owned()))
    }

    /// Notes that a client's action is recorded for today.
    pub(super) fn is_on_record(&self, client: &str, line: &str, now: Millis) {
        let today = now.div_euclid(DAY_MS);
        let mut daily = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        if daily.0 != today {
            *daily = (today, HashSet::new());
        }
        daily.1.insert((client.to_owned(), line.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, Refusals, Refused, Unknown};

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let refusals = Refusals::default();
        let count =
            |name, now| refusals.count(Refused::Password, Unknown { name, address: Some("10.0.0.1") }, now);
        let line = "sign-ins refused: 1, of ann 1, from 10.0.0.1 1";
        assert_eq!(count(Some("ann"), 5).as_deref(), Some(line));
        for now in 6..1_000 {
            assert_eq!(count(Some(if now % 2 == 0 { "ann" } else { "doc" }), now), None);
        }
        let nobody = Unknown::default();
        assert!(refusals.count(Refused::AccessToken, nobody, 30_005).is_some());
        assert_eq!(refusals.count(Refused::AccessToken, nobody, 30_006), None);
        assert!(refusals.due(60_004).is_empty());
        let line = "sign-ins refused: 994, of ann 497, of doc 497, from 10.0.0.1 994";
        assert_eq!(refusals.due(60_005), [(Refused::Password, line.to_owned())]);
        assert!(refusals.due(90_004).is_empty());
        assert_eq!(refusals.due(90_005), [(Refused::AccessToken, "access tokens refused: 1".to_owned())]);
        assert!(refusals.due(1_000_000).is_empty());
        // However many names and addresses there are, a record stays short.
        assert!(count(None, 2_000_000).is_some());
        for number in 0..10_000 {
            let (name, address) = (format!("n{number}"), format!("10.0.{}.{}", number / 256, number % 256));
            let who = Unknown { name: Some(&name), address: Some(&address) };
            assert_eq!(refusals.count(Refused::Password, who, 2_000_001), None);
        }
        let (_, line) = refusals.due(2_060_000).pop().unwrap();
        assert!(line.contains("refused: 10000,") && line.len() < 3_000, "{line}");
    }

    #[test]
    fn what_is_done_all_the_time_is_on_record_once_a_day() {
        let refusals = Refusals::default();
        let first = |client: &str, now| {
            let first = refusals.is_first_today(client, "GET /metrics", now);
            // It stays the first until it is noted as recorded.
            assert_eq!(refusals.is_first_today(client, "GET /metrics", now), first);
            refusals.is_on_record(client, "GET /metrics", now);
            first
        };
        assert!(first("a", 5) && first("b", 6) && !first("a", DAY_MS - 1));
        assert!(first("a", DAY_MS) && !first("a", DAY_MS + 1));
        // Nothing is kept of earlier days.
        assert!((0..100).all(|number| first(&format!("c{number}"), 3 * DAY_MS)));
        assert!(first("a", 4 * DAY_MS));
        assert_eq!(refusals.daily.lock().unwrap().1.len(), 1);
    }
}
