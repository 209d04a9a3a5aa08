//! What a grant permits besides the API, how long it lasts, and how often a secret may be guessed.
use serde_json::{Value, json};

use crate::browser::{Browser, PASSWORD, app, redeem, refresh, site};
use crate::oauth::{SECRET, Site};
use crate::pages::Visitor;

/// A site with an administrator, and an app that may request the scope `admin`.
fn administered() -> Site {
    let site = site();
    site.registry
        .register_user(
            &json!({"name": "root", "password": PASSWORD, "role": "administrator",
                "organization": "Organization/hospital", "fhir_user": "Practitioner/a1"})
            .to_string(),
        )
        .unwrap();
    let mut desk = app("desk");
    desk["scope"] = json!("openid admin launch user/*.rs offline_access");
    site.register(&desk);
    site
}

/// The token response for a user who has granted the scopes to the app `desk`.
fn granted(site: &Site, name: &str, scope: &str) -> Value {
    let mut browser = Browser::new(site);
    let page = browser.authorize(&[("client_id", Some("desk")), ("scope", Some(scope))]);
    let page = browser.log_in(&page, name);
    let page = browser.allow(&page);
    let code = page.parameter("code").unwrap_or_else(|| panic!("{}", page.location));
    let (status, answer) = redeem(site, code, &[("client_id", "desk")]);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Sends a POST without a body.
fn post(site: &Site, path: &str, token: &str) -> u16 {
    let request = site.agent.post(site.address(path)).header("Authorization", format!("Bearer {token}"));
    request.send_empty().unwrap().status().as_u16()
}

fn access(answer: &Value) -> &str {
    answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}"))
}

#[test]
fn an_app_administers_only_where_an_administrator_has_let_it() {
    let site = administered();
    let user = |name: &str| json!({"name": name, "password": PASSWORD, "role": "technician", "organization": "Organization/hospital"});
    let answer = granted(&site, "root", "openid user/*.rs");
    let token = access(&answer);
    assert_eq!(site.send("POST", "/admin/users", token, &user("eve")).0, 403);
    for path in ["/admin/backup", "/admin/reindex", "/admin/keys/rotate"] {
        assert_eq!(post(&site, path, token), 403, "{path}");
    }
    for path in ["/admin/users", "/admin/clients/app", "/admin/reindex"] {
        assert_eq!(site.get(&site.address(path), Some(token)).0, 403, "{path}");
    }
    assert!(site.registry.user("eve").unwrap().is_none());
    // The page explains the scope; then it can be granted.
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[("client_id", Some("desk")), ("scope", Some("admin"))]);
    assert!(browser.log_in(&page, "root").text.contains("run this server in your name"));
    let answer = granted(&site, "root", "openid admin");
    assert_eq!(answer["scope"], "openid admin");
    assert_eq!(site.send("POST", "/admin/users", access(&answer), &user("new")).0, 201);
    // Only an administrator can grant an app administrators' rights.
    let answer = granted(&site, "doc", "openid admin");
    assert_eq!(answer["scope"], "openid");
    assert_eq!(site.send("POST", "/admin/users", access(&answer), &user("eve")).0, 403);
}

#[test]
fn a_launch_is_registered_with_a_token_that_is_good_for_it() {
    let site = administered();
    let context = json!({"patient": "p1"});
    let launch = |scope: &str| {
        let token = site.minted("clinician", |token| token.scope = scope.to_owned());
        site.send("POST", "/auth/launch", &token, &context).0
    };
    for (scope, status) in [
        ("openid", 403),
        ("openid user/Observation.rs", 403),
        ("user/Patient.cud", 403),
        ("openid user/Patient.r", 201),
    ] {
        assert_eq!(launch(scope), status, "{scope}");
    }
    let answer = granted(&site, "doc", "openid");
    assert_eq!(site.send("POST", "/auth/launch", access(&answer), &context).0, 403);
}

#[test]
fn secrets_are_guessed_a_few_times_and_ids_not_at_all() {
    let site = Site::new();
    let client = |id: &str| {
        json!({
            "client_id": id, "client_name": id, "token_endpoint_auth_method": "client_secret_basic",
            "client_secret": SECRET, "grant_types": ["client_credentials"], "scope": "system/*.rs", "role": "system", "organization": "Organization/hospital"
        })
    };
    site.register(&client("acme"));
    site.register(&client("late"));
    let pairs = [("grant_type", "client_credentials"), ("scope", "system/Patient.rs")];
    let ask = |id: &str, secret: &str| site.form("/auth/token", &pairs, Some((id, secret)));
    assert_eq!(ask("acme", SECRET).0, 200);
    let guesses = |id: &str| -> Vec<u16> { (0..12).map(|_| ask(id, "x").0).collect() };
    let expected = [vec![401; 10], vec![429; 2]].concat();
    for id in ["acme", "late", "nobody"] {
        assert_eq!(guesses(id), expected, "{id}");
    }
    let (status, answer) = ask("nobody", "x");
    assert_eq!((status, &answer["error"]), (429, &json!("temporarily_unavailable")));
    // A client that used its secret before is not locked out by others who guess; any other client is, for a while.
    assert_eq!((ask("acme", SECRET).0, ask("late", SECRET).0), (200, 429));
}

#[test]
fn what_was_granted_before_a_change_of_the_password_ends_with_it() {
    use chartward::auth::RegistrationStatus;
    let site = site();
    let read = |token: &str| site.get(&format!("{}/Patient/p1", site.base()), Some(token)).0;
    let mut browser = Browser::new(&site);
    let (_, old) = redeem(&site, &browser.code(&[]), &[]);
    let (unused, begun) = (browser.code(&[]), browser.authorize(&[]));
    let begun = browser.log_in(&begun, "ann");
    assert_eq!(read(access(&old)), 200);
    let administrator = site.minted("administrator", |_| {});
    let change = json!({"password": PASSWORD});
    let path = "/admin/users/ann/password";
    assert_eq!(
        site.send("POST", path, &administrator, &json!({"password": PASSWORD, "not_before": 0})).0,
        400
    );
    assert_eq!(site.send("POST", path, &administrator, &change).0, 200);
    let refreshed = |answer: &Value| refresh(&site, answer["refresh_token"].as_str().unwrap(), None).0;
    assert_eq!((read(access(&old)), refreshed(&old)), (401, 400));
    assert_eq!(redeem(&site, &unused, &[]).1["error"], "invalid_grant");
    // A user who already has the consent page open must log in again.
    let pairs = [("dialogue", begun.dialogue()), ("decision", "allow"), ("scope", "patient/*.rs")];
    assert!(browser.send("/auth/consent", &pairs).text.contains("name=\"password\""));
    let (_, new) = redeem(&site, &browser.code(&[]), &[]);
    assert_eq!((read(access(&new)), refreshed(&new)), (200, 200));
    // Disabling an app and enabling it again does not restore its tokens.
    site.registry
        .enable::<chartward::auth::Client>("app", RegistrationStatus::Disabled, chartward::cli::now())
        .unwrap();
    site.registry
        .enable::<chartward::auth::Client>("app", RegistrationStatus::Enabled, chartward::cli::now())
        .unwrap();
    assert_eq!(read(access(&new)), 401);
    // A sign-in in the same millisecond as the change counts as one before it.
    std::thread::sleep(std::time::Duration::from_millis(2));
    let (_, last) = redeem(&site, &browser.code(&[]), &[]);
    assert_eq!(read(access(&last)), 200);
}

#[test]
fn what_is_asked_beside_the_api_and_what_is_refused_is_on_record() {
    let site = administered();
    let officer = site.minted("privacy-officer", |token| token.scope = "user/*.rs".to_owned());
    let record = || {
        let (status, audit) = site.get(&format!("{}/AuditEvent?_count=1000", site.base()), Some(&officer));
        assert_eq!(status, 200, "{audit}");
        let lines = audit["entry"].as_array().unwrap().iter().map(|entry| {
            let event = &entry["resource"];
            let query =
                event["entity"].as_array().into_iter().flatten().find_map(|one| one["description"].as_str());
            format!("{} {}", event["outcome"].as_str().unwrap(), query.unwrap_or_default())
        });
        lines.collect::<Vec<String>>()
    };
    let administrator = site.minted("administrator", |_| {});
    let clinician = site.minted("clinician", |_| {});
    let user = json!({"name": "new", "password": PASSWORD, "role": "technician", "organization": "Organization/hospital"});
    assert_eq!(site.send("POST", "/admin/users", &administrator, &user).0, 201);
    assert_eq!(post(&site, "/admin/reindex", &administrator), 202);
    // A server in memory has no place for a backup.
    if std::env::var_os("TEST_HOUSES").is_none() {
        assert_eq!(post(&site, "/admin/backup", &administrator), 404);
    }
    for path in ["/admin/backup", "/admin/users/new/disable"] {
        assert_eq!(post(&site, path, &clinician), 403);
    }
    assert_eq!(site.send("POST", "/auth/launch", &clinician, &json!({"patient": "p1"})).0, 201);
    let narrow = site.minted("clinician", |token| token.scope = "user/Patient.r".to_owned());
    assert_eq!(site.get(&format!("{}/Observation/o1", site.base()), Some(&narrow)).0, 403);
    granted(&site, "doc", "openid user/*.rs");
    site.register(&json!({
        "client_id": "acme", "client_name": "Acme", "token_endpoint_auth_method": "client_secret_basic",
        "client_secret": SECRET, "grant_types": ["client_credentials"], "scope": "system/*.rs", "role": "system", "organization": "Organization/hospital"
    }));
    let pairs = [("grant_type", "client_credentials"), ("scope", "system/Patient.rs")];
    assert_eq!(site.form("/auth/token", &pairs, Some(("acme", "x"))).0, 401);
    assert_eq!(site.form("/auth/token", &pairs, Some(("acme", SECRET))).0, 200);
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]);
    let pairs = [("dialogue", page.dialogue()), ("name", "ann"), ("password", "wrong")];
    assert_eq!(browser.send("/auth/login", &pairs).status, 403);
    // On the server's own pages a wrong password counts once, too, and the right one stands on record.
    let mut visitor = Visitor::new(site.base());
    let token = visitor.open("/").form_token();
    for (password, status) in [("wrong", 403), (PASSWORD, 303)] {
        let fields = [("form", token.as_str()), ("name", "ann"), ("password", password), ("to", "/me")];
        let answer = visitor.post("/sign-in", &fields);
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(status == 303 || answer.text.contains("User name or password is wrong."), "{}", answer.text);
    }
    assert!(visitor.open("/account").text.contains("/auth/apps"));
    let refused = |lines: &[String]| lines.iter().filter(|line| line.starts_with('8')).count();
    let before = refused(&record());
    for number in 0..50 {
        assert_eq!(site.get(&format!("{}/Patient", site.base()), Some(&format!("made-up-{number}"))).0, 401);
    }
    let lines = record();
    assert_eq!(refused(&lines), before + 1, "one for all of them: {lines:#?}");
    for expected in [
        "0 POST /admin/users new",
        "0 POST /admin/reindex",
        "8 POST /admin/backup",
        "8 POST /admin/users/new/disable",
        "0 POST /auth/launch",
        "8 GET /Observation/o1",
        "0 POST /auth/token authorization_code openid user/*.rs",
        "0 POST /auth/token client_credentials system/Patient.rs",
        "8 POST /auth/token refused: 1, of acme 1, from 127.0.0.1 1",
        "8 sign-ins refused: 1, of ann 1, from 127.0.0.1 1",
        "0 POST /sign-in",
        "8 access tokens refused: 1, from 127.0.0.1 1",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} in {lines:#?}");
    }
}
