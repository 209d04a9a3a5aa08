//! Fetches keys from other servers and introspects tokens there: with limits of size and time, without redirects, and only from
//! public addresses unless the configuration says otherwise.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ureq::config::Config as AgentConfig;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::auth::{FetchError, Fetched, IntrospectedAt, JwksSource, KeysAt};
use crate::model::encode;

/// The longest time for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// The HTTP client for other servers.
#[derive(Debug)]
pub(super) struct Remote;

/// Which addresses may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Public addresses, with TLS.
    Public,
    Anywhere,
}

impl Reach {
    fn of(insecure: bool) -> Self {
        if insecure { Self::Anywhere } else { Self::Public }
    }

    fn agent(self) -> ureq::Agent {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_MAX))
            .max_redirects(0)
            // The caller checks the status itself, also of a redirect.
            .http_status_as_error(false)
            .https_only(self == Self::Public)
            .proxy(None)
            .build();
        ureq::Agent::with_parts(config, DefaultConnector::default(), Addresses(self))
    }
}

impl JwksSource for Remote {
    fn jwks(&self, at: &KeysAt) -> Result<Fetched, FetchError> {
        match at {
            KeysAt::File(path) => {
                let body = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                // An age of 0 makes the server notice soon that the file was replaced.
                Ok(Fetched { body, max_age_seconds: Some(0) })
            }
            KeysAt::Url { url, insecure } => {
                let answer =
                    Reach::of(*insecure).agent().get(url).header("Accept", "application/json").call();
                read(url, answer)
            }
        }
    }

    fn introspect(&self, at: &IntrospectedAt, token: &str) -> Result<Vec<u8>, FetchError> {
        // RFC 6749 section 2.3.1: both are form-encoded first, so that the only colon is the one between them.
        let encoded = |text: &str| encode(text).replace(':', "%3A");
        let pair = format!("{}:{}", encoded(&at.client_id), encoded(&at.client_secret));
        let basic = format!("Basic {}", crate::model::encode_base64(pair.as_bytes()));
        let answer = Reach::of(at.insecure)
            .agent()
            .post(&at.url)
            .header("Accept", "application/json")
            .header("Authorization", basic)
            .send_form([("token", token), ("token_type_hint", "access_token")]);
        read(&at.url, answer).map(|fetched| fetched.body)
    }
}

fn read(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Fetched, FetchError> {
    let failed = |error: ureq::Error| format!("{url}: {error}");
    let mut answer = answer.map_err(failed)?;
    if answer.status().as_u16() != 200 {
        return Err(format!("{url}: status {}", answer.status().as_u16()).into());
    }
    let control = answer.headers().get("cache-control").and_then(|value| value.to_str().ok());
    let max_age_seconds = control.and_then(max_age);
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(failed)?;
    Ok(Fetched { body, max_age_seconds })
}

/// How long an answer is fresh according to its `Cache-Control` (RFC 9111 section 5.2.2), in seconds.
fn max_age(control: &str) -> Option<u64> {
    let directives = control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let mut age = None;
    for directive in directives {
        match directive.split_once('=') {
            Some(("max-age", seconds)) => age = seconds.trim_matches('"').parse().ok(),
            None if directive == "no-store" || directive == "no-cache" => return Some(0),
            Some(_) | None => {}
        }
    }
    age
}

/// Resolves host names and refuses those with an address that is not public. The connection uses the checked addresses, so the
/// name cannot resolve to another one later (DNS rebinding).
#[derive(Debug)]
struct Addresses(Reach);

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        config: &AgentConfig,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let is_fit = self.0 == Reach::Anywhere || found.iter().all(|address| is_public(address.ip()));
        if is_fit {
            Ok(found)
        } else {
            Err(ureq::Error::Io(std::io::Error::other("the address is within the own network")))
        }
    }
}

/// Whether an address is public: not in the special-purpose registries of RFC 6890.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        // This network, shared address space, protocol assignments, benchmarking, reserved.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4() {
        // IPv4-mapped and IPv4-compatible addresses lead to the IPv4 address in them.
        return is_public_v4(v4);
    }
    let [a, b, c, d, ..] = address.segments();
    match (a, b) {
        // NAT64 and 6to4 addresses embed an IPv4 address that would have to be checked; keys are not served from there.
        (0x64, 0xff9b) | (0x2002, _) => false,
        // Documentation, and the protocol assignments, which include Teredo.
        (0x2001, 0xdb8) | (0x2001, 0..=0x1ff) => false,
        // Only 2000::/3 is global unicast: link-local, unique local and multicast addresses are outside.
        _ => (a & 0xe000) == 0x2000 && (c, d) != (u16::MAX, u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::{Remote, is_public, max_age};
    use crate::auth::{JwksSource as _, KeysAt};

    #[test]
    fn addresses_of_the_own_network_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_within_is_not_asked() {
        for url in ["https://127.0.0.1:1/keys", "https://localhost:1/keys", "https://[::1]:1/keys"] {
            let at = KeysAt::Url { url: url.to_owned(), insecure: false };
            let error = Remote.jwks(&at).unwrap_err();
            assert!(error.to_string().contains("own network"), "{error}");
        }
        let at = KeysAt::Url { url: "http://8.8.8.8/keys".to_owned(), insecure: false };
        assert!(Remote.jwks(&at).unwrap_err().to_string().contains("http"));
    }

    #[test]
    fn ages_are_read() {
        assert_eq!(max_age("public, max-age=600"), Some(600));
        assert_eq!(max_age("max-age=600, No-Store"), Some(0));
        assert_eq!(max_age("max-age=soon"), None);
        assert_eq!(max_age("private"), None);
    }
}
