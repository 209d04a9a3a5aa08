//! HTTP behaviour beyond FHIR's own scenarios: TLS, raw bytes of a Binary, limits, and that every interaction has scenarios.
use std::io::Write as _;

use chartward::cli::{Config, ScenarioKind, scenarios, start};
use chartward::http::tls_self_signed;
use chartward::operations::INTERACTIONS;
use ureq::tls::TlsConfig;

fn agent() -> ureq::Agent {
    let tls = TlsConfig::builder().disable_verification(true).build();
    ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into()
}

fn config() -> Config {
    Config { listen: "127.0.0.1:0".to_owned(), body_bytes_max: 100_000, ..Config::default() }
}

#[test]
fn tls_is_served_with_a_certificate_of_its_own() {
    let house = crate::shared::house();
    let tls = tls_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut running = start(&config(), &house, true, Some(tls)).unwrap();
    assert!(running.base_url.starts_with("https://"));
    let response = agent().get(format!("{}/metadata", running.base_url)).call().unwrap();
    assert_eq!(response.status(), 200);
    running.stop().unwrap();
}

#[test]
fn a_binary_goes_in_and_out_as_bytes() {
    let house = crate::shared::house();
    let running = start(&config(), &house, true, None).unwrap();
    let base = &running.base_url;
    // More than one chunk of a streamed body, and not a multiple of the chunk length.
    let bytes: Vec<u8> = (0..=255).cycle().take(70_001).collect();
    let made = agent()
        .post(format!("{base}/Binary"))
        .header("Content-Type", "image/x-test")
        .send(&bytes[..])
        .unwrap();
    assert_eq!(made.status(), 201);
    let location =
        made.headers()["location"].to_str().unwrap().split("/_history/").next().unwrap().to_owned();
    let mut raw = agent().get(&location).call().unwrap();
    assert_eq!(raw.headers()["content-type"], "image/x-test");
    assert_eq!(raw.body_mut().read_to_vec().unwrap(), bytes);
    let mut resource = agent().get(&location).header("Accept", "application/fhir+json").call().unwrap();
    let text = resource.body_mut().read_to_string().unwrap();
    assert!(text.contains("\"contentType\":\"image/x-test\""), "{text}");
}

#[test]
fn answers_are_packed_pretty_and_open_to_other_origins_as_asked() {
    let house = crate::shared::house();
    let running = start(&config(), &house, false, None).unwrap();
    let url = format!("{}/metadata", running.base_url);
    for packing in ["gzip", "br"] {
        let answer = agent().get(&url).header("Accept-Encoding", packing).call().unwrap();
        assert_eq!(answer.headers()["content-encoding"], packing);
    }
    let mut pretty = agent().get(format!("{url}?_pretty=true")).call().unwrap();
    assert!(
        pretty
            .body_mut()
            .read_to_string()
            .unwrap()
            .starts_with("{\n  \"resourceType\": \"CapabilityStatement\"")
    );
    let answer = agent().get(&url).header("Origin", "https://app.example").call().unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let seen = answer.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(["etag", "location", "content-location"].iter().all(|name| seen.contains(name)));
    let request = ureq::http::Request::builder()
        .method("OPTIONS")
        .uri(format!("{}/Patient/1", running.base_url))
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", "PUT");
    let before = agent().run(request.body(()).unwrap()).unwrap();
    assert!(before.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    assert!(before.headers()["access-control-allow-headers"].to_str().unwrap().contains("if-match"));
    // What only the hospital's own people and systems use is for no page of another origin.
    for path in
        ["/admin/clients", "/admin/reindex", "/metrics", "/health/ready", "/auth/launch", "/auth/apps"]
    {
        let request = ureq::http::Request::builder()
            .method("OPTIONS")
            .uri(running.base_url.replace("/fhir", path))
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", "POST");
        let before = agent().run(request.body(()).unwrap()).unwrap();
        assert!(before.headers().get("access-control-allow-origin").is_none(), "{path}");
    }
}

#[test]
fn an_open_server_takes_nothing_from_pages_of_other_sites() {
    let house = crate::shared::house();
    let running = start(&config(), &house, true, None).unwrap();
    let url = format!("{}/metadata", running.base_url);
    let own = running.base_url.strip_suffix("/fhir").unwrap().to_owned();
    let cases: [(&[(&str, &str)], u16); 9] = [
        (&[], 200),
        (&[("Origin", own.as_str())], 200),
        (&[("Origin", "https://app.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "none")], 200),
        (&[("Sec-Fetch-Site", "same-origin")], 200),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Host", "rebound.example")], 403),
    ];
    for (headers, status) in cases {
        let mut request = agent().get(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.call().unwrap();
        assert_eq!(answer.status().as_u16(), status, "{headers:?}");
        assert!(answer.headers().get("access-control-allow-origin").is_none(), "{headers:?}");
    }
}

#[test]
fn health_is_public_and_says_little() {
    let house = crate::shared::house();
    let running = start(&config(), &house, false, None).unwrap();
    let origin = running.base_url.strip_suffix("/fhir").unwrap();
    for path in ["live", "ready"] {
        let mut answer = agent().get(format!("{origin}/health/{path}")).call().unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap().as_str()),
            (200, "ok")
        );
    }
}

#[test]
fn open_is_for_loopback_and_bodies_have_a_limit() {
    let house = crate::shared::house();
    let everywhere = Config { listen: "0.0.0.0:0".to_owned(), ..config() };
    assert!(start(&everywhere, &house, true, None).is_err());
    let running = start(&config(), &house, true, None).unwrap();
    let large = format!("{{\"resourceType\":\"Patient\",\"x\":\"{}\"}}", "y".repeat(200_000));
    let url = format!("{}/Patient", running.base_url);
    let answer = agent().post(url).header("Content-Type", "application/fhir+json").send(large.as_str());
    // The server may answer before the client has sent everything.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 413));
}

#[test]
fn packed_bodies_are_taken_within_the_limit() {
    let house = crate::shared::house();
    let running = start(&config(), &house, true, None).unwrap();
    let url = format!("{}/Patient/packed", running.base_url);
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let put = |encoding: &str, body: &[u8]| {
        let request = agent().put(&url).header("Content-Type", "application/fhir+json");
        request.header("Content-Encoding", encoding).send(body).unwrap().status().as_u16()
    };
    let patient = |gender: &str, family: &str| {
        format!(
            r#"{{"resourceType":"Patient","id":"packed","gender":"{gender}","name":[{{"family":"{family}"}}]}}"#
        )
    };
    assert_eq!(put("gzip", &gzip(patient("male", "a").as_bytes())), 201);
    // The server accepts the coding that it uses itself.
    let mut packed = agent().get(&url).header("Accept-Encoding", "br").call().unwrap();
    assert_eq!(packed.headers()["content-encoding"], "br");
    let brotli = packed.body_mut().read_to_vec().unwrap();
    assert_eq!(put("identity", patient("female", "a").as_bytes()), 200);
    assert_eq!(put("br", &brotli), 200);
    assert_eq!(put("gzip, br", &brotli), 400);
    assert_eq!(put("gzip, gzip", &gzip(&gzip(patient("other", "b").as_bytes()))), 200);
    assert_eq!(put("gzip", patient("male", "c").as_bytes()), 400);
    let read = agent().get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(read.contains("other"), "{read}");
    // A body that is small on the wire is refused if it exceeds the limit when decompressed.
    assert_eq!(put("gzip", &gzip(patient("male", &"x".repeat(200_000)).as_bytes())), 413);
}

/// Method, path, further headers and body of a request.
type Sent<'s> = (&'s str, &'s str, &'s [(&'s str, &'s str)], Option<&'s str>);

/// Status and entity tag of each answer of a server with these settings.
fn statuses(config: &Config, requests: &[Sent<'_>]) -> Vec<(u16, Option<String>)> {
    let house = crate::shared::house();
    let running = start(config, &house, true, None).unwrap();
    let answers = requests.iter().map(|(method, path, headers, body)| {
        let mut request =
            ureq::http::Request::builder().method(*method).uri(format!("{}/{path}", running.base_url));
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => {
                agent().run(request.header("Content-Type", "application/fhir+json").body(*body).unwrap())
            }
            None => agent().run(request.body(()).unwrap()),
        };
        let answer = answer.unwrap();
        let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status().as_u16(), tag)
    });
    answers.collect()
}

#[test]
fn settings_change_what_an_unchanged_update_and_a_referred_patient_come_to() {
    let patient = Some(r#"{"resourceType":"Patient","id":"p"}"#);
    let observation = Some(
        r#"{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}"#,
    );
    let put = ("PUT", "Patient/p", &[][..], patient);
    let requests =
        [put, put, ("PUT", "Observation/o", &[][..], observation), ("DELETE", "Patient/p", &[][..], None)];
    let of = |config: Config| statuses(&config, &requests);
    let usual = of(config());
    let changed = of(Config { version_unchanged: true, keep_patients_referred_to: false, ..config() });
    let codes = |answers: &[(u16, Option<String>)]| answers.iter().map(|answer| answer.0).collect::<Vec<_>>();
    assert_eq!(codes(&usual), [201, 200, 201, 409]);
    assert_eq!(codes(&changed), [201, 200, 201, 204]);
    assert_eq!(usual[0].1, usual[1].1, "an update that changes nothing makes no version");
    assert_ne!(changed[0].1, changed[1].1, "with the setting it makes one");
}

#[test]
fn one_provenance_goes_with_a_request() {
    let patient = Some(r#"{"resourceType":"Patient","id":"p"}"#);
    let provenance = r#"{"resourceType":"Provenance","recorded":"2026-02-01T10:00:00Z","agent":[{"who":{"display":"x"}}]}"#;
    let one = [("X-Provenance", provenance)];
    let two = [("X-Provenance", provenance), ("X-Provenance", provenance)];
    let requests = [
        ("PUT", "Patient/p", &two[..], patient),
        ("GET", "Patient/p", &[][..], None),
        ("PUT", "Patient/p", &one[..], patient),
    ];
    let statuses: Vec<u16> = statuses(&config(), &requests).into_iter().map(|answer| answer.0).collect();
    assert_eq!(statuses, [400, 404, 201]);
}

#[test]
fn every_interaction_has_its_scenarios() {
    let scenarios = scenarios().unwrap();
    for row in &INTERACTIONS {
        let kinds = if row.name == "capabilities" {
            vec![ScenarioKind::Success]
        } else {
            vec![ScenarioKind::Success, ScenarioKind::Error, ScenarioKind::Unauthorized]
        };
        for kind in kinds {
            let found =
                scenarios.iter().any(|scenario| scenario.interaction == row.name && scenario.kind == kind);
            assert!(found, "{} has no scenario of kind {kind:?}", row.name);
        }
    }
}
