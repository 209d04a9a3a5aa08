//! Breaking the glass in a browser: one hidden record, one session, a reason, and everybody learns of it.
use serde_json::Value;

use crate::pages::{Visitor, demo};
use crate::process::agent;

#[test]
fn in_an_emergency_one_hidden_record_opens_for_this_session_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (demo, tokens) = demo(folder.path());
    let mut doctor = Visitor::new(&demo.base);
    doctor.become_one("emergency");
    let home = doctor.open("/");
    assert!(home.text.contains("href=\"/emergency\""), "{}", home.text);
    // Hidden and absent stay the same; both tell of the way for emergencies.
    let (hidden, absent) = (doctor.open("/p/lind"), doctor.open("/p/never-was-there"));
    assert_eq!((hidden.status, absent.status), (404, 404));
    assert_eq!(hidden.text, absent.text);
    assert!(hidden.text.contains("Is it an emergency?"), "{}", hidden.text);

    let token = doctor.open("/emergency").form_token();
    let script = "<script>alert(1)</script>";
    let reason = "unconscious in the emergency room";
    for (number, reason, status) in [
        ("99998", "why", 422),
        ("99998", "", 400),
        ("", reason, 400),
        ("77777", reason, 404),
        (script, reason, 404),
    ] {
        let refused = doctor.post("/emergency", &[("form", &token), ("number", number), ("reason", reason)]);
        assert_eq!(refused.status, status, "{number} {reason}: {}", refused.text);
        assert!(refused.text.contains("Nothing was opened") && !refused.text.contains("<script>"));
        assert!(
            refused.text.contains(&format!("value=\"{}\"", number.replace('<', "&lt;").replace('>', "&gt;")))
        );
    }
    assert_eq!(doctor.open("/p/lind").status, 404);

    let opened = doctor.post("/emergency", &[("form", &token), ("number", "99998"), ("reason", reason)]);
    assert_eq!((opened.status, opened.location.as_str()), (303, "/p/lind"), "{}", opened.text);
    let set = &opened.headers["set-cookie"];
    for part in ["Path=/p/lind;", "HttpOnly", "SameSite=Lax", "Max-Age=840"] {
        assert!(set.contains(part), "{set}");
    }
    let chart = doctor.open("/p/lind");
    for expected in
        ["Nora Lind", "Emergency access, 14 minutes left", "http-equiv=\"refresh\"", "Allergy to penicillin"]
    {
        assert!(chart.text.contains(expected), "{expected}: {}", chart.text);
    }
    assert_eq!(doctor.open("/p/lind/problems").status, 200);
    // Results of one kind over time: each value in the plot and in the table behind it.
    let results = doctor.open("/p/lind/results").text;
    let (_, rest) = results.split_once("<a href=\"/p/lind/results/").unwrap();
    let trend = doctor.open(&format!("/p/lind/results/{}", rest.split_once('"').unwrap().0));
    assert!(trend.text.contains("Hemoglobin A1c, the latest first"), "{}", trend.text);
    assert_eq!(trend.text.matches("class=\"outside\"").count(), 8, "{}", trend.text);
    assert!(trend.text.contains(": 8.1 %</title>"), "{}", trend.text);
    // The API, and pages that are not of this record, are as before.
    assert_eq!(doctor.open("/fhir/Patient/lind").status, 404);
    assert!(!doctor.open("/p/p1").text.contains("Emergency access"));
    // In the session of somebody else the cookie opens nothing, nor beside another record.
    let sealed = doctor.cookies["chartward-emergency"].clone();
    let mut other = Visitor::new(&demo.base);
    other.become_one("emergency");
    other.cookies.insert("chartward-emergency".to_owned(), sealed.clone());
    assert_eq!(other.open("/p/lind").status, 404);

    // It is on record, and waits for the privacy officer.
    let bearer = format!("Bearer {}", tokens["officer"].as_str().unwrap());
    let get = |path: &str| {
        let mut answer =
            agent().get(format!("{}/{path}", demo.base)).header("Authorization", &bearer).call().unwrap();
        serde_json::from_str::<Value>(&answer.body_mut().read_to_string().unwrap()).unwrap()
    };
    let tasks = get("Task?code=urn:chartward:work%7Creview-break-glass&patient=lind").to_string();
    assert!(tasks.contains(reason), "{tasks}");
    let seen = get("Patient/lind/$who-saw").to_string();
    assert!(seen.contains("Dr. Omar Farah") && seen.contains("emergency"), "{seen}");

    let token = chart.form_token();
    let closed = doctor.post("/p/lind/emergency/end", &[("form", &token)]);
    assert!(closed.status == 303 && !doctor.cookies.contains_key("chartward-emergency"));
    assert_eq!(doctor.open("/p/lind").status, 404);
    // After signing out the old cookie opens nothing even with a new session.
    doctor.cookies.insert("chartward-emergency".to_owned(), sealed);
    assert_eq!(doctor.open("/p/lind").status, 200);
    let token = doctor.open("/").form_token();
    doctor.post("/sign-out", &[("form", &token)]);
    doctor.become_one("emergency");
    assert_eq!(doctor.open("/p/lind").status, 404);

    // Who has no such right is not offered it.
    let mut without = Visitor::new(&demo.base);
    without.become_one("doctor");
    assert!(!without.open("/p/never-was-there").text.contains("emergency"));
    assert_eq!(without.open("/emergency").status, 403);
    let token = without.open("/find").form_token();
    assert_eq!(
        without.post("/emergency", &[("form", &token), ("number", "99998"), ("reason", reason)]).status,
        403
    );
}
