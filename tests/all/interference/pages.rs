//! The pages tell nothing of the hidden either: two servers whose data differ only in what is hidden from a person give that
//! person the same pages.
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use chartward::auth::{PAGES as CLIENT, Party, Persona};
use chartward::ui::{Demonstration, PAGES, Work, Working, pages};
use tower_service::Service as _;

use super::parties;
use super::same::Pair;
use super::world::{World, align};

/// Work is done by whoever asks.
struct AtOnce;

impl Work for AtOnce {
    fn read(&self, work: Working) -> Working {
        work
    }

    fn write(&self, work: Working) -> Working {
        work
    }
}

/// The pages of a server for one person who has signed in.
struct Desk<'w> {
    world: &'w World,
    own: Router,
    of_api: Router,
    cookie: String,
}

impl<'w> Desk<'w> {
    fn new(world: &'w World, party: &Arc<Party>) -> Self {
        let party = Party { client: CLIENT.to_owned(), ..Party::clone(party) };
        let persona = Persona { name: "one".to_owned(), title: "Somebody".to_owned(), party };
        let cookie = world.engine.authorization().begin_session_as(&persona).unwrap();
        let pages = pages(world.engine.clone(), Arc::new(AtOnce), Demonstration::default());
        Self { world, own: pages.own, of_api: pages.of_api, cookie }
    }

    /// Status and text of a page, with names in place of this server's own ids.
    fn open(&self, path: &str) -> (u16, String) {
        self.ask(path, None)
    }

    /// What a page answers to a form with these fields.
    fn send(&self, path: &str, fields: &str) -> (u16, String) {
        self.ask(path, Some(fields))
    }

    fn ask(&self, path: &str, fields: Option<&str>) -> (u16, String) {
        let is_of_api = path == "/" || path.starts_with("/fhir");
        let mut router = if is_of_api { self.of_api.clone() } else { self.own.clone() };
        let cookie = format!("chartward-session={}", self.cookie);
        let token = self.world.engine.authorization().form_token(&self.cookie);
        let request = match fields {
            None => Request::get(path).header("Cookie", cookie).body(Body::empty()),
            Some(fields) => Request::post(path)
                .header("Cookie", cookie)
                .header("Sec-Fetch-Site", "same-origin")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(Body::from(format!("form={token}&{fields}"))),
        };
        let request = request.unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (status, bytes) = runtime.block_on(async {
            let answer = router.call(request).await.unwrap();
            (answer.status().as_u16(), to_bytes(answer.into_body(), usize::MAX).await.unwrap())
        });
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let text = text.replace(&token, "TOKEN").replace("_cursor%3D", "_cursor=");
        // The number of a fresh form is chance.
        let text = match text.split_once("name=\"once\" value=\"") {
            Some((before, rest)) => format!("{before}{}", rest.split_once('"').unwrap().1),
            None => text,
        };
        (status, self.world.named(&text))
    }
}

/// Every page that the table has, with each patient in the place of its open part, and what browsers get of the API.
fn paths(pair: &Pair) -> Vec<String> {
    let mut paths = Vec::new();
    // A sealed path is of one browser. Who saw a record is told whole to its subject (see the exceptions in `mod.rs`).
    let is_left_out = |path: &str| ["sealed", "rest", "/seen"].iter().any(|part| path.contains(part));
    for page in PAGES.iter().filter(|page| !is_left_out(page.path)) {
        if page.path.contains("{id}") {
            paths.extend((1..=6).map(|number| page.path.replace("{id}", &format!("p{number}"))));
            paths.push(page.path.replace("{id}", "never-was-there"));
        } else {
            paths.push(page.path.to_owned());
        }
    }
    for reference in pair.requests.hidden() {
        paths.push(format!("/fhir/{reference}"));
        paths.push(format!("/fhir/{reference}/_history?_view=xml"));
    }
    for number in 1..=6 {
        paths.push(format!("/fhir/Patient/p{number}"));
        for kind in ["Observation", "Condition", "Consent", "DocumentReference"] {
            paths.push(format!("/fhir/{kind}?patient=p{number}&_total=accurate"));
        }
    }
    paths
}

/// Forms that ask without storing anything, by the end of their path below a patient.
const FORMS: [(&str, &str); 4] = [
    ("consents/new", "step=look&sought=a"),
    ("consents/new", "step=preview&who=anybody&may=permit"),
    ("consents/new", "step=preview&who=Organization%2Fmutual&may=deny&kind=Condition&matter=PSY&why=HPAYMT"),
    ("consents/new", "step=preview&who=&until=yesterday"),
];

/// The pages that differ, and how many were shown.
fn compare(pair: &Pair) -> (Vec<String>, usize) {
    let (whole, other) = (Desk::new(&pair.whole, &pair.party), Desk::new(&pair.other, &pair.party));
    let (mut different, mut shown) = (Vec::new(), 0);
    let forms =
        (1..=6).flat_map(|number| FORMS.map(|(end, fields)| (format!("/p/p{number}/{end}"), Some(fields))));
    for (path, fields) in paths(pair).into_iter().map(|path| (path, None)).chain(forms) {
        align(&pair.whole, &pair.other);
        let asked = |desk: &Desk<'_>| match fields {
            None => desk.open(&path),
            Some(fields) => desk.send(&path, fields),
        };
        let (left, right) = (asked(&whole), asked(&other));
        shown += usize::from(left.0 == 200);
        if left != right {
            let same = left.1.chars().zip(right.1.chars()).take_while(|(left, right)| left == right).count();
            let part = |text: &str| text.chars().skip(same.saturating_sub(80)).take(200).collect::<String>();
            different.push(format!(
                "{path} {}: {} {}\n  {}\n  {}",
                fields.unwrap_or_default(),
                left.0,
                right.0,
                part(&left.1),
                part(&right.1)
            ));
        }
    }
    (different, shown)
}

#[test]
fn no_page_tells_of_the_hidden() {
    for (seed, party) in [
        (41, parties::insurer()),
        (42, parties::another_hospital()),
        (43, parties::patient()),
        (44, parties::representative()),
    ] {
        let role = party.role.code();
        let (different, shown) = compare(&Pair::new(seed, party, false));
        assert!(shown > 10, "{role}: {shown} pages");
        assert!(different.is_empty(), "seed {seed}, {role}:\n{}", different.join("\n"));
    }
}

/// The control: somebody who sees what is hidden from the insurer finds pages that differ.
#[test]
fn whoever_sees_the_hidden_finds_pages_that_differ() {
    let mut pair = Pair::new(41, parties::insurer(), false);
    pair.party = Arc::new(Party::open("Organization/hospital"));
    assert!(compare(&pair).0.len() > 10);
}
