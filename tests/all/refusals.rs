//! Every refusal of an authenticated party is recorded; refusals of unknown parties are counted and recorded at most once a
//! minute.
use chartward::audit::{Access, Records};
use chartward::auth::AccessToken;
use chartward::http::FOLLOW_SCOPE;
use chartward::store::{At, Direction, Sequence};

use crate::oauth::Site;

/// The access records since a commit.
fn records(site: &Site, Sequence(since): Sequence) -> Vec<Access> {
    let kv = site.house.kv();
    kv.settle();
    let snapshot = kv.snapshot(At::Latest).unwrap();
    let mut records = Records::new(&*snapshot, None, Direction::Forward, Some((Sequence(since + 1), 0)));
    let mut found = Vec::new();
    while let Some((_, access)) = records.read().unwrap() {
        found.push(access);
    }
    found
}

fn newest(site: &Site) -> Sequence {
    site.house.kv().settle();
    site.house.kv().snapshot(At::Latest).unwrap().sequence()
}

struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
}

fn send(site: &Site, asked: &Asked<'_>, token: Option<&str>) -> u16 {
    let mut request = ureq::http::Request::builder().method(asked.method).uri(site.address(asked.path));
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    for (name, value) in asked.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(asked.body.to_owned()).unwrap();
    let request = site.agent.configure_request(request).allow_non_standard_methods(true).build();
    site.agent.run(request).unwrap().status().as_u16()
}

const JSON: (&str, &str) = ("Content-Type", "application/fhir+json");

#[test]
fn every_refusal_of_a_known_party_is_on_record() {
    let site = Site::new();
    let system = site.minted("system", |_| {});
    let doctor = site.minted("clinician", |_| {});
    let administrator =
        site.minted("administrator", |token: &mut AccessToken| token.scope = "system/*.cruds".to_owned());
    let follower = site.minted("system", |token: &mut AccessToken| token.scope = FOLLOW_SCOPE.to_owned());
    let many: String = (0..1_001).map(|number| format!("a{number}=1&")).collect();
    let many = format!("/fhir/Patient?{many}");
    let ask = |method, path, headers, body| Asked { method, path, headers, body };
    let mut cases: Vec<(&str, Asked<'_>, u16)> = vec![
        (&system, ask("GET", "/fhir/Patient?nonsense=1", &[], ""), 400),
        (&system, ask("GET", &many, &[], ""), 400),
        (&system, ask("POST", "/fhir/Patient", &[JSON], "{"), 400),
        (
            &system,
            ask("POST", "/fhir/Patient", &[JSON, ("If-None-Exist", "a=1"), ("If-None-Exist", "b=1")], "{}"),
            400,
        ),
        (&system, ask("GET", "/fhir/Patients/1", &[], ""), 404),
        (&system, ask("GET", "/fhir/Patient/absent", &[], ""), 404),
        (&system, ask("GET", "/elsewhere", &[], ""), 404),
        (&system, ask("GET", "/fhir/Patient/$nothing", &[], ""), 404),
        (&system, ask("PUT", "/fhir/Patient", &[JSON], "{}"), 422),
        (&system, ask("DELETE", "/fhir/metadata", &[], ""), 405),
        (&system, ask("BREW", "/fhir/Patient", &[], ""), 405),
        (&system, ask("GET", "/fhir/Patient/absent", &[("Accept", "text/csv")], ""), 406),
        (&system, ask("POST", "/fhir/Patient", &[("Content-Type", "text/csv")], "a,b"), 415),
        (&system, ask("POST", "/fhir/Patient", &[JSON, ("Content-Encoding", "zstd")], "{}"), 415),
        (&system, ask("POST", "/fhir/Patient", &[JSON, ("Content-Encoding", "gzip")], "{}"), 400),
        (&system, ask("POST", "/fhir/Patient", &[JSON], "{\"resourceType\":\"Patient\",\"x\":1}"), 422),
        (&doctor, ask("GET", "/metrics", &[], ""), 403),
        (&doctor, ask("POST", "/admin/backup", &[], ""), 403),
        (&doctor, ask("POST", "/admin/keys/rotate", &[], ""), 403),
        (&doctor, ask("GET", "/admin/reindex", &[], ""), 403),
        (&doctor, ask("POST", "/admin/reindex", &[], ""), 403),
        (&doctor, ask("GET", "/admin/clients", &[], ""), 403),
        (&doctor, ask("POST", "/admin/users", &[], "{}"), 403),
        (&doctor, ask("DELETE", "/admin/backup", &[], ""), 403),
        (&administrator, ask("DELETE", "/admin/backup", &[], ""), 405),
        (&administrator, ask("PUT", "/admin/clients", &[], ""), 405),
        (&administrator, ask("POST", "/admin/clients", &[], "no json"), 400),
        (&administrator, ask("GET", "/admin/users/nobody", &[], ""), 404),
        (&administrator, ask("POST", "/admin/users/nobody/disable", &[], ""), 404),
        (&administrator, ask("GET", "/admin/nothing", &[], ""), 404),
        (&administrator, ask("GET", "/admin/journal/0", &[], ""), 403),
        (&doctor, ask("GET", "/admin/journal/0", &[], ""), 403),
        (&follower, ask("GET", "/admin/journal/0", &[], ""), 404),
        (&follower, ask("GET", "/admin/journal/x", &[], ""), 400),
        (&doctor, ask("POST", "/auth/launch", &[], "no json"), 400),
    ];
    // A server in memory has no place for a backup.
    if std::env::var_os("TEST_HOUSES").is_none() {
        cases.push((&administrator, ask("POST", "/admin/backup", &[], ""), 404));
    }
    for (token, asked, status) in &cases {
        let before = newest(&site);
        assert_eq!(send(&site, asked, Some(token)), *status, "{} {}", asked.method, asked.path);
        let found = records(&site, before);
        let lines: Vec<(&str, u16)> =
            found.iter().map(|access| (access.request.as_str(), access.status)).collect();
        assert_eq!(found.len(), 1, "{} {}: {lines:?}", asked.method, asked.path);
        assert_eq!(found[0].status, *status, "{lines:?}");
        assert_eq!(found[0].subject, "minted", "{lines:?}");
        assert!(found[0].request.starts_with(asked.method), "{lines:?}");
        assert!(found[0].request.len() < 2_100, "{lines:?}");
    }
    // Malformed batch entries are recorded as refusals, too.
    let batch =
        "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{\"request\":{\"method\":\"GET\"}},{}]}";
    let before = newest(&site);
    assert_eq!(send(&site, &ask("POST", "/fhir", &[JSON], batch), Some(&system)), 200);
    let lines: Vec<String> = records(&site, before).into_iter().map(|access| access.request).collect();
    assert_eq!(lines, ["POST / entries that cannot be read: 2"]);
}

#[test]
fn who_is_not_known_is_counted_and_fills_no_disk() {
    let mut site = Site::new();
    let ask = |method, path, headers, body| Asked { method, path, headers, body };
    let before = newest(&site);
    let cases: Vec<(Option<&str>, Asked<'_>, u16)> = vec![
        (None, ask("GET", "/fhir/Patient/1", &[], ""), 401),
        (None, ask("GET", "/metrics", &[], ""), 401),
        (None, ask("POST", "/admin/backup", &[], ""), 401),
        (Some("nonsense"), ask("GET", "/fhir/Patient/1", &[], ""), 401),
        (Some("nonsense"), ask("GET", "/admin/clients", &[], ""), 401),
        (Some("nonsense"), ask("GET", "/admin/journal/0", &[], ""), 403),
        (None, ask("DELETE", "/fhir/metadata", &[], ""), 401),
        (None, ask("GET", "/fhir/metadata", &[("Accept", "text/csv")], ""), 406),
        (None, ask("GET", "/elsewhere", &[], ""), 404),
        (None, ask("GET", "/auth/token", &[], ""), 405),
    ];
    for (token, asked, status) in &cases {
        for _ in 0..20 {
            assert_eq!(send(&site, asked, *token), *status, "{} {}", asked.method, asked.path);
        }
    }
    for name in ["acme", "other"] {
        let form = [("grant_type", "client_credentials")];
        assert_eq!(site.form("/auth/token", &form, Some((name, "wrong"))).0, 401);
    }
    // The first refusal of each kind is recorded at once, the others together, here when the server stops.
    site.running.stop().unwrap();
    let found = records(&site, before);
    let mut lines: Vec<String> =
        found.iter().map(|access| format!("{} {}", access.status, access.request)).collect();
    lines.sort();
    let count = |text: &str| {
        let of = |line: &&String| line.contains(text);
        let number = |line: &String| {
            let rest = line.split("refused: ").nth(1).unwrap();
            rest.split(',').next().unwrap().parse::<u64>().unwrap()
        };
        (lines.iter().filter(of).count(), lines.iter().filter(of).map(number).sum::<u64>())
    };
    assert_eq!(count("401 requests without an access token refused"), (2, 80), "{lines:?}");
    assert_eq!(count("401 access tokens refused"), (2, 40), "{lines:?}");
    assert_eq!(count("400 requests that came to no interaction refused"), (2, 80), "{lines:?}");
    assert_eq!(count("401 POST /auth/token refused"), (2, 2), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains(", from 127.0.0.1 ")), "{lines:?}");
    assert_eq!(lines.len(), 8, "{lines:?}");
}

#[test]
fn who_watches_is_on_record_once_a_day() {
    let site = Site::new();
    let administrator = |subject: &str| {
        let (subject, client) = (subject.to_owned(), format!("client-{subject}"));
        site.minted("administrator", move |token: &mut AccessToken| {
            (token.sub, token.client_id) = (subject, client);
        })
    };
    let before = newest(&site);
    for token in [administrator("a"), administrator("b")] {
        for path in ["/metrics", "/admin/reindex"] {
            for _ in 0..5 {
                let asked = Asked { method: "GET", path, headers: &[], body: "" };
                assert_eq!(send(&site, &asked, Some(&token)), 200, "{path}");
            }
        }
    }
    let lines: Vec<String> = records(&site, before)
        .into_iter()
        .map(|access| format!("{} {}", access.subject, access.request))
        .collect();
    assert_eq!(lines, ["a GET /metrics", "a GET /admin/reindex", "b GET /metrics", "b GET /admin/reindex"]);
}
