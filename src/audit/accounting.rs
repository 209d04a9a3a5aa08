//! The accounting of disclosures (45 CFR 164.528): disclosures about a patient, except those for treatment, payment and
//! operations, to the patient, or with the patient's authorization. Repeated disclosures to one recipient for one purpose are
//! grouped.
use std::collections::BTreeMap;

use crate::consent::Code;
use crate::model::{Interval, Millis};

use super::entered::{AccountedBy, Entered, disclosure_basis};
use super::place::RecordPlace;
use super::record::{Access, Action, Ground, Item, RequesterKind};

const DAY_MS: Millis = 24 * 60 * 60 * 1_000;
/// How far back an accounting goes: six years (45 CFR 164.528(a)(1)).
pub const ACCOUNTED_MS: Millis = (6 * 365 + 2) * DAY_MS;
/// How far back it lists disclosures by a consent under 42 CFR Part 2: three years (42 CFR 2.25).
pub const PART2_ACCOUNTED_MS: Millis = (3 * 365 + 1) * DAY_MS;

/// Disclosures to one recipient for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// Milliseconds since 1970.
    pub first: Millis,
    pub last: Millis,
    pub count: usize,
    /// `Organization/id` or another actor, or the name of a client.
    pub recipient: String,
    pub purposes: Vec<String>,
    /// The entry and its place, if the disclosure was entered by hand; then purposes, kinds and ground are empty.
    pub entered: Option<(RecordPlace, Entered)>,
    /// What the first disclosure consisted of: types of resources, and the number of each.
    pub kinds: BTreeMap<String, usize>,
    pub ground: Ground,
}

/// Collects an accounting. Records are added from the oldest to the newest.
pub struct Accounting<'a> {
    /// `Patient/id`.
    patient: &'a str,
    period: Interval,
    now: Millis,
    /// The agencies for which accounting is suspended.
    suspended: &'a [String],
    found: Vec<Disclosure>,
    /// The entries, without those that later entries correct.
    entered: BTreeMap<RecordPlace, Entered>,
}

impl<'a> Accounting<'a> {
    /// The accounting for a period, limited to the six years that the law demands.
    #[must_use]
    pub fn of(patient: &'a str, asked: Interval, now: Millis, suspended: &'a [String]) -> Self {
        let start = asked.start.max(now.saturating_sub(ACCOUNTED_MS));
        Self {
            patient,
            period: Interval { start, end: asked.end },
            now,
            suspended,
            found: Vec::new(),
            entered: BTreeMap::new(),
        }
    }

    /// The period that the accounting covers.
    #[must_use]
    pub fn period(&self) -> Interval {
        self.period
    }

    /// Adds a record.
    pub fn add(&mut self, place: RecordPlace, access: &Access) {
        if let Some(entered) = &access.entered {
            self.enter(place, entered, access);
            return;
        }
        let is_within = self.period.start <= access.time && access.time < self.period.end;
        let is_release = matches!(access.action, Action::Read | Action::Execute) && !access.has_failed();
        if !is_within || !is_release || access.requester_kind != Some(RequesterKind::Outside) {
            return;
        }
        let Some(number) = access.patients.iter().position(|patient| patient == self.patient) else { return };
        let actors = [&access.organization, &access.fhir_user];
        if actors.into_iter().flatten().any(|actor| self.suspended.contains(actor)) {
            return;
        }
        let mut grounds: Vec<(Ground, BTreeMap<String, usize>)> = Vec::new();
        for item in access.released.iter().filter(|item| item.is_about(number) && item.done.is_none()) {
            if !self.is_accounted(access, item) {
                continue;
            }
            let at = match grounds.iter().position(|(ground, _)| *ground == item.ground) {
                Some(at) => at,
                None => {
                    grounds.push((item.ground.clone(), BTreeMap::new()));
                    grounds.len() - 1
                }
            };
            if let Some((_, kinds)) = grounds.get_mut(at) {
                *kinds.entry(item.type_name().to_owned()).or_default() += 1;
            }
        }
        for (ground, kinds) in grounds {
            self.disclose(access, ground, kinds);
        }
    }

    /// Whether the law demands an accounting of this release.
    fn is_accounted(&self, access: &Access, item: &Item) -> bool {
        match &item.ground {
            // To the individual (164.528(a)(1)(ii)).
            Ground::RightOfAccess => false,
            // Pursuant to an authorization (164.528(a)(1)(iv)). This does not exempt what 42 CFR Part 2 protects.
            Ground::Consent(..) => {
                let is_part2 = item.labels.iter().any(|(_, code)| code == "42CFRPart2");
                is_part2 && access.time >= self.now.saturating_sub(PART2_ACCOUNTED_MS)
            }
            // CHOICE: break-glass by somebody outside is listed, although emergencies are treatment.
            Ground::BreakGlass => true,
            Ground::Policy | Ground::Law(_) | Ground::None => !is_for_operations(access),
        }
    }

    /// Adds an entry, and removes the entry that it corrects.
    fn enter(&mut self, place: RecordPlace, entered: &Entered, access: &Access) {
        if access.has_failed() || !access.patients.iter().any(|patient| patient == self.patient) {
            return;
        }
        if let Some(corrected) = entered.corrects() {
            self.entered.remove(&corrected);
        }
        if !entered.in_error {
            self.entered.insert(place, entered.clone());
        }
    }

    /// Whether the law demands an accounting of an entry, and it falls into the period.
    fn is_entry_accounted(&self, entered: &Entered) -> bool {
        let accounted = disclosure_basis(&entered.basis).map(|basis| basis.accounted);
        let since = match accounted {
            Some(AccountedBy::Hipaa) => ACCOUNTED_MS,
            Some(AccountedBy::Part2) => PART2_ACCOUNTED_MS,
            Some(AccountedBy::Neither) | None => return false,
        };
        let is_within = entered.first < self.period.end && self.period.start <= entered.last;
        let is_recent = entered.last >= self.now.saturating_sub(since);
        is_within && is_recent && !self.suspended.contains(&entered.recipient)
    }

    fn disclose(&mut self, access: &Access, ground: Ground, kinds: BTreeMap<String, usize>) {
        let recipient = access
            .organization
            .clone()
            .or_else(|| access.fhir_user.clone())
            .unwrap_or_else(|| access.client.clone());
        let is_same = |earlier: &&mut Disclosure| {
            earlier.recipient == recipient && earlier.purposes == access.purposes && earlier.ground == ground
        };
        if let Some(earlier) = self.found.iter_mut().find(is_same) {
            earlier.first = earlier.first.min(access.time);
            earlier.last = earlier.last.max(access.time);
            earlier.count += 1;
            return;
        }
        self.found.push(Disclosure {
            first: access.time,
            last: access.time,
            count: 1,
            recipient,
            entered: None,
            purposes: access.purposes.clone(),
            kinds,
            ground,
        });
    }

    /// The disclosures, the oldest first.
    #[must_use]
    pub fn finish(mut self) -> Vec<Disclosure> {
        let entered = std::mem::take(&mut self.entered);
        let accounted = entered.into_iter().filter(|(_, entered)| self.is_entry_accounted(entered));
        let accounted: Vec<Disclosure> = accounted.map(of_entry).collect();
        self.found.extend(accounted);
        self.found.sort_by_key(|disclosure| disclosure.first);
        self.found
    }
}

fn of_entry((place, entered): (RecordPlace, Entered)) -> Disclosure {
    Disclosure {
        first: entered.first,
        last: entered.last,
        count: entered.count,
        recipient: entered.recipient.clone(),
        purposes: Vec::new(),
        entered: Some((place, entered)),
        kinds: BTreeMap::new(),
        ground: Ground::None,
    }
}

/// Whether all purposes are treatment, payment or operations (45 CFR 164.506).
fn is_for_operations(access: &Access) -> bool {
    let within = |code: &String| {
        let asserted = Code::purpose(code);
        ["TREAT", "HPAYMT", "HOPERAT"].iter().any(|broad| asserted.is_within(&Code::purpose(broad)))
    };
    !access.purposes.is_empty() && access.purposes.iter().all(within)
}

#[cfg(test)]
mod tests {
    use super::{ACCOUNTED_MS, Accounting, DAY_MS, Disclosure, PART2_ACCOUNTED_MS};
    use crate::audit::entered::{AccountedBy, DISCLOSURE_BASES, Entered};
    use crate::audit::record::{Access, Action, Ground, Item, RequesterKind};
    use crate::auth::{Party, Role};
    use crate::model::Interval;
    use crate::store::Sequence;

    const NOW: i64 = 1_700_000_000_000;

    fn access(time: i64, purpose: &str, ground: Ground) -> Access {
        let party = Party {
            role: Role::System,
            organization: Some("Organization/health-department".to_owned()),
            purposes: vec![purpose.to_owned()],
            ..Party::nobody()
        };
        let mut access = Access::of(&party, "read", Action::Read, "GET /".to_owned(), time);
        access.requester_kind = Some(RequesterKind::Outside);
        access.patients = vec!["Patient/a".to_owned()];
        let what = "Observation/1/_history/x".to_owned();
        access.released = vec![Item { what, about: Some(vec![0]), ground, ..Item::default() }];
        access
    }

    fn accounted(accesses: &[Access], suspended: &[String]) -> Vec<Disclosure> {
        let mut accounting = Accounting::of("Patient/a", Interval::ALWAYS, NOW, suspended);
        for (access, sequence) in accesses.iter().zip(1..) {
            accounting.add((Sequence(sequence), 0), access);
        }
        accounting.finish()
    }

    fn consent() -> Ground {
        Ground::Consent("Consent/c".to_owned(), String::new())
    }

    #[test]
    fn what_the_law_leaves_out_is_left_out() {
        let check = |access: Access, expected: usize| {
            assert_eq!(accounted(std::slice::from_ref(&access), &[]).len(), expected, "{access:?}");
        };
        check(access(NOW - DAY_MS, "PUBHLTH", Ground::Policy), 1);
        check(access(NOW - DAY_MS, "HPAYMT", Ground::Policy), 0);
        check(access(NOW - DAY_MS, "ETREAT", Ground::Policy), 0);
        check(access(NOW - DAY_MS, "HPAYMT", Ground::BreakGlass), 1);
        check(access(NOW - DAY_MS, "PUBHLTH", Ground::RightOfAccess), 0);
        check(access(NOW - DAY_MS, "HRESCH", consent()), 0);
        check(access(NOW - ACCOUNTED_MS - 1, "PUBHLTH", Ground::Policy), 0);
        check(access(NOW - ACCOUNTED_MS, "PUBHLTH", Ground::Policy), 1);
        let own = Access {
            requester_kind: Some(RequesterKind::Own),
            ..access(NOW - DAY_MS, "PUBHLTH", Ground::Policy)
        };
        check(own, 0);
        let failed = Access { status: 404, ..access(NOW - DAY_MS, "PUBHLTH", Ground::Policy) };
        check(failed, 0);
        let mut part2 = access(NOW - DAY_MS, "HPAYMT", consent());
        part2.released[0].labels.push((String::new(), "42CFRPart2".to_owned()));
        check(part2.clone(), 1);
        check(Access { time: NOW - PART2_ACCOUNTED_MS - 1, ..part2 }, 0);
    }

    fn entry(first: i64, basis: &str, corrects: Option<(u64, u32)>) -> Access {
        let mut entry = access(NOW, "HOPERAT", Ground::None);
        entry.released.clear();
        let recipient = "Organization/health-department".to_owned();
        let basis = basis.to_owned();
        entry.entered =
            Some(Entered { first, last: first, count: 1, recipient, basis, corrects, ..Entered::default() });
        entry
    }

    #[test]
    fn what_was_entered_is_accounted_for_by_its_basis() {
        let check = |entries: &[Access], expected: &[i64]| {
            let told: Vec<i64> = accounted(entries, &[]).iter().map(|disclosure| disclosure.first).collect();
            assert_eq!(told, expected, "{entries:?}");
        };
        for basis in DISCLOSURE_BASES {
            let last_of = match basis.accounted {
                AccountedBy::Hipaa => Some(NOW - ACCOUNTED_MS),
                AccountedBy::Part2 => Some(NOW - PART2_ACCOUNTED_MS),
                AccountedBy::Neither => None,
            };
            let told = last_of.iter().copied().collect::<Vec<_>>();
            let last = last_of.unwrap_or(NOW - DAY_MS);
            check(&[entry(last, basis.code, None)], &told);
            check(&[entry(last - 1, basis.code, None)], &[]);
        }
        check(&[entry(NOW - DAY_MS, "no such basis", None)], &[]);
        // A correction replaces the entry that it corrects, which may be a correction too. The last one here says that it was an
        // error.
        let first = entry(NOW - 9 * DAY_MS, "public-health", None);
        let second = entry(NOW - 8 * DAY_MS, "public-health", Some((1, 0)));
        let third = entry(NOW - 7 * DAY_MS, "treatment", Some((2, 0)));
        let mut fourth = entry(NOW - 7 * DAY_MS, "public-health", Some((3, 0)));
        check(&[first.clone(), second.clone()], &[NOW - 8 * DAY_MS]);
        check(&[first.clone(), second.clone(), third.clone()], &[]);
        check(&[first.clone(), second.clone(), third.clone(), fourth.clone()], &[NOW - 7 * DAY_MS]);
        fourth.entered.as_mut().unwrap().in_error = true;
        check(&[first.clone(), second, third, fourth], &[]);
        assert_eq!(accounted(&[first], &["Organization/health-department".to_owned()]), []);
    }

    #[test]
    fn repeated_disclosures_are_one_and_suspended_ones_none() {
        let accesses = [
            access(NOW - 3 * DAY_MS, "PUBHLTH", Ground::Policy),
            access(NOW - 2 * DAY_MS, "PUBHLTH", Ground::Policy),
            access(NOW - DAY_MS, "HLEGAL", Ground::Law("court order".to_owned())),
            access(NOW - DAY_MS, "HRESCH", Ground::Policy),
        ];
        let found = accounted(&accesses, &[]);
        let told: Vec<(usize, i64, i64)> =
            found.iter().map(|disclosure| (disclosure.count, disclosure.first, disclosure.last)).collect();
        assert_eq!(told, [(2, NOW - 3 * DAY_MS, NOW - 2 * DAY_MS), (1, NOW - DAY_MS, NOW - DAY_MS)]);
        assert_eq!(found[0].kinds.get("Observation"), Some(&1));
        assert_eq!(accounted(&accesses, &["Organization/health-department".to_owned()]), []);
    }
}
