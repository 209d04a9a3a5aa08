//! Recognizes this server's base URL by every name that clients have for it: a reference below it leads to this server.

/// This server's base URL, split into its parts.
pub(super) struct OwnBase<'b> {
    host: &'b str,
    port: Option<&'b str>,
    path: &'b str,
}

impl<'b> OwnBase<'b> {
    pub(super) fn of(base_url: &'b str) -> Self {
        let (_, host, port, path) = parts(base_url).unwrap_or(("", "", None, ""));
        Self { host, port, path: path.trim_matches('/') }
    }

    /// The part of a URL below the base (`Type/id`). Differences in scheme, case of the host, the scheme's default port and the
    /// name of a loopback address do not count (RFC 3986 section 6.2).
    pub(super) fn below<'t>(&self, url: &'t str) -> Option<&'t str> {
        let (_, host, port, path) = parts(url)?;
        let is_loopback =
            |host: &str| matches!(host, "127.0.0.1" | "[::1]") || host.eq_ignore_ascii_case("localhost");
        let same_host = host.eq_ignore_ascii_case(self.host) || (is_loopback(host) && is_loopback(self.host));
        if !same_host || port != self.port || self.host.is_empty() {
            return None;
        }
        let path = path.trim_start_matches('/');
        let rest = path.strip_prefix(self.path)?;
        let rest = if self.path.is_empty() { rest } else { rest.strip_prefix('/')? };
        Some(rest.trim_start_matches('/'))
    }
}

/// Scheme, host, port (`None` for the scheme's default) and path of a web address.
fn parts(url: &str) -> Option<(&str, &str, Option<&str>, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let usual = match () {
        () if scheme.eq_ignore_ascii_case("http") => "80",
        () if scheme.eq_ignore_ascii_case("https") => "443",
        () => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    Some((scheme, host, port.filter(|port| *port != usual), path))
}

#[cfg(test)]
mod tests {
    use super::OwnBase;

    #[test]
    fn the_base_is_known_by_its_other_names() {
        let check = |base: &str, url: &str, expected: Option<&str>| {
            assert_eq!(OwnBase::of(base).below(url), expected, "{url} below {base}");
        };
        let base = "https://Fhir.example/r4/fhir";
        check(base, "https://fhir.example/r4/fhir/Patient/1", Some("Patient/1"));
        check(base, "HTTPS://FHIR.EXAMPLE:443/r4/fhir//Patient/1", Some("Patient/1"));
        check(base, "http://fhir.example/r4/fhir/Patient/1", Some("Patient/1"));
        check(base, "https://fhir.example:8443/r4/fhir/Patient/1", None);
        check(base, "https://fhir.example/other/Patient/1", None);
        check(base, "https://fhir.example.org/r4/fhir/Patient/1", None);
        check("http://127.0.0.1:8080/fhir", "http://localhost:8080/fhir/Patient/1", Some("Patient/1"));
        check("http://127.0.0.1:8080/fhir", "http://[::1]:8080/fhir/Patient/1", Some("Patient/1"));
        check("http://127.0.0.1:8080/fhir", "http://localhost:8081/fhir/Patient/1", None);
        check(base, "Patient/1", None);
        check(base, "urn:uuid:1", None);
    }
}
