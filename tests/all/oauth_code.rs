//! The authorization code grant with PKCE: the pages, launches, refresh tokens, and how each of them is refused.
use chartward::cli::now;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::browser::{
    Browser, CALLBACK, PASSWORD, Page, VERIFIER, app, challenge, patients, redeem, refresh, site, users,
};
use crate::oauth::{SECRET, Site};

#[test]
fn a_patient_lets_an_app_see_her_own_record() {
    let site = site();
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("The &lt;App&gt;"), "{}", page.text);
    for (name, part) in [
        ("content-security-policy", "default-src 'none'; style-src 'self'"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("cache-control", "no-store"),
        ("set-cookie", "HttpOnly; SameSite=Lax"),
    ] {
        assert!(page.headers[name].to_str().unwrap().contains(part), "{name}");
    }
    let page = browser.log_in(&page, "ann");
    let page = browser.allow(&page);
    assert!(page.location.starts_with(&format!("{CALLBACK}?code=")), "{}", page.location);
    assert_eq!(page.parameter("state"), Some("s1"));
    let (status, answer) = redeem(&site, page.parameter("code").unwrap(), &[]);
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["patient"], &answer["need_patient_banner"]), (&json!("p1"), &json!(true)));
    assert_eq!(answer["scope"], "openid fhirUser launch/patient offline_access patient/*.rs");
    assert_eq!(site.get(answer["smart_style_url"].as_str().unwrap(), None).0, 200);
    let token = answer["access_token"].as_str().unwrap();
    let read = |id: &str| site.get(&format!("{}/Patient/{id}", site.base()), Some(token)).0;
    assert_eq!((read("p1"), read("p2")), (200, 404));
    // The id token identifies the user to this app and is not accepted as an access token.
    let (_, keys) = site.get(&site.address("/auth/jwks"), None);
    let rsa = keys["keys"].as_array().unwrap().iter().find(|key| key["kty"] == "RSA").unwrap().clone();
    let key =
        DecodingKey::from_rsa_components(rsa["n"].as_str().unwrap(), rsa["e"].as_str().unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&["app"]);
    rules.set_issuer(&[site.base()]);
    let id_token = answer["id_token"].as_str().unwrap();
    let claims = jsonwebtoken::decode::<Value>(id_token, &key, &rules).unwrap().claims;
    assert_eq!((&claims["sub"], &claims["nonce"]), (&json!("ann"), &json!("n1")));
    assert_eq!(claims["fhirUser"], format!("{}/Patient/p1", site.base()));
    assert_eq!(site.get(&format!("{}/Patient/p1", site.base()), Some(id_token)).0, 401);
    // Her sign-in and the scopes that she granted are recorded.
    let officer = site.minted("privacy-officer", |token| token.scope = "user/*.rs".to_owned());
    let (_, audit) = site.get(&format!("{}/AuditEvent?_count=1000", site.base()), Some(&officer));
    let granted = "POST /auth/consent openid fhirUser launch/patient offline_access patient/*.rs";
    for line in ["POST /auth/login", granted] {
        assert!(audit.to_string().contains(line), "{line}");
    }
}

#[test]
fn a_professional_chooses_patient_scopes_and_purpose() {
    let site = site();
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[("scope", Some("launch/patient patient/*.read user/*.rs openid"))]);
    let page = browser.log_in(&page, "doc");
    let found = browser.send("/auth/patient", &[("dialogue", page.dialogue()), ("search", "Col")]);
    assert!(found.text.contains("Ann Cole") && found.text.contains("Bob Cole"), "{}", found.text);
    let found = browser.send("/auth/patient", &[("dialogue", page.dialogue()), ("search", "mrn-p2")]);
    assert!(!found.text.contains("Ann Cole") && found.text.contains("value=\"p2\""), "{}", found.text);
    let nobody = browser.send("/auth/patient", &[("dialogue", page.dialogue()), ("patient", "p99")]);
    assert!(nobody.text.contains("Nobody was found"));
    // The consent page cannot be reached without choosing a patient.
    let early = browser
        .send("/auth/consent", &[("dialogue", page.dialogue()), ("decision", "allow"), ("scope", "openid")]);
    assert_eq!((early.status, early.location.as_str()), (200, ""));
    let page = browser.send("/auth/patient", &[("dialogue", found.dialogue()), ("patient", "p2")]);
    let purposes: Vec<&str> =
        page.text.split("<option value=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
    assert_eq!(purposes, ["TREAT", "HOPERAT"]);
    // The page names the user and the patient whose record is accessed.
    assert!(page.text.contains("<dd>doc</dd>") && page.text.contains("<dd>Bob Cole"), "{}", page.text);
    assert!(page.text.contains("<dd>https://app.example</dd>"), "{}", page.text);
    let pairs = [
        ("dialogue", page.dialogue()),
        ("decision", "allow"),
        ("scope", "patient/*.read"),
        ("scope", "launch/patient"),
        ("scope", "system/*.cruds"),
        ("purpose", "HOPERAT"),
    ];
    let sent = browser.send("/auth/consent", &pairs);
    let (status, answer) = redeem(&site, sent.parameter("code").unwrap(), &[]);
    assert_eq!(status, 200, "{answer}");
    // Scopes in version 1 syntax are granted as such; scopes that were not ticked or not requested are not granted.
    assert_eq!(
        (&answer["scope"], &answer["patient"]),
        (&json!("launch/patient patient/*.read"), &json!("p2"))
    );
    assert!(answer.get("id_token").is_none() && answer.get("refresh_token").is_none());
    let issuer = site.house.issuer(site.base()).unwrap();
    let party = issuer.verify(answer["access_token"].as_str().unwrap(), now()).unwrap();
    assert_eq!((party.role.code(), party.purposes.as_slice()), ("clinician", &["HOPERAT".to_owned()][..]));
    assert_eq!(party.fhir_user.as_deref(), Some("Practitioner/d1"));
}

#[test]
fn a_part_of_a_scope_is_given_in_its_place() {
    let site = site();
    let system = site.minted("system", |_| {});
    for id in ["d1", "d2"] {
        let resource = json!({"resourceType": "Practitioner", "id": id});
        assert_eq!(site.send("PUT", &format!("/fhir/Practitioner/{id}"), &system, &resource).0, 201);
    }
    let mut browser = Browser::new(&site);
    let asked = "launch/patient patient/Condition.rs patient/Observation.read patient/Patient.rs openid fhirUser user/*.rs";
    let page = browser.authorize(&[("scope", Some(asked))]);
    let page = browser.log_in(&page, "doc");
    let page = browser.send("/auth/patient", &[("dialogue", page.dialogue()), ("patient", "p2")]);
    let system = "http://terminology.hl7.org/CodeSystem/condition-category";
    let part = format!("patient/Condition.rs?category={system}|problem-list-item");
    assert!(
        page.text.contains(&part) && page.text.contains("of the category problem list item"),
        "{}",
        page.text
    );
    let foreign = format!("patient/Patient.rs?category={system}|problem-list-item");
    let pairs = [
        ("dialogue", page.dialogue()),
        ("decision", "allow"),
        ("scope", "launch/patient"),
        ("scope", part.as_str()),
        ("scope", foreign.as_str()),
        ("scope", "openid"),
        ("scope", "fhirUser"),
    ];
    let sent = browser.send("/auth/consent", &pairs);
    let (status, answer) = redeem(&site, sent.parameter("code").unwrap(), &[]);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["scope"], format!("launch/patient {part} openid fhirUser"));
    let token = answer["access_token"].as_str().unwrap();
    let read = |path: &str| site.get(&format!("{}/{path}", site.base()), Some(token)).0;
    // Only the user's own resource (`fhirUser`) of that type may be read.
    assert_eq!(
        (read("Practitioner/d1"), read("Practitioner/d2"), read("Practitioner?_id=d1")),
        (200, 404, 403)
    );
    assert_eq!((read("Condition"), read("Patient/p2")), (200, 403));
}

#[test]
fn the_patient_of_a_launch_narrows_scopes_of_the_patient_level_alone() {
    let site = site();
    let mut browser = Browser::new(&site);
    for (scope, others) in
        [("launch/patient patient/*.rs", 404), ("launch/patient patient/*.rs user/*.rs", 200)]
    {
        let page = browser.authorize(&[("scope", Some(scope))]);
        let page = browser.log_in(&page, "doc");
        let page = browser.send("/auth/patient", &[("dialogue", page.dialogue()), ("patient", "p2")]);
        let page = browser.allow(&page);
        let (_, answer) = redeem(&site, page.parameter("code").unwrap(), &[]);
        assert_eq!((&answer["patient"], &answer["scope"]), (&json!("p2"), &json!(scope)));
        let token = answer["access_token"].as_str().unwrap();
        let read = |id: &str| site.get(&format!("{}/Patient/{id}", site.base()), Some(token)).0;
        assert_eq!((read("p2"), read("p1")), (200, others), "{scope}");
    }
}

#[test]
fn a_request_that_is_not_in_order_is_refused_before_anybody_is_asked() {
    let site = site();
    let mut backend = app("backend");
    backend["grant_types"] = json!(["client_credentials"]);
    backend["token_endpoint_auth_method"] = json!("client_secret_basic");
    backend["client_secret"] = json!(SECRET);
    backend["role"] = json!("system");
    backend["organization"] = json!("Organization/hospital");
    site.register(&backend);
    // Without a valid client and redirect URI there is nowhere to redirect to, so the user gets the error.
    for change in [
        [("client_id", Some("nobody"))],
        [("client_id", None)],
        [("redirect_uri", Some("https://app.example/cb/"))],
        [("redirect_uri", Some("https://app.example/cb?x=1"))],
        [("redirect_uri", Some("https://evil.example/cb"))],
        [("redirect_uri", None)],
    ] {
        let page = Browser::new(&site).authorize(&change);
        assert_eq!((page.status, page.location.as_str()), (400, ""), "{change:?}");
    }
    let long = "x".repeat(43);
    let checks = [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("aud", None, "invalid_request"),
        ("aud", Some("https://elsewhere.example/fhir"), "invalid_request"),
        ("scope", None, "invalid_request"),
        ("scope", Some("system/*.rs nonsense"), "invalid_scope"),
        ("scope", Some("launch patient/*.rs"), "invalid_request"),
        ("prompt", Some("none"), "login_required"),
        ("client_id", Some("backend"), "unauthorized_client"),
    ];
    for (name, value, error) in checks {
        let page = Browser::new(&site).authorize(&[(name, value), ("x", Some(&long))]);
        assert_eq!(
            (page.status, page.parameter("error")),
            (303, Some(error)),
            "{name} {value:?} {}",
            page.text
        );
        assert_eq!(page.parameter("state"), Some("s1"));
        assert!(page.location.starts_with(CALLBACK));
    }
    // A trailing slash in `aud` is accepted, and so is a request by POST.
    let slash = format!("{}/", site.base());
    assert_eq!(Browser::new(&site).authorize(&[("aud", Some(&slash))]).status, 200);
    let (challenge, base) = (challenge(), site.base().to_owned());
    let pairs = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("aud", &base),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let page = Browser::new(&site).send("/auth/authorize", &pairs);
    assert!(page.status == 200 && page.text.contains("name=\"password\""));
}

#[test]
fn forms_of_others_and_wrong_passwords_lead_nowhere() {
    let site = site();
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]);
    let form = [("dialogue", page.dialogue()), ("name", "ann"), ("password", PASSWORD)];
    // The form is refused from a browser that did not load the page, and with a forged dialogue value.
    let mut other = Browser::new(&site);
    assert_eq!(other.send("/auth/login", &form).status, 403);
    other.authorize(&[]);
    assert_eq!(other.send("/auth/login", &form).status, 403);
    let made_up = "0".repeat(200);
    assert_eq!(
        browser
            .send("/auth/login", &[("dialogue", &made_up), ("name", "ann"), ("password", PASSWORD)])
            .status,
        403
    );
    assert_eq!(browser.send("/auth/login", &form[1..]).status, 403);
    // Consent requires a login.
    let sent = browser
        .send("/auth/consent", &[("dialogue", page.dialogue()), ("decision", "allow"), ("scope", "openid")]);
    assert!(sent.location.is_empty() && sent.text.contains("name=\"password\""));
    let wrong = |browser: &mut Browser<'_>, name: &str| {
        browser.send("/auth/login", &[("dialogue", page.dialogue()), ("name", name), ("password", "guess")])
    };
    let (known, unknown) = (wrong(&mut browser, "ann"), wrong(&mut browser, "nobody"));
    assert_eq!((known.status, unknown.status), (403, 403));
    let message =
        |page: &Page| page.text.split("role=\"alert\"").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(message(&known), message(&unknown));
    let statuses: Vec<u16> = (0..11).map(|_| wrong(&mut browser, "ann").status).collect();
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(browser.log_in(&page, "ann").status, 429, "even with the right password, for a while");
    let page = browser.log_in(&page, "doc");
    assert_eq!(page.status, 200);
    let page = browser.send("/auth/patient", &[("dialogue", page.dialogue()), ("patient", "p1")]);
    let refused = browser
        .send("/auth/consent", &[("dialogue", page.dialogue()), ("decision", "refuse"), ("scope", "openid")]);
    assert_eq!(refused.parameter("error"), Some("access_denied"));
    let nothing = browser.send("/auth/consent", &[("dialogue", page.dialogue()), ("decision", "allow")]);
    assert_eq!(nothing.parameter("error"), Some("access_denied"));
}

#[test]
fn a_code_is_for_one_client_one_address_one_verifier_and_one_time() {
    let site = site();
    site.register(&app("other"));
    let mut browser = Browser::new(&site);
    let code = browser.code(&[]);
    let other = "x".repeat(43);
    for change in [
        [("code_verifier", other.as_str())],
        [("code_verifier", "short")],
        [("redirect_uri", "https://app.example/other")],
        [("client_id", "other")],
        [("code", "made-up")],
    ] {
        let (status, answer) = redeem(&site, &code, &change);
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{change:?}");
    }
    let (status, _) = redeem(&site, &code, &[("client_id", "nobody")]);
    assert_eq!(status, 401);
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("client_id", "app"),
    ];
    assert_eq!(site.form("/auth/token", &pairs, None).1["error"], "invalid_request", "no verifier");
    let (status, answer) = redeem(&site, &code, &[]);
    assert_eq!(status, 200, "{answer}");
    let url = format!("{}/Patient/p1", site.base());
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(site.get(&url, Some(token)).0, 200);
    // The second use of the code revokes the tokens issued for the first.
    assert_eq!(redeem(&site, &code, &[]).1["error"], "invalid_grant");
    assert_eq!(site.get(&url, Some(token)).0, 401);
    assert_eq!(refresh(&site, answer["refresh_token"].as_str().unwrap(), None).0, 400);
}

#[test]
fn refresh_tokens_are_used_once_and_only_narrow() {
    let site = site();
    let mut browser = Browser::new(&site);
    let (_, first) = redeem(&site, &browser.code(&[]), &[]);
    let text = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
    let (status, second) = refresh(&site, &text(&first, "refresh_token"), Some("patient/Patient.r"));
    assert_eq!((status, &second["scope"]), (200, &json!("patient/Patient.r")), "{second}");
    let url = format!("{}/Condition", site.base());
    assert_eq!(site.get(&url, Some(&text(&second, "access_token"))).0, 403);
    for wider in ["patient/*.cruds", "user/*.rs", "patient/*.rs user/*.rs"] {
        let (status, answer) = refresh(&site, &text(&second, "refresh_token"), Some(wider));
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_scope")), "{wider}");
    }
    let (status, third) = refresh(&site, &text(&second, "refresh_token"), None);
    assert_eq!((status, &third["scope"]), (200, &first["scope"]), "what was granted at first comes back");
    let url = format!("{}/Patient/p1", site.base());
    assert_eq!(site.get(&url, Some(&text(&third, "access_token"))).0, 200);
    // Reuse of a refresh token revokes all tokens of the grant.
    assert_eq!(refresh(&site, &text(&first, "refresh_token"), None).1["error"], "invalid_grant");
    assert_eq!(refresh(&site, &text(&third, "refresh_token"), None).1["error"], "invalid_grant");
    for answer in [&first, &second, &third] {
        assert_eq!(site.get(&url, Some(&text(answer, "access_token"))).0, 401);
    }
    assert_eq!(refresh(&site, "made-up", None).1["error"], "invalid_grant");
    // A public client need not send its client id.
    let (_, granted) = redeem(&site, &browser.code(&[]), &[]);
    let unnamed = |token: &str| {
        site.form("/auth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)], None)
    };
    assert_eq!(unnamed(&text(&granted, "refresh_token")).0, 200);
    for token in [&text(&granted, "refresh_token"), "made-up"] {
        let (status, answer) = unnamed(token);
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    }
    // Without `offline_access` there is no refresh token.
    let code = browser.code(&[("scope", Some("patient/*.rs"))]);
    assert!(redeem(&site, &code, &[]).1.get("refresh_token").is_none());
}

#[test]
fn an_app_is_told_the_visit_that_the_user_chooses() {
    let site = Site::new();
    let mut client = app("app");
    client["scope"] = json!("launch/encounter patient/*.rs");
    site.register(&client);
    users(&site);
    patients(&site);
    let token = site.minted("system", |_| {});
    for (id, patient) in [("e1", "p1"), ("e2", "p2")] {
        let encounter = json!({
            "resourceType": "Encounter", "id": id, "status": "finished", "period": {"start": "2026-01-02"},
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": format!("Patient/{patient}")}
        });
        assert_eq!(site.send("PUT", &format!("/fhir/Encounter/{id}"), &token, &encounter).0, 201);
    }
    let mut browser = Browser::new(&site);
    let mut chosen = |pair: (&str, &str)| {
        let page = browser.authorize(&[("scope", Some("launch/encounter patient/*.rs"))]);
        let page = browser.log_in(&page, "ann");
        assert!(page.text.contains("value=\"e1\"") && !page.text.contains("value=\"e2\""), "{}", page.text);
        let page = browser.send("/auth/encounter", &[("dialogue", page.dialogue()), pair]);
        if page.text.contains("Choose a visit") {
            return None;
        }
        let page = browser.allow(&page);
        Some(redeem(&site, page.parameter("code").unwrap(), &[]).1)
    };
    assert_eq!(chosen(("encounter", "e1")).unwrap()["encounter"], "e1");
    assert_eq!(chosen(("encounter", "e2")), None, "another patient's");
    assert!(chosen(("none", "yes")).unwrap().get("encounter").is_none());
}

#[test]
fn a_confidential_app_proves_itself_at_the_token_endpoint() {
    let site = site();
    let mut client = app("shy");
    client["token_endpoint_auth_method"] = json!("client_secret_basic");
    client["client_secret"] = json!(SECRET);
    client["launch"] = json!(["standalone"]);
    site.register(&client);
    let mut browser = Browser::new(&site);
    let code = browser.code(&[("client_id", Some("shy"))]);
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(redeem(&site, &code, &[("client_id", "shy")]).0, 401);
    assert_eq!(site.form("/auth/token", &pairs, Some(("shy", "wrong"))).0, 401);
    let (status, answer) = site.form("/auth/token", &pairs, Some(("shy", SECRET)));
    assert_eq!(status, 200, "{answer}");
    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", answer["refresh_token"].as_str().unwrap())];
    assert_eq!(site.form("/auth/token", &[refresh[0], refresh[1], ("client_id", "app")], None).0, 400);
    assert_eq!(site.form("/auth/token", &refresh, None).0, 401, "a secret cannot be left out");
    assert_eq!(site.form("/auth/token", &refresh, Some(("shy", SECRET))).0, 200);
    // The client is not registered for EHR launches.
    let page = browser.authorize(&[("client_id", Some("shy")), ("scope", Some("launch openid"))]);
    assert_eq!(page.parameter("error"), Some("unauthorized_client"));
}

#[test]
fn an_ehr_launches_an_app_with_what_it_shows() {
    let site = site();
    let ehr = site.minted("system", |_| {});
    let context = json!({"patient": "p2", "encounter": "e1", "need_patient_banner": false});
    let (status, launch) = site.send("POST", "/auth/launch", &ehr, &context);
    assert_eq!(status, 201);
    let launch = launch["launch"].as_str().unwrap();
    let others = [
        site.minted("patient", |_| {}),
        site.minted("system", |token| token.organization = Some("Organization/other".to_owned())),
    ];
    for other in &others {
        assert_eq!(site.send("POST", "/auth/launch", other, &context).0, 403);
    }
    assert_eq!(site.send("POST", "/auth/launch", "x", &context).0, 401);
    assert_eq!(site.send("POST", "/auth/launch", &ehr, &json!({"patient": "a/b"})).0, 400);
    let change = [("scope", Some("launch patient/*.rs")), ("launch", Some(launch))];
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&change);
    let page = browser.log_in(&page, "doc");
    let page = browser.allow(&page);
    let (_, answer) = redeem(&site, page.parameter("code").unwrap(), &[]);
    assert_eq!((&answer["patient"], &answer["encounter"]), (&json!("p2"), &json!("e1")));
    assert_eq!(answer["need_patient_banner"], false);
    let token = answer["access_token"].as_str().unwrap();
    let read = |id: &str| site.get(&format!("{}/Patient/{id}", site.base()), Some(token)).0;
    assert_eq!((read("p2"), read("p1")), (200, 404));
    // A patient cannot be launched into another patient's record.
    let page = browser.authorize(&change);
    assert_eq!(browser.log_in(&page, "ann").parameter("error"), Some("access_denied"));
    let unknown = browser.authorize(&[("scope", Some("launch")), ("launch", Some("made-up"))]);
    assert_eq!(unknown.parameter("error"), Some("invalid_request"));
}

#[test]
fn a_token_ends_when_it_is_revoked_or_its_client_or_user_is_disabled() {
    use chartward::auth::RegistrationStatus;
    let site = site();
    site.register(&json!({
        "client_id": "acme", "client_name": "Acme", "token_endpoint_auth_method": "client_secret_basic",
        "client_secret": SECRET, "grant_types": ["client_credentials"], "scope": "system/*.rs", "role": "system",
        "organization": "Organization/hospital", "purposes": ["TREAT"], "default_purpose": "TREAT"
    }));
    let acme = Some(("acme", SECRET));
    let own = || {
        let pairs = [("grant_type", "client_credentials"), ("scope", "system/*.rs")];
        let (_, answer) = site.form("/auth/token", &pairs, acme);
        answer["access_token"].as_str().map(str::to_owned)
    };
    let granted = || redeem(&site, &Browser::new(&site).code(&[]), &[]).1;
    let status = |token: &str| site.get(&format!("{}/Patient/p1", site.base()), Some(token)).0;
    let is_active =
        |token: &str| site.form("/auth/introspect", &[("token", token)], acme).1["active"].clone();
    let text = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();

    let token = own().unwrap();
    assert_eq!((status(&token), is_active(&token)), (200, json!(true)));
    let answer = granted();
    let (access, refresh_token) = (text(&answer, "access_token"), text(&answer, "refresh_token"));
    let told = site.form("/auth/introspect", &[("token", &access)], acme).1;
    assert_eq!((&told["client_id"], &told["patient"]), (&json!("app"), &json!("p1")), "{told}");
    assert_eq!(told["fhirUser"], format!("{}/Patient/p1", site.base()));
    assert!(told["exp"].is_i64() && told["scope"] == answer["scope"]);
    assert_eq!(is_active(&refresh_token), json!(true));
    // Only authenticated clients may introspect tokens.
    assert_eq!(site.form("/auth/introspect", &[("token", &access)], None).0, 401);
    assert_eq!(site.form("/auth/introspect", &[("token", &access), ("client_id", "app")], None).0, 401);
    // A client cannot revoke the tokens of another one, and the answer does not tell.
    assert_eq!(site.form("/auth/revoke", &[("token", &access)], acme).0, 200);
    assert_eq!(site.form("/auth/revoke", &[("token", &refresh_token)], acme).0, 200);
    assert_eq!(site.form("/auth/revoke", &[("token", "made-up")], acme).0, 200);
    assert_eq!((status(&access), is_active(&refresh_token)), (200, json!(true)));
    assert_eq!(site.form("/auth/revoke", &[("token", &token)], Some(("acme", "x"))).0, 401);

    assert_eq!(site.form("/auth/revoke", &[("token", &token)], acme).0, 200);
    assert_eq!((status(&token), is_active(&token)), (401, json!(false)));
    let app = ("client_id", "app");
    assert_eq!(site.form("/auth/revoke", &[("token", &refresh_token), app], None).0, 200);
    assert_eq!(
        (status(&access), is_active(&access), is_active(&refresh_token)),
        (401, json!(false), json!(false))
    );

    let (token, answer) = (own().unwrap(), granted());
    let access = text(&answer, "access_token");
    assert_eq!((status(&token), status(&access)), (200, 200));
    site.registry.enable::<chartward::auth::User>("ann", RegistrationStatus::Disabled, now()).unwrap();
    assert_eq!((status(&token), status(&access)), (200, 401));
    assert_eq!(refresh(&site, &text(&answer, "refresh_token"), None).0, 400);
    let page = Browser::new(&site).authorize(&[]);
    assert_eq!(Browser::new(&site).log_in(&page, "ann").status, 403);
    site.registry.enable::<chartward::auth::User>("ann", RegistrationStatus::Enabled, now()).unwrap();
    assert_eq!(status(&access), 401, "what ended does not come back");
    site.registry.enable::<chartward::auth::Client>("acme", RegistrationStatus::Disabled, now()).unwrap();
    site.registry.enable::<chartward::auth::Client>("app", RegistrationStatus::Disabled, now()).unwrap();
    assert_eq!((status(&token), status(&access), own()), (401, 401, None));
    assert_eq!(Browser::new(&site).authorize(&[]).status, 400);
    site.registry.enable::<chartward::auth::Client>("acme", RegistrationStatus::Enabled, now()).unwrap();
    let again = own().unwrap();
    assert_eq!((status(&token), status(&again)), (401, 200), "but what comes after is good");
}

#[test]
fn a_person_sees_which_apps_have_access_and_takes_it_from_them() {
    let site = site();
    let mut browser = Browser::new(&site);
    let (_, answer) = redeem(&site, &browser.code(&[]), &[]);
    let (token, refresh_token) =
        (answer["access_token"].as_str().unwrap(), answer["refresh_token"].as_str().unwrap());
    let read = || site.get(&format!("{}/Patient/p1", site.base()), Some(token)).0;
    assert_eq!(read(), 200);
    let (_, smart) = site.get(&site.address("/.well-known/smart-configuration"), None);
    assert_eq!(smart["management_endpoint"], site.address("/auth/apps"));
    let sign_in = |browser: &mut Browser<'_>, name: &str, password: &str| {
        let page = browser.open("/auth/apps");
        browser.send("/auth/apps", &[("visit", page.field("visit")), ("name", name), ("password", password)])
    };
    assert_eq!(sign_in(&mut browser, "ann", "wrong").status, 403);
    // Another user has granted no app anything.
    let of_another = sign_in(&mut browser, "doc", PASSWORD);
    assert!(of_another.text.contains("No app has access"), "{}", of_another.text);
    let page = sign_in(&mut browser, "ann", PASSWORD);
    assert!(
        page.text.contains("The &lt;App&gt;") && page.text.contains("records of every kind"),
        "{}",
        page.text
    );
    assert!(page.text.contains("<dt>Since</dt><dd><time datetime=\"20"), "{}", page.text);
    let app = page.field("app");
    // Another user or another browser cannot revoke the access.
    let stranger = browser.open("/auth/apps");
    let refused = browser.send("/auth/apps/revoke", &[("visit", stranger.field("visit")), ("app", app)]);
    assert_eq!((refused.status, read()), (403, 200), "{}", refused.text);
    let elsewhere =
        Browser::new(&site).send("/auth/apps/revoke", &[("visit", page.field("visit")), ("app", app)]);
    assert_eq!((elsewhere.status, read()), (403, 200));
    let done = browser.send("/auth/apps/revoke", &[("visit", page.field("visit")), ("app", app)]);
    assert!(
        done.text.contains("has no access any more") && done.text.contains("No app has access"),
        "{}",
        done.text
    );
    assert_eq!((read(), refresh(&site, refresh_token, None).0), (401, 400));
    let officer = site.minted("privacy-officer", |token| token.scope = "user/*.rs".to_owned());
    let (_, audit) = site.get(&format!("{}/AuditEvent?_count=1000", site.base()), Some(&officer));
    assert!(audit.to_string().contains("POST /auth/apps/revoke"));
}

#[test]
fn a_browser_is_told_what_stands_here() {
    let site = site();
    let mut browser = Browser::new(&site);
    for path in ["/", "/fhir", "/fhir/"] {
        let page = browser.open(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text.contains(site.base()) && page.text.contains("/metadata"), "{}", page.text);
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    }
    // Clients other than browsers get the same answers as before.
    assert_eq!(site.get(&site.address("/"), None).0, 404);
    assert_eq!(site.get(&format!("{}?_type=Patient", site.base()), None).0, 401);
}
