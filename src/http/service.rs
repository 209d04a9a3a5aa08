//! The HTTP service. One handler serves every API path, because the table of interactions in `operations` is the router.
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body as WireBody;
use axum::extract::{Request as WireRequest, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use futures_timer::Delay;
use http_body_util::BodyExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutError, TimeoutLayer};

use crate::auth::Party;
use crate::model::IssueCode;
use crate::operations::{
    Answer, Code, Engine, Headers, Payload, Preference, Refusal, RefusalKind, Request, Route, Verb, allowed,
    decode, decode_pairs, query_text, until_the_grid,
};

use super::administration;
use super::app::{App, Limits, Tasks};
use super::authentication::party;
use super::cors;
use super::listen::{address, shown};
use super::negotiate::{self, Content, Format};
use super::oauth;
use super::observe::{Label, Observed, observe};
use super::packed;
use super::page_routes::{PageRoutes, browser_door, tell_sender};
use super::payload::{few_enough, read, refuse};
use super::respond::{self, ResponseFormat};
use super::same_origin::guard;
use super::unknown::{self, on_record};
use super::workers::Workers;
use super::{binary, printed};

/// Bodies up to this size are parsed on the async thread: a hand-over to another thread would take longer.
const READ_INLINE_BYTES_MAX: usize = 16 * 1024;
/// Larger responses are converted to XML, or pretty-printed, by another thread.
const CONVERT_INLINE_BYTES_MAX: usize = 32 * 1024;

/// The server's router. The FHIR API is below `/fhir`.
pub fn router(
    engine: Arc<Engine>,
    limits: Limits,
    (tasks, workers): (Tasks, Workers),
    observed: Arc<Observed>,
    pages: PageRoutes,
) -> Router {
    let own = oauth::page_routes(engine.clone()).merge(oauth::registration_routes(engine.clone()));
    let endpoints = oauth::endpoint_routes(engine.clone());
    let (guarded, is_open) = (engine.clone(), engine.is_open());
    let timeout = Duration::from_secs(limits.request_seconds_max);
    let patience = limits.patience.body;
    // Layers that are added together, the outermost first, cost one allocation for a request; added singly, one each.
    let bounded = |router: Router| {
        router.layer((
            CatchPanicLayer::new(),
            TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, timeout),
            RequestBodyTimeoutLayer::new(patience),
            CompressionLayer::new(),
        ))
    };
    let app = App { engine, tasks, limits, observed: observed.clone(), workers };
    let api = Router::new().fallback(handle).with_state(app.clone()).merge(endpoints);
    let api = if is_open { bounded(api) } else { cors::for_all_origins(bounded(api)) };
    // What only the hospital's own people and systems use is for no page of another origin.
    let own = Router::new()
        .route("/health/live", get(|| async { "ok" }))
        .route("/health/ready", get(ready))
        .merge(administration::routes())
        .with_state(app)
        .merge(own)
        .merge(pages.own.layer(from_fn(tell_sender)));
    let of_api = bounded(pages.of_api.layer(from_fn(tell_sender)));
    api.merge(bounded(own)).layer((
        from_fn_with_state(observed, observe),
        from_fn_with_state(guarded.clone(), unknown::count),
        from_fn_with_state(guarded, guard),
        // Outside of the layer for other origins, which pages are not for.
        from_fn_with_state(of_api, browser_door),
    ))
}

/// The router of the monitoring address: health and metrics without a token.
pub fn watching(engine: Arc<Engine>, workers: Workers, observed: Arc<Observed>) -> Router {
    let app = App { engine, tasks: Tasks::default(), limits: Limits::default(), observed, workers };
    let page = |State(app): State<App>| async move { app.observed.page() };
    Router::new()
        .route("/health/live", get(|| async { "ok" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(page))
        .with_state(app)
}

async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.engine.kv().health() {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store accepts no writes"),
    }
}

async fn handle(State(app): State<App>, request: WireRequest) -> Response<WireBody> {
    let request_id = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let request_id = request_id.unwrap_or_default().to_owned();
    let mut manner = ResponseFormat {
        request_id,
        without_body: request.method() == Method::HEAD,
        ..ResponseFormat::default()
    };
    manner.has_token = request.headers().contains_key(AUTHORIZATION);
    let answer = answer(&app, request, &mut manner).await;
    let mut response = answer.unwrap_or_else(|refusal| {
        log_cause(&refusal, &manner);
        respond::refusal(&refusal, &manner)
    });
    response.extensions_mut().insert(manner.label);
    response
}

/// Handles an API request in this order: path and method, authentication, format of the response, body; then the engine.
/// Every refusal of a known party is recorded, at whichever step it happens.
async fn answer(
    app: &App,
    request: WireRequest,
    manner: &mut ResponseFormat,
) -> Result<Response<WireBody>, Refusal> {
    let (parts, body) = request.into_parts();
    let query = decode_pairs(parts.uri.query().unwrap_or_default());
    let format = query.iter().find(|(name, _)| name == "_format").map(|(_, value)| value.as_str());
    let negotiated = negotiate::answer(&parts.headers, format.filter(|value| !value.is_empty()));
    manner.format = negotiated.unwrap_or_default();
    manner.pretty = query.iter().any(|(name, value)| name == "_pretty" && value == "true");
    let has_format = format.is_some();
    let path = path(parts.uri.path());
    if let (&Method::OPTIONS, Ok(path)) = (&parts.method, &path) {
        let mut methods = allowed(path);
        if methods.contains(&"GET") {
            methods.insert(1, "HEAD");
        }
        methods.push("OPTIONS");
        return Ok(respond::options(&methods, manner));
    }
    let is_of_api = path.is_ok();
    let mut request = match (path, Verb::parse(parts.method.as_str())) {
        (Ok(path), Some(verb)) => Ok(Request::new(verb, path, query)),
        (Ok(path), None) => {
            let message = "the method is not of FHIR";
            Err((refuse(RefusalKind::MethodNotAllowed, IssueCode::NotSupported, message), path))
        }
        (Err(refusal), _) => Err((refusal, Vec::new())),
    };
    let route = request.as_ref().ok().and_then(|request| request.route.clone().ok());
    let is_routed_to = |test: &dyn Fn(&Route) -> bool| route.as_ref().is_some_and(test);
    if let Some(route) = &route {
        manner.label = Label { interaction: route.row.name, kind: route.type_name() };
    }
    let is_raw_read = is_routed_to(&|route| binary::is_raw_read(route, &parts.headers, has_format));
    let is_page = is_routed_to(&|route| printed::is_asked_for(route, &parts.headers, has_format));
    if let Ok(request) = &mut request
        && is_page
        && !request.query.iter().any(|(name, _)| name == printed::PARAMETER)
    {
        request.query.push((printed::PARAMETER.to_owned(), "true".to_owned()));
    }
    let is_public = is_routed_to(&|route| route.row.code == Code::Capabilities);
    let mut is_known = true;
    let party = match (party(&app.engine, &parts.headers, shown(&parts.extensions)).await, &request) {
        (Err(_), _) if is_public => {
            is_known = false;
            Arc::new(Party::nobody())
        }
        // A path outside the API is reported as such even without authentication.
        (Err(_), Err((refusal, _))) if !is_of_api => return Err(refusal.clone()),
        (party, _) => party?,
    };
    let peer = address(&parts.extensions);
    let read = match request {
        // Path and method come before media types.
        Ok(Request { route: Err(refusal), path, .. }) => Err((refusal, path)),
        Ok(request) if negotiated.is_none() && !is_raw_read && !is_page => Err((
            refuse(RefusalKind::NotAcceptable, IssueCode::NotSupported, "answers are JSON or XML"),
            request.path,
        )),
        Ok(request) => read_request(app, request, &parts.headers, body).await,
        Err(refused) => Err(refused),
    };
    let mut request = match read {
        Ok(request) => request,
        // A refusal of an unknown sender is only counted, by `unknown::count`.
        Err((refusal, _)) if !is_known => return Err(refusal),
        Err((refusal, path)) => {
            let line = line(&parts.method, &parts.uri);
            let (engine, known) = (app.engine.clone(), party.clone());
            let wire = (Some(manner.request_id.clone()), peer);
            let recorded = app.workers.write(async move {
                engine.record_unrouted(&known, line, wire, &refusal).await?;
                Ok(refusal)
            });
            // What cannot be recorded is refused for that reason instead.
            let (Ok(refusal) | Err(refusal)) = recorded.await;
            return Ok(refused(&refusal, &path, manner));
        }
    };
    request.headers.request_id = Some(manner.request_id.clone());
    request.headers.peer = peer;
    let (verb, path) = (request.verb, request.path.clone());
    let entries = entries_of(&request);
    let (engine, begun) = (app.engine.clone(), Instant::now());
    let handled = if engine.answers_at_once(&party, &request) {
        engine.answer(&party, request).await
    } else {
        let is_search = request.path.last().is_some_and(|last| last == "_search");
        let of = party.clone();
        let work = async move { engine.answer(&of, request).await };
        match matches!(verb, Verb::Get | Verb::Head) || is_search {
            true => app.workers.read(work).await,
            false => app.workers.write(work).await,
        }
    };
    if let Some(grid) = app.engine.grid(&party, (verb, &path), &handled) {
        // Waiting for the grid hides whether a resource is hidden or absent. Every such entry of a Bundle adds a step.
        let grid = grid
            .saturating_mul(handled.as_ref().map_or(entries, |answer| answer.on_the_grid.unwrap_or(entries)));
        wait_for_the_grid(begun, grid).await;
    }
    match handled {
        Ok(answer) if is_raw_read => {
            Ok(binary::unwrapped(&answer, respond::answer(&answer, manner), manner.without_body))
        }
        Ok(answer) if is_page => {
            Ok(printed::unwrapped(&answer, respond::answer(&answer, manner), manner.without_body))
        }
        Ok(answer) if is_converted(&answer, manner) => {
            let manner = manner.clone();
            app.workers.read(async move { Ok(respond::answer(&answer, &manner)) }).await
        }
        Ok(answer) => Ok(respond::answer(&answer, manner)),
        Err(refusal) => Ok(refused(&refusal, &path, manner)),
    }
}

/// The number of entries of a batch or transaction Bundle; 1 for any other request.
fn entries_of(request: &Request) -> u32 {
    match &request.payload {
        Payload::Resource(tree) if request.path.is_empty() => {
            u32::try_from(tree.root().items_at("entry").count()).unwrap_or(u32::MAX).max(1)
        }
        _ => 1,
    }
}

/// Waits until the next multiple of `grid`. The runtime's own timer counts whole milliseconds from when it is set, so the
/// response would show how long the work had taken.
async fn wait_for_the_grid(begun: Instant, grid: Duration) {
    Delay::new(until_the_grid(grid, begun.elapsed())).await;
}

/// The response to a known party whose refusal has been recorded.
fn refused(refusal: &Refusal, path: &[String], manner: &ResponseFormat) -> Response<WireBody> {
    log_cause(refusal, manner);
    let mut response = respond::refusal(refusal, manner);
    if refusal.kind == RefusalKind::MethodNotAllowed {
        response = respond::with_allow(response, &allowed(path));
    }
    on_record(response)
}

/// Logs the internal cause, such as a disk or database error, which the client must not see.
fn log_cause(refusal: &Refusal, manner: &ResponseFormat) {
    if let Some(cause) = &refusal.outcome.internal {
        tracing::error!(request_id = manner.request_id, cause, "refused");
    }
}

/// The request line for the access record of a refusal.
fn line(method: &Method, uri: &Uri) -> String {
    let below = uri.path().strip_prefix("/fhir").unwrap_or(uri.path());
    let query = query_text(&decode_pairs(uri.query().unwrap_or_default()));
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{method} {}{separator}{query}", decode(&below.replace('+', "%2B")))
}

/// Adds the body and the conditional headers to a request. A refusal comes with the path, for the `Allow` header.
async fn read_request(
    app: &App,
    mut request: Request,
    headers: &HeaderMap,
    body: WireBody,
) -> Result<Request, (Refusal, Vec<String>)> {
    let read = async {
        few_enough(&request.query)?;
        packed::codings(headers)?;
        let payload = if request.route.as_ref().is_ok_and(binary::is_write) {
            let bytes = bytes(app, headers, body).await?;
            let (path, headers) = (request.path.clone(), headers.clone());
            parsed(app, bytes.len(), move || binary::read(&path, &headers, &bytes)).await?
        } else {
            payload(app, request.verb, &request.path, headers, body).await?
        };
        Ok((payload, conditions(headers)?))
    };
    match read.await {
        Ok((payload, headers)) => {
            (request.payload, request.headers) = (payload, headers);
            Ok(request)
        }
        Err(refusal) => Err((refusal, request.path)),
    }
}

/// Whether a large response needs conversion to XML or pretty-printing.
fn is_converted(answer: &Answer, manner: &ResponseFormat) -> bool {
    let is_large = answer.body.json().is_some_and(|json| json.len() > CONVERT_INLINE_BYTES_MAX);
    is_large && (manner.pretty || manner.format == Format::Xml)
}

/// The path segments below `/fhir`, percent-decoded.
fn path(path: &str) -> Result<Vec<String>, Refusal> {
    let below = path.strip_prefix("/fhir").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let Some(below) = below else {
        return Err(refuse(RefusalKind::NotFound, IssueCode::NotFound, "the API is below /fhir"));
    };
    // `decode` reads a plus sign as a space, as in queries; in a path it is a plus sign.
    let segments = below.split('/').filter(|segment| !segment.is_empty());
    Ok(segments.map(|segment| decode(&segment.replace('+', "%2B"))).collect())
}

/// Reads the conditional headers and `Prefer`. Ignoring an unreadable condition would widen the change, so it is refused.
fn conditions(headers: &HeaderMap) -> Result<Headers, Refusal> {
    let text = |name: &str| -> Result<Option<String>, Refusal> {
        let mut values = headers.get_all(name).iter();
        let wrong =
            || refuse(RefusalKind::BadRequest, IssueCode::Value, format!("the header {name} cannot be read"));
        let Some(value) = values.next() else { return Ok(None) };
        // The JSON in `X-Provenance` may contain UTF-8.
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong())?;
        if values.next().is_some() { Err(wrong()) } else { Ok(Some(text.to_owned())) }
    };
    let mut read = Headers {
        provenance: text("x-provenance")?,
        if_match: text("if-match")?,
        if_none_match: text("if-none-match")?,
        if_none_exist: text("if-none-exist")?,
        if_modified_since: text("if-modified-since")?,
        if_unmodified_since: text("if-unmodified-since")?,
        ..Headers::default()
    };
    for value in headers.get_all("prefer") {
        for preference in value.to_str().unwrap_or_default().split([',', ';']) {
            // RFC 7240 section 2: preference names are case-insensitive, and values may be quoted.
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match (name.trim().to_ascii_lowercase().as_str(), value) {
                ("return", "minimal") => read.preference = Preference::Minimal,
                ("return", "representation") => read.preference = Preference::Representation,
                ("return", "OperationOutcome") => read.preference = Preference::OperationOutcome,
                ("handling", "lenient") => read.lenient = true,
                _ => {}
            }
        }
    }
    Ok(read)
}

async fn payload(
    app: &App,
    verb: Verb,
    path: &[String],
    headers: &HeaderMap,
    body: WireBody,
) -> Result<Payload, Refusal> {
    if matches!(verb, Verb::Get | Verb::Head | Verb::Delete) {
        return Ok(Payload::None);
    }
    let is_search = path.last().is_some_and(|segment| segment == "_search");
    let content = negotiate::content(headers);
    let fits = match content {
        Content::Resource(_) => !is_search,
        Content::JsonPatch => verb == Verb::Patch,
        Content::Form => is_search,
        Content::Unknown => false,
    };
    let bytes = bytes(app, headers, body).await?;
    if is_search && bytes.is_empty() {
        return Ok(Payload::Form(Vec::new()));
    }
    // An operation may have no parameters.
    if path.last().is_some_and(|segment| segment.starts_with('$')) && bytes.is_empty() {
        return Ok(Payload::None);
    }
    if !fits {
        let message = "the content type is not one that is taken here: resources are FHIR 4.0 in JSON or XML";
        return Err(refuse(RefusalKind::UnsupportedMediaType, IssueCode::NotSupported, message));
    }
    parsed(app, bytes.len(), move || read(content, bytes.to_vec())).await
}

/// Parses a body; a large one by another thread.
async fn parsed(
    app: &App,
    len: usize,
    read: impl FnOnce() -> Result<Payload, Refusal> + Send + 'static,
) -> Result<Payload, Refusal> {
    if len <= READ_INLINE_BYTES_MAX {
        return read();
    }
    app.workers.write(async move { read() }).await
}

/// The whole body, decompressed, up to the size limit.
async fn bytes(app: &App, headers: &HeaderMap, body: WireBody) -> Result<axum::body::Bytes, Refusal> {
    let too_large = || {
        let message = format!("the body is larger than the limit of {} bytes", app.limits.body_bytes_max);
        refuse(RefusalKind::TooLarge, IssueCode::TooLong, message)
    };
    let declared = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|len| len > app.limits.body_bytes_max) {
        return Err(too_large());
    }
    let limited = http_body_util::Limited::new(body, app.limits.body_bytes_max);
    let collected = limited.collect().await.map_err(|error| {
        let is_too_large = error.is::<http_body_util::LengthLimitError>();
        let mut causes = std::iter::successors(error.source(), |cause| cause.source());
        let is_too_slow = error.is::<TimeoutError>() || causes.any(|cause| cause.is::<TimeoutError>());
        if is_too_large {
            too_large()
        } else if is_too_slow {
            refuse(RefusalKind::TooSlow, IssueCode::Timeout, "the body did not come in time")
        } else {
            refuse(RefusalKind::BadRequest, IssueCode::Structure, "the body was not sent whole")
        }
    })?;
    packed::unpacked(&app.workers, headers, collected.to_bytes(), app.limits.body_bytes_max)
        .await?
        .ok_or_else(too_large)
}
