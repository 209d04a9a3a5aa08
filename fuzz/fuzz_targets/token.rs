//! Verifies a bearer token: no bytes are trusted unless the issuer signed them.
#![no_main]
use std::sync::OnceLock;

use chartward::auth::{Issuer, Scopes};
use libfuzzer_sys::fuzz_target;

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let key = Issuer::generate_key().expect("a key");
        Issuer::new("http://127.0.0.1/fhir", &key).expect("an issuer")
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The key is new for every run, so no fuzzed token can be signed with it.
    assert!(issuer().verify(text, 1_780_000_000_000).is_err());
    let _ = Scopes::parse(text);
});
