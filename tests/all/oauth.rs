//! The authorization server over a real socket: shared helpers of its tests, and the client credentials grant.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chartward::auth::{AccessToken, IdentityKeys, Registry};
use chartward::cli::{Config, House, Running, claims, now, start};
use chartward::model::{encode_base64, encode_base64_url_unpadded};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A server and its registry of clients and users.
pub struct Site {
    pub house: House,
    pub running: Running,
    pub registry: Registry,
    pub agent: ureq::Agent,
}

impl Site {
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A server with TLS.
    pub fn with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let config =
            Config { listen: "127.0.0.1:0".to_owned(), jwks_private_networks: true, ..Config::default() };
        let house = crate::shared::house();
        let running = start(&config, &house, false, tls).unwrap();
        let registry = Registry::new(house.kv().clone());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        Self { house, running, registry, agent }
    }

    pub fn base(&self) -> &str {
        &self.running.base_url
    }

    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base().strip_suffix("/fhir").unwrap())
    }

    /// A token minted with the issuer's key.
    pub fn minted(&self, role: &str, change: impl FnOnce(&mut AccessToken)) -> String {
        let mut token = AccessToken {
            sub: "minted".to_owned(),
            role: role.to_owned(),
            organization: Some("Organization/hospital".to_owned()),
            purpose_of_use: vec!["TREAT".to_owned()],
            scope: "system/*.cruds".to_owned(),
            assign_ids: true,
            ..claims(self.base(), 3_600).unwrap()
        };
        change(&mut token);
        self.house.issuer(self.base()).unwrap().sign(&token).unwrap()
    }

    /// Sends a form, with HTTP Basic authentication if name and secret are given.
    pub fn form(&self, path: &str, pairs: &[(&str, &str)], basic: Option<(&str, &str)>) -> (u16, Value) {
        let mut request = self.agent.post(self.address(path));
        if let Some((name, secret)) = basic {
            let encoded = encode_base64(format!("{name}:{secret}").as_bytes());
            request = request.header("Authorization", format!("Basic {encoded}"));
        }
        let mut answer = request.send_form(pairs.iter().copied()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub fn get(&self, url: &str, token: Option<&str>) -> (u16, Value) {
        let mut request = self.agent.get(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut answer = request.call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Sends JSON.
    pub fn send(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(self.address(path))
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/fhir+json");
        let mut answer = self.agent.run(request.body(body.to_string()).unwrap()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub fn register(&self, client: &Value) {
        self.registry.register_client(&client.to_string()).unwrap();
    }
}

pub fn base64_url(bytes: &[u8]) -> String {
    encode_base64_url_unpadded(bytes)
}

/// A client's signing key.
struct SigningKey {
    algorithm: Algorithm,
    encoding: EncodingKey,
    jwk: Value,
}

fn es384(kid: &str) -> SigningKey {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
    let jwk = json!({
        "kty": "EC", "crv": "P-384", "kid": kid, "alg": "ES384", "x": base64_url(x), "y": base64_url(y)
    });
    SigningKey { algorithm: Algorithm::ES384, encoding: EncodingKey::from_ec_der(document.as_ref()), jwk }
}

fn rs384(kid: &str) -> SigningKey {
    let der = IdentityKeys::generate_key().unwrap();
    let pair = ring::rsa::KeyPair::from_der(&der).unwrap();
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let jwk = json!({"kty": "RSA", "kid": kid, "n": base64_url(&public.n), "e": base64_url(&public.e)});
    SigningKey { algorithm: Algorithm::RS384, encoding: EncodingKey::from_rsa_der(&der), jwk }
}

fn backend(jwks: &Value) -> Value {
    json!({
        "client_id": "ehr", "client_name": "EHR", "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"], "scope": "system/Patient.cruds system/Observation.rs", "jwks": jwks,
        "role": "system", "organization": "Organization/hospital", "purposes": ["TREAT", "HOPERAT"],
        "default_purpose": "TREAT", "assign_ids": true
    })
}

fn partner() -> Value {
    json!({
        "client_id": "acme", "client_name": "Acme", "token_endpoint_auth_method": "client_secret_basic",
        "client_secret": SECRET, "grant_types": ["client_credentials"], "scope": "system/*.rs", "role": "insurer",
        "organization": "Organization/acme", "purposes": ["HPAYMT"], "default_purpose": "HPAYMT"
    })
}

type Change<'c> = &'c dyn Fn(&mut Header, &mut Value);

/// A changed assertion of the client `ehr`.
fn assertion(site: &Site, key: &SigningKey, change: Change<'_>) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut header = Header::new(key.algorithm);
    header.kid = Some(key.jwk["kid"].as_str().unwrap().to_owned());
    let mut claims = json!({
        "iss": "ehr", "sub": "ehr", "aud": site.address("/auth/token"), "exp": now() / 1_000 + 240,
        "jti": format!("n{}", NUMBER.fetch_add(1, Ordering::Relaxed))
    });
    change(&mut header, &mut claims);
    jsonwebtoken::encode(&header, &claims, &key.encoding).unwrap()
}

fn ask(site: &Site, assertion: &str, scope: &str) -> (u16, Value) {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("scope", scope),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    site.form("/auth/token", &pairs, None)
}

const NO_CHANGE: Change<'static> = &|_, _| {};

#[test]
fn a_client_gets_a_token_by_its_key_and_no_more_than_is_registered() {
    let site = Site::new();
    let (one, other) = (es384("one"), rs384("other"));
    site.register(&backend(&json!({"keys": [one.jwk, other.jwk]})));
    for key in [&one, &other] {
        let (status, answer) = ask(&site, &assertion(&site, key, NO_CHANGE), "system/*.rs openid user/*.rs");
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["scope"], "system/Patient.rs system/Observation.rs");
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert!(answer.get("refresh_token").is_none() && answer.get("id_token").is_none());
        let token = answer["access_token"].as_str().unwrap();
        let party = site.house.issuer(site.base()).unwrap().verify(token, now()).unwrap();
        assert_eq!((party.client.as_str(), party.role.code()), ("ehr", "system"));
        assert_eq!(party.purposes, ["TREAT"]);
        assert!(party.assign_ids && party.expires <= now() + 300_000);
        assert_eq!(site.get(&format!("{}/Patient", site.base()), Some(token)).0, 200);
        assert_eq!(site.get(&format!("{}/Condition", site.base()), Some(token)).0, 403);
    }
    // A narrower scope than the registered one, and one in the syntax of SMART version 1.
    for (asked, expected) in
        [("system/Patient.r", "system/Patient.r"), ("system/Observation.read", "system/Observation.read")]
    {
        let (_, answer) = ask(&site, &assertion(&site, &one, NO_CHANGE), asked);
        assert_eq!(answer["scope"], expected);
    }
    for asked in
        ["", "system/Condition.rs", "user/Patient.rs", "system/Observation.cud", "system/Patient.dus"]
    {
        let (status, answer) = ask(&site, &assertion(&site, &one, NO_CHANGE), asked);
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_scope")), "{asked}");
    }
}

#[test]
fn an_assertion_states_purposes_that_are_allowed() {
    let site = Site::new();
    let key = es384("known");
    site.register(&backend(&json!({"keys": [key.jwk]})));
    let ask_for = |purposes: Value| {
        let change = |_: &mut Header, claims: &mut Value| {
            claims["extensions"] = json!({"hl7-b2b": {
                "version": "1", "organization_id": "https://hospital.example", "purpose_of_use": purposes.clone()
            }});
        };
        ask(&site, &assertion(&site, &key, &change), "system/Patient.rs")
    };
    let (status, answer) = ask_for(json!(["urn:oid:2.16.840.1.113883.5.8#HOPERAT"]));
    assert_eq!(status, 200, "{answer}");
    let issuer = site.house.issuer(site.base()).unwrap();
    let party = issuer.verify(answer["access_token"].as_str().unwrap(), now()).unwrap();
    assert_eq!(party.purposes, ["HOPERAT"]);
    for purposes in [json!(["urn:oid:2.16.840.1.113883.5.8#HRESCH"]), json!([]), json!([{"x": 1}])] {
        let (status, answer) = ask_for(purposes);
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    }
}

#[test]
fn an_assertion_that_is_not_right_in_every_way_is_refused_alike() {
    let site = Site::new();
    let (known, twice, weak, stranger) = (es384("known"), es384("twice"), rs384("known"), es384("known"));
    let jwks = json!({"keys": [known.jwk, twice.jwk, twice.jwk]});
    site.register(&backend(&jwks));
    site.register(&partner());
    let seconds = now() / 1_000;
    let base = site.base().to_owned();
    let audience = |_: &mut Header, claims: &mut Value| claims["aud"] = json!(base);
    let past = |_: &mut Header, claims: &mut Value| claims["exp"] = json!(seconds - 60);
    let far = |_: &mut Header, claims: &mut Value| claims["exp"] = json!(seconds + 600);
    let early = |_: &mut Header, claims: &mut Value| claims["nbf"] = json!(seconds + 120);
    let changes: Vec<(&str, &SigningKey, Change<'_>)> = vec![
        ("somebody else's key", &stranger, NO_CHANGE),
        ("a key that two have", &twice, NO_CHANGE),
        ("a key of another sort under a known id", &weak, NO_CHANGE),
        ("an unknown key id", &known, &|header, _| header.kid = Some("nobody's".to_owned())),
        ("a key id that is a path", &known, &|header, _| header.kid = Some("../known".to_owned())),
        ("a key id that is SQL", &known, &|header, _| header.kid = Some("known' OR '1'='1".to_owned())),
        ("no key id", &known, &|header, _| header.kid = None),
        ("an address of keys that is not registered", &known, &|header, _| {
            header.jku = Some("https://evil.example/keys".to_owned())
        }),
        ("an access token's type", &known, &|header, _| header.typ = Some("at+jwt".to_owned())),
        ("an issuer that is not the subject", &known, &|_, claims| claims["sub"] = json!("acme")),
        ("another client", &known, &|_, claims| {
            claims["iss"] = json!("acme");
            claims["sub"] = json!("acme");
        }),
        ("an unknown client", &known, &|_, claims| {
            claims["iss"] = json!("nobody");
            claims["sub"] = json!("nobody");
        }),
        ("the audience of the API", &known, &audience),
        ("no audience", &known, &|_, claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ("no expiry", &known, &|_, claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ("no id", &known, &|_, claims| drop(claims.as_object_mut().unwrap().remove("jti"))),
        ("an empty id", &known, &|_, claims| claims["jti"] = json!("")),
        ("an expiry that is past", &known, &past),
        ("an expiry too far ahead", &known, &far),
        ("a time from which it is good", &known, &early),
        ("too much of it", &known, &|_, claims| claims["padding"] = json!("x".repeat(20_000))),
    ];
    let refusal = json!("invalid_client");
    for (name, key, change) in changes {
        let (status, answer) = ask(&site, &assertion(&site, key, change), "system/Patient.rs");
        assert_eq!((status, &answer["error"]), (401, &refusal), "{name}: {answer}");
    }
    let good = assertion(&site, &known, NO_CHANGE);
    let (start, _) = good.rsplit_once('.').unwrap();
    let (_, payload) = start.split_once('.').unwrap();
    let unsigned = format!("{}.{payload}.", base64_url(b"{\"alg\":\"none\",\"kid\":\"known\"}"));
    let symmetric = {
        let mut header = Header::new(Algorithm::HS384);
        header.kid = Some("known".to_owned());
        let claims = json!({
            "iss": "ehr", "sub": "ehr", "aud": site.address("/auth/token"), "exp": seconds + 240, "jti": "s"
        });
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(known.jwk.to_string().as_bytes()))
            .unwrap()
    };
    for wrong in ["x", "a.b.c", &unsigned, &symmetric, &format!("{good}x"), &format!("{start}.")] {
        let (status, answer) = ask(&site, wrong, "system/Patient.rs");
        assert_eq!((status, &answer["error"]), (401, &refusal), "{wrong}");
    }
    // A duplicate claim is refused, because it is ambiguous which one was checked.
    for (name, value) in [("iss", "\"acme\""), ("jti", "\"second\""), ("exp", "9999999999")] {
        let mut claims = json!({
            "iss": "ehr", "sub": "ehr", "aud": site.address("/auth/token"), "exp": seconds + 240, "jti": name
        })
        .to_string();
        claims.insert_str(1, &format!("\"{name}\":{value},"));
        let head = base64_url(b"{\"alg\":\"ES384\",\"kid\":\"known\"}");
        let message = format!("{head}.{}", base64_url(claims.as_bytes()));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &known.encoding, Algorithm::ES384).unwrap();
        let (status, _) = ask(&site, &format!("{message}.{signature}"), "system/Patient.rs");
        assert_eq!(status, 401, "{name} twice");
    }
    // The unchanged assertion is accepted once.
    assert_eq!(ask(&site, &good, "system/Patient.rs").0, 200);
    assert_eq!(ask(&site, &good, "system/Patient.rs").0, 401, "replayed");
}

#[test]
fn a_request_that_is_none_says_what_is_wrong_with_it() {
    let site = Site::new();
    let key = es384("known");
    site.register(&backend(&json!({"keys": [key.jwk]})));
    site.register(&partner());
    let good = || assertion(&site, &key, NO_CHANGE);
    let check = |pairs: &[(&str, &str)], basic: Option<(&str, &str)>, status: u16, error: &str| {
        let (found, answer) = site.form("/auth/token", pairs, basic);
        assert_eq!((found, &answer["error"]), (status, &json!(error)), "{pairs:?} {answer}");
    };
    let (grant, scope) = (("grant_type", "client_credentials"), ("scope", "system/Patient.rs"));
    let right = ("client_assertion_type", JWT_BEARER);
    let signed = good();
    let proof = ("client_assertion", signed.as_str());
    check(&[("grant_type", "password"), scope, right, proof], None, 400, "unsupported_grant_type");
    check(&[scope, right, proof], None, 400, "invalid_request");
    check(&[grant, grant, scope, right, proof], None, 400, "invalid_request");
    check(&[grant, scope, ("client_assertion_type", "x"), proof], None, 400, "invalid_request");
    check(&[grant, scope, proof], None, 400, "invalid_request");
    check(&[grant, scope, right, proof], Some(("acme", SECRET)), 400, "invalid_request");
    check(&[grant, scope, ("client_id", "acme"), right, proof], None, 401, "invalid_client");
    check(
        &[("grant_type", "authorization_code"), right, ("client_assertion", &good())],
        None,
        400,
        "unauthorized_client",
    );
    check(&[grant, scope], None, 401, "invalid_client");
    check(&[grant, scope, ("client_id", "acme")], None, 401, "invalid_client");
    check(&[grant, scope], Some(("acme", "x")), 401, "invalid_client");
    check(&[grant, scope], Some(("ehr", SECRET)), 401, "invalid_client");
    check(&[grant, scope], Some(("nobody", SECRET)), 401, "invalid_client");
    // A secret may be in the form instead, but not in both places and not without a client id.
    let in_form = ("client_secret", SECRET);
    check(&[grant, scope, ("client_id", "acme"), in_form], Some(("acme", SECRET)), 400, "invalid_request");
    check(&[grant, scope, ("client_id", "acme"), in_form, right, proof], None, 400, "invalid_request");
    check(&[grant, scope, ("client_id", "acme"), ("client_secret", "x")], None, 401, "invalid_client");
    check(&[grant, scope, ("client_id", "ehr"), in_form], None, 401, "invalid_client");
    check(&[grant, scope, in_form], None, 401, "invalid_client");
    let (status, answer) = site.form("/auth/token", &[grant, scope, ("client_id", "acme"), in_form], None);
    assert_eq!((status, &answer["scope"]), (200, &json!("system/Patient.rs")), "{answer}");
    let (status, answer) = site.form("/auth/token", &[grant, scope], Some(("acme", SECRET)));
    assert_eq!((status, &answer["scope"]), (200, &json!("system/Patient.rs")), "{answer}");
    let answer = site.agent.post(site.address("/auth/token")).send("{}").unwrap();
    assert_eq!(answer.status(), 400);
}

#[test]
fn a_token_is_bound_to_the_certificate_that_its_client_shows() {
    use crate::issuers::{agent, authority, signed};
    let (authority, tls) = authority();
    let mut site = Site::with(Some(tls));
    let mut bound = partner();
    bound["tls_client_certificate_bound_access_tokens"] = json!(true);
    bound["organization"] = json!("Organization/hospital");
    site.register(&bound);
    let (own, other) = (signed(&authority, "client"), signed(&authority, "client"));
    let pairs = [("grant_type", "client_credentials"), ("scope", "system/Patient.rs")];
    site.agent = agent(None);
    assert_eq!(site.form("/auth/token", &pairs, Some(("acme", SECRET))).0, 401, "without a certificate");
    site.agent = agent(Some(&own));
    let (status, answer) = site.form("/auth/token", &pairs, Some(("acme", SECRET)));
    assert_eq!(status, 200, "{answer}");
    let token = answer["access_token"].as_str().unwrap().to_owned();
    for (shown, expected) in [(Some(&own), 200), (Some(&other), 401), (None, 401)] {
        site.agent = agent(shown);
        assert_eq!(site.get(&format!("{}/Patient", site.base()), Some(&token)).0, expected);
    }
}

#[test]
fn keys_are_read_at_the_registered_address() {
    use std::io::{Read as _, Write as _};
    let site = Site::new();
    let key = es384("published");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", socket.local_addr().unwrap());
    let jwks = json!({"keys": [key.jwk]}).to_string();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1_024];
            let _ = stream.read(&mut asked).unwrap();
            let len = jwks.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
            stream.write_all(format!("{head}{jwks}").as_bytes()).unwrap();
        }
    });
    let mut client = backend(&Value::Null);
    client["jwks_uri"] = json!(url);
    site.register(&client);
    for address in [None, Some(url.clone())] {
        let signed = assertion(&site, &key, &|header, _| header.jku.clone_from(&address));
        let (status, answer) = ask(&site, &signed, "system/Patient.rs");
        assert_eq!(status, 200, "{address:?} {answer}");
    }
}

#[test]
fn what_the_server_says_of_itself_is_there() {
    let site = Site::new();
    let mut documents = Vec::new();
    for at in ["", "/fhir"] {
        let (status, smart) = site.get(&site.address(&format!("{at}/.well-known/smart-configuration")), None);
        assert_eq!(status, 200);
        let (status, openid) =
            site.get(&site.address(&format!("{at}/.well-known/openid-configuration")), None);
        assert_eq!(status, 200);
        assert_eq!(openid["issuer"], site.base());
        documents.push((smart, openid));
    }
    assert_eq!(documents[0], documents[1]);
    let smart = &documents[0].0;
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "jwks_uri",
    ] {
        let (status, _) = site.get(smart[name].as_str().unwrap(), None);
        // An endpoint that takes only forms answers 400 or 405; 404 would mean that it does not exist.
        assert!(matches!(status, 200 | 400 | 405), "{name} {status}");
    }
    let (_, keys) = site.get(smart["jwks_uri"].as_str().unwrap(), None);
    let algorithms: Vec<&str> =
        keys["keys"].as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap()).collect();
    assert_eq!(algorithms, ["ES256", "RS256"]);
    assert!(!keys.to_string().contains("\"d\""));
    let (_, statement) = site.get(&format!("{}/metadata", site.base()), None);
    let security = &statement["rest"][0]["security"];
    assert_eq!(security["service"][0]["coding"][0]["code"], "SMART-on-FHIR");
    let uris = security["extension"][0]["extension"].as_array().unwrap();
    assert!(uris.iter().any(|uri| uri["url"] == "token" && uri["valueUri"] == smart["token_endpoint"]));
    for path in ["/.well-known/smart-configuration", "/auth/token"] {
        let request = ureq::http::Request::builder()
            .method("OPTIONS")
            .uri(site.address(path))
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", "POST");
        let before = site.agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(before.headers()["access-control-allow-origin"], "*");
        assert!(before.headers()["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    }
}
