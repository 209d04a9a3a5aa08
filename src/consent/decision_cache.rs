//! Cache of decisions that hold for many rows. Requests of equal requesters share them until a Consent is written, or a Consent
//! or one of its rules begins or ends.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::{Party, Permission};
use crate::definitions::TypeId;
use crate::model::Millis;

use super::compiled_consent::CompiledConsent;
use super::decision::Decision;
use super::requester::Requester;

/// The number of requesters whose decisions are kept. The least recent one is dropped first.
const REQUESTERS_MAX: usize = 32;
/// The number of decisions kept in all, some 100 bytes each. Above it the whole cache is cleared.
const DECISIONS_MAX: usize = 400_000;

/// The decision on all resources of one type that are about the same patient and carry no labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SharedDecision {
    /// One answer for all of them: permit or deny, or `None` if each resource itself must be read.
    All(Option<Decision>),
    /// The facts of each row decide.
    ByFacts,
}

/// The time during which a cached decision is valid: from `from` until before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Millis,
    pub(super) until: Millis,
}

impl Span {
    /// From `now` until the next moment at which one of these Consents, or one of their rules, begins or ends.
    pub(super) fn of<'p>(consents: impl Iterator<Item = &'p CompiledConsent>, now: Millis) -> Self {
        let bounds = consents.flat_map(CompiledConsent::bounds).filter(|bound| *bound > now);
        Self { from: now, until: bounds.min().unwrap_or(Millis::MAX) }
    }

    fn has(self, now: Millis) -> bool {
        self.from <= now && now < self.until
    }
}

type ByType = HashMap<TypeId, HashMap<String, (SharedDecision, Span)>>;

/// Decisions for one requester by type and patient id (empty: no patient).
#[derive(Default)]
pub(super) struct Decisions(Mutex<ByType>);

impl Decisions {
    fn lock(&self) -> MutexGuard<'_, ByType> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the cached decision to `take`, if it is valid at `now`.
    pub(super) fn get<T>(
        &self,
        (id, patient): (TypeId, &str),
        now: Millis,
        take: impl FnOnce(&SharedDecision) -> T,
    ) -> Option<T> {
        let known = self.lock();
        let (known, span) = known.get(&id)?.get(patient)?;
        span.has(now).then(|| take(known))
    }

    pub(super) fn insert(&self, (id, patient): (TypeId, &str), known: (SharedDecision, Span)) {
        self.lock().entry(id).or_default().insert(patient.to_owned(), known);
    }

    fn len(&self) -> usize {
        self.lock().values().map(HashMap::len).sum()
    }
}

/// The key of the cache: who asks, and for which interaction. Requests with equal keys share decisions.
pub(super) struct RequesterKey {
    pub(super) party: Arc<Party>,
    pub(super) asked: Option<(Permission, Option<TypeId>)>,
    pub(super) requester: Requester,
}

impl RequesterKey {
    fn is_like(&self, other: &Self) -> bool {
        self.asked == other.asked && self.requester.is_like(&other.requester) && self.party == other.party
    }
}

/// Decisions by requester, the most recent requester first.
#[derive(Default)]
pub(super) struct DecisionCache(Mutex<Vec<(RequesterKey, Arc<Decisions>)>>);

impl DecisionCache {
    pub(super) fn of(&self, asking: RequesterKey) -> Arc<Decisions> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            known.iter().position(|(other, _)| other.is_like(&asking)).map(|place| known.remove(place));
        let of_requester = found.unwrap_or_else(|| {
            known.truncate(REQUESTERS_MAX - 1);
            if known.iter().map(|(_, decisions)| decisions.len()).sum::<usize>() > DECISIONS_MAX {
                known.clear();
            }
            (asking, Arc::default())
        });
        let decisions = of_requester.1.clone();
        known.insert(0, of_requester);
        decisions
    }
}

#[cfg(test)]
mod tests {
    use crate::auth::Party;
    use crate::definitions::r4;

    use super::*;

    fn asking(change: impl FnOnce(&mut RequesterKey)) -> RequesterKey {
        let mut asking = RequesterKey {
            party: Arc::new(Party::open("Organization/hospital")),
            asked: None,
            requester: Requester { now: 5, ..Requester::default() },
        };
        change(&mut asking);
        asking
    }

    #[test]
    fn decisions_are_kept_for_who_is_the_same_and_for_their_time() {
        let of = DecisionCache::default();
        let place = (r4().resource("Patient").unwrap().id, "p1");
        let get = |asking: RequesterKey, now: Millis| of.of(asking).get(place, now, SharedDecision::clone);
        of.of(asking(|_| {})).insert(place, (SharedDecision::ByFacts, Span { from: 5, until: 9 }));
        assert_eq!(get(asking(|asking| asking.requester.now = 8), 8), Some(SharedDecision::ByFacts));
        for now in [4, 9] {
            assert_eq!(get(asking(|_| {}), now), None, "at {now}");
        }
        let others: [fn(&mut RequesterKey); 4] = [
            |asking| asking.asked = Some((Permission::Read, None)),
            |asking| asking.requester.actors.extend(["Practitioner/d".to_owned()]),
            |asking| asking.requester.represents.extend(["Patient/p1".to_owned()]),
            |asking| asking.party = Arc::new(Party::nobody()),
        ];
        for other in others {
            assert_eq!(get(asking(other), 5), None);
        }
        // A repeated request moves its requester to the front; `REQUESTERS_MAX` others evict it.
        for number in 0..REQUESTERS_MAX + 1 {
            let now = asking(|asking| asking.requester.actors.extend([number.to_string()]));
            of.of(now);
        }
        assert_eq!(get(asking(|_| {}), 5), None);
    }
}
