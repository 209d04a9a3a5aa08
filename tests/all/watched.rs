//! What a server exposes to monitoring: metrics, log lines and spans; and that none of it names a person.
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::oauth::Site;
use crate::process::{Process, agent};

/// A server with a configuration, in a process of its own.
fn watched(folder: &Path, config: &str) -> Process {
    let file = folder.join("config.toml");
    std::fs::write(&file, config).unwrap();
    Process::start_with(&folder.join("data"), "", &["--open", "--config", file.to_str().unwrap()], &[])
}

/// Stops the server and gives its log.
fn log_of(mut server: Process) -> String {
    server.stop();
    server.log()
}

/// Writes and reads a patient whose name, identifier and id must not appear in monitoring data.
fn use_of(base: &str) -> String {
    let patient = json!({
        "resourceType": "Patient", "name": [{"family": "Hohenwarter"}], "identifier": [{"system": "urn:mrn", "value": "mrn-77123"}]
    });
    let agent = agent();
    let request = agent.post(format!("{base}/Patient")).header("Content-Type", "application/fhir+json");
    let mut answer = request.send(patient.to_string()).unwrap();
    let made: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    for (path, expected) in [
        (format!("Patient/{id}"), 200),
        ("Patient?name=Hohenwarter&identifier=urn:mrn|mrn-77123".to_owned(), 200),
        ("Patient?nonsense=Hohenwarter".to_owned(), 400),
        ("Patient/nobody".to_owned(), 404),
    ] {
        let url = format!("{base}/{}", path.replace('|', "%7C"));
        assert_eq!(agent.get(url).call().unwrap().status().as_u16(), expected, "{path}");
    }
    id
}

#[test]
fn figures_count_requests_and_are_for_administrators() {
    let site = Site::new();
    let url = site.address("/metrics");
    let page = |token: &str| {
        let answer = site.agent.get(&url).header("Authorization", format!("Bearer {token}")).call();
        let mut answer = answer.unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    assert_eq!(site.agent.get(&url).call().unwrap().status().as_u16(), 401);
    assert_eq!(page(&site.minted("clinician", |_| {})).0, 403);
    let system = site.minted("system", |_| {});
    for _ in 0..3 {
        assert_eq!(site.get(&format!("{}/Patient/none", site.base()), Some(&system)).0, 404);
    }
    assert_eq!(site.get(&format!("{}/Patient", site.base()), None).0, 401);
    let (status, text) = page(&site.minted("administrator", |_| {}));
    assert_eq!(status, 200);
    for line in [
        r#"chartward_http_requests_total{interaction="read",resource="Patient",status="404"} 3"#,
        r#"chartward_http_requests_total{interaction="search-type",resource="Patient",status="401"} 1"#,
        r#"chartward_http_requests_total{interaction="metrics",resource="",status="403"} 1"#,
        r#"chartward_http_request_duration_seconds_count{interaction="read"} 3"#,
        "chartward_http_requests_in_flight 1",
        "chartward_index_running 0.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.contains("chartward_process_resident_memory_bytes"), "{text}");
}

#[test]
fn requests_have_an_id_that_the_client_may_choose() {
    let site = Site::new();
    let ask = |given: Option<&str>| {
        let mut request = site.agent.get(format!("{}/metadata", site.base()));
        if let Some(given) = given {
            request = request.header("X-Request-Id", given);
        }
        request.call().unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(ask(Some("3f-1:a/b")), "3f-1:a/b");
    let (first, second) = (ask(None), ask(None));
    assert!(first != second && !first.is_empty());
    for wrong in ["a b", "a\"b", &"x".repeat(129)] {
        assert_ne!(ask(Some(wrong)), wrong);
    }
    // Endpoints besides the API return a request id, too.
    let answer = site.agent.get(site.address("/health/live")).header("X-Request-Id", "h1").call().unwrap();
    assert_eq!(answer.headers()["x-request-id"], "h1");
}

#[test]
fn the_log_is_json_lines_that_name_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "[log]\nformat = \"json\"\nlevel = \"debug\"\nslow_millis = 0\nmetrics_listen = \"127.0.0.1:0\"\n";
    let server = watched(folder.path(), config);
    let id = use_of(&server.base);
    let log = log_of(server);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let message = |text: &str| lines.iter().filter(|line| line["message"] == text).collect::<Vec<&Value>>();
    assert_eq!(message("serving").len(), 1, "{log}");
    let slow = message("search was slow");
    assert_eq!(slow.len(), 1, "{log}");
    assert!(
        slow[0]["plan"].as_str().unwrap().contains("scanned") && slow[0]["resource"] == "Patient",
        "{log}"
    );
    let requests = message("request was slow");
    assert_eq!(requests.len(), 5, "{log}");
    assert_eq!(
        (&requests[0]["interaction"], &requests[0]["resource"], &requests[0]["status"]),
        (&json!("create"), &json!("Patient"), &json!(201))
    );
    assert!(requests.iter().all(|line| line["request_id"].as_str().is_some_and(|id| !id.is_empty())));
    for word in ["Hohenwarter", "mrn-77123", &id, "nobody"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

#[test]
fn the_log_is_for_people_unless_it_is_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let server = watched(folder.path(), "");
    use_of(&server.base);
    let log = log_of(server);
    assert!(log.contains(" INFO serving base_url=\"http://127.0.0.1:"), "{log}");
    // Quick requests get no log line of their own.
    assert!(!log.contains("interaction"), "{log}");
    let output = Command::new(crate::shipped::binary())
        .args(["config"])
        .env("CHARTWARD_LOG__FORMAT", "xml")
        .output()
        .unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("xml"));
}

/// A collector that passes on the bodies it receives.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let len = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let mut body = vec![0; len.and_then(|len| len.parse().ok()).unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/v1/traces"), receiver)
}

#[test]
fn spans_go_to_a_collector_and_name_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (url, sent) = collector();
    let server = watched(folder.path(), &format!("[log]\notlp_traces = \"{url}\"\n"));
    let id = use_of(&server.base);
    // Remaining spans are sent at shutdown.
    log_of(server);
    let mut all = Vec::new();
    while let Ok((head, body)) = sent.recv_timeout(Duration::from_millis(500)) {
        assert!(head.starts_with("post /v1/traces") && head.contains("application/x-protobuf"), "{head}");
        all.extend(body);
    }
    // Strings in a protobuf message appear as plain bytes.
    let text = String::from_utf8_lossy(&all);
    for word in
        ["chartward", "fhir.interaction", "search-type", "create", "Patient", "http.response.status_code"]
    {
        assert!(text.contains(word), "{word} is not in the spans");
    }
    for word in ["Hohenwarter", "mrn-77123", &id, "nobody"] {
        assert!(!text.contains(word), "{word} is in the spans");
    }
}
