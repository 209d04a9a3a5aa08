//! The table of pages: the only source for the router, the menu and the documentation of pages.
use crate::auth::{Party, Role};

use super::handled::Handled;
use super::visit::{Place, Visit};
use super::{account, chart, consents, demonstration, emergency, find, home, item, me, sign_in};

/// Who may open a page.
#[derive(Clone, Copy, Debug)]
pub enum Roles {
    /// Everybody, also without signing in.
    Everybody,
    SignedIn,
    /// Those who see the item by the API. An open server shows it without signing in.
    AsTheApi,
    These(&'static [Role]),
    /// Those with the right to break the glass.
    WhoMayBreakGlass,
    /// Those who record Consents, their own or those of patients.
    WhoRecordsConsents,
}

/// Those who look for people.
const STAFF: &[Role] = &[Role::System, Role::Clinician, Role::Technician, Role::PrivacyOfficer];
/// Those to whom records belong.
const OWN_RECORDS: &[Role] = &[Role::Patient, Role::Representative];

/// Those who are told who saw a record.
const TOLD_WHO_SAW: &[Role] = &[Role::Patient, Role::Representative, Role::PrivacyOfficer];

/// A handler of a page.
pub(super) type Handler = fn(Visit) -> Handled;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Page {
    /// The path, as axum writes it; parts in braces are open.
    pub path: &'static str,
    pub roles: Roles,
    /// Its name in the menu, if it stands there.
    pub menu: Option<&'static str>,
    /// What it is for, in a sentence.
    pub says: &'static str,
    /// The requests that it makes.
    pub requests: &'static [&'static str],
    pub(super) get: Option<Handler>,
    pub(super) post: Option<Handler>,
}

const fn page(path: &'static str, roles: Roles, says: &'static str) -> Page {
    Page { path, roles, menu: None, says, requests: &[], get: None, post: None }
}

impl Page {
    const fn by_get(self, handler: Handler) -> Self {
        Self { get: Some(handler), ..self }
    }

    const fn by_post(self, handler: Handler) -> Self {
        Self { post: Some(handler), ..self }
    }

    const fn asks(self, requests: &'static [&'static str]) -> Self {
        Self { requests, ..self }
    }

    const fn in_menu(self, name: &'static str) -> Self {
        Self { menu: Some(name), ..self }
    }

    /// Whether this party may open it.
    #[must_use]
    pub fn is_for(&self, party: &Party) -> bool {
        match self.roles {
            Roles::Everybody | Roles::SignedIn | Roles::AsTheApi => true,
            Roles::These(roles) => roles.contains(&party.role),
            Roles::WhoMayBreakGlass => party.may_declare_emergency(),
            Roles::WhoRecordsConsents => party.may_record_consents(),
        }
    }
}

/// All pages.
pub const PAGES: &[Page] = &[
    page("/", Roles::Everybody, "What there is for you to do.").in_menu("Home").by_get(home::home),
    page("/sign-in", Roles::Everybody, "Signing in with name and password.")
        .by_get(sign_in::page)
        .by_post(sign_in::sign_in),
    page("/sign-out", Roles::SignedIn, "Ends the session on this browser.").by_post(sign_in::sign_out),
    page("/sign-out/everywhere", Roles::SignedIn, "Ends your sessions on all browsers.")
        .by_post(sign_in::sign_out_everywhere),
    page("/account", Roles::SignedIn, "Your sessions, and the apps that have access.")
        .by_get(account::account),
    page("/as/{persona}", Roles::Everybody, "Becomes one of a demonstration's people.")
        .by_post(demonstration::become_one),
    page("/me", Roles::These(OWN_RECORDS), "Your record, and who saw it.")
        .in_menu("My records")
        .asks(&["GET Patient"])
        .by_get(me::mine),
    page("/find", Roles::These(STAFF), "People by name, birth date, record number or phone.")
        .in_menu("Find")
        .by_get(find::start)
        .by_post(find::ask),
    page("/find/{sealed}", Roles::These(STAFF), "The people who were found.")
        .asks(&["GET Patient?name&birthdate", "GET Patient?identifier", "GET Patient?phone-digits:contains"])
        .by_get(find::found),
    page(
        "/emergency",
        Roles::WhoMayBreakGlass,
        "Opens one hidden record for a quarter of an hour, by its number and with a reason.",
    )
    .in_menu("Emergency")
    .asks(&["POST Patient/$break-glass"])
    .by_get(emergency::page)
    .by_post(emergency::declare),
    page("/p/{id}/emergency/end", Roles::SignedIn, "Closes a record that was opened in an emergency.")
        .by_post(emergency::end),
    page(
        "/p/{id}",
        Roles::SignedIn,
        "What must be known before one treats; current medications and problems; visits.",
    )
    .asks(&[
        "GET Patient/[id]",
        "GET AllergyIntolerance",
        "GET Condition",
        "GET MedicationRequest",
        "GET Flag",
        "GET Encounter",
        "GET Consent",
    ])
    .by_get(chart::summary),
    page("/p/{id}/timeline", Roles::SignedIn, "The visits.")
        .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET Encounter"])
        .by_get(chart::timeline),
    page("/p/{id}/results", Roles::SignedIn, "Results and vital signs.")
        .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET Observation"])
        .by_get(chart::results),
    page(
        "/p/{id}/results/{code}",
        Roles::SignedIn,
        "The results of one kind over time, as a plot and a table.",
    )
    .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET Observation"])
    .by_get(chart::trend),
    page("/p/{id}/medications", Roles::SignedIn, "Medications.")
        .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET MedicationRequest"])
        .by_get(chart::medications),
    page("/p/{id}/problems", Roles::SignedIn, "Problems and diagnoses.")
        .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET Condition"])
        .by_get(chart::problems),
    page("/p/{id}/documents", Roles::SignedIn, "Documents.")
        .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET DocumentReference"])
        .by_get(chart::documents),
    page("/p/{id}/insurance", Roles::SignedIn, "Insurance.")
        .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET Coverage"])
        .by_get(chart::insurance),
    page(
        "/p/{id}/consents",
        Roles::SignedIn,
        "Who may see the record: permissions and restrictions in sentences.",
    )
    .asks(&[
        "GET Patient/[id]",
        "GET AllergyIntolerance",
        "GET Consent",
        "GET Organization",
        "GET Practitioner",
    ])
    .by_get(consents::desk),
    page(
        "/p/{id}/consents/new",
        Roles::WhoRecordsConsents,
        "Records a permission or a restriction, after it has said who gains and who loses.",
    )
    .asks(&[
        "GET Patient/[id]",
        "GET AllergyIntolerance",
        "GET Organization",
        "GET Practitioner",
        "POST Consent/$preview",
        "POST Consent",
    ])
    .by_get(consents::begin)
    .by_post(consents::go_on),
    page(
        "/p/{id}/consents/{consent}/end",
        Roles::WhoRecordsConsents,
        "Takes a permission or a restriction back.",
    )
    .asks(&["GET Consent/[id]", "PATCH Consent/[id]"])
    .by_post(consents::end),
    page("/p/{id}/everything", Roles::SignedIn, "How many items of each kind there are.")
        .asks(&["GET Patient/[id]", "GET AllergyIntolerance", "GET each kind with _summary=count"])
        .by_get(chart::everything),
    page("/p/{id}/seen", Roles::These(TOLD_WHO_SAW), "Who saw the record, in sentences by day.")
        .asks(&["GET Patient/[id]/$who-saw"])
        .by_get(chart::who_saw),
    page("/fhir", Roles::AsTheApi, "What the API offers.").by_get(item::root),
    page("/fhir/{*rest}", Roles::AsTheApi, "What the API answers at this address, to read and to follow.")
        .asks(&["GET the same address"])
        .by_get(item::answer),
];

/// The places of a party's menu, in order.
pub(super) fn menu_of(party: &Party) -> Vec<Place> {
    let own = PAGES.iter().filter(|page| page.is_for(party));
    let place = |page: &Page| Some(Place { path: page.path, name: page.menu?, says: page.says });
    own.filter_map(place).collect()
}
