//! Registrations by administrators, over HTTP and on the command line, and key rotation.
use std::io::Write as _;
use std::process::{Command, Stdio};

use chartward::auth::{Issuer, Registry};
use chartward::cli::{Config, House, claims, now, start};
use serde_json::{Value, json};

use crate::browser::app;
use crate::oauth::Site;

#[test]
fn administrators_of_the_own_organization_register_and_nobody_else() {
    let site = Site::new();
    let administrator = site.minted("administrator", |_| {});
    let others = [
        site.minted("clinician", |_| {}),
        site.minted("administrator", |token| token.organization = Some("Organization/other".to_owned())),
    ];
    let client = app("app");
    for path in ["/admin/clients", "/admin/users"] {
        assert_eq!(site.get(&site.address(path), None).0, 401);
        for other in &others {
            assert_eq!(site.get(&site.address(path), Some(other)).0, 403);
            assert_eq!(site.send("POST", path, other, &client).0, 403);
        }
    }
    assert_eq!(site.send("POST", "/admin/clients", &administrator, &client).0, 201);
    assert_eq!(site.send("POST", "/admin/clients", &administrator, &client).0, 409);
    let backend = json!({
        "client_id": "b", "client_name": "B", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scope": "system/*.rs", "role": "system", "organization": "Organization/hospital"
    });
    let with = |name: &str, value: Value| {
        let mut changed = backend.clone();
        changed[name] = value;
        changed
    };
    for wrong in [
        with("secret_hash", json!("$argon2id$")),
        with("client_secret", json!("short")),
        with("role", json!("king")),
        json!([]),
        json!({}),
    ] {
        let (status, answer) = site.send("POST", "/admin/clients", &administrator, &wrong);
        assert_eq!(status, 400, "{answer}");
    }
    // The secret is generated, shown once, and valid.
    let (_, made) = site.send("POST", "/admin/clients", &administrator, &backend);
    let secret = made["client_secret"].as_str().unwrap();
    let pairs = [("grant_type", "client_credentials"), ("scope", "system/Patient.rs")];
    assert_eq!(site.form("/auth/token", &pairs, Some(("b", secret))).0, 200);
    let (_, listed) = site.get(&site.address("/admin/clients"), Some(&administrator));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let (status, shown) = site.get(&site.address("/admin/clients/b"), Some(&administrator));
    assert_eq!((status, &shown["scope"]), (200, &json!("system/*.rs")));
    let user = json!({"name": "doc", "password": "correct horse battery", "role": "clinician", "organization": "Organization/hospital"});
    let (status, added) = site.send("POST", "/admin/users", &administrator, &user);
    assert_eq!(status, 201);
    let (_, users) = site.get(&site.address("/admin/users"), Some(&administrator));
    for text in [listed.to_string(), shown.to_string(), added.to_string(), users.to_string()] {
        assert!(!["argon2", "hash", "battery", secret].iter().any(|word| text.contains(word)), "{text}");
    }
    assert_eq!(site.send("POST", "/admin/clients/b/disable", &administrator, &json!({})).0, 200);
    assert_eq!(site.form("/auth/token", &pairs, Some(("b", secret))).0, 401);
    assert_eq!(site.send("POST", "/admin/clients/nobody/disable", &administrator, &json!({})).0, 404);
    assert_eq!(site.send("POST", "/admin/clients/b/other", &administrator, &json!({})).0, 404);
    // Administrators' actions are recorded.
    let officer = site.minted("privacy-officer", |token| token.scope = "user/*.rs".to_owned());
    let (_, audit) = site.get(&format!("{}/AuditEvent?_count=1000", site.base()), Some(&officer));
    assert!(audit.to_string().contains("POST /admin/clients/b/disable"), "{audit}");
}

#[test]
fn registrations_are_changed_and_removed_and_their_ids_not_given_again() {
    let site = Site::new();
    let administrator = site.minted("administrator", |_| {});
    let clinician = site.minted("clinician", |_| {});
    let backend = json!({
        "client_id": "b", "client_name": "B", "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["client_credentials"], "scope": "system/*.rs", "role": "system", "organization": "Organization/hospital"
    });
    let (_, made) = site.send("POST", "/admin/clients", &administrator, &backend);
    let secret = made["client_secret"].as_str().unwrap().to_owned();
    let pairs = |scope| [("grant_type", "client_credentials"), ("scope", scope)];
    let token = |secret: &str, scope| site.form("/auth/token", &pairs(scope), Some(("b", secret)));
    let held = token(&secret, "system/Patient.rs").1["access_token"].as_str().unwrap().to_owned();
    let search = format!("{}/Patient?_summary=count", site.base());
    assert_eq!(site.get(&search, Some(&held)).0, 200);
    assert_eq!(
        site.send("PATCH", "/admin/clients/b", &clinician, &json!({"scope": "system/*.cruds"})).0,
        403
    );
    // A change takes effect with the next request: a token with the old rights is refused.
    let (status, changed) = site.send(
        "PATCH",
        "/admin/clients/b",
        &administrator,
        &json!({"scope": "system/Observation.rs", "client_name": "Backend"}),
    );
    assert_eq!(
        (status, &changed["scope"], &changed["client_name"]),
        (200, &json!("system/Observation.rs"), &json!("Backend"))
    );
    assert_eq!(changed["organization"], "Organization/hospital");
    assert_eq!(site.get(&search, Some(&held)).0, 401);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(token(&secret, "system/Patient.rs").0, 400);
    assert_eq!(token(&secret, "system/Observation.rs").0, 200);
    // A new secret replaces the old one.
    let (_, changed) =
        site.send("PATCH", "/admin/clients/b", &administrator, &json!({"client_secret": true}));
    let fresh = changed["client_secret"].as_str().unwrap().to_owned();
    assert_eq!(token(&secret, "system/Observation.rs").0, 401);
    for wrong in [
        json!({"client_id": "c"}),
        json!({"secret_hash": "x"}),
        json!({"client_secret": "mine"}),
        json!({"disabled": false}),
        json!({"removed": false}),
        json!({"not_before": 0}),
        json!({"role": null}),
        json!({"role": "king"}),
        json!({"colour": 1}),
        json!([]),
    ] {
        let (status, answer) = site.send("PATCH", "/admin/clients/b", &administrator, &wrong);
        assert_eq!(status, 400, "{wrong}: {answer}");
    }
    assert_eq!(
        site.send("PATCH", "/admin/clients/nobody", &administrator, &json!({"scope": "system/*.rs"})).0,
        404
    );
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let held = token(&fresh, "system/Observation.rs").1["access_token"].as_str().unwrap().to_owned();
    let count = format!("{}/Observation?_summary=count", site.base());
    assert_eq!(site.get(&count, Some(&held)).0, 200);
    assert_eq!(site.send("DELETE", "/admin/clients/b", &clinician, &json!({})).0, 403);
    assert_eq!(site.send("DELETE", "/admin/clients/b", &administrator, &json!({})).0, 200);
    assert_eq!(site.get(&count, Some(&held)).0, 401);
    assert_eq!(token(&fresh, "system/Observation.rs").0, 401);
    assert_eq!(site.send("POST", "/admin/clients", &administrator, &backend).0, 409);
    for (method, path) in [("GET", "/admin/clients/b"), ("DELETE", "/admin/clients/b")] {
        let status = match method {
            "GET" => site.get(&site.address(path), Some(&administrator)).0,
            _ => site.send(method, path, &administrator, &json!({})).0,
        };
        assert_eq!(status, 404, "{method}");
    }
    assert_eq!(site.send("POST", "/admin/clients/b/enable", &administrator, &json!({})).0, 404);
    assert_eq!(site.get(&site.address("/admin/clients"), Some(&administrator)).1, json!([]));

    let user = json!({"name": "doc", "password": "correct horse battery", "role": "clinician", "organization": "Organization/hospital"});
    assert_eq!(site.send("POST", "/admin/users", &administrator, &user).0, 201);
    let (status, changed) = site.send(
        "PATCH",
        "/admin/users/doc",
        &administrator,
        &json!({"purposes": ["TREAT"], "may_break_glass": true}),
    );
    assert_eq!((status, &changed["may_break_glass"]), (200, &json!(true)), "{changed}");
    for wrong in
        [json!({"password": "another one here"}), json!({"name": "other"}), json!({"purposes": ["NONSENSE"]})]
    {
        assert_eq!(site.send("PATCH", "/admin/users/doc", &administrator, &wrong).0, 400, "{wrong}");
    }
    let changed =
        |user: &str| site.send("PATCH", "/admin/users/doc", &administrator, &json!({"fhir_user": user})).1;
    assert_eq!(changed("Practitioner/never")["warning"], "Practitioner/never is not stored here yet");
    let practitioner = json!({"resourceType": "Practitioner", "id": "doc"});
    let system = site.minted("system", |_| {});
    assert!(site.send("PUT", "/fhir/Practitioner/doc", &system, &practitioner).0 < 300);
    assert_eq!(changed("Practitioner/doc").get("warning"), None);
    assert_eq!(site.send("DELETE", "/admin/users/doc", &administrator, &json!({})).0, 200);
    assert_eq!(site.send("POST", "/admin/users", &administrator, &user).0, 409);
    assert_eq!(
        site.send(
            "POST",
            "/admin/users/doc/password",
            &administrator,
            &json!({"password": "another one here"})
        )
        .0,
        404
    );
}

/// Runs a command on a data directory: whether it succeeded, and its output.
pub fn run(folder: &std::path::Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(crate::shipped::binary())
        .args(arguments)
        .arg("--data")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_command_line_registers_and_rotates_with_a_server_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let own = ["--organization", "Organization/hospital"];
    let client = [
        &["client", "add", "b", "--scope", "system/*.rs", "--role", "system", "--purpose", "TREAT"][..],
        &own,
    ]
    .concat();
    let (done, text) = run(&data, &client, "");
    assert!(done, "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(made["client_secret"].as_str().unwrap().len(), 64);
    assert!(run(&data, &client, "").1.contains("there is, or was"));
    let user =
        [&["user", "add", "doc", "--role", "clinician", "--user", "Practitioner/d1"][..], &own].concat();
    assert!(run(&data, &user, "short\n").1.contains("password"));
    assert!(run(&data, &user, "correct horse battery\n").0);
    assert!(run(&data, &["keys", "rotate"], "").0);
    let key = std::fs::read(data.join("keys/issuer.p8")).unwrap();

    let config = Config { data: data.clone(), listen: "127.0.0.1:0".to_owned(), ..Config::default() };
    let house = House::open(&config).unwrap();
    let hash_before = Registry::new(house.kv().clone()).user("doc").unwrap().unwrap().password_hash;
    let mut running = start(&config, &house, false, None).unwrap();
    let server = json!({"base_url": running.base_url, "pid": 0, "tokens": {}}).to_string();
    std::fs::write(data.join("server.json"), server).unwrap();
    let (done, text) = run(&data, &["client", "show", "b"], "");
    assert!(done && text.contains("\"client_id\":\"b\""), "{text}");
    assert!(run(&data, &["client", "disable", "b"], "").0);
    assert!(run(&data, &["client", "list"], "").1.contains("\"disabled\":true"));
    assert!(run(&data, &["client", "enable", "b"], "").0);
    let (done, text) = run(&data, &["client", "enable", "nobody"], "");
    assert!(!done && text.contains("no registration of that id") && !text.contains("lock"), "{text}");
    assert!(run(&data, &["user", "list"], "").1.contains("\"name\":\"doc\""));
    assert!(run(&data, &["user", "password", "doc"], "short\n").1.contains("password"));
    assert!(run(&data, &["user", "password", "doc"], "another horse battery\n").0);
    let hash = Registry::new(house.kv().clone()).user("doc").unwrap().unwrap().password_hash;
    assert_ne!(hash, hash_before);
    // A token from before the rotation stays valid after it, with the next server too; new tokens are signed with the new key.
    let token = |key: &[u8]| {
        let mut token = claims(&running.base_url, 3_600).unwrap();
        token.role = "administrator".to_owned();
        token.organization = Some("Organization/hospital".to_owned());
        token.scope = "user/*.rs".to_owned();
        Issuer::new(&running.base_url, key).unwrap().sign(&token).unwrap()
    };
    let old = token(&key);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let status = |token: &str| {
        let request = agent.get(format!("{}/Patient", running.base_url));
        request.header("Authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
    };
    assert_eq!(status(&old), 200);
    let (done, text) = run(&data, &["keys", "rotate"], "");
    assert!(done, "{text}");
    let new_key = std::fs::read(data.join("keys/issuer.p8")).unwrap();
    assert_ne!(key, new_key);
    let new = token(&new_key);
    assert_eq!((status(&old), status(&new)), (200, 200));
    assert_eq!(status(&token(&Issuer::generate_key().unwrap())), 401);
    let url = running.base_url.replace("/fhir", "/auth/jwks");
    let keys = agent.get(url).call().unwrap().body_mut().read_to_string().unwrap();
    assert_eq!(keys.matches("ES256").count(), 3, "{keys}");
    running.stop().unwrap();
    let base_url = running.base_url.clone();
    drop(running);
    house.sled.as_ref().unwrap().close().unwrap();
    drop(house);
    let house = House::open(&config).unwrap();
    let signers = std::fs::read_to_string(data.join("keys/audit.pub")).unwrap();
    assert_eq!(signers.lines().count(), 3, "{signers}");
    let issuer = house.issuer(&base_url).unwrap();
    for token in [&old, &new] {
        issuer.verify(token, now()).unwrap();
    }
}
