//! Other token issuers over real connections: configuration, limits on fetching their keys, client certificates.
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use chartward::auth::{AccessToken, Confirmation};
use chartward::cli::{
    CertificateSection, ClientSection, Config, IntrospectionSection, IssuerSection, Running, Secret, claims,
    now, start,
};
use chartward::http::tls_from_files;
use jsonwebtoken::Algorithm;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ureq::tls::{Certificate, ClientCert, PrivateKey, TlsConfig};

use super::signer::{Signer, answer, base64_url, key_set, stub};

fn client(id: &str, scopes: &str) -> ClientSection {
    ClientSection {
        client_id: id.to_owned(),
        role: "system".to_owned(),
        organization: Some("Organization/hospital".to_owned()),
        purposes: vec!["TREAT".to_owned()],
        default_purpose: None,
        scopes: scopes.to_owned(),
        lenient: false,
        assign_ids: false,
        machine: false,
    }
}

fn section(url: &str, keys: &str) -> IssuerSection {
    IssuerSection {
        url: url.to_owned(),
        jwks_uri: Some(keys.to_owned()),
        jwks_file: None,
        jwks_insecure: true,
        audience: None,
        algorithms: vec!["ES384".to_owned()],
        clients: vec![client("app", "system/Patient.rs")],
        users: Vec::new(),
    }
}

fn config() -> Config {
    Config { listen: "127.0.0.1:0".to_owned(), ..Config::default() }
}

fn token(signer: &Signer, issuer: &str, audience: &str, changes: &Value) -> String {
    let mut claims = json!({
        "iss": issuer, "aud": audience, "sub": "app", "client_id": "app", "scope": "system/*.cruds",
        "exp": now() / 1_000 + 300,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signer.sign(&claims)
}

fn get(running: &Running, path: &str, token: Option<&str>) -> u16 {
    get_by(&ureq::Agent::config_builder().http_status_as_error(false).build().into(), running, path, token)
}

fn get_by(agent: &ureq::Agent, running: &Running, path: &str, token: Option<&str>) -> u16 {
    let mut request = agent.get(format!("{}/{path}", running.base_url));
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    request.call().unwrap().status().as_u16()
}

#[test]
fn keys_are_fetched_once_and_again_when_they_rotate() {
    let (first, second) = (Signer::new(Algorithm::ES384, "1"), Signer::new(Algorithm::ES384, "2"));
    let set = Arc::new(Mutex::new(key_set(&[first.jwk()])));
    let served = set.clone();
    let (keys, asked) =
        stub(move |_| Some(answer("200 OK", "Cache-Control: max-age=3600\r\n", &served.lock().unwrap())));
    let house = crate::shared::house();
    let config = Config { issuers: vec![section("https://idp", &keys)], ..config() };
    let running = start(&config, &house, false, None).unwrap();
    let token = |signer: &Signer, changes: Value| token(signer, "https://idp", &running.base_url, &changes);
    let good = token(&first, json!({}));
    assert_eq!(get(&running, "Patient", Some(&good)), 200);
    assert_eq!(
        get(&running, "Observation", Some(&good)),
        403,
        "the registration permits less than the token"
    );
    assert_eq!(get(&running, "Patient", Some(&token(&first, json!({"purpose_of_use": "BTG"})))), 403);
    assert_eq!(get(&running, "Patient", Some(&token(&first, json!({"client_id": "evil"})))), 401);
    assert_eq!(get(&running, "Patient", Some("opaque")), 401);
    assert_eq!(get(&running, "Patient", None), 401);
    assert_eq!(
        get(&running, &format!("Patient?access_token={good}"), None),
        401,
        "a token in the URL is none"
    );
    assert_eq!(get(&running, "metadata", Some("rubbish")), 200);
    // An unknown key is fetched once, however often tokens name it.
    for number in 0..10 {
        let unknown = Signer::new(Algorithm::ES384, &format!("unknown-{number}"));
        assert_eq!(get(&running, "Patient", Some(&token(&unknown, json!({})))), 401);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    *set.lock().unwrap() = key_set(&[second.jwk()]);
    assert_eq!(get(&running, "Patient", Some(&token(&second, json!({})))), 401, "not yet asked for again");
}

#[test]
fn keys_come_from_a_file_too() {
    let signer = Signer::new(Algorithm::ES384, "1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, key_set(&[signer.jwk()])).unwrap();
    let house = crate::shared::house();
    let from_file = IssuerSection { jwks_uri: None, jwks_file: Some(file), ..section("https://idp", "") };
    let running = start(&Config { issuers: vec![from_file], ..config() }, &house, false, None).unwrap();
    let good = token(&signer, "https://idp", &running.base_url, &json!({}));
    assert_eq!(get(&running, "Patient", Some(&good)), 200);
}

#[test]
fn an_issuer_that_cannot_be_asked_trusts_nobody_and_stops_nothing() {
    let signer = Signer::new(Algorithm::ES384, "1");
    let set = key_set(&[signer.jwk()]);
    let (good, reached) = stub({
        let set = set.clone();
        move |_| Some(answer("200 OK", "", &set))
    });
    let (redirecting, _) = stub(move |_| Some(answer("302 Found", &format!("Location: {good}/\r\n"), "")));
    let padded = format!("{}{set}", " ".repeat(1_000_000));
    let (large, _) = stub(move |_| Some(answer("200 OK", "", &padded)));
    let (failing, _) = stub({
        let set = set.clone();
        move |_| Some(answer("500 Internal Server Error", "", &set))
    });
    let (silent, _) = stub(|_| None);
    let (within, asked_within) = stub(move |_| Some(answer("200 OK", "", &set)));
    let within = within.replace("http://", "https://");
    let mut issuers: Vec<IssuerSection> =
        [("redirecting", &redirecting), ("large", &large), ("failing", &failing)]
            .map(|(name, keys)| section(name, keys))
            .to_vec();
    issuers.push(section("silent", &silent));
    // An issuer in the own network is not contacted unless the configuration permits it.
    issuers.push(IssuerSection { jwks_insecure: false, ..section("within", &within) });
    let house = crate::shared::house();
    let running = start(&Config { issuers, ..config() }, &house, false, None).unwrap();
    for issuer in ["redirecting", "large", "failing", "silent", "within"] {
        let token = token(&signer, issuer, &running.base_url, &json!({}));
        assert_eq!(get(&running, "Patient", Some(&token)), 503, "{issuer}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0, "no redirect is followed");
    assert_eq!(asked_within.load(Ordering::SeqCst), 0, "no address of the own network is connected to");
    let own = AccessToken {
        sub: "us".to_owned(),
        role: "system".to_owned(),
        organization: Some("Organization/hospital".to_owned()),
        scope: "system/*.rs".to_owned(),
        ..claims(&running.base_url, 300).unwrap()
    };
    let own = house.issuer(&running.base_url).unwrap().sign(&own).unwrap();
    assert_eq!(get(&running, "Patient", Some(&own)), 200);
}

#[test]
fn opaque_tokens_are_asked_about() {
    let expires = now() / 1_000 + 300;
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    let (url, asked) = stub(move |request| {
        seen.lock().unwrap().push(request.to_owned());
        let is_known = request.contains("token=opaque%2B1") || request.contains("token=opaque+1");
        let claims = json!({
            "active": is_known, "client_id": "app", "scope": "system/Patient.rs", "exp": expires,
        });
        Some(answer("200 OK", "Content-Type: application/json\r\n", &claims.to_string()))
    });
    let introspection = IntrospectionSection {
        url,
        client_id: "us".to_owned(),
        client_secret: Secret("s:cret".to_owned()),
        insecure: true,
        audience: None,
        audience_optional: true,
        clients: vec![ClientSection { machine: true, ..client("app", "system/*.rs") }],
        users: Vec::new(),
    };
    let house = crate::shared::house();
    let config = Config { introspection: Some(introspection), ..config() };
    let running = start(&config, &house, false, None).unwrap();
    for _ in 0..3 {
        assert_eq!(get(&running, "Patient", Some("opaque+1")), 200);
        assert_eq!(get(&running, "Patient", Some("opaque-2")), 401);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let requests = requests.lock().unwrap().join("\n");
    let basic = base64_url(b"us:s%3Acret");
    assert!(requests.starts_with("POST ") && requests.contains(&basic), "{requests}");
}

/// A certificate authority for client certificates, and a server's TLS configuration that trusts it.
pub fn authority() -> (CertifiedIssuer<'static, KeyPair>, Arc<rustls::ServerConfig>) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = tls_from_files(
        own.cert.pem().as_bytes(),
        own.signing_key.serialize_pem().as_bytes(),
        Some(authority.pem().as_bytes()),
    );
    (authority, tls.unwrap())
}

/// A certificate for a name, signed by the authority.
pub fn signed(authority: &CertifiedIssuer<'_, KeyPair>, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.signed_by(&key, authority).unwrap(), key)
}

pub fn agent(shown: Option<&(rcgen::Certificate, KeyPair)>) -> ureq::Agent {
    let shown = shown.map(|(certificate, key)| {
        let chain = [Certificate::from_pem(certificate.pem().as_bytes()).unwrap()];
        ClientCert::new_with_certs(&chain, PrivateKey::from_pem(key.serialize_pem().as_bytes()).unwrap())
    });
    let tls = TlsConfig::builder().disable_verification(true).client_cert(shown).build();
    ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into()
}

#[test]
fn certificates_are_parties_and_bind_tokens() {
    let (authority, tls) = authority();
    let (known, unknown) = (signed(&authority, "client"), signed(&authority, "client"));
    let digest: [u8; 32] = Sha256::digest(known.0.der()).into();
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let certificates = vec![CertificateSection { sha256, client: client("lab", "system/Patient.rs") }];
    let house = crate::shared::house();
    let running = start(&Config { certificates, ..config() }, &house, false, Some(tls)).unwrap();
    let with_known = agent(Some(&known));
    assert_eq!(get_by(&with_known, &running, "Patient", None), 200);
    assert_eq!(get_by(&with_known, &running, "Observation", None), 403, "as far as it is registered");
    assert_eq!(get_by(&agent(Some(&unknown)), &running, "Patient", None), 401);
    assert_eq!(get_by(&agent(None), &running, "Patient", None), 401);
    assert_eq!(
        get_by(&with_known, &running, "Patient", Some("rubbish")),
        401,
        "a wrong token is not passed over"
    );
    let token = |confirmation| {
        let token = AccessToken {
            sub: "us".to_owned(),
            role: "system".to_owned(),
            organization: Some("Organization/hospital".to_owned()),
            scope: "system/*.rs".to_owned(),
            confirmation,
            ..claims(&running.base_url, 300).unwrap()
        };
        house.issuer(&running.base_url).unwrap().sign(&token).unwrap()
    };
    let bound = token(Some(Confirmation { certificate: base64_url(&digest) }));
    for (shown, expected) in [(Some(&known), 200), (Some(&unknown), 401), (None, 401)] {
        assert_eq!(get_by(&agent(shown), &running, "Observation", Some(&bound)), expected);
    }
    assert_eq!(get_by(&agent(None), &running, "Observation", Some(&token(None))), 200);
}
