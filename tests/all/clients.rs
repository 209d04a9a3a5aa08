//! Third-party clients, unmodified: an app made with fhirclient in a browser, and a backend service made with PyJWT.
//! `tests/clients/install` installs them; without them a test reports that it is skipped, or fails if the variable
//! `CLIENT_TESTS` is set.
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::browser::{PASSWORD, app, patients, users};
use crate::issuers::{authority, signed};
use crate::oauth::Site;
use crate::oauth_admin::run;
use crate::process::Process;
use crate::shared::skipped;
use crate::webdriver::{Driver, Window, serve};

/// Reports that a test is skipped, or fails if `CLIENT_TESTS` forbids that.
pub fn without(needed_by: &str, why: &str) {
    assert!(std::env::var_os("CLIENT_TESTS").is_none(), "{needed_by}: {why}");
    skipped(needed_by, why);
}

/// The path of an installed file, or `None` with a line that says which test is skipped and why.
pub fn installed(what: &str, needed_by: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(what);
    if path.exists() {
        return Some(path);
    }
    without(needed_by, &format!("{} is not here", path.display()));
    None
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// A site where the app is registered, and the app's origin.
fn site_of_app(library: &Path) -> (Site, String) {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let origin = serve(vec![
        ("standalone.html", read(&own("standalone.html"))),
        ("standalone.js", read(&own("standalone.js"))),
        ("fhir-client.js", read(library)),
    ]);
    let site = Site::new();
    let mut client = app("app");
    client["client_name"] = json!("Growth chart");
    client["redirect_uris"] = json!([format!("{origin}/standalone.html")]);
    client["scope"] =
        json!("openid fhirUser launch launch/patient offline_access patient/*.rs patient/*.cud");
    site.register(&client);
    users(&site);
    patients(&site);
    let token = site.minted("system", |_| {});
    for (id, patient) in [("o1", "p1"), ("o2", "p2"), ("o3", "p1"), ("o4", "p1")] {
        let observation = json!({
            "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "Body height"},
            "subject": {"reference": format!("Patient/{patient}")}
        });
        assert_eq!(site.send("PUT", &format!("/fhir/Observation/{id}"), &token, &observation).0, 201);
    }
    (site, origin)
}

/// Starts a launch and signs in.
fn sign_in(window: &Window<'_>, site: &Site, origin: &str, name: &str) {
    window.open(&format!("{origin}/standalone.html?iss={}", site.base()));
    window.write("input[name=name]", name);
    window.picture("sign-in", "input[name=password]");
    window.write("input[name=password]", PASSWORD);
    window.click("button[type=submit]");
}

/// The result that the app shows in the end.
fn result(window: &Window<'_>) -> Value {
    let text = window.text("#result[data-done]");
    let complaints = window.complaints();
    // The Content-Security-Policy of our own pages blocks nothing in them.
    assert!(!complaints.contains("Content Security Policy"), "{complaints}");
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["error"], Value::Null, "{result} {complaints}");
    result
}

#[test]
fn an_app_made_with_fhirclient_is_launched_in_a_browser() {
    const NAME: &str = "an_app_made_with_fhirclient_is_launched_in_a_browser";
    let Some(library) = installed("fhir-client.js", NAME) else { return };
    let driver = match Driver::start() {
        Ok(driver) => driver,
        Err(why) => return without(NAME, &why),
    };
    let (site, origin) = site_of_app(&library);
    // A patient permits reading, but not writing.
    let window = driver.browser();
    sign_in(&window, &site, &origin, "ann");
    window.click("input[value='patient/*.cud']");
    window.picture("consent", "button[value=allow]");
    window.click("button[value=allow]");
    assert_eq!(
        result(&window),
        json!({
            "scope": "openid fhirUser launch/patient offline_access patient/*.rs",
            "user": "Patient/p1",
            "patient": "p1",
            "observations": ["o1", "o3", "o4"],
            "written": 403,
            "ofOthers": 404,
            "renewed": true,
            "after": "p1",
            "encounter": null,
            "banner": true
        })
    );
    drop(window);
    // A professional, who first mistypes the user name, chooses a patient and permits writing, too.
    let window = driver.browser();
    sign_in(&window, &site, &origin, "doc ");
    assert!(window.text("[role=alert]").contains("wrong"));
    window.picture("sign-in-again", "[role=alert]");
    sign_in(&window, &site, &origin, "doc");
    window.write("input[name=search]", "Cole");
    window.click("button[type=submit]");
    window.picture("patients", "button[value=p2]");
    window.click("button[value=p2]");
    window.picture("consent-of-a-professional", "button[value=allow]");
    window.click("button[value=allow]");
    let found = result(&window);
    assert_eq!(
        (&found["patient"], &found["observations"], &found["written"], &found["after"]),
        (&json!("p2"), &json!(["o2"]), &json!("done"), &json!("p2")),
        "{found}"
    );
    assert_eq!((&found["user"], &found["ofOthers"]), (&json!("Practitioner/d1"), &json!(404)));
    drop(window);
    // A user who refuses is sent back to the app, too.
    let window = driver.browser();
    sign_in(&window, &site, &origin, "ann");
    window.click("button[value=refuse]");
    assert!(window.text("#result[data-done]").contains("access_denied"));
}

#[test]
fn an_ehr_launches_an_app_made_with_fhirclient_in_a_browser() {
    const NAME: &str = "an_ehr_launches_an_app_made_with_fhirclient_in_a_browser";
    let Some(library) = installed("fhir-client.js", NAME) else { return };
    let driver = match Driver::start() {
        Ok(driver) => driver,
        Err(why) => return without(NAME, &why),
    };
    let (site, origin) = site_of_app(&library);
    let ehr = site.minted("system", |_| {});
    let encounter = json!({
        "resourceType": "Encounter", "id": "e2", "status": "in-progress", "subject": {"reference": "Patient/p2"},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
    });
    assert_eq!(site.send("PUT", "/fhir/Encounter/e2", &ehr, &encounter).0, 201);
    let shown = json!({"patient": "p2", "encounter": "e2", "need_patient_banner": false});
    let (status, registered) = site.send("POST", "/auth/launch", &ehr, &shown);
    assert_eq!(status, 201);
    // The EHR opens the app's address; its user signs in and chooses no patient, because the launch context names one.
    let window = driver.browser();
    let launch = registered["launch"].as_str().unwrap();
    window.open(&format!("{origin}/standalone.html?iss={}&launch={launch}", site.base()));
    window.write("input[name=name]", "doc");
    window.write("input[name=password]", PASSWORD);
    window.click("button[type=submit]");
    window.click("button[value=allow]");
    let found = result(&window);
    let expected = json!({
        "scope": "openid fhirUser launch offline_access patient/*.rs patient/*.cud", "user": "Practitioner/d1",
        "patient": "p2", "observations": ["o2"], "written": "done", "ofOthers": 404, "renewed": true, "after": "p2",
        "encounter": "e2", "banner": false
    });
    assert_eq!(found, expected);
}

/// The results of a backend service against a server with these options.
fn backend_service(
    python: &Path,
    folder: &Path,
    options: &[&str],
    (registered, arguments): (&[&str], &[&str]),
) -> Value {
    let script = |arguments: &[&str]| -> Value {
        let output = Command::new(python).arg(own("backend.py")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let jwks = script(&["keys", &path("keys")]);
    std::fs::write(path("keys.json"), jwks.to_string()).unwrap();
    let data = folder.join("data");
    let server = Process::start_with(&data, "", options, &[]);
    // Registered as the documentation says, while the server has the data directory open.
    let keys = path("keys.json");
    let mut client = vec!["client", "add", "ehr", "--auth", "private_key_jwt", "--jwks", &keys];
    client.extend([
        "--role",
        "system",
        "--organization",
        "Organization/hospital",
        "--purpose",
        "TREAT,HOPERAT",
    ]);
    client.extend(["--scope", "system/Patient.cruds"]);
    client.extend(registered);
    let (done, text) = run(&data, &client, "");
    assert!(done, "{text}");
    let keys = path("keys");
    let mut all = vec!["run", &server.base, "ehr", &keys];
    all.extend(arguments);
    script(&all)
}

/// The results that the service should get, with a key of any algorithm.
fn expected_of_service() -> Value {
    json!({
        "expires_in": 300, "scope": "system/Patient.crs", "client": "ehr", "created": 201, "searched": 200,
        "total": 1, "outside": 403, "replayed": [401, "invalid_client"]
    })
}

#[test]
fn a_backend_service_made_with_pyjwt_gets_tokens_and_searches() {
    const NAME: &str = "a_backend_service_made_with_pyjwt_gets_tokens_and_searches";
    let Some(python) = installed("venv/bin/python", NAME) else { return };
    let folder = tempfile::tempdir().unwrap();
    let result = backend_service(&python, folder.path(), &[], (&[], &[]));
    for algorithm in ["RS384", "ES384"] {
        assert_eq!(result[algorithm], expected_of_service(), "{algorithm}");
    }
    assert_eq!(result["stranger"], json!([401, "invalid_client"]));
}

#[test]
fn a_backend_service_with_its_certificate_gets_tokens_that_are_bound_to_it() {
    const NAME: &str = "a_backend_service_with_its_certificate_gets_tokens_that_are_bound_to_it";
    let Some(python) = installed("venv/bin/python", NAME) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: String| std::fs::write(path(name), text).unwrap();
    // One authority signs the certificates of the server and of the client.
    let (authority, _) = authority();
    let (server, client) = (signed(&authority, "127.0.0.1"), signed(&authority, "client"));
    write("ca.pem", authority.pem());
    for (name, (certificate, key)) in [("server", server), ("client", client)] {
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}-key.pem"), key.serialize_pem());
    }
    let (ca, own, key) = (path("ca.pem"), path("server.pem"), path("server-key.pem"));
    let options = ["--tls-cert", &own, "--tls-key", &key, "--tls-client-ca", &ca];
    let arguments = ["--ca", &ca, "--certificate", &path("client.pem"), &path("client-key.pem")];
    let result = backend_service(&python, folder.path(), &options, (&["--certificate-bound"], &arguments));
    for algorithm in ["RS384", "ES384"] {
        assert_eq!(result[algorithm], expected_of_service(), "{algorithm}");
    }
    // The same token over a connection without a client certificate.
    assert_eq!(result["withoutCertificate"], json!(401));
}
