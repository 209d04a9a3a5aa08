//! The accounting of disclosures (45 CFR 164.528): what left the house about a patient other than for treatment, payment and
//! operations, to the patient, or as the patient authorized; repeated disclosures to one recipient for one purpose as one.
use std::collections::BTreeMap;

use crate::consent::Code;
use crate::model::{Interval, Millis};

use super::record::{Access, Action, Ground, Item, Standing};

const DAY_MS: Millis = 24 * 60 * 60 * 1_000;
/// How far back an accounting goes: six years (45 CFR 164.528(a)(1)).
pub const ACCOUNTED_MS: Millis = (6 * 365 + 2) * DAY_MS;
/// How far back it lists what was disclosed by a consent under 42 CFR Part 2: three years (42 CFR 2.25).
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
    /// What was disclosed at the first time: types of resources, and how many of each.
    pub kinds: BTreeMap<String, usize>,
    pub ground: Ground,
}

/// Gathers an accounting; records are given from the oldest to the newest.
pub struct Accounting<'a> {
    /// `Patient/id`.
    patient: &'a str,
    period: Interval,
    now: Millis,
    /// Agencies to which disclosures are not told.
    suspended: &'a [String],
    found: Vec<Disclosure>,
}

impl<'a> Accounting<'a> {
    /// The accounting of a period; what is longer ago than the law asks for is left out.
    #[must_use]
    pub fn of(patient: &'a str, asked: Interval, now: Millis, suspended: &'a [String]) -> Self {
        let start = asked.start.max(now.saturating_sub(ACCOUNTED_MS));
        Self { patient, period: Interval { start, end: asked.end }, now, suspended, found: Vec::new() }
    }

    /// The period that is accounted for.
    #[must_use]
    pub fn period(&self) -> Interval {
        self.period
    }

    /// Takes in a record.
    pub fn add(&mut self, access: &Access) {
        let is_within = self.period.start <= access.time && access.time < self.period.end;
        let is_release = matches!(access.action, Action::Read | Action::Execute) && !access.has_failed();
        if !is_within || !is_release || access.standing != Some(Standing::Outside) {
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

    /// Whether the law asks for this release to be accounted for.
    fn is_accounted(&self, access: &Access, item: &Item) -> bool {
        match &item.ground {
            // To the individual (164.528(a)(1)(ii)).
            Ground::RightOfAccess => false,
            // Pursuant to an authorization (164.528(a)(1)(iv)); not so what 42 CFR Part 2 protects.
            Ground::Consent(..) => {
                let is_part2 = item.labels.iter().any(|(_, code)| code == "42CFRPart2");
                is_part2 && access.time >= self.now.saturating_sub(PART2_ACCOUNTED_MS)
            }
            // CHOICE: emergency access by others is told, although emergencies are treatment.
            Ground::BreakGlass => true,
            Ground::Policy | Ground::Law(_) | Ground::None => !is_for_operations(access),
        }
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
            purposes: access.purposes.clone(),
            kinds,
            ground,
        });
    }

    /// The disclosures, the oldest first.
    #[must_use]
    pub fn finish(self) -> Vec<Disclosure> {
        self.found
    }
}

/// Treatment, payment and operations (45 CFR 164.506), and nothing else.
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
    use crate::audit::record::{Access, Action, Ground, Item, Standing};
    use crate::auth::{Party, Role};
    use crate::model::Interval;

    const NOW: i64 = 1_700_000_000_000;

    fn access(time: i64, purpose: &str, ground: Ground) -> Access {
        let party = Party {
            role: Role::System,
            organization: Some("Organization/health-department".to_owned()),
            purposes: vec![purpose.to_owned()],
            ..Party::nobody()
        };
        let mut access = Access::of(&party, "read", Action::Read, "GET /".to_owned(), time);
        access.standing = Some(Standing::Outside);
        access.patients = vec!["Patient/a".to_owned()];
        let what = "Observation/1/_history/x".to_owned();
        access.released = vec![Item { what, about: Some(vec![0]), ground, ..Item::default() }];
        access
    }

    fn accounted(accesses: &[Access], suspended: &[String]) -> Vec<Disclosure> {
        let mut accounting = Accounting::of("Patient/a", Interval::ALWAYS, NOW, suspended);
        accesses.iter().for_each(|access| accounting.add(access));
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
        let own = Access { standing: Some(Standing::Own), ..access(NOW - DAY_MS, "PUBHLTH", Ground::Policy) };
        check(own, 0);
        let failed = Access { status: 404, ..access(NOW - DAY_MS, "PUBHLTH", Ground::Policy) };
        check(failed, 0);
        let mut part2 = access(NOW - DAY_MS, "HPAYMT", consent());
        part2.released[0].labels.push((String::new(), "42CFRPart2".to_owned()));
        check(part2.clone(), 1);
        check(Access { time: NOW - PART2_ACCOUNTED_MS - 1, ..part2 }, 0);
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
