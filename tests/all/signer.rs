//! A token issuer for tests: keys, tokens that no real issuer would sign, and a loopback server that serves its keys.
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chartward::model::encode_base64_url_unpadded;
use jsonwebtoken::{Algorithm, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use serde_json::{Value, json};

/// A fixed RSA key for tests only, because ring cannot generate RSA keys.
pub const RSA: &[u8] = include_bytes!("keys/rsa.der");

pub fn base64_url(bytes: &[u8]) -> String {
    encode_base64_url_unpadded(bytes)
}

/// A key pair and its key id.
pub struct Signer {
    pub kid: String,
    pub algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    pub fn new(algorithm: Algorithm, kid: &str) -> Self {
        let (key, mut jwk) = match algorithm {
            Algorithm::ES256 => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Algorithm::ES384 => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Algorithm::EdDSA => edwards(),
            _ => rsa(),
        };
        jwk["kid"] = json!(kid);
        Self { kid: kid.to_owned(), algorithm, key, jwk }
    }

    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    pub fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "typ": "at+jwt", "kid": self.kid})
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs a header and claims as given, even invalid ones.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        sign(&self.key, self.algorithm, header, claims)
    }
}

pub fn sign(key: &EncodingKey, algorithm: Algorithm, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64_url(header.as_bytes()), base64_url(claims.as_bytes()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn elliptic(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> (EncodingKey, Value) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({"kty": "EC", "crv": curve, "x": base64_url(x), "y": base64_url(y)});
    (EncodingKey::from_ec_der(pkcs8.as_ref()), jwk)
}

fn edwards() -> (EncodingKey, Value) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64_url(pair.public_key().as_ref())});
    (EncodingKey::from_ed_der(pkcs8.as_ref()), jwk)
}

fn rsa() -> (EncodingKey, Value) {
    let pair = RsaKeyPair::from_der(RSA).unwrap();
    let public: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
    let (n, e) = (base64_url(&public.n), base64_url(&public.e));
    (EncodingKey::from_rsa_der(RSA), json!({"kty": "RSA", "n": n, "e": e}))
}

pub fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// An HTTP answer as sent over the wire.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A loopback server that answers every request with the function's result; gives its URL and a count of requests. If the
/// function returns `None`, the client is left waiting.
pub fn stub(answers: impl Fn(&str) -> Option<String> + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        let mut waiting = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let request = request(&mut stream);
            count.fetch_add(1, Ordering::SeqCst);
            match answers(&request) {
                // The client may have closed the connection early.
                Some(text) => drop(stream.write_all(text.as_bytes())),
                None => waiting.push(stream),
            }
        }
    });
    (url, asked)
}

/// Reads a request; empty if the client sent none.
pub fn request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        let len = stream.read(&mut bytes).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&bytes[..len]));
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        let lower = text.to_ascii_lowercase();
        let length = lower.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
        let wanted: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if len == 0 || body.is_some_and(|body| body >= wanted) {
            return text;
        }
    }
}
