//! Access tokens of other issuers: every way in which a token may be wrong, and what is taken from a valid one.
use std::sync::{Arc, Mutex};

use chartward::auth::{
    ALGORITHMS, ClientRegistration, ExternalIssuer, FetchError, Fetched, ISSUER_KEYS, IntrospectedAt,
    Introspection, JwksSource, KeyCache, KeysAt, Party, Registrations, Role, Scopes, TokenError, Trust,
    UserRegistration,
};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::signer::{RSA, Signer, base64_url, key_set, sign};

/// The time of the tests, in seconds since 1970.
const NOW: i64 = 2_000_000_000;

/// A source of key sets by URL, and of introspection answers about opaque tokens.
#[derive(Default)]
struct Source {
    sets: Vec<(&'static str, String)>,
    tokens: Mutex<Vec<(&'static str, Value)>>,
    asked: Mutex<usize>,
}

impl JwksSource for Source {
    fn jwks(&self, at: &KeysAt) -> Result<Fetched, FetchError> {
        let KeysAt::Url { url, .. } = at else { return Err("no file".to_owned().into()) };
        let found = self.sets.iter().find(|(known, _)| known == url);
        let (_, set) = found.ok_or_else(|| format!("{url} was asked, which nobody has configured"))?;
        Ok(Fetched { body: set.clone().into_bytes(), max_age_seconds: None })
    }

    fn introspect(&self, _: &IntrospectedAt, token: &str) -> Result<Vec<u8>, FetchError> {
        *self.asked.lock().unwrap() += 1;
        let tokens = self.tokens.lock().unwrap();
        let found = tokens.iter().find(|(known, _)| *known == token);
        Ok(found.map_or(json!({"active": false}), |(_, claims)| claims.clone()).to_string().into_bytes())
    }
}

fn texts(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

fn registrations() -> Registrations {
    let client = ClientRegistration {
        client_id: "app".to_owned(),
        role: Role::System,
        organization: Some("Organization/app".to_owned()),
        purposes: texts(&["TREAT", "HPAYMT", "PATRQT"]),
        default_purpose: Some("TREAT".to_owned()),
        scopes: Scopes::parse("user/*.rs patient/*.cruds"),
        lenient: true,
        assign_ids: false,
        machine: false,
    };
    let machine = ClientRegistration { client_id: "robot".to_owned(), machine: true, ..client.clone() };
    let user = UserRegistration {
        subject: "ann".to_owned(),
        role: Role::Clinician,
        organization: Some("Organization/hospital".to_owned()),
        fhir_user: Some("Practitioner/ann".to_owned()),
        patient: None,
        purposes: Vec::new(),
    };
    let patient = UserRegistration {
        subject: "pat".to_owned(),
        role: Role::Patient,
        organization: None,
        fhir_user: Some("Patient/p".to_owned()),
        patient: Some("p".to_owned()),
        purposes: texts(&["PATRQT"]),
    };
    let other = ClientRegistration { client_id: "other".to_owned(), ..client.clone() };
    Registrations { clients: vec![client, other, machine], users: vec![user, patient] }
}

fn issuer(name: &str, algorithms: &[Algorithm]) -> ExternalIssuer {
    let url = format!("https://{name}");
    ExternalIssuer {
        keys: KeyCache::new(KeysAt::Url { url: format!("{url}/keys"), insecure: false }, ISSUER_KEYS),
        url,
        audience: "https://us/fhir".to_owned(),
        algorithms: algorithms.to_vec(),
        registrations: registrations(),
    }
}

/// Two issuers with their keys; the second one signs with one algorithm only.
struct Issuers {
    trust: Trust,
    rs: Signer,
    es256: Signer,
    es384: Signer,
    ed: Signer,
    twin: Signer,
    of_b: Signer,
    rs_of_b: Signer,
}

impl Issuers {
    fn new() -> Self {
        let signer = Signer::new;
        let (rs, es256) = (signer(Algorithm::RS256, "rs"), signer(Algorithm::ES256, "e2"));
        let (es384, ed) = (signer(Algorithm::ES384, "e3"), signer(Algorithm::EdDSA, "ed"));
        let (twin, other_twin) = (signer(Algorithm::ES256, "twin"), signer(Algorithm::ES256, "twin"));
        let (of_b, rs_of_b) = (signer(Algorithm::ES384, "b"), signer(Algorithm::RS256, "rs-b"));
        let of_a = [&rs, &es256, &es384, &ed, &twin, &other_twin].map(Signer::jwk);
        let sets = vec![
            ("https://a/keys", key_set(&of_a)),
            ("https://b/keys", key_set(&[of_b.jwk(), rs_of_b.jwk()])),
        ];
        let all = ALGORITHMS.map(|(_, algorithm)| algorithm);
        let source = Arc::new(Source { sets, ..Source::default() });
        let issuers = vec![issuer("a", &all), issuer("b", &[Algorithm::ES384])];
        Self { trust: Trust::new(source, issuers, None, &[]), rs, es256, es384, ed, twin, of_b, rs_of_b }
    }

    fn party(&self, token: &str) -> Result<Arc<Party>, TokenError> {
        self.trust.party(token, NOW * 1_000)
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://a", "aud": "https://us/fhir", "sub": "ann", "client_id": "app", "jti": "t1",
        "scope": "openid user/*.rs", "iat": NOW, "exp": NOW + 300,
    })
}

/// The claims with some of them changed; null removes a claim.
fn with(changes: &Value) -> Value {
    merged(claims(), changes)
}

fn merged(mut json: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        json[name] = value.clone();
        if value.is_null() {
            json.as_object_mut().unwrap().remove(name);
        }
    }
    json
}

/// The kind of a result, without the reason.
fn kind(result: &Result<Arc<Party>, TokenError>) -> &'static str {
    match result {
        Ok(_) => "good",
        Err(TokenError::Malformed) => "malformed",
        Err(TokenError::Expired) => "expired",
        Err(TokenError::Untrusted(_)) => "untrusted",
        Err(TokenError::Forbidden(_)) => "forbidden",
        Err(TokenError::Unavailable(_)) => "unavailable",
    }
}

#[test]
fn every_configured_algorithm_is_verified() {
    let issuers = Issuers::new();
    for signer in [&issuers.rs, &issuers.es256, &issuers.es384, &issuers.ed] {
        assert_eq!(kind(&issuers.party(&signer.sign(&claims()))), "good", "{:?}", signer.algorithm);
    }
    for algorithm in [Algorithm::RS384, Algorithm::PS256, Algorithm::PS384] {
        let signer = Signer::new(algorithm, "rs");
        assert_eq!(kind(&issuers.party(&signer.sign(&claims()))), "good", "{algorithm:?}");
    }
    let of_b = with(&json!({"iss": "https://b"}));
    assert_eq!(kind(&issuers.party(&issuers.of_b.sign(&of_b))), "good");
    // The key would verify it, but this issuer is not configured for that algorithm.
    assert_eq!(kind(&issuers.party(&issuers.rs_of_b.sign(&of_b))), "untrusted");
    assert_eq!(kind(&issuers.party(&Signer::new(Algorithm::RS512, "rs").sign(&claims()))), "untrusted");
}

#[test]
fn a_header_cannot_choose_the_key() {
    let issuers = Issuers::new();
    let rs = &issuers.rs;
    let attacker = Signer::new(Algorithm::ES384, "rs");
    let header = |changes: &Value| merged(rs.header(), changes);
    let by = |signer: &Signer, changes: &Value| signer.sign_with(&header(changes), &claims());
    let good = rs.sign(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let none = format!(
        "{}.{}.",
        base64_url(br#"{"alg":"none","typ":"at+jwt"}"#),
        base64_url(claims().to_string().as_bytes())
    );
    let public = rs.jwk()["n"].as_str().unwrap().to_owned();
    let hmac = |secret: &[u8]| {
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": "rs"}).to_string();
        sign(&EncodingKey::from_secret(secret), Algorithm::HS256, &header, &claims().to_string())
    };
    for (name, token, expected) in [
        ("right", good.clone(), "good"),
        ("no key id, one key of the type", by(rs, &json!({"kid": null})), "good"),
        ("algorithm none", none, "untrusted"),
        ("no signature", format!("{signed}."), "untrusted"),
        ("another signature", format!("{signed}.AAAA"), "untrusted"),
        ("symmetric, with the public key", hmac(public.as_bytes()), "untrusted"),
        ("symmetric, with the key pair", hmac(RSA), "untrusted"),
        ("an algorithm of another type of key", by(&issuers.es256, &json!({"alg": "ES256"})), "untrusted"),
        ("an algorithm that does not fit the signature", by(rs, &json!({"alg": "RS384"})), "untrusted"),
        ("an unknown key", by(rs, &json!({"kid": "new"})), "untrusted"),
        ("a path as key id", by(rs, &json!({"kid": "../../dev/null"})), "untrusted"),
        ("SQL as key id", by(rs, &json!({"kid": "rs' OR '1'='1"})), "untrusted"),
        ("a number as key id", by(rs, &json!({"kid": 1})), "untrusted"),
        ("an empty key id", by(rs, &json!({"kid": ""})), "untrusted"),
        ("a long key id", by(rs, &json!({"kid": "k".repeat(1_000)})), "untrusted"),
        ("one of two keys of an id", issuers.twin.sign(&claims()), "untrusted"),
        ("its own key in jwk", by(&attacker, &json!({"alg": "ES384", "jwk": attacker.jwk()})), "untrusted"),
        (
            "its own keys in jku",
            by(&attacker, &json!({"alg": "ES384", "jku": "https://evil/keys"})),
            "untrusted",
        ),
        (
            "its own certificate in x5u",
            by(&attacker, &json!({"alg": "ES384", "x5u": "https://evil/x"})),
            "untrusted",
        ),
        ("jku beside the right key", by(rs, &json!({"jku": "https://evil/keys"})), "good"),
        ("critical headers", by(rs, &json!({"crit": ["exp"]})), "untrusted"),
        (
            "not unambiguous",
            rs.sign_text(r#"{"alg":"RS256","alg":"none","kid":"rs"}"#, &claims().to_string()),
            "malformed",
        ),
        ("five parts", format!("{good}.a.b"), "malformed"),
        ("empty", String::new(), "malformed"),
    ] {
        let got = issuers.party(&token);
        assert_eq!(kind(&got), expected, "{name}: {got:?}");
    }
}

#[test]
fn claims_have_to_be_for_us_now() {
    let issuers = Issuers::new();
    let long_scope = "user/Patient.rs ".repeat(600);
    for (name, changes, expected) in [
        ("an audience among several", json!({"aud": ["https://x", "https://us/fhir"]}), "good"),
        ("another audience", json!({"aud": "https://us"}), "untrusted"),
        ("several other audiences", json!({"aud": ["https://x", "https://us/fhir/"]}), "untrusted"),
        ("no audience", json!({"aud": null}), "untrusted"),
        ("an empty list of audiences", json!({"aud": []}), "untrusted"),
        ("a slash after the issuer", json!({"iss": "https://a/"}), "untrusted"),
        ("an unknown issuer", json!({"iss": "https://c"}), "untrusted"),
        ("the issuer whose key it is not", json!({"iss": "https://b"}), "untrusted"),
        ("no issuer", json!({"iss": null}), "untrusted"),
        ("two issuers", json!({"iss": ["https://a", "https://b"]}), "untrusted"),
        ("no subject", json!({"sub": null}), "untrusted"),
        ("just expired", json!({"exp": NOW - 59}), "good"),
        ("expired", json!({"exp": NOW - 60}), "expired"),
        ("no expiry", json!({"exp": null}), "untrusted"),
        ("an expiry in words", json!({"exp": "tomorrow"}), "untrusted"),
        ("nearly valid", json!({"nbf": NOW + 60}), "good"),
        ("not yet valid", json!({"nbf": NOW + 61}), "untrusted"),
        ("valid from some word on", json!({"nbf": "now"}), "malformed"),
        ("no scope", json!({"scope": null}), "untrusted"),
        ("too many scopes", json!({"scope": long_scope}), "malformed"),
        ("an unregistered client", json!({"client_id": "evil"}), "untrusted"),
        ("no client", json!({"client_id": null}), "untrusted"),
        ("a client by another name", json!({"client_id": null, "azp": "app"}), "good"),
        ("two clients", json!({"azp": "other"}), "untrusted"),
        ("an unregistered user", json!({"sub": "eve"}), "untrusted"),
        ("the client itself", json!({"sub": "app"}), "good"),
        ("another proof of possession", json!({"cnf": {"jkt": "x"}}), "untrusted"),
        ("a certificate that is none", json!({"cnf": {"x5t#S256": "x"}}), "untrusted"),
        ("a patient that is none", json!({"patient": "../p"}), "malformed"),
        ("the patient of the user", json!({"sub": "pat", "patient": "p"}), "good"),
        ("another patient than the user's", json!({"sub": "pat", "patient": "q"}), "untrusted"),
        (
            "a restriction that is not kept",
            json!({"extensions": {"ihe_pcf": {"patient_id": "p"}}}),
            "untrusted",
        ),
    ] {
        let got = issuers.party(&issuers.es384.sign(&with(&changes)));
        assert_eq!(kind(&got), expected, "{name}: {got:?}");
    }
    let doubled = claims().to_string().replacen('{', r#"{"sub":"eve","#, 1);
    let token = issuers.es384.sign_text(&issuers.es384.header().to_string(), &doubled);
    assert_eq!(kind(&issuers.party(&token)), "malformed", "a claim that stands twice");
    let large = with(&json!({"padding": "x".repeat(20_000)}));
    assert_eq!(kind(&issuers.party(&issuers.es384.sign(&large))), "malformed", "a token that is too large");
}

#[test]
fn an_id_token_is_no_access_token() {
    let issuers = Issuers::new();
    let signer = &issuers.es384;
    let id_token = json!({"nonce": "n", "scope": null, "at_hash": "h"});
    for (typ, changes, expected) in [
        (json!("at+jwt"), json!({}), "good"),
        (json!("application/at+jwt"), json!({}), "good"),
        (json!("JWT"), json!({}), "good"),
        (Value::Null, json!({}), "good"),
        (json!("JWT"), id_token.clone(), "untrusted"),
        (Value::Null, id_token, "untrusted"),
        (json!("JWT"), json!({"nonce": "n"}), "untrusted"),
        (json!("JWT"), json!({"scope": null}), "untrusted"),
        (json!("at+jwt"), json!({"scope": null}), "untrusted"),
        (json!("logout+jwt"), json!({}), "untrusted"),
        (json!(["at+jwt"]), json!({}), "untrusted"),
    ] {
        let header = merged(signer.header(), &json!({"typ": typ}));
        let got = issuers.party(&signer.sign_with(&header, &with(&changes)));
        assert_eq!(kind(&got), expected, "{typ} {changes}: {got:?}");
    }
}

#[test]
fn the_registration_says_who_it_is() {
    let issuers = Issuers::new();
    let party = |changes: Value| issuers.party(&issuers.ed.sign(&with(&changes))).unwrap();
    let claimed = json!({
        "role": "administrator", "organization": "Organization/evil", "fhirUser": "Practitioner/boss",
        "assign_ids": true, "scope": "system/*.cruds user/*.cruds patient/Observation.rs",
    });
    let ann = party(claimed);
    assert_eq!((ann.role, ann.organization.as_deref()), (Role::Clinician, Some("Organization/hospital")));
    assert_eq!(ann.fhir_user.as_deref(), Some("Practitioner/ann"));
    assert_eq!((ann.assign_ids, ann.lenient), (false, true));
    let scopes = ann.scopes.to_string();
    assert!(scopes.contains("user/*.rs") && scopes.contains("patient/Observation.rs"), "{scopes}");
    assert!(!scopes.contains("system") && !scopes.contains("user/*.c"), "{scopes}");
    assert_eq!((ann.subject.as_str(), ann.client.as_str()), ("https://a#ann", "https://a#app"));
    assert_eq!(ann.token_id, "t1");
    assert_eq!(ann.expires, (NOW + 300) * 1_000);
    let system = party(json!({"sub": "app", "jti": null}));
    assert_eq!((system.role, system.organization.as_deref()), (Role::System, Some("Organization/app")));
    assert!(system.fhir_user.is_none());
    assert_eq!(system.token_id.len(), 32, "the record names the token without having it");
    let narrowed = party(json!({"patient": "Patient/q"}));
    assert_eq!(narrowed.patient_context.as_deref(), Some("q"));
    let patient = party(json!({"sub": "pat"}));
    assert_eq!((patient.own_patient(), patient.patient_context.as_deref()), (Some("p"), Some("p")));
    assert_eq!(patient.purposes, ["PATRQT"]);
    let bound = party(json!({"cnf": {"x5t#S256": base64_url(&[7; 32])}}));
    assert_eq!(bound.certificate, Some([7; 32]));
}

#[test]
fn purposes_are_narrowed_never_widened() {
    let issuers = Issuers::new();
    let b2b = |purposes: &[&str]| {
        json!({"extensions": {"hl7-b2b": {
            "version": "1", "organization_id": "https://o", "purpose_of_use": purposes,
        }}})
    };
    let iua = json!({"extensions": {"ihe_iua": {"purpose_of_use": [
        {"system": "urn:oid:2.16.840.1.113883.5.8", "code": "HPAYMT"}
    ]}}});
    for (changes, expected) in [
        (json!({}), Ok(vec!["TREAT"])),
        (b2b(&["urn:oid:2.16.840.1.113883.5.8#HPAYMT"]), Ok(vec!["HPAYMT"])),
        (b2b(&["urn:oid:2.16.840.1.113883.3.7204.1.5.2.1#T-TREAT"]), Ok(vec!["TREAT"])),
        (b2b(&["TREAT", "HPAYMT"]), Ok(vec!["TREAT", "HPAYMT"])),
        (b2b(&["TREAT", "HRESCH"]), Err("forbidden")),
        (b2b(&["BTG"]), Err("forbidden")),
        (b2b(&[]), Err("malformed")),
        (iua, Ok(vec!["HPAYMT"])),
        (json!({"purpose_of_use": "http://elsewhere|TREAT"}), Err("malformed")),
        // The user is permitted less than the client.
        (json!({"sub": "pat", "purpose_of_use": ["TREAT"]}), Err("forbidden")),
    ] {
        let got = issuers.party(&issuers.ed.sign(&with(&changes)));
        match expected {
            Ok(purposes) => assert_eq!(got.unwrap().purposes, purposes, "{changes}"),
            Err(refused) => assert_eq!(kind(&got), refused, "{changes}"),
        }
    }
}

#[test]
fn what_was_verified_is_remembered_for_a_while() {
    let issuers = Issuers::new();
    let token = issuers.es384.sign(&with(&json!({"exp": NOW + 1_000})));
    let at = |seconds: i64| issuers.trust.party(&token, (NOW + seconds) * 1_000);
    assert!(issuers.trust.may_ask(&token, NOW * 1_000));
    assert!(at(0).is_ok());
    assert!(!issuers.trust.may_ask(&token, NOW * 1_000));
    assert!(issuers.trust.may_ask(&token, (NOW + 301) * 1_000), "then it is verified again");
    assert!(at(1_059).is_ok());
    assert_eq!(kind(&at(1_060)), "expired");
}

#[test]
fn opaque_tokens_are_what_their_issuer_says() {
    let answer = json!({
        "active": true, "client_id": "app", "sub": "ann", "scope": "user/*.rs", "exp": NOW + 300, "patient": "p",
        "aud": "https://us/fhir",
    });
    let wrong = |changes: &Value| merged(answer.clone(), changes);
    let source = Arc::new(Source::default());
    *source.tokens.lock().unwrap() = vec![
        ("good", answer.clone()),
        ("with-audience", wrong(&json!({"aud": ["https://us/fhir"]}))),
        ("for-others", wrong(&json!({"aud": "https://them"}))),
        ("for-whom", wrong(&json!({"aud": null}))),
        ("subjectless", wrong(&json!({"sub": null}))),
        ("a-number", wrong(&json!({"client_id": "robot", "sub": 7}))),
        ("machine", wrong(&json!({"client_id": "robot", "sub": null}))),
        ("itself", wrong(&json!({"client_id": "robot", "sub": "robot"}))),
        ("machine-of-ann", wrong(&json!({"client_id": "robot"}))),
        ("endless", wrong(&json!({"exp": null}))),
        ("over", wrong(&json!({"exp": NOW - 100}))),
        ("nearly-active", wrong(&json!({"active": "true"}))),
        ("scopeless", wrong(&json!({"scope": null}))),
        ("stranger", wrong(&json!({"client_id": "evil"}))),
    ];
    let at = IntrospectedAt {
        url: "https://i/introspect".to_owned(),
        client_id: "us".to_owned(),
        client_secret: "secret".to_owned(),
        insecure: false,
    };
    let asked = || Introspection::new(at.clone(), "https://us/fhir".to_owned(), registrations());
    let believing = Trust::new(source.clone(), Vec::new(), Some(asked().without_audience()), &[]);
    for (token, expected) in [("for-whom", "good"), ("for-others", "untrusted"), ("good", "good")] {
        assert_eq!(kind(&believing.party(token, NOW * 1_000)), expected, "{token}");
    }
    let trust = Trust::new(source.clone(), Vec::new(), Some(asked()), &[]);
    let party = |token: &str, seconds: i64| trust.party(token, (NOW + seconds) * 1_000);
    let ann = party("good", 0).unwrap();
    assert_eq!((ann.role, ann.patient_context.as_deref()), (Role::Clinician, Some("p")));
    assert!(!ann.token_id.contains("good"));
    for (token, expected) in [
        ("with-audience", "good"),
        ("for-others", "untrusted"),
        ("for-whom", "untrusted"),
        ("subjectless", "untrusted"),
        ("a-number", "untrusted"),
        ("machine", "good"),
        ("itself", "good"),
        ("machine-of-ann", "untrusted"),
        ("endless", "malformed"),
        ("over", "expired"),
        ("nearly-active", "untrusted"),
        ("scopeless", "untrusted"),
        ("stranger", "untrusted"),
        ("unknown", "untrusted"),
        ("with space", "malformed"),
        ("", "malformed"),
    ] {
        assert_eq!(kind(&party(token, 0)), expected, "{token}");
    }
    let count = || *source.asked.lock().unwrap();
    let before = count();
    assert!(party("good", 59).is_ok() && party("unknown", 59).is_err());
    assert_eq!(count(), before, "both answers are remembered");
    source.tokens.lock().unwrap().clear();
    assert_eq!(kind(&party("good", 60)), "untrusted", "a revoked token is refused within a minute");
    assert_eq!(count(), before + 1);
}
