//! What the wire does beside FHIR's own scenarios: TLS, bytes of a Binary, limits, and that every interaction has its
//! scenarios.
use chartward::cli::{Config, scenarios, start};
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
    // More than one chunk of what is streamed, and no multiple of it.
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
    assert!(["ETag", "Location", "Content-Location"].iter().all(|name| seen.contains(name)));
    let request = ureq::http::Request::builder()
        .method("OPTIONS")
        .uri(format!("{}/Patient/1", running.base_url))
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", "PUT");
    let before = agent().run(request.body(()).unwrap()).unwrap();
    assert!(before.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    assert!(before.headers()["access-control-allow-headers"].to_str().unwrap().contains("If-Match"));
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
fn every_interaction_has_its_scenarios() {
    let scenarios = scenarios().unwrap();
    for row in &INTERACTIONS {
        let kinds = if row.name == "capabilities" {
            vec!["success"]
        } else {
            vec!["success", "error", "unauthorized"]
        };
        for kind in kinds {
            let found =
                scenarios.iter().any(|scenario| scenario.interaction == row.name && scenario.kind == kind);
            assert!(found, "{} has no scenario of kind {kind}", row.name);
        }
    }
}
