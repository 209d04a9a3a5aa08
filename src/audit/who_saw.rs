//! Who saw a patient's file: access records, grouped as a person would report them, the newest first.
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::auth::PAGES;
use crate::model::Millis;

use super::concern::Concern;
use super::record::{Access, Action, Ground, Item, RequesterKind};
use super::words::{
    clock_in_words, day_in_words, ground_in_words, kind_in_words, listed, purpose_in_words, role_in_words,
};

/// Milliseconds of a day.
const DAY_MS: Millis = 24 * 60 * 60 * 1_000;

/// What was done to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessKind {
    Read,
    Changed,
    /// Access was asked for and refused.
    Refused,
    /// The patient's data were among those counted.
    Counted,
    /// A search used a value of this patient alone, and showed nothing of the patient.
    Sought,
}

impl AccessKind {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Counted => "counted",
            Self::Sought => "sought",
        }
    }
}

/// What one user did to the file on one day, for the same purposes and on the same basis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewing {
    /// Milliseconds since 1970 of the first and the last time.
    pub first: Millis,
    pub last: Millis,
    pub count: usize,
    /// The resource that stands for the user; without one the client is named.
    pub user: Option<String>,
    pub client: String,
    pub organization: Option<String>,
    pub role: String,
    pub requester_kind: Option<RequesterKind>,
    pub kind: AccessKind,
    /// Types of resources.
    pub kinds: BTreeSet<String>,
    pub purposes: Vec<String>,
    pub ground: Ground,
}

/// The key by which accesses are grouped: day, user, client, organization, role, kind, purposes, ground.
type ViewingKey = (Millis, Option<String>, String, Option<String>, String, AccessKind, Vec<String>, String);

/// Groups the accesses to a patient's file.
pub struct Viewings {
    /// `Patient/id`.
    patient: String,
    found: Vec<Viewing>,
    known: HashMap<ViewingKey, usize>,
    page_views: PageViews,
}

/// The requests that one page of the server's own makes have one request id, and count as one viewing.
#[derive(Default)]
struct PageViews {
    /// The groups and the page views that they count already.
    counted: HashSet<(usize, String)>,
    /// The page views that have shown something.
    showing: HashSet<String>,
    /// The requests of page views that have shown nothing.
    bare: Vec<Access>,
}

/// The id of the page view to which an access belongs.
fn page_view(access: &Access) -> Option<&String> {
    access.request_id.as_ref().filter(|_| access.client == PAGES)
}

impl Viewings {
    #[must_use]
    pub fn of(patient: &str) -> Self {
        let patient = patient.to_owned();
        Self { patient, found: Vec::new(), known: HashMap::new(), page_views: PageViews::default() }
    }

    /// Adds a record; one that does not concern the patient is ignored. Add the newest record first.
    pub fn add(&mut self, access: &Access) {
        let Some(number) = access.patients.iter().position(|patient| *patient == self.patient) else {
            return;
        };
        if let Some(addition) = &access.addition {
            let kind = match addition.concern {
                Concern::Counted => AccessKind::Counted,
                Concern::Sought => AccessKind::Sought,
            };
            let times = (addition.first, addition.last, addition.times);
            return self.group(access, kind, &[], times);
        }
        let once = (access.time, access.time, 1);
        let items = |list: &'_ [Item]| -> Vec<Item> {
            list.iter().filter(|item| item.is_about(number)).cloned().collect()
        };
        let (released, withheld) = (items(&access.released), items(&access.withheld));
        let (written, read): (Vec<Item>, Vec<Item>) =
            released.into_iter().partition(|item| item.done.is_some());
        let kinds =
            [(AccessKind::Refused, withheld), (AccessKind::Changed, written), (AccessKind::Read, read)];
        let is_without_items = kinds.iter().all(|(_, items)| items.is_empty());
        if let Some(id) = page_view(access) {
            // A page asks for much of which there is nothing. That is told only if the whole page has shown nothing.
            let reads = matches!(access.action, Action::Read | Action::Execute);
            if is_without_items && reads && !access.has_failed() {
                self.page_views.bare.push(access.clone());
                return;
            }
            self.page_views.showing.insert(id.clone());
        }
        for (kind, items) in kinds {
            if !items.is_empty() {
                self.group(access, kind, &items, once);
            }
        }
        if is_without_items {
            let kind = match (access.has_failed(), access.action) {
                (true, _) => AccessKind::Refused,
                (false, Action::Read | Action::Execute) => AccessKind::Read,
                (false, Action::Create | Action::Update | Action::Delete) => AccessKind::Changed,
            };
            self.group(access, kind, &[], once);
        }
    }

    /// Adds a kind of access, with its first and last time and its number.
    fn group(
        &mut self,
        access: &Access,
        kind: AccessKind,
        items: &[Item],
        (first, last, times): (Millis, Millis, usize),
    ) {
        let ground = items.first().map(|item| item.ground.clone()).unwrap_or_default();
        let alike = (
            first.div_euclid(DAY_MS),
            access.fhir_user.clone(),
            access.client.clone(),
            access.organization.clone(),
            access.role.clone(),
            kind,
            access.purposes.clone(),
            ground_in_words(&ground),
        );
        let kinds = kinds(access, items);
        let at = self.known.get(&alike).copied().unwrap_or(self.found.len());
        let is_counted =
            page_view(access).is_some_and(|id| !self.page_views.counted.insert((at, id.clone())));
        let times = if is_counted { 0 } else { times };
        if let Some(viewing) = self.found.get_mut(at) {
            viewing.first = viewing.first.min(first);
            viewing.last = viewing.last.max(last);
            viewing.count += times;
            viewing.kinds.extend(kinds);
            return;
        }
        self.known.insert(alike, at);
        self.found.push(Viewing {
            first,
            last,
            count: times,
            user: access.fhir_user.clone(),
            client: access.client.clone(),
            organization: access.organization.clone(),
            role: access.role.clone(),
            requester_kind: access.requester_kind,
            kind,
            kinds,
            purposes: access.purposes.clone(),
            ground,
        });
    }

    /// The number of groups so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The viewings, the newest first.
    #[must_use]
    pub fn finish(mut self) -> Vec<Viewing> {
        for access in std::mem::take(&mut self.page_views.bare) {
            if page_view(&access).is_some_and(|id| !self.page_views.showing.contains(id)) {
                self.group(&access, AccessKind::Read, &[], (access.time, access.time, 1));
            }
        }
        self.found.sort_by_key(|viewing| std::cmp::Reverse(viewing.last));
        self.found
    }
}

/// The types of resources that were accessed. Reports about accesses list no items and count as AuditEvent.
fn kinds(access: &Access, items: &[Item]) -> BTreeSet<String> {
    let is_of_accesses =
        ["/AuditEvent", "/$who-saw", "/$accounting"].iter().any(|path| access.request.contains(path));
    if items.is_empty() && is_of_accesses {
        return BTreeSet::from(["AuditEvent".to_owned()]);
    }
    if access.entered.is_some() {
        return BTreeSet::from(["Disclosure".to_owned()]);
    }
    items.iter().map(|item| item.type_name().to_owned()).collect()
}

/// Gives the name of a professional or organization (`Type/id`).
pub type Names<'n> = &'n dyn Fn(&str) -> Option<String>;

impl Viewing {
    /// The user, in words for the patient (`Patient/id`). Other patients are not named.
    #[must_use]
    pub fn who(&self, patient: &str, names: Names<'_>) -> String {
        match self.user.as_deref() {
            Some(user) if user == patient => "you".to_owned(),
            Some(user) if user.starts_with("Patient/") => "another patient".to_owned(),
            Some(user) if user.starts_with("RelatedPerson/") => "somebody who acts for a patient".to_owned(),
            Some(user) => names(user).unwrap_or_else(|| self.client.clone()),
            None => self.client.clone(),
        }
    }

    /// The name of the organization, or its reference if it has none.
    #[must_use]
    pub fn organization_name(&self, names: Names<'_>) -> Option<String> {
        self.organization
            .as_ref()
            .map(|organization| names(organization).unwrap_or_else(|| organization.clone()))
    }

    /// The types of resources, in words.
    #[must_use]
    pub fn kinds_in_words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.kinds.iter().map(|kind| kind_in_words(kind)).collect();
        words.sort();
        words.dedup();
        words
    }

    /// The purposes, in words.
    #[must_use]
    pub fn purposes_in_words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            self.purposes.iter().map(|code| purpose_in_words(code).to_owned()).collect();
        words.sort();
        words.dedup();
        words
    }

    /// The day, and the time or the range of times.
    #[must_use]
    pub fn when(&self) -> String {
        let (first, last) = (clock_in_words(self.first), clock_in_words(self.last));
        let day = day_in_words(self.last);
        if first == last { format!("{day}, {last}") } else { format!("{day}, {first} to {last}") }
    }

    /// The user with role and organization, in words.
    #[must_use]
    pub fn actor(&self, patient: &str, names: Names<'_>) -> String {
        let mut actor = self.who(patient, names);
        if actor != "you" {
            actor.push_str(&format!(" ({})", role_in_words(&self.role)));
            if let Some(organization) = self.organization_name(names) {
                actor.push_str(&format!(" of {organization}"));
            }
        }
        actor
    }

    /// What was done, and how often, in words.
    #[must_use]
    pub fn what(&self) -> String {
        let kinds = self.kinds_in_words();
        let what = if kinds.is_empty() { "the file".to_owned() } else { listed(&kinds) };
        let mut done = match self.kind {
            AccessKind::Read => format!("saw {what}"),
            AccessKind::Changed => format!("wrote {what}"),
            AccessKind::Refused => format!("asked for {what} and was refused"),
            AccessKind::Counted => format!("counted records, {what} among them"),
            AccessKind::Sought => format!("searched for {what} and was shown nothing of it"),
        };
        if self.count > 1 {
            done.push_str(&format!(", {} times", self.count));
        }
        done
    }

    /// The purposes, and for a read its basis, in words.
    #[must_use]
    pub fn why(&self) -> String {
        let mut reasons = self.purposes_in_words();
        if self.kind == AccessKind::Read {
            reasons.push(format!("it rested on {}", ground_in_words(&self.ground)));
        }
        reasons.join("; ")
    }

    /// The viewing as one sentence.
    #[must_use]
    pub fn sentence(&self, patient: &str, names: Names<'_>) -> String {
        let mut sentence = format!("{}: {} {}", self.when(), self.actor(patient, names), self.what());
        let purposes = self.purposes_in_words();
        if !purposes.is_empty() {
            sentence.push_str(&format!(", for {}", listed(&purposes)));
        }
        if self.kind == AccessKind::Read {
            sentence.push_str(&format!(". It rested on {}", ground_in_words(&self.ground)));
        }
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessKind, PAGES, Viewing, Viewings};
    use crate::audit::record::{Access, Action, Ground, Item, RequesterKind};
    use crate::auth::{Party, Role};

    const NOON: i64 = 1_700_049_600_000;

    fn access(minute: i64, what: &str, ground: Ground) -> Access {
        let party = Party {
            client: "ehr".to_owned(),
            role: Role::Clinician,
            organization: Some("Organization/h".to_owned()),
            fhir_user: Some("Practitioner/d".to_owned()),
            purposes: vec!["TREAT".to_owned()],
            ..Party::nobody()
        };
        let request = "GET /Observation?patient=Patient/z".to_owned();
        let mut access = Access::of(&party, "read", Action::Read, request, NOON + minute * 60_000);
        access.requester_kind = Some(RequesterKind::Own);
        access.patients = vec!["Patient/z".to_owned(), "Patient/a".to_owned()];
        access.released = vec![
            Item { what: what.to_owned(), about: Some(vec![1]), ground, ..Item::default() },
            Item { what: "Condition/of-z".to_owned(), about: Some(vec![0]), ..Item::default() },
        ];
        access
    }

    fn names(reference: &str) -> Option<String> {
        match reference {
            "Practitioner/d" => Some("Dr Day".to_owned()),
            "Organization/h" => Some("General Hospital".to_owned()),
            _ => None,
        }
    }

    fn told(accesses: &[Access]) -> Vec<String> {
        let mut viewings = Viewings::of("Patient/a");
        accesses.iter().for_each(|access| viewings.add(access));
        let found: Vec<Viewing> = viewings.finish();
        found.iter().map(|viewing| viewing.sentence("Patient/a", &names)).collect()
    }

    #[test]
    fn a_page_of_many_requests_is_one_viewing() {
        let of_page = |minute: i64, id: &str, what: Option<&str>| {
            let mut access = access(minute, what.unwrap_or_default(), Ground::Policy);
            access.client = PAGES.to_owned();
            access.request_id = Some(id.to_owned());
            if what.is_none() {
                access.released.clear();
            }
            access
        };
        let accesses = [
            of_page(31, "c", None),
            of_page(30, "b", Some("Observation/1")),
            of_page(5, "a", None),
            of_page(5, "a", Some("Observation/1")),
            of_page(5, "a", Some("Observation/2")),
        ];
        let told = told(&accesses);
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].contains("12:31: Dr Day") && !told[0].contains("times"), "{told:#?}");
        assert!(told[1].contains("12:05 to 12:30: Dr Day") && told[1].contains(", 2 times"), "{told:#?}");
    }

    #[test]
    fn what_is_alike_is_told_once_and_others_are_not_named() {
        let accesses = [
            access(30, "Observation/1/_history/x", Ground::Policy),
            access(5, "DiagnosticReport/2/_history/x", Ground::Policy),
            access(
                -24 * 60,
                "Observation/1/_history/x",
                Ground::Consent("Consent/c".to_owned(), String::new()),
            ),
        ];
        let told = told(&accesses);
        assert_eq!(
            told,
            [
                "15 November 2023, 12:05 to 12:30: Dr Day (a professional who treats) of General Hospital saw \
                 measurements and test results and reports of examinations, 2 times, for treatment. It rested on \
                 the hospital's rules for treatment, payment and its own work",
                "14 November 2023, 12:00: Dr Day (a professional who treats) of General Hospital saw measurements \
                 and test results, for treatment. It rested on the patient's consent",
            ]
        );
        assert!(told.iter().all(|sentence| !sentence.contains("diagnoses") && !sentence.contains("/z")));
    }

    #[test]
    fn refusals_and_the_patient_are_told_as_such() {
        let mut refused = access(0, "Observation/1", Ground::Policy);
        refused.withheld = std::mem::take(&mut refused.released);
        refused.status = 404;
        refused.fhir_user = Some("Patient/z".to_owned());
        let mut own = access(0, "Observation/1", Ground::RightOfAccess);
        own.fhir_user = Some("Patient/a".to_owned());
        let mut about_accesses = own.clone();
        about_accesses.released.clear();
        about_accesses.request = "GET /Patient/a/$who-saw".to_owned();
        let told = told(&[refused.clone(), own, about_accesses]);
        assert!(
            told[0].contains("another patient")
                && told[0].contains("asked for measurements and test results and was refused"),
            "{told:?}"
        );
        assert!(told[1].contains(": you saw measurements"), "{told:?}");
        assert!(told[2].contains(": you saw who saw the file"), "{told:?}");
        let mut viewings = Viewings::of("Patient/a");
        viewings.add(&refused);
        assert_eq!(viewings.finish()[0].kind, AccessKind::Refused);
        let mut nobody = Viewings::of("Patient/n");
        nobody.add(&refused);
        assert!(nobody.is_empty());
    }
}
