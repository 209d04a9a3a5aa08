//! Protection of an open server (`--open`), which needs no token, against web pages: browsers must not send it requests of
//! other sites. Also requires every request to name its host.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::{Request as WireRequest, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Response, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::IntoResponse as _;

use crate::model::{IssueCode, Outcome};
use crate::operations::Engine;

/// Refuses a request without a host (RFC 9112 section 3.2), and on an open server every cross-site request.
pub(super) async fn guard(
    State(engine): State<Arc<Engine>>,
    request: WireRequest,
    next: Next,
) -> Response<WireBody> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.map(str::to_owned).or_else(|| request.uri().authority().map(ToString::to_string));
    let Some(host) = host else {
        return match request.version() {
            Version::HTTP_09 | Version::HTTP_10 if !engine.is_open() => next.run(request).await,
            _ => refused(StatusCode::BAD_REQUEST, IssueCode::Required, "the request names no host"),
        };
    };
    if !engine.is_open() {
        return next.run(request).await;
    }
    if let Err(message) = is_own(&host, request.headers(), &engine.options.base_url) {
        return refused(StatusCode::FORBIDDEN, IssueCode::Forbidden, message);
    }
    next.run(request).await
}

/// Whether the request names this server's own host (other names may lead here by DNS rebinding) and no page of another
/// site sent it. Programs other than browsers send neither `Origin` nor `Sec-Fetch-Site`.
fn is_own(host: &str, headers: &HeaderMap, base_url: &str) -> Result<(), &'static str> {
    let name = host_name(host);
    let public = base_url.parse::<Uri>().ok().and_then(|url| url.host().map(str::to_ascii_lowercase));
    let is_loopback = matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]");
    if !is_loopback && public.as_ref() != Some(&name) {
        return Err("the server is open and takes requests for its own host alone");
    }
    let text =
        |value: Option<&axum::http::HeaderValue>| value.map(|value| value.to_str().unwrap_or("?").to_owned());
    if let Some(site) = text(headers.get("sec-fetch-site"))
        && !matches!(site.as_str(), "same-origin" | "none")
    {
        return Err("the server is open and takes no requests of other sites");
    }
    if let Some(origin) = text(headers.get(ORIGIN)) {
        let authority = origin.split_once("://").map(|(_, authority)| authority.to_ascii_lowercase());
        if authority.as_deref() != Some(&host.to_ascii_lowercase()) {
            return Err("the server is open and takes no requests of other sites");
        }
    }
    Ok(())
}

/// The host name without its port, in lower case.
fn host_name(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

fn refused(status: StatusCode, code: IssueCode, message: &str) -> Response<WireBody> {
    let outcome = Outcome::error(code, message).to_json();
    (status, [(axum::http::header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")], outcome)
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::is_own;

    #[test]
    fn pages_of_other_sites_are_refused() {
        let check = |host: &str, headers: &[(&str, &str)], expected: bool| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
            }
            let base = "http://fhir.example:8080/fhir";
            assert_eq!(is_own(host, &map, base).is_ok(), expected, "{host} {headers:?}");
        };
        check("127.0.0.1:8080", &[], true);
        check("localhost:8080", &[("content-type", "text/plain")], true);
        check("[::1]:8080", &[], true);
        check("FHIR.example:8080", &[], true);
        check("rebound.example:8080", &[], false);
        check("127.0.0.1:8080", &[("sec-fetch-site", "same-origin")], true);
        check("127.0.0.1:8080", &[("sec-fetch-site", "none")], true);
        for site in ["cross-site", "same-site", ""] {
            check("127.0.0.1:8080", &[("sec-fetch-site", site)], false);
        }
        check("127.0.0.1:8080", &[("origin", "http://127.0.0.1:8080")], true);
        for origin in ["http://127.0.0.1:8081", "http://localhost:8080", "https://evil.example", "null", ""] {
            check("127.0.0.1:8080", &[("origin", origin)], false);
        }
    }
}
