//! The pages for people, asked for as a browser asks.
use std::collections::BTreeMap;
use std::path::Path;

use chartward::ui::{PAGES, Roles};
use serde_json::{Value, json};

use crate::process::{Process, agent};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// An answer to a browser.
pub struct Page {
    pub status: u16,
    pub location: String,
    pub text: String,
    pub headers: BTreeMap<String, String>,
}

impl Page {
    /// The token that this browser's forms carry.
    pub fn form_token(&self) -> String {
        let (_, rest) =
            self.text.split_once("name=\"form\" value=\"").unwrap_or_else(|| panic!("{}", self.text));
        rest.split_once('"').unwrap().0.to_owned()
    }
}

/// A browser without scripts: it keeps cookies and says where its requests come from.
pub struct Visitor {
    agent: ureq::Agent,
    origin: String,
    pub cookies: BTreeMap<String, String>,
}

impl Visitor {
    pub fn new(base: &str) -> Self {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        let origin = base.strip_suffix("/fhir").unwrap().to_owned();
        Self { agent, origin, cookies: BTreeMap::new() }
    }

    fn cookie(&self) -> String {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn page(&mut self, mut answer: ureq::http::Response<ureq::Body>) -> Page {
        let text_of = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
        for set in answer.headers().get_all("set-cookie").iter().map(text_of) {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if set.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in answer.headers() {
            let known = headers.entry(name.as_str().to_owned()).or_default();
            *known = [known.as_str(), &text_of(value)].join(if known.is_empty() { "" } else { ", " });
        }
        let location = headers.get("location").cloned().unwrap_or_default();
        let status = answer.status().as_u16();
        Page { status, location, text: answer.body_mut().read_to_string().unwrap(), headers }
    }

    pub fn open(&mut self, path: &str) -> Page {
        let request = self.agent.get(format!("{}{path}", self.origin));
        let answer = request.header("Accept", BROWSER).header("Cookie", self.cookie()).call().unwrap();
        self.page(answer)
    }

    /// Posts a form from a page of this origin, or of another.
    pub fn post_from(&mut self, origin: Option<&str>, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut request = self.agent.post(format!("{}{path}", self.origin)).header("Cookie", self.cookie());
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        let answer = request.send_form(fields.iter().copied()).unwrap();
        self.page(answer)
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let origin = self.origin.clone();
        self.post_from(Some(&origin), path, fields)
    }

    /// Becomes one of the demonstration's people.
    pub fn become_one(&mut self, name: &str) -> Page {
        let token = self.open("/").form_token();
        self.post(&format!("/as/{name}"), &[("form", &token)])
    }
}

/// A demonstration with a hospital of a few patients, and the tokens of its parties.
pub fn demo(folder: &Path) -> (Process, Value) {
    let ready = folder.join("demo.ready");
    let demo = Process::demo(&ready, &["--patients", "4"]);
    let said: Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    (demo, said["tokens"].clone())
}

#[test]
fn one_becomes_a_person_of_the_demonstration_by_a_form_of_this_browser_only() {
    let folder = tempfile::tempdir().unwrap();
    let (demo, _) = demo(folder.path());
    let mut visitor = Visitor::new(&demo.base);
    let first = visitor.open("/");
    assert_eq!(first.status, 200);
    assert!(first.text.contains("action=\"/as/doctor\"") && first.text.contains("nobody here exists"));
    let token = first.form_token();
    let before = visitor.cookies.clone();
    // A form of another site, one without an origin, one without the token, and one with the token of another browser.
    let other = Visitor::new(&demo.base).open("/").form_token();
    for (origin, form) in [
        (Some("https://evil.example"), token.as_str()),
        (None, token.as_str()),
        (Some(visitor.origin.clone().as_str()), ""),
        (Some(visitor.origin.clone().as_str()), other.as_str()),
    ] {
        let refused = visitor.post_from(origin, "/as/doctor", &[("form", form)]);
        assert_eq!(refused.status, 403, "{origin:?} {form}");
        assert!(refused.text.contains("Nothing was changed"), "{}", refused.text);
    }
    // A name of another machine that leads here.
    let rebound = agent()
        .get(format!("{}/", visitor.origin))
        .header("Host", "rebound.example")
        .header("Accept", BROWSER);
    assert_eq!(rebound.call().unwrap().status(), 403);
    assert_eq!(visitor.open("/as/doctor").status, 405);
    let became = visitor.post("/as/doctor", &[("form", &token), ("to", "//evil.example/")]);
    assert_eq!((became.status, became.location.as_str()), (303, "/"));
    let set = &became.headers["set-cookie"];
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"), "{set}");
    // The session has an id that was never in a page before signing in.
    assert_ne!(visitor.cookies, before);
    let home = visitor.open("/");
    assert!(home.text.contains("A doctor"), "{}", home.text);
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("vary", "Accept, Cookie"),
    ] {
        assert!(home.headers[name].contains(value), "{name}: {}", home.headers[name]);
    }
    let policy = &home.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!home.headers.contains_key("access-control-allow-origin"));
    assert_eq!(visitor.post("/as/nobody", &[("form", &home.form_token())]).status, 404);
    // Signing out everywhere ends the sessions of this person on other browsers, and of nobody else.
    let (mut same, mut officer) = (Visitor::new(&demo.base), Visitor::new(&demo.base));
    same.become_one("doctor");
    officer.become_one("officer");
    let account = same.open("/account");
    assert!(
        account.text.contains("A doctor") && account.text.contains("Sign out everywhere"),
        "{}",
        account.text
    );
    let mut here = Visitor::new(&demo.base);
    here.become_one("doctor");
    assert_eq!(same.post("/sign-out/everywhere", &[("form", &account.form_token())]).status, 303);
    assert_eq!((here.open("/account").status, officer.open("/account").status), (303, 200));
    let token = visitor.open("/").form_token();
    visitor.post("/as/doctor", &[("form", &token)]);
    let home = visitor.open("/");
    let set = format!("chartward-session={};", visitor.cookies["chartward-session"]);
    let out = visitor.post("/sign-out", &[("form", &home.form_token())]);
    assert_eq!(out.status, 303);
    assert!(out.headers["clear-site-data"].contains("storage"));
    // The old cookie opens nothing any more.
    let mut old = Visitor::new(&demo.base);
    let id = set.split(';').next().unwrap().split_once('=').unwrap();
    old.cookies.insert(id.0.to_owned(), id.1.to_owned());
    assert!(old.open("/").text.contains("Whom would you like to be?"));
    let lost = old.open("/fhir/Patient/p1");
    assert_eq!((lost.status, lost.location.as_str()), (303, "/sign-in?to=/fhir/Patient/p1"));
}

#[test]
fn a_page_shows_what_the_api_shows_to_the_person_and_stands_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let (demo, tokens) = demo(folder.path());
    let api = |party: &str, method: &str, path: &str, body: Option<&Value>| {
        let url = format!("{}/{path}", demo.base);
        let token = format!("Bearer {}", tokens[party].as_str().unwrap());
        let answer = match (method, body) {
            ("PUT", Some(body)) => agent()
                .put(url)
                .header("Authorization", token)
                .header("Content-Type", "application/fhir+json")
                .send(body.to_string()),
            _ => agent().get(url).header("Authorization", token).call(),
        };
        let mut answer = answer.unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let script = "<script>alert(1)</script>";
    let mut patient = api("ehr", "GET", "Patient/p1", None).1;
    patient["name"][0]["given"][0] = Value::from(script);
    assert_eq!(api("ehr", "PUT", "Patient/p1", Some(&patient)).0, 200);
    let family = patient["name"][0]["family"].as_str().unwrap();

    let mut doctor = Visitor::new(&demo.base);
    doctor.become_one("doctor");
    let page = doctor.open("/fhir/Patient/p1");
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains(family) && page.text.contains("&lt;script&gt;") && !page.text.contains("<script")
    );
    assert!(page.text.contains("href=\"/fhir/Patient/p1/_history\""), "{}", page.text);
    let xml = doctor.open("/fhir/Patient/p1?_view=xml").text;
    assert!(xml.contains("&lt;<span class=\"key\">Patient</span>") && !xml.contains("<script"), "{xml}");
    let list = doctor.open("/fhir/Observation?patient=p1&_count=1").text;
    assert!(list.contains("rel=\"next\"") && list.contains("href=\"/fhir/Patient/p1\""), "{list}");
    assert_eq!(doctor.open("/fhir/Patient/p1?_format=json").status, 401);
    assert_eq!(doctor.open("/fhir/Nothing/p1").status, 404);
    assert_eq!(doctor.open("/fhir/Patient?nosuch=1").status, 400);
    // The page view stands in the record under its own id, as what the person did.
    let (_, seen) = api("officer", "GET", "Patient/p1/$who-saw?_count=50", None);
    let seen = seen.to_string();
    assert!(seen.contains("Dr. Ruth Adler"), "{seen}");
    let (_, events) =
        api("officer", "GET", "AuditEvent?patient=Patient/p1&agent=Practitioner/d1&_count=50", None);
    // The id of a page view is the server's own, so nobody can make several views look like one.
    for _ in 0..2 {
        let request = doctor.agent.get(format!("{}/fhir/Patient/p1", doctor.origin));
        let request = request.header("X-Request-Id", "chosen-by-the-browser").header("Accept", BROWSER);
        assert_eq!(request.header("Cookie", doctor.cookie()).call().unwrap().status(), 200);
    }
    let query = "AuditEvent?patient=Patient/p1&agent=Practitioner/d1&_count=50";
    let after = api("officer", "GET", query, None).1;
    let count = |events: &Value| events["entry"].as_array().unwrap().len();
    assert!(!after.to_string().contains("chosen-by-the-browser") && count(&after) == count(&events) + 2);

    // The cookie counts for pages alone.
    let cookie = doctor.cookie();
    for (accept, method) in
        [("application/fhir+json", "GET"), ("*/*", "GET"), (BROWSER, "POST"), (BROWSER, "DELETE")]
    {
        let url = format!("{}/Patient/p1", demo.base);
        let request = ureq::http::Request::builder().method(method).uri(url);
        let request = request.header("Accept", accept).header("Cookie", &cookie).body("").unwrap();
        assert_eq!(agent().run(request).unwrap().status(), 401, "{method} {accept}");
    }

    // Hidden and absent are the same page, byte for byte.
    let mut mother = Visitor::new(&demo.base);
    mother.become_one("representative");
    assert_eq!(mother.open("/fhir/Patient/child1").status, 200);
    let (hidden, absent) = (mother.open("/fhir/Patient/p1"), mother.open("/fhir/Patient/none"));
    assert_eq!((hidden.status, absent.status), (404, 404));
    assert_eq!(hidden.text, absent.text);
}

#[test]
fn people_are_found_by_name_date_number_and_phone_and_a_slip_is_forgiven() {
    let folder = tempfile::tempdir().unwrap();
    let (demo, tokens) = demo(folder.path());
    let url = format!("{}/Patient/p1", demo.base);
    let token = format!("Bearer {}", tokens["doctor"].as_str().unwrap());
    let mut answer = agent().get(url).header("Authorization", token).call().unwrap();
    let patient: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    let text = |path: &str| patient.pointer(path).unwrap().as_str().unwrap().to_owned();
    let (family, given) = (text("/name/0/family"), text("/name/0/given/0"));
    let (born, phone, number) = (text("/birthDate"), text("/telecom/0/value"), text("/identifier/0/value"));
    let mut doctor = Visitor::new(&demo.base);
    doctor.become_one("doctor");
    let mut find = |text: &str| {
        let token = doctor.open("/find").form_token();
        let asked = doctor.post("/find", &[("form", &token), ("q", text)]);
        assert_eq!(asked.status, 303);
        for part in text.split(' ') {
            assert!(!asked.location.to_lowercase().contains(&part.to_lowercase()), "{}", asked.location);
        }
        let found = doctor.open(&asked.location);
        assert_eq!(found.status, 200);
        found.text.contains("href=\"/p/p1\"")
    };
    // A letter wrong, missing, too many, and two in the wrong order: in each half of a name.
    let letters: Vec<char> = given.chars().collect();
    let with = |change: &dyn Fn(&mut Vec<char>)| {
        let mut letters = letters.clone();
        change(&mut letters);
        letters.into_iter().collect::<String>()
    };
    let last = letters.len() - 1;
    for slip in [
        with(&|name| name[0] = 'x'),
        with(&|name| name[last] = 'x'),
        with(&|name| {
            name.remove(1);
        }),
        with(&|name| {
            name.remove(last - 1);
        }),
        with(&|name| name.insert(1, 'x')),
        with(&|name| name.swap(0, 1)),
        with(&|name| name.swap(last - 2, last - 1)),
    ] {
        assert!(find(&format!("{slip} {family}")), "{slip} {family}");
    }
    for exact in [
        family.clone(),
        format!("{family}, {given}"),
        format!("{} {}", given.to_uppercase(), born),
        born.clone(),
        number.clone(),
        phone.clone(),
        phone.replace(' ', "-"),
        phone.replace(|sign: char| !sign.is_ascii_digit(), ""),
        format!("0{}", phone.split_once(' ').unwrap().1.replace(' ', "/")),
    ] {
        assert!(find(&exact), "{exact}");
    }
    for nobody in
        [format!("{family} 1850-01-01"), "Xyzzyqw".to_owned(), "<script>".to_owned(), "a|b,c\\d $".to_owned()]
    {
        assert!(!find(&nobody), "{nobody}");
    }
    // The sealed address is of this browser alone.
    let token = doctor.open("/find").form_token();
    let sealed = doctor.post("/find", &[("form", &token), ("q", &family)]).location;
    let mut other = Visitor::new(&demo.base);
    other.become_one("doctor");
    assert_eq!(other.open(&sealed).status, 404);
    // Those for whom it is not have no place for it in the menu either.
    let mut mother = Visitor::new(&demo.base);
    mother.become_one("representative");
    assert_eq!(mother.open("/find").status, 403);
    assert!(!mother.open("/").text.contains("/find"));
}

#[test]
fn the_chart_shows_the_record_part_by_part() {
    let folder = tempfile::tempdir().unwrap();
    let (demo, tokens) = demo(folder.path());
    let put = |resource: Value| {
        let path = format!(
            "{}/{}/{}",
            demo.base,
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        let token = format!("Bearer {}", tokens["ehr"].as_str().unwrap());
        let request =
            agent().put(path).header("Authorization", token).header("Content-Type", "application/fhir+json");
        assert_eq!(request.send(resource.to_string()).unwrap().status(), 201, "{resource}");
    };
    let patient = json!({"reference": "Patient/p2"});
    let concept =
        |text: &str| json!({"coding": [{"system": "http://snomed.info/sct", "code": "x"}], "text": text});
    put(
        json!({"resourceType": "AllergyIntolerance", "id": "grave", "patient": patient, "criticality": "high", "code": concept("Peanut <b>"),
        "reaction": [{"manifestation": [concept("Anaphylaxis")], "severity": "severe"}]}),
    );
    put(
        json!({"resourceType": "AllergyIntolerance", "id": "refuted", "patient": patient, "code": concept("Refuted thing"),
        "verificationStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": "refuted"}]}}),
    );
    put(json!({"resourceType": "Condition", "id": "dm", "subject": patient,
        "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "44054006", "display": "Type 2 diabetes"}]}}));
    put(
        json!({"resourceType": "Flag", "id": "falls", "status": "active", "subject": patient, "code": concept("Falls easily")}),
    );
    put(
        json!({"resourceType": "Flag", "id": "old", "status": "inactive", "subject": patient, "code": concept("Old alert")}),
    );
    for (id, value, low) in [("low", 2.1, 3.5), ("usual", 4.0, 3.5)] {
        put(
            json!({"resourceType": "Observation", "id": id, "status": "final", "subject": patient, "code": concept("Potassium"),
            "effectiveDateTime": "2026-03-04T23:30:00+11:00", "valueQuantity": {"value": value, "unit": "mmol/L"},
            "referenceRange": [{"low": {"value": low, "unit": "mmol/L"}, "high": {"value": 5.1, "unit": "mmol/L"}}]}),
        );
    }
    let mut doctor = Visitor::new(&demo.base);
    doctor.become_one("doctor");
    let mut part = |path: &str| {
        let page = doctor.open(&format!("/p/p2{path}"));
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(
            page.text.contains("▲ Peanut &lt;b&gt; (high risk)") && !page.text.contains("Peanut <b>"),
            "{}",
            page.text
        );
        assert!(page.text.contains("Parts of a record may be withheld at the patient's wish: ask."));
        page.text
    };
    let summary = part("");
    for told in [
        "Before you treat",
        "Anaphylaxis (severe)",
        "Diabetes: ",
        "Alert: ",
        "Falls easily",
        "Refuted thing",
        "refuted",
    ] {
        assert!(summary.contains(told), "{told}: {summary}");
    }
    assert!(!summary.contains("Old alert"));
    let results = part("/results");
    assert!(results.contains("2.1 mmol/L <abbr class=\"abnormal\" title=\"low\">▼ L</abbr>"), "{results}");
    assert!(results.contains("4.0 mmol/L</td>") && results.contains("3.5 to 5.1"), "{results}");
    // A time is shown as it was recorded.
    assert!(results.contains("4 Mar 2026, 23:30"), "{results}");
    assert!(part("/problems").contains("Type 2 diabetes"));
    for path in ["/timeline", "/medications", "/documents", "/insurance"] {
        part(path);
    }
    let everything = part("/everything");
    assert!(
        everything.contains("href=\"/fhir/Observation?patient=p2\"") && everything.contains("Alerts"),
        "{everything}"
    );

    // The patient reads the own record, and who saw it: the doctor's page views, each as one.
    let mut patient = Visitor::new(&demo.base);
    patient.become_one("patient");
    let mine = patient.open("/me").text;
    assert!(mine.contains("href=\"/p/p1\"") && mine.contains("href=\"/p/p1/seen\""), "{mine}");
    assert_eq!(patient.open("/p/p1").status, 200);
    assert_eq!((patient.open("/p/p2").status, patient.open("/p/none").status), (404, 404));
    doctor.open("/p/p1");
    doctor.open("/p/p1/results");
    let seen = patient.open("/p/p1/seen").text;
    assert!(seen.contains("Dr. Ruth Adler") && seen.contains(", 2 times, for treatment"), "{seen}");
    assert_eq!(doctor.open("/p/p1/seen").status, 403);
}

/// The table of pages in docs/pages.md. `BLESS=1` rewrites it; review its diff like code.
#[test]
fn the_documentation_lists_every_page() {
    let mut table = String::from("| path | who | what for | requests |\n|---|---|---|---|\n");
    for page in PAGES {
        let who = match page.roles {
            Roles::Everybody => "everybody".to_owned(),
            Roles::SignedIn => "who has signed in".to_owned(),
            Roles::AsTheApi => "who sees it by the API".to_owned(),
            Roles::WhoRecordsConsents => "who records Consents".to_owned(),
            Roles::WhoMayBreakGlass => "who may break the glass".to_owned(),
            Roles::These(roles) => roles.iter().map(|role| role.code()).collect::<Vec<_>>().join(", "),
        };
        table += &format!("| `{}` | {who} | {} | {} |\n", page.path, page.says, page.requests.join("; "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pages.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- pages -->\n", "<!-- end of pages -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (old, after) = rest.split_once(end).unwrap();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(old, table);
    }
}
