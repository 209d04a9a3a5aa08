//! The consent desk in a browser: permissions in sentences, who gains and who loses before anything is stored, and taking back.
use serde_json::Value;

use crate::browser::{PASSWORD, site};
use crate::pages::{Page, Visitor, demo};
use crate::process::agent;

/// The value of a hidden field.
fn hidden(page: &Page, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.text.split_once(&mark).unwrap_or_else(|| panic!("{name}: {}", page.text));
    rest.split_once('"').unwrap().0.to_owned()
}

#[test]
fn a_patient_permits_sees_what_it_changes_and_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let (demo, tokens) = demo(folder.path());
    let total = |party: &str, query: &str| {
        let token = format!("Bearer {}", tokens[party].as_str().unwrap());
        let url = format!("{}/{query}&_summary=count", demo.base);
        let mut answer = agent().get(url).header("Authorization", token).call().unwrap();
        let bundle: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        bundle["total"].as_u64().unwrap()
    };
    let claims = "ExplanationOfBenefit?patient=p1";
    assert_eq!(total("insurer", claims), 0);
    let mut patient = Visitor::new(&demo.base);
    patient.become_one("patient");
    let me = patient.open("/me");
    assert!(me.text.contains("href=\"/p/p1/consents\""), "{}", me.text);
    let desk = patient.open("/p/p1/consents");
    assert!(desk.text.contains("No permission and no restriction is in force"), "{}", desk.text);
    let empty = patient.open("/p/p1/consents/new");
    let (token, once) = (empty.form_token(), hidden(&empty, "once"));
    assert_ne!(once, hidden(&patient.open("/p/p1/consents/new"), "once"));
    let insurer = {
        let (before, _) = empty.text.split_once("Acme Health Insurance").unwrap();
        let (_, value) = before.rsplit_once("value=\"").unwrap();
        value.split_once('"').unwrap().0.to_owned()
    };
    let path = "/p/p1/consents/new";
    let own = [("form", token.as_str()), ("once", &once)];
    let send = |patient: &mut Visitor, fields: &[(&str, &str)]| patient.post(path, &[&own, fields].concat());

    // What is missing or wrong is told beside its field, and what was chosen is kept. Looking for somebody stores nothing.
    let script = "\"><script>alert(1)</script>";
    let wrong = send(
        &mut patient,
        &[("step", "save"), ("until", "2020-01-01"), ("why", "HPAYMT"), ("sought", script)],
    );
    assert_eq!(wrong.status, 200);
    assert!(wrong.text.contains("Choose who it is about") && wrong.text.contains("is over already"));
    assert!(wrong.text.contains("value=\"2020-01-01\"") && !wrong.text.contains("<script>alert"));
    assert!(wrong.text.contains("name=\"why\" value=\"HPAYMT\" checked"), "{}", wrong.text);
    let looked = send(&mut patient, &[("step", "look"), ("sought", "adler"), ("matter", "PSY")]);
    assert!(looked.text.contains("Dr. Ruth Adler") && looked.text.contains("value=\"PSY\" checked"));
    for who in ["Organization/never-was-there", "Patient/p2", script] {
        let refused = send(&mut patient, &[("step", "save"), ("who", who)]);
        assert!(refused.text.contains("Choose who it is about"), "{}", refused.text);
    }
    assert_eq!(total("patient", "Consent?patient=p1"), 0);

    let chosen: &[(&str, &str)] = &[
        ("who", &insurer),
        ("may", "permit"),
        ("kind", "ExplanationOfBenefit"),
        ("kind", "Coverage"),
        ("why", "HPAYMT"),
        ("matter", "PSY"),
        ("until", "2099-12-31"),
    ];
    let preview = send(&mut patient, &[chosen, &[("step", "preview")]].concat());
    let sentence = "Acme Health Insurance may see insurance and accounts of the insurer for payment until 31 December 2099, and by this consent nothing else.";
    for expected in [
        sentence,
        "But not whatever is marked as mental health.",
        "Who gains",
        "as an insurer",
        "Nobody loses",
    ] {
        assert!(preview.text.contains(expected), "{expected}: {}", preview.text);
    }
    assert_eq!((total("insurer", claims), total("patient", "Consent?patient=p1")), (0, 0));

    // The form is sent twice, as by an impatient hand.
    for _ in 0..2 {
        let saved = send(&mut patient, &[chosen, &[("step", "save")]].concat());
        assert_eq!(
            (saved.status, saved.location.as_str()),
            (303, "/p/p1/consents?saved=yes"),
            "{}",
            saved.text
        );
    }
    assert_eq!(total("patient", "Consent?patient=p1"), 1);
    assert!(total("insurer", claims) > 0);
    let desk = patient.open("/p/p1/consents");
    assert!(desk.text.contains(sentence) && desk.text.contains("In force until"), "{}", desk.text);

    // Others read it where they may, and change nothing.
    let (_, rest) = desk.text.split_once("/p/p1/consents/").unwrap();
    let (_, rest) = rest.split_once("action=\"/p/p1/consents/").unwrap();
    let end = format!("/p/p1/consents/{}", rest.split_once('"').unwrap().0);
    let version = hidden(&desk, "version");
    let mut doctor = Visitor::new(&demo.base);
    doctor.become_one("doctor");
    let read = doctor.open("/p/p1/consents");
    assert!(read.text.contains(sentence) && !read.text.contains("Take it back"), "{}", read.text);
    let form = doctor.open("/find").form_token();
    assert_eq!(doctor.post(&end, &[("form", &form), ("version", &version)]).status, 403);
    assert_eq!(doctor.open(path).status, 403);
    let mut mother = Visitor::new(&demo.base);
    mother.become_one("representative");
    let form = mother.open("/p/child1/consents/new").form_token();
    assert_eq!(mother.post(&end, &[("form", &form), ("version", &version)]).status, 404);
    assert_eq!(mother.open("/p/p1/consents").status, 404);

    // Of another patient's page, and of a version that is not the newest, nothing is taken back.
    let token = patient.open("/p/p1/consents").form_token();
    let elsewhere = end.replace("/p/p1/", "/p/p2/");
    assert_eq!(patient.post(&elsewhere, &[("form", &token), ("version", &version)]).status, 404);
    let stale = patient.post(&end, &[("form", &token), ("version", "0")]);
    assert!(stale.status == 409 && stale.text.contains("Nothing was changed"), "{}", stale.text);
    assert!(total("insurer", claims) > 0);
    let ended = patient.post(&end, &[("form", &token), ("version", &version)]);
    assert_eq!((ended.status, ended.location.as_str()), (303, "/p/p1/consents?ended=yes"), "{}", ended.text);
    assert_eq!(total("insurer", claims), 0);
    let desk = patient.open("/p/p1/consents");
    assert!(desk.text.contains("No longer in force") && desk.text.contains("Taken back"), "{}", desk.text);

    // A Consent may call an insurer as it likes: the desk calls everybody by the name that the server knows.
    let token = format!("Bearer {}", tokens["patient"].as_str().unwrap());
    let disguised = serde_json::json!({
        "resourceType": "Consent", "status": "active", "patient": {"reference": "Patient/p1"}, "performer": [{"reference": "Patient/p1"}],
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]},
        "provision": {"type": "deny", "actor": [{
            "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
            "reference": {"reference": insurer, "display": "My own doctor"},
        }]},
    });
    let request = agent().post(format!("{}/Consent", demo.base)).header("Authorization", token);
    let request = request.header("Content-Type", "application/fhir+json");
    assert_eq!(request.send(disguised.to_string()).unwrap().status(), 201);
    let desk = patient.open("/p/p1/consents");
    assert!(desk.text.contains("Acme Health Insurance may not see anything of the record."), "{}", desk.text);
    assert!(!desk.text.contains("My own doctor"));

    // Staff who record Consents do so for the patient.
    let mut technician = Visitor::new(&demo.base);
    technician.become_one("technician");
    let form = technician.open(path);
    let own = [("form", form.form_token()), ("once", hidden(&form, "once"))];
    let mut fields: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.extend([("who", "anybody"), ("may", "deny"), ("matter", "HIV"), ("step", "preview")]);
    let preview = technician.post(path, &fields);
    assert!(preview.text.contains("Nobody may see whatever is marked as HIV."), "{}", preview.text);
    fields.pop();
    fields.push(("step", "save"));
    let saved = technician.post(path, &fields);
    assert_eq!(saved.status, 303, "{}", saved.text);
    assert!(patient.open("/p/p1/consents").text.contains("Nobody may see whatever is marked as HIV."));
}

#[test]
fn whoever_opens_more_of_a_record_gives_the_password_again() {
    let site = site();
    let mut ann = Visitor::new(site.base());
    let token = ann.open("/").form_token();
    let fields = [("form", token.as_str()), ("name", "ann"), ("password", PASSWORD), ("to", "/me")];
    assert_eq!(ann.post("/sign-in", &fields).status, 303);
    let path = "/p/p1/consents/new";
    let record = |ann: &mut Visitor, may: &str, password: &str| {
        let form = ann.open(path);
        let (token, once) = (form.form_token(), hidden(&form, "once"));
        let fields =
            [("form", token.as_str()), ("once", &once), ("who", "anybody"), ("may", may), ("step", "save")];
        ann.post(path, &[&fields[..], &[("password", password)]].concat())
    };
    for wrong in ["", "wrong"] {
        let refused = record(&mut ann, "permit", wrong);
        assert!(refused.status == 200 && refused.text.contains("The password is wrong"), "{}", refused.text);
        assert!(refused.text.contains("Anybody may see the whole record."), "what was typed is kept");
    }
    assert!(ann.open("/p/p1/consents").text.contains("No permission and no restriction is in force"));
    assert_eq!(record(&mut ann, "permit", PASSWORD).status, 303);
    assert_eq!(record(&mut ann, "deny", "").status, 303, "a restriction opens nothing");
    // A permission is taken back in one tap; a restriction is not, because others see more without it.
    for (sentence, needs_password) in
        [("Anybody may see the whole record.", false), ("Nobody may see anything of the record.", true)]
    {
        let desk = ann.open("/p/p1/consents");
        let (_, rest) = desk.text.split_once(sentence).unwrap_or_else(|| panic!("{}", desk.text));
        let (_, rest) = rest.split_once("action=\"").unwrap();
        let (form, _) = rest.split_once("</form>").unwrap();
        assert_eq!(form.contains("type=\"password\""), needs_password, "{form}");
        let end = form.split_once('"').unwrap().0;
        let (_, version) = form.split_once("name=\"version\" value=\"").unwrap();
        let version = version.split_once('"').unwrap().0;
        let token = desk.form_token();
        let fields = [("form", token.as_str()), ("version", version)];
        let tapped = ann.post(end, &fields);
        assert_eq!(tapped.status, if needs_password { 403 } else { 303 }, "{}", tapped.text);
        if needs_password {
            assert!(tapped.text.contains("The password is wrong"), "{}", tapped.text);
            assert_eq!(ann.post(end, &[&fields[..], &[("password", PASSWORD)]].concat()).status, 303);
        }
    }
    assert!(ann.open("/p/p1/consents").text.contains("No permission and no restriction is in force"));
}
