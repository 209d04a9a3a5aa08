//! What this process keeps of the database in memory: answers to earlier reads, each valid until a commit changes what it was
//! read from. One cheap look at the start of a request tells the newest commit, and which keys were written since the look
//! before; so a write of any server, such as the revocation of a Consent, holds from the next request on.
//!
//! Every commit lists in the table `outdated` the keys that may have had an older version. Not listed are new keys of versions,
//! of the history and of the record of accesses; so of these only what never changes is kept: versions and records that are there.
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use postgres::types::Type;

use crate::store::batch::{KeyRange, Sequence};
use crate::store::key::Space;
use crate::store::kv::{Direction, StoreError};

use super::numbers::{number, sequence};
use super::pool::Pool;

/// If more keys than this were written since the look before, everything that is kept is dropped.
const CHANGES_READ_MAX: i64 = 20_000;
/// For how many keys the last change is remembered. Above it the older half is forgotten, and with it what was read before.
const CHANGES_MAX: usize = 100_000;
/// An answer of more bytes is not kept.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long an estimate is kept. It only chooses how to read.
const ESTIMATE_MAX: Duration = Duration::from_secs(10);
/// The memory of a kept answer besides its bytes, and that of each of its rows.
const OVERHEAD: usize = 200;
const ROW_OVERHEAD: usize = 80;

/// One version of a key; no value means that the key was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Bytes>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// The value of a key.
    Value(Vec<u8>),
    /// The first so many versions of a range, forward or backward.
    Page(Vec<u8>, Vec<u8>, bool, i64),
    /// The newest versions of the first so many keys of a range.
    First(Vec<u8>, Vec<u8>, i64),
    /// About how many keys a range has.
    Estimate(Vec<u8>, Vec<u8>),
}

impl Asked {
    pub(super) fn page(range: &KeyRange, direction: Direction, limit: i64) -> Self {
        Self::Page(range.start.clone(), range.end.clone(), direction == Direction::Forward, limit)
    }

    pub(super) fn first(range: &KeyRange, limit: i64) -> Self {
        Self::First(range.start.clone(), range.end.clone(), limit)
    }

    fn len(&self) -> usize {
        match self {
            Self::Value(key) => key.len(),
            Self::Page(start, end, ..) | Self::First(start, end, _) | Self::Estimate(start, end) => {
                start.len() + end.len()
            }
        }
    }
}

/// The answer of the database.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Value(Option<(Bytes, Sequence)>),
    Rows(Arc<Vec<Row>>),
    Count(u64, Instant),
}

/// A kept answer, and the newest state in which it is known to be right.
struct Item {
    answer: Answer,
    at: AtomicU64,
    weight: usize,
}

/// Weighs an answer by the memory that it takes.
#[derive(Clone)]
struct ByBytes;

impl quick_cache::Weighter<Asked, Arc<Item>> for ByBytes {
    fn weight(&self, _: &Asked, item: &Arc<Item>) -> u64 {
        u64::try_from(item.weight).unwrap_or(u64::MAX)
    }
}

/// The last change of each key that was written lately.
#[derive(Default)]
struct Changes {
    /// All changes after this commit are known, up to the commit `to`; `None` before the first look.
    known: Option<(Sequence, Sequence)>,
    last: BTreeMap<Vec<u8>, Sequence>,
}

/// The result of a look: the newest commit, and the oldest state that can still be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) latest: Sequence,
    pub(super) horizon: Sequence,
}

/// Looks are made one after the other; requests that arrive during one share the next.
#[derive(Default)]
struct Looks {
    begun: u64,
    ended: u64,
    is_looking: bool,
    last: Option<Result<Look, StoreError>>,
}

/// A look that is under way. Dropped, also by a panic, it ends: otherwise everybody would wait for it for ever.
struct Looking<'k> {
    kept: &'k Kept,
    look: Option<Result<Look, StoreError>>,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut looks = self.kept.looks();
        looks.is_looking = false;
        looks.ended = looks.begun;
        let failed = || Err(StoreError::Io("the database could not be looked at".to_owned()));
        looks.last = Some(self.look.take().unwrap_or_else(failed));
        drop(looks);
        self.kept.looked.notify_all();
    }
}

/// The answers that are kept.
pub(super) struct Kept {
    items: quick_cache::sync::Cache<Asked, Arc<Item>, ByBytes>,
    changes: RwLock<Changes>,
    looks: Mutex<Looks>,
    looked: Condvar,
}

impl Kept {
    /// Keeps answers of up to so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        /// About how many bytes an answer has; a guess, from which the cache sizes its tables.
        const USUAL_BYTES: u64 = 500;
        let expected = usize::try_from(bytes / USUAL_BYTES).unwrap_or(0).max(16);
        Self {
            items: quick_cache::sync::Cache::with_weighter(expected, bytes, ByBytes),
            changes: RwLock::default(),
            looks: Mutex::default(),
            looked: Condvar::new(),
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of a look that began after this call.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub(super) fn look(&self, pool: &Pool) -> Result<Look, StoreError> {
        let mut looks = self.looks();
        // A look that is under way may have read the database before this call.
        let wanted = looks.begun + 1;
        while looks.ended < wanted {
            if looks.is_looking {
                looks = self.looked.wait(looks).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            looks.is_looking = true;
            looks.begun += 1;
            drop(looks);
            let mut looking = Looking { kept: self, look: None };
            looking.look = Some(self.look_now(pool));
            drop(looking);
            looks = self.looks();
        }
        let gone = || Err(StoreError::Io("nobody has looked".to_owned()));
        looks.last.clone().unwrap_or_else(gone)
    }

    /// The oldest state that could be opened at the last look.
    pub(super) fn horizon(&self) -> Option<Sequence> {
        let looks = self.looks();
        looks.last.as_ref().and_then(|last| last.as_ref().ok()).map(|look| look.horizon)
    }

    fn look_now(&self, pool: &Pool) -> Result<Look, StoreError> {
        // The list of changed keys is complete as long as the commit of the look before is still in the table of commits: the
        // same transaction that drops older commits drops their keys.
        const STATEMENT: &str = "SELECT head.sequence, head.horizon, \
             head.sequence = $1 OR EXISTS (SELECT 1 FROM commits WHERE commits.sequence = $1), \
             CASE WHEN head.sequence > $1 THEN (SELECT array_agg(key) FROM \
             (SELECT key FROM outdated WHERE outdated.sequence > $1 LIMIT $2) AS written) END FROM head";
        let known = self.changes.read().unwrap_or_else(PoisonError::into_inner).known;
        let known = known.map_or(-1, |(_, to)| number(to));
        let most = CHANGES_READ_MAX + 1;
        let rows = pool.get()?.query(STATEMENT, &[(&known, Type::INT8), (&most, Type::INT8)])?;
        let row = rows.first().ok_or_else(|| StoreError::Corrupt("the table head is empty".to_owned()))?;
        let look = Look { latest: sequence(row.get(0)), horizon: sequence(row.get(1)) };
        let (is_complete, written): (bool, Option<Vec<Vec<u8>>>) = (row.get(2), row.get(3));
        let written = written.unwrap_or_default();
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        match &mut changes.known {
            Some((_, to)) if is_complete && i64::try_from(written.len()).is_ok_and(|len| len < most) => {
                *to = look.latest;
                changes.last.extend(written.into_iter().map(|key| (key, look.latest)));
                changes.forget();
            }
            known => {
                *known = Some((look.latest, look.latest));
                changes.last.clear();
                drop(changes);
                self.items.clear();
            }
        }
        Ok(look)
    }

    /// The kept answer, if it is right in the state `at`.
    pub(super) fn get(&self, asked: &Asked, at: Sequence) -> Option<Answer> {
        let item = self.items.get(asked)?;
        if let Answer::Count(_, since) = item.answer {
            return (since.elapsed() < ESTIMATE_MAX).then(|| item.answer.clone());
        }
        let read_at = Sequence(item.at.load(Ordering::Acquire));
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let (from, _) = changes.known?;
        if read_at < from || changes.has_changed(asked, &item.answer, read_at) {
            return None;
        }
        if at < read_at {
            // The newest version in a later state is the newest in this one too if it is not newer than this state; and whatever
            // was not written since this state is the same in both.
            let is_older = matches!(item.answer, Answer::Value(Some((_, written))) if written <= at);
            let is_same = || at >= from && !changes.has_changed(asked, &item.answer, at);
            return (is_older || is_same()).then(|| item.answer.clone());
        }
        drop(changes);
        item.at.fetch_max(at.0, Ordering::AcqRel);
        Some(item.answer.clone())
    }

    /// Keeps an answer that was read in the state `at`, if changes of what it was read from will be noticed.
    pub(super) fn keep(&self, asked: Asked, answer: &Answer, at: Sequence) {
        let bytes = match answer {
            Answer::Value(value) => value.as_ref().map_or(0, |(value, _)| value.len()),
            Answer::Rows(rows) => {
                let row = |row: &Row| ROW_OVERHEAD + row.key.len() + row.value.as_ref().map_or(0, Bytes::len);
                rows.iter().map(row).sum()
            }
            Answer::Count(..) => 0,
        };
        if bytes > ANSWER_BYTES_MAX || !is_noticed(&asked, answer) {
            return;
        }
        let weight = bytes + asked.len() + OVERHEAD;
        self.items.insert(asked, Arc::new(Item { answer: answer.clone(), at: AtomicU64::new(at.0), weight }));
    }
}

/// Whether every change that may make the answer wrong is listed in `outdated`.
fn is_noticed(asked: &Asked, answer: &Answer) -> bool {
    let is_listed = |key: &[u8]| {
        let space = Space::of(key);
        !matches!(space, None | Some(Space::Record | Space::History | Space::Audit | Space::AuditPatient))
    };
    match asked {
        Asked::Value(key) => {
            let is_final = matches!(Space::of(key), Some(Space::Record | Space::Audit));
            is_listed(key) || (is_final && matches!(answer, Answer::Value(Some(_))))
        }
        // Access records are only added behind all others, so a page before the last one stays as it is.
        Asked::Page(start, end, true, limit) if Space::of(start) == Some(Space::Audit) => {
            let is_full = |rows: &Arc<Vec<Row>>| i64::try_from(rows.len()).is_ok_and(|len| len >= *limit);
            end.as_slice() <= [Space::Audit.byte() + 1].as_slice()
                && matches!(answer, Answer::Rows(rows) if is_full(rows))
        }
        Asked::Page(start, end, ..) | Asked::First(start, end, _) => {
            let is_one_space = start.first().zip(end.split_first()).is_some_and(|(space, (last, rest))| {
                last == space || (rest.is_empty() && Some(*last) == space.checked_add(1))
            });
            is_listed(start) && is_one_space
        }
        Asked::Estimate(..) => true,
    }
}

impl Changes {
    /// Forgets the older half when they are too many.
    fn forget(&mut self) {
        if self.last.len() <= CHANGES_MAX {
            return;
        }
        let mut times: Vec<Sequence> = self.last.values().copied().collect();
        let half = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(half);
        let middle = *middle;
        self.last.retain(|_, at| *at > middle);
        if let Some((from, _)) = &mut self.known {
            *from = middle;
        }
    }

    /// Whether something that the answer was read from was written after `at`.
    fn has_changed(&self, asked: &Asked, answer: &Answer, at: Sequence) -> bool {
        let within = |start: &Vec<u8>, end: Bound<&Vec<u8>>| {
            self.last.range::<Vec<u8>, _>((Bound::Included(start), end)).any(|(_, changed)| *changed > at)
        };
        match (asked, answer) {
            (Asked::Value(key), _) => self.last.get(key).is_some_and(|changed| *changed > at),
            // Of a full page only what lies up to its last row matters.
            (Asked::Page(start, _, true, limit) | Asked::First(start, _, limit), Answer::Rows(rows))
                if i64::try_from(rows.len()).is_ok_and(|len| len >= *limit) =>
            {
                rows.last().is_some_and(|last| within(start, Bound::Included(&last.key)))
            }
            (Asked::Page(start, end, ..) | Asked::First(start, end, _), _) => {
                start < end && within(start, Bound::Excluded(end))
            }
            (Asked::Estimate(..), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(changes: &[(&[u8], u64)]) -> Kept {
        let kept = Kept::new(100_000);
        let last = changes.iter().map(|(key, at)| (key.to_vec(), Sequence(*at))).collect();
        *kept.changes.write().unwrap() = Changes { known: Some((Sequence(1), Sequence(20))), last };
        kept
    }

    fn value(at: u64) -> Answer {
        Answer::Value(Some((Bytes::from_static(b"v"), Sequence(at))))
    }

    #[test]
    fn an_answer_holds_until_what_it_was_read_from_is_written() {
        let (a, b) = (Asked::Value(vec![3, 1]), Asked::Value(vec![3, 2]));
        let kept = kept(&[(&[3, 1], 8)]);
        kept.keep(a.clone(), &value(2), Sequence(5));
        kept.keep(b.clone(), &value(2), Sequence(5));
        assert!(kept.get(&a, Sequence(9)).is_none(), "it was written at 8");
        assert!(kept.get(&b, Sequence(9)).is_some());
        // A state before the one in which it was read: right only if the version is from before that state, or if it is known that
        // the key was not written since.
        assert!(kept.get(&b, Sequence(3)).is_some());
        assert!(kept.get(&b, Sequence(1)).is_some());
        assert!(kept.get(&b, Sequence(0)).is_none(), "what was written at 1 is not known");
        let absent = Asked::Value(vec![3, 3]);
        kept.keep(absent.clone(), &Answer::Value(None), Sequence(9));
        assert!(kept.get(&absent, Sequence(5)).is_some());
        kept.changes.write().unwrap().last.insert(vec![3, 3], Sequence(7));
        assert!(kept.get(&absent, Sequence(5)).is_none(), "it was removed at 7");
        assert!(kept.get(&absent, Sequence(8)).is_some());
        kept.keep(a.clone(), &value(8), Sequence(9));
        assert!(kept.get(&a, Sequence(9)).is_some());
        assert!(kept.get(&a, Sequence(7)).is_none());
    }

    #[test]
    fn a_page_holds_unless_a_key_within_it_is_written() {
        let kept = kept(&[(&[5, 7], 8)]);
        let range = KeyRange { start: vec![5, 1], end: vec![5, 9] };
        let rows = |keys: &[u8]| {
            let row = |key: &u8| Row { key: vec![5, *key], value: Some(Bytes::new()) };
            Answer::Rows(Arc::new(keys.iter().map(row).collect()))
        };
        let asked = |limit| Asked::page(&range, Direction::Forward, limit);
        // A full page ends at its last row; the other one goes to the end of the range.
        kept.keep(asked(2), &rows(&[1, 3]), Sequence(5));
        kept.keep(asked(3), &rows(&[1, 3]), Sequence(5));
        assert!(kept.get(&asked(2), Sequence(9)).is_some());
        assert!(kept.get(&asked(3), Sequence(9)).is_none());
        let backward = Asked::page(&range, Direction::Reverse, 2);
        kept.keep(backward.clone(), &rows(&[3, 1]), Sequence(5));
        assert!(kept.get(&backward, Sequence(9)).is_none());
    }

    #[test]
    fn what_changes_unnoticed_is_not_kept() {
        let kept = kept(&[]);
        for space in Space::ALL {
            let key = vec![space.byte(), 1];
            let is_new_unnoticed =
                matches!(space, Space::Record | Space::History | Space::Audit | Space::AuditPatient);
            kept.keep(Asked::Value(key.clone()), &Answer::Value(None), Sequence(5));
            assert_eq!(kept.get(&Asked::Value(key), Sequence(5)).is_none(), is_new_unnoticed, "{space:?}");
            let range = KeyRange::prefix(vec![space.byte()]);
            let page = Asked::page(&range, Direction::Forward, 9);
            kept.keep(page.clone(), &Answer::Rows(Arc::default()), Sequence(5));
            assert_eq!(kept.get(&page, Sequence(5)).is_none(), is_new_unnoticed, "{space:?}");
        }
        let version = Asked::Value(vec![Space::Record.byte(), 2]);
        kept.keep(version.clone(), &value(2), Sequence(5));
        assert!(kept.get(&version, Sequence(5)).is_some());
        let across = KeyRange { start: vec![3, 1], end: vec![4, 1] };
        let page = Asked::page(&across, Direction::Forward, 9);
        kept.keep(page.clone(), &Answer::Rows(Arc::default()), Sequence(5));
        assert!(kept.get(&page, Sequence(5)).is_none());
    }

    #[test]
    fn the_older_half_of_the_changes_is_forgotten_with_what_was_read_before() {
        let mut changes = Changes { known: Some((Sequence(0), Sequence(9))), last: BTreeMap::new() };
        for number in 0..=u32::try_from(CHANGES_MAX).unwrap() {
            changes.last.insert(number.to_be_bytes().to_vec(), Sequence(u64::from(number) + 1));
        }
        changes.forget();
        let (from, _) = changes.known.unwrap();
        assert!(changes.last.len() <= CHANGES_MAX / 2 + 1 && changes.last.values().all(|at| *at > from));
        let kept = kept(&[]);
        kept.keep(Asked::Value(vec![3]), &value(1), Sequence(5));
        kept.changes.write().unwrap().known = Some((Sequence(6), Sequence(20)));
        assert!(kept.get(&Asked::Value(vec![3]), Sequence(9)).is_none());
    }
}
