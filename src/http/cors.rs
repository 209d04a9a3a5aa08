//! Cross-origin resource sharing (Fetch standard, "CORS protocol"): which requests and headers pages of other origins may send and
//! see. Any origin may: a party is known by its token, which no browser adds by itself. An open server, which asks for no
//! token, lets none.
use std::time::Duration;

use axum::Router;
use axum::body::Body as WireBody;
use axum::extract::Request as WireRequest;
use axum::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_LOCATION,
    CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, LOCATION,
};
use axum::http::{HeaderValue, Method, Response};
use axum::middleware::{Next, from_fn};
use tower_http::cors::{Any, CorsLayer};
use tower_layer::Layer as _;
use tower_service::Service as _;

/// How long a browser may keep the answer to a preflight.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(600);
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SENT_HEADERS: [HeaderName; 11] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    HeaderName::from_static("if-none-exist"),
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    HeaderName::from_static("prefer"),
    HeaderName::from_static("x-provenance"),
    REQUEST_ID,
];
const SEEN_HEADERS: [HeaderName; 5] = [CONTENT_LOCATION, ETAG, LAST_MODIFIED, LOCATION, REQUEST_ID];

/// Lets pages of all origins use the routes. To be applied around all layers that answer themselves, so that a page can read
/// their 408 and 500 too.
pub(super) fn for_all_origins(router: Router) -> Router {
    router.layer(from_fn(shared))
}

async fn shared(request: WireRequest, mut next: Next) -> Response<WireBody> {
    let is_options = request.method() == Method::OPTIONS;
    if is_options && !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        // No preflight: whoever sends it asks which methods the path has (RFC 9110 section 9.3.7).
        let mut response = next.run(request).await;
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return response;
    }
    let layer = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(METHODS)
        .allow_headers(SENT_HEADERS)
        .expose_headers(SEEN_HEADERS)
        .max_age(PREFLIGHT_KEPT)
        // The answer is the same for every origin.
        .vary([]);
    let Ok(response) = layer.layer(&mut next).call(request).await;
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::for_all_origins;
    use axum::Router;
    use axum::body::Body;
    use axum::http::{HeaderMap, Request, StatusCode};
    use axum::routing::get;
    use tower_http::catch_panic::CatchPanicLayer;
    use tower_http::timeout::TimeoutLayer;
    use tower_service::Service as _;

    #[allow(clippy::panic)] // What is shown is the answer to a handler that panics.
    async fn panics() -> &'static str {
        panic!("on purpose")
    }

    async fn hangs() -> &'static str {
        std::future::pending().await
    }

    fn headers(method: &str, path: &str, sent: &[(&str, &str)]) -> (u16, HeaderMap) {
        let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_millis(10));
        let routes = Router::new().route("/", get(|| async { "ok" })).route("/panics", get(panics));
        let routes = routes.route("/hangs", get(hangs)).layer(timeout).layer(CatchPanicLayer::new());
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let response = runtime.block_on(for_all_origins(routes).call(request)).unwrap();
        (response.status().as_u16(), response.headers().clone())
    }

    #[test]
    fn pages_of_all_origins_read_every_answer() {
        let origin = ("origin", "https://app.example");
        for (path, status) in [("/", 200), ("/nothing", 404), ("/hangs", 408), ("/panics", 500)] {
            let (answered, answer) = headers("GET", path, &[origin]);
            assert_eq!(answered, status, "{path}");
            assert_eq!(answer["access-control-allow-origin"], "*", "{path}");
            assert!(answer["access-control-expose-headers"].to_str().unwrap().contains("etag"), "{path}");
        }
        let asked = [origin, ("access-control-request-method", "PUT")];
        let (status, preflight) = headers("OPTIONS", "/", &asked);
        assert_eq!((status, &preflight["access-control-allow-origin"]), (200, &"*".parse().unwrap()));
        for (name, value) in [("methods", "PUT"), ("headers", "if-match"), ("headers", "authorization")] {
            let allowed = preflight[format!("access-control-allow-{name}")].to_str().unwrap();
            assert!(allowed.contains(value), "{allowed}");
        }
        // An OPTIONS request that is no preflight reaches the routes.
        let (status, answer) = headers("OPTIONS", "/", &[origin]);
        assert_eq!((status, &answer["access-control-allow-origin"]), (405, &"*".parse().unwrap()));
    }
}
