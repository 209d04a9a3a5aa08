//! Fetches the key sets of clients by the addresses that are registered for them: small, soon, without redirects, and
//! not from inside the own network, where an address could reach what nobody outside may.
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::auth::KeyFetch;

/// The largest key set, in bytes.
const BYTES_MAX: u64 = 128 * 1024;
/// How long a fetch may take.
const FETCH_MAX: Duration = Duration::from_secs(5);

/// Which addresses may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of the public internet.
    Public,
    /// All.
    Everywhere,
}

/// Gives the text at an address.
pub(super) fn fetch(reach: Reach) -> KeyFetch {
    let config =
        ureq::Agent::config_builder().max_redirects(0).timeout_global(Some(FETCH_MAX)).proxy(None).build();
    let agent = ureq::Agent::with_parts(
        config,
        DefaultConnector::default(),
        Reaching { reach, all: DefaultResolver::default() },
    );
    Arc::new(move |url| {
        let mut answer = agent.get(url).call().map_err(|error| error.to_string())?;
        if answer.status() != 200 {
            return Err(format!("the status is {}", answer.status()));
        }
        answer.body_mut().with_config().limit(BYTES_MAX).read_to_string().map_err(|error| error.to_string())
    })
}

/// Resolves names to what may be reached. The connection is made to the very address that was looked at.
#[derive(Debug)]
struct Reaching {
    reach: Reach,
    all: DefaultResolver,
}

impl Resolver for Reaching {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.all.resolve(uri, config, timeout)?;
        let mut reached = self.empty();
        for address in &*found {
            if self.reach == Reach::Everywhere || is_public(address.ip()) {
                reached.push(*address);
            }
        }
        if reached.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(reached) }
    }
}

/// Whether an address is of the public internet (RFC 6890, RFC 4193, RFC 6598).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, third, _] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            let is_reserved = first == 0 || first >= 240 || (first, second, third) == (192, 0, 0);
            let is_benchmark = first == 198 && (second == 18 || second == 19);
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_documentation()
                || address.is_multicast()
                || is_shared
                || is_reserved
                || is_benchmark)
        }
        IpAddr::V6(address) => match address.to_ipv4() {
            Some(mapped) => is_public(IpAddr::V4(mapped)),
            None => {
                let [first, second, ..] = address.segments();
                // Global unicast is 2000::/3; of it 6to4 and Teredo lead to addresses of version 4.
                (first & 0xe000) == 0x2000 && first != 0x2002 && (first, second) != (0x2001, 0)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Reach, fetch, is_public};

    #[test]
    fn the_own_network_is_not_reached() {
        for own in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "ff02::1",
        ] {
            assert!(!is_public(own.parse().unwrap()), "{own}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn names_of_the_own_machine_are_not_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost", "[::1]", "2130706433"] {
            assert!(fetch(Reach::Public)(&format!("http://{host}:{port}/keys")).is_err(), "{host}");
        }
        socket.set_nonblocking(true).unwrap();
        assert!(socket.accept().is_err(), "nobody has come");
    }
}
