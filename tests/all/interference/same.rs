//! The non-interference property: compared request by request, page by page, and finally over everything visible.
use std::collections::BTreeSet;
use std::sync::Arc;

use chartward::auth::Party;
use chartward::operations::Verb;

use super::data::{START, Seen, Taken, all, fill, seen, without_some};
use super::parties;
use super::requests::Requests;
use super::world::{Asked, BASE, Sent, SetClock, World, align};
use crate::oracle::Random;

/// Two servers whose data differ only in what is hidden from the party.
pub struct Pair {
    clock: Arc<SetClock>,
    pub whole: World,
    pub other: World,
    pub party: Arc<Party>,
    pub requests: Requests,
    differences: Vec<String>,
}

const DIFFERENCES_TOLD_MAX: usize = 40;

impl Pair {
    pub fn new(seed: u64, party: Arc<Party>, referential_integrity: bool) -> Self {
        let clock = Arc::new(SetClock::default());
        let steps: Taken = all(seed).into_iter().map(Some).collect();
        clock.set(START);
        let mut whole = World::new(clock.clone(), 1);
        let versions = fill(&whole, &clock, &steps);
        let view = seen(&whole, &party, &steps, &versions);
        let hidden = steps.iter().flatten().filter(|step| !view.shown.contains(&step.reference())).count();
        assert!(view.shown.len() > 20 && hidden > 20, "{} shown, {hidden} hidden", view.shown.len());
        let mut other = Self::other(seed, &clock, &party, &steps, &view);
        // The data is filled in the order in which files grow, which does not respect referential integrity, so it is set
        // afterwards.
        whole.set_referential_integrity(referential_integrity);
        other.set_referential_integrity(referential_integrity);
        let requests = Requests::new(seed, &steps, &view, &versions);
        align(&whole, &other);
        Self { clock, whole, other, party, requests, differences: Vec::new() }
    }

    /// The second server. Resources that become visible in it because of other omissions, but are hidden in the first one, are
    /// left out too.
    fn other(seed: u64, clock: &Arc<SetClock>, party: &Arc<Party>, steps: &Taken, view: &Seen) -> World {
        let mut steps = without_some(steps, view, &mut Random::new(seed));
        for _ in 0..8 {
            clock.set(START);
            let world = World::new(clock.clone(), 2);
            let versions = fill(&world, clock, &steps);
            let now = seen(&world, party, &steps, &versions);
            let missing: Vec<&String> = view.shown.difference(&now.shown).collect();
            assert!(missing.is_empty(), "seed {seed}: what is shown rests on what is hidden: {missing:?}");
            let mut is_same = true;
            for ((step, was_seen), is_seen) in steps.iter_mut().zip(&view.steps).zip(&now.steps) {
                let is_more = step.as_ref().is_some_and(|step| {
                    now.shown.contains(&step.reference()) && !view.shown.contains(&step.reference())
                });
                if is_more || (*is_seen && !was_seen) {
                    (*step, is_same) = (None, false);
                }
            }
            if is_same {
                return world;
            }
        }
        panic!("seed {seed}: the second server does not come to rest");
    }

    /// Sends the request to both servers and follows the next pages of both.
    fn ask(&mut self, asked: &Asked) {
        let mut asked = asked.clone();
        if self.is_own() {
            // These conditions would also reveal whether masking removed something.
            (asked.if_none_match, asked.if_modified_since) = (None, None);
            if asked.verb == Verb::Patch && !self.is_alike(&asked.url) {
                return;
            }
            if self.is_about_one_of_two(&asked) {
                return;
            }
        }
        for page in 0..20 {
            self.clock.advance(1_000);
            let (left, right) = (self.whole.ask(&self.party, &asked), self.other.ask(&self.party, &asked));
            align(&self.whole, &self.other);
            let is_same = if self.is_own() {
                left.without_references() == right.without_references()
            } else {
                left == right
            };
            if !is_same {
                let body = format!("{:?}", asked.body);
                self.differences.push(format!(
                    "page {page} of {} {} {:?} {:?}\n{}",
                    asked.verb.name(),
                    asked.url,
                    (&asked.if_match, &asked.if_none_match, &asked.if_none_exist),
                    body.chars().take(1_000).collect::<String>(),
                    left.difference(&right),
                ));
                return;
            }
            self.requests.learn(&asked, &left);
            let Ok(bundle) = serde_json::from_str::<serde_json::Value>(&left.body) else { return };
            let links = bundle["link"].as_array().map(Vec::as_slice).unwrap_or_default();
            let Some(next) = links.iter().find(|link| link["relation"] == "next") else { return };
            let url = next["url"].as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/');
            asked = Asked { lenient: asked.lenient, ..Asked::new(Verb::Get, url) };
        }
    }

    /// Whether the party is of the own organization: it can distinguish references to hidden resources from those to absent
    /// ones. Only this difference is not compared.
    fn is_own(&self) -> bool {
        self.party.organization.as_deref() == Some("Organization/hospital")
    }

    /// Whether a write is about a patient who is hidden on one server and absent on the other. Clinicians of the own
    /// organization may add to any file: they do not see what they added to a hidden one, but they see what they wrote about an
    /// absent patient (see the exceptions in `mod.rs`).
    fn is_about_one_of_two(&self, asked: &Asked) -> bool {
        let Sent::Resource(text) = &asked.body else { return false };
        let everything = Arc::new(Party::open("Organization/hospital"));
        let is_there =
            |world: &World, url: &str| world.ask(&everything, &Asked::new(Verb::Get, url)).status == 200;
        let hidden = self.requests.hidden().iter().filter(|reference| reference.starts_with("Patient/"));
        let mut named = hidden.filter(|reference| text.contains(&format!("\"{reference}\"")));
        let is_one_of_two =
            named.any(|patient| is_there(&self.whole, patient) != is_there(&self.other, patient));
        align(&self.whole, &self.other);
        is_one_of_two
    }

    /// Whether both servers answer a read identically, references included.
    fn is_alike(&self, url: &str) -> bool {
        let read = Asked::new(Verb::Get, url);
        let (left, right) = (self.whole.ask(&self.party, &read), self.other.ask(&self.party, &read));
        align(&self.whole, &self.other);
        left == right
    }

    /// Compares everything that the party can see.
    fn look_over(&mut self) {
        let hidden: Vec<String> = self.requests.hidden().to_vec();
        let types: BTreeSet<&str> = [
            "Binary",
            "CareTeam",
            "Communication",
            "Condition",
            "Consent",
            "DocumentReference",
            "List",
            "Observation",
            "Patient",
            "Provenance",
            "QuestionnaireResponse",
            "Task",
        ]
        .into();
        for name in types {
            self.ask(&Asked::new(Verb::Get, format!("{name}?_count=50&_total=accurate")));
            self.ask(&Asked::new(Verb::Get, format!("{name}?_count=50&_sort=-_lastUpdated&_include=*")));
            self.ask(&Asked::new(Verb::Get, format!("{name}/_history?_count=100")));
        }
        for reference in hidden {
            self.ask(&Asked::new(Verb::Get, reference.as_str()));
            self.ask(&Asked::new(Verb::Get, format!("{reference}/_history")));
        }
        for number in 1..=6 {
            self.ask(&Asked::new(Verb::Get, format!("Patient/p{number}/*?_count=50")));
            self.ask(&Asked::new(Verb::Get, format!("Patient/p{number}/$everything?_count=9")));
            self.ask(&Asked::new(Verb::Get, format!("Observation/$lastn?patient=p{number}&max=2")));
        }
    }
}

/// `INTERFERENCE_SEED=100 cargo test interference` uses other data and other requests.
fn check(seed: u64, count: usize, party: Arc<Party>, referential_integrity: bool) {
    let more = std::env::var("INTERFERENCE_SEED").ok().map_or(0, |seed| seed.parse().unwrap());
    let seed = seed + more;
    let role = party.role.code();
    let mut pair = Pair::new(seed, party, referential_integrity);
    pair.look_over();
    for _ in 0..count {
        let asked = pair.requests.next();
        pair.ask(&asked);
    }
    pair.look_over();
    let told: Vec<&str> = pair.differences.iter().take(DIFFERENCES_TOLD_MAX).map(String::as_str).collect();
    assert!(
        told.is_empty(),
        "seed {seed}, {role}: {} differences\n{}",
        pair.differences.len(),
        told.join("\n")
    );
}

/// The control: a party that sees what is hidden from the insurer finds the difference between the same two servers.
#[test]
fn whoever_sees_the_hidden_finds_a_difference() {
    let mut pair = Pair::new(31, parties::insurer(), false);
    pair.party = Arc::new(Party::open("Organization/hospital"));
    pair.look_over();
    assert!(!pair.differences.is_empty(), "the comparison finds nothing");
}

const REQUESTS: usize = 400;

#[test]
fn an_insurer_is_told_nothing_of_the_hidden() {
    check(31, REQUESTS, parties::insurer(), false);
}

#[test]
fn another_hospital_is_told_nothing_of_the_hidden() {
    check(32, REQUESTS, parties::another_hospital(), false);
    check(33, REQUESTS, parties::another_hospital(), true);
}

#[test]
fn a_patient_is_told_nothing_of_the_hidden() {
    check(34, REQUESTS, parties::patient(), false);
}

#[test]
fn a_representative_is_told_nothing_of_the_hidden() {
    check(35, REQUESTS, parties::representative(), false);
}

#[test]
fn a_clinician_is_told_nothing_of_files_that_are_denied() {
    check(36, REQUESTS, parties::denied_clinician(), false);
    check(37, REQUESTS, parties::denied_clinician(), true);
}

#[test]
fn a_clinician_is_told_nothing_of_what_scopes_do_not_reach() {
    check(38, REQUESTS, parties::constrained_clinician(), false);
}
