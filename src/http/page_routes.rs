//! The way to the pages for people: those with paths of their own, and those that browsers get in the place of the API's answers.
use axum::Router;
use axum::body::Body as WireBody;
use axum::extract::{Request as WireRequest, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Response, Uri};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use tower_service::Service as _;

use crate::operations::{Sender, decode_pairs};

use super::listen::address;
use super::negotiate;
use super::observe::Label;
use super::unknown::on_record;

/// The routes of the pages.
#[derive(Clone, Default)]
pub struct PageRoutes {
    /// Paths that belong to pages alone.
    pub own: Router,
    /// Pages in the place of the API's answers: at the server's address and below `/fhir`.
    pub of_api: Router,
}

/// Whether a browser opens an address of the API: it prefers HTML, and has neither a token nor a `_format`. Programs have one of
/// these, so the pages change nothing for them.
fn is_of_browser(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let path = uri.path();
    let is_place = path == "/" || path == "/fhir" || path.starts_with("/fhir/");
    let has_format =
        || decode_pairs(uri.query().unwrap_or_default()).iter().any(|(name, _)| name == "_format");
    matches!(*method, Method::GET | Method::HEAD)
        && is_place
        && !path.starts_with("/fhir/.well-known/")
        && !headers.contains_key(AUTHORIZATION)
        && negotiate::prefers_html(headers)
        && !has_format()
}

/// Gives a browser the page in the place of the API's answer.
pub(super) async fn browser_door(
    State(mut pages): State<Router>,
    request: WireRequest,
    next: Next,
) -> Response<WireBody> {
    if is_of_browser(request.method(), request.uri(), request.headers()) {
        return pages.call(request).await.into_response();
    }
    next.run(request).await
}

/// Tells the pages where a request comes from, and the metrics that it is for a page.
pub(super) async fn tell_sender(mut request: WireRequest, next: Next) -> Response<WireBody> {
    let request_id = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let sender = Sender { request_id: request_id.map(str::to_owned), peer: address(request.extensions()) };
    request.extensions_mut().insert(sender);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Label { interaction: "page", kind: "" });
    // The pages record or count what they refuse.
    on_record(response)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

    use super::is_of_browser;

    #[test]
    fn programs_never_get_a_page() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let check = |method: Method, target: &str, headers: &[(&str, &str)], expected: bool| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(
                is_of_browser(&method, &target.parse().unwrap(), &map),
                expected,
                "{target} {headers:?}"
            );
        };
        for target in ["/", "/fhir", "/fhir/Patient/p1", "/fhir/Patient?name=a"] {
            check(Method::GET, target, &[("accept", BROWSER)], true);
            check(Method::HEAD, target, &[("accept", BROWSER)], true);
            check(Method::POST, target, &[("accept", BROWSER)], false);
            check(Method::GET, target, &[], false);
            check(Method::GET, target, &[("accept", "*/*")], false);
            check(Method::GET, target, &[("accept", "application/fhir+json, text/html;q=0.5")], false);
            check(Method::GET, target, &[("accept", BROWSER), ("authorization", "Bearer x")], false);
        }
        check(Method::GET, "/fhir/Patient?_format=json", &[("accept", BROWSER)], false);
        check(Method::GET, "/fhir/.well-known/smart-configuration", &[("accept", BROWSER)], false);
        check(Method::GET, "/auth/authorize", &[("accept", BROWSER)], false);
    }
}
