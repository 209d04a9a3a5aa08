//! A browser for the pages of the authorization server, and the app, users and patients that the tests register.
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::oauth::{Site, base64_url};

pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-0123456789";
pub const CALLBACK: &str = "https://app.example/cb";
pub const PASSWORD: &str = "correct horse battery";

pub fn challenge() -> String {
    base64_url(&Sha256::digest(VERIFIER))
}

pub fn app(id: &str) -> Value {
    json!({
        "client_id": id, "client_name": "The <App>", "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [CALLBACK],
        "scope": "openid fhirUser profile launch launch/patient offline_access patient/*.rs user/*.rs"
    })
}

pub fn users(site: &Site) {
    for user in [
        json!({"name": "doc", "password": PASSWORD, "role": "clinician", "organization": "Organization/hospital",
            "fhir_user": "Practitioner/d1", "purposes": ["TREAT", "HOPERAT"]}),
        json!({"name": "ann", "password": PASSWORD, "role": "patient", "fhir_user": "Patient/p1", "purposes": ["PATRQT"]}),
    ] {
        site.registry.register_user(&user.to_string()).unwrap();
    }
}

pub fn patients(site: &Site) {
    let token = site.minted("system", |_| {});
    for (id, given) in [("p1", "Ann"), ("p2", "Bob")] {
        let patient = json!({
            "resourceType": "Patient", "id": id, "name": [{"family": "Cole", "given": [given]}],
            "identifier": [{"system": "urn:mrn", "value": format!("mrn-{id}")}]
        });
        assert_eq!(site.send("PUT", &format!("/fhir/Patient/{id}"), &token, &patient).0, 201);
    }
}

/// An answer to the browser.
pub struct Page {
    pub status: u16,
    pub location: String,
    pub text: String,
    pub headers: ureq::http::HeaderMap,
}

impl Page {
    /// The hidden field `dialogue` of the first form.
    pub fn dialogue(&self) -> &str {
        self.field("dialogue")
    }

    /// The value of the first field with that name.
    pub fn field(&self, name: &str) -> &str {
        let begin = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.text.split_once(&begin).unwrap_or_else(|| panic!("{}", self.text));
        rest.split_once('"').unwrap().0
    }

    /// A query parameter of the redirect's Location.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.location.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A browser that keeps a cookie.
pub struct Browser<'s> {
    site: &'s Site,
    cookie: String,
}

impl<'s> Browser<'s> {
    pub fn new(site: &'s Site) -> Self {
        Self { site, cookie: String::new() }
    }

    pub fn page(&mut self, mut answer: ureq::http::Response<ureq::Body>) -> Page {
        let headers = answer.headers().clone();
        let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        if let Some((cookie, _)) = text("set-cookie").split_once(';') {
            self.cookie = cookie.to_owned();
        }
        let location = text("location");
        Page {
            status: answer.status().as_u16(),
            location,
            text: answer.body_mut().read_to_string().unwrap(),
            headers,
        }
    }

    pub fn authorize(&mut self, change: &[(&str, Option<&str>)]) -> Page {
        let challenge = challenge();
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid fhirUser launch/patient offline_access patient/*.rs"),
            ("state", "s1"),
            ("aud", self.site.base()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("nonce", "n1"),
        ];
        for (name, value) in change {
            pairs.retain(|(known, _)| known != name);
            pairs.extend(value.map(|value| (*name, value)));
        }
        let answer = self
            .site
            .agent
            .get(self.site.address("/auth/authorize"))
            .query_pairs(pairs)
            .header("Cookie", &self.cookie)
            .call()
            .unwrap();
        self.page(answer)
    }

    pub fn open(&mut self, path: &str) -> Page {
        let request = self.site.agent.get(self.site.address(path));
        let answer = request.header("Cookie", &self.cookie).header("Accept", "text/html").call().unwrap();
        self.page(answer)
    }

    pub fn send(&mut self, path: &str, pairs: &[(&str, &str)]) -> Page {
        let answer = self
            .site
            .agent
            .post(self.site.address(path))
            .header("Cookie", &self.cookie)
            .send_form(pairs.iter().copied())
            .unwrap();
        self.page(answer)
    }

    pub fn log_in(&mut self, page: &Page, name: &str) -> Page {
        self.send("/auth/login", &[("dialogue", page.dialogue()), ("name", name), ("password", PASSWORD)])
    }

    /// Ticks all offered scopes and allows; gives the redirect with the code.
    pub fn allow(&mut self, page: &Page) -> Page {
        let scopes = page.text.split("name=\"scope\" value=\"").skip(1);
        let scopes: Vec<&str> = scopes.map(|rest| rest.split_once('"').unwrap().0).collect();
        assert!(!scopes.is_empty(), "{}", page.text);
        let mut pairs = vec![("dialogue", page.dialogue()), ("decision", "allow")];
        pairs.extend(scopes.into_iter().map(|scope| ("scope", scope)));
        self.send("/auth/consent", &pairs)
    }

    /// Gets an authorization code for the patient user.
    pub fn code(&mut self, change: &[(&str, Option<&str>)]) -> String {
        let page = self.authorize(change);
        let page = self.log_in(&page, "ann");
        let page = self.allow(&page);
        assert_eq!(page.status, 303, "{}", page.text);
        page.parameter("code").unwrap_or_else(|| panic!("{}", page.location)).to_owned()
    }
}

pub fn redeem(site: &Site, code: &str, change: &[(&str, &str)]) -> (u16, Value) {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("client_id", "app"),
    ];
    for (name, value) in change {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    site.form("/auth/token", &pairs, None)
}

pub fn refresh(site: &Site, token: &str, scope: Option<&str>) -> (u16, Value) {
    let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "app")];
    pairs.extend(scope.map(|scope| ("scope", scope)));
    site.form("/auth/token", &pairs, None)
}

pub fn site() -> Site {
    let site = Site::new();
    site.register(&app("app"));
    users(&site);
    patients(&site);
    site
}
