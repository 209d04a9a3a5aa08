//! The router of the pages: finds the session, checks role and form, calls the page's handler, and sends what it gives.
use std::sync::Arc;

use axum::Router;
use axum::body::{Body as WireBody, to_bytes};
use axum::extract::Request as WireRequest;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::{MethodRouter, get};
use maud::html;

use crate::auth::{BrowserSession, Party};
use crate::model::hex;
use crate::operations::{Engine, Refused, Sender, Unknown, decode_pairs, encode};
use crate::store::random_bytes;

use super::asking::Work;
use super::cookie;
use super::emergency::{SEALED_AS, offer};
use super::parts::{STYLE_PATH, go_to, response, style};
use super::people::Demonstration;
use super::problem::Problem;
use super::shown::{Reply, Shown};
use super::table::{Handler, PAGES, Page, Roles, menu_of};
use super::thread::on_a_thread;
use super::visit::{Ui, Visit};

/// The largest form, in bytes.
const FORM_BYTES_MAX: usize = 256 * 1024;

/// The routes of the pages.
pub struct Pages {
    /// Paths that belong to pages alone.
    pub own: Router,
    /// What browsers get in the place of the API's answers; the wire tells which requests come from a browser.
    pub of_api: Router,
}

/// Makes the routes.
pub fn pages(engine: Arc<Engine>, work: Arc<dyn Work>, demonstration: Demonstration) -> Pages {
    let ui = Ui { engine, work, demonstration };
    let mut own = Router::new().route(&STYLE_PATH, get(style));
    let mut of_api = Router::new();
    for row in PAGES {
        if row.path == "/" || row.path.starts_with("/fhir") {
            of_api = of_api.route(row.path, route(&ui, row));
            if row.path == "/fhir" {
                // The API takes its base URL with and without the slash.
                of_api = of_api.route("/fhir/", route(&ui, row));
            }
        } else {
            own = own.route(row.path, route(&ui, row));
        }
    }
    let lost = move |request: WireRequest| {
        let ui = ui.clone();
        async move {
            let (visit, _) = visit(ui, None, request).await;
            response(&visit, &Problem::NotFound.shown())
        }
    };
    Pages { own, of_api: of_api.fallback(lost) }
}

fn route(ui: &Ui, row: &'static Page) -> MethodRouter {
    let serve = |handler: Handler| {
        let ui = ui.clone();
        move |request: WireRequest| serve(ui.clone(), row, Some(handler), request)
    };
    let other = {
        let ui = ui.clone();
        move |request: WireRequest| serve_none(ui.clone(), row, request)
    };
    let mut methods = MethodRouter::new().fallback(other);
    if let Some(handler) = row.get {
        methods = methods.get(serve(handler));
    }
    if let Some(handler) = row.post {
        methods = methods.post(serve(handler));
    }
    methods
}

async fn serve_none(ui: Ui, row: &'static Page, request: WireRequest) -> Response<WireBody> {
    serve(ui, row, None, request).await
}

/// Reads a request: its session, or a fresh cookie for the forms of a browser that has none.
async fn visit(ui: Ui, row: Option<&'static Page>, request: WireRequest) -> (Visit, Result<Parts, Problem>) {
    let (parts, body) = request.into_parts();
    let base_url = ui.base_url().to_owned();
    let known = cookie::id_in(&parts.headers, &base_url);
    let session = match &known {
        Some(id) => session(&ui, id).await,
        None => Ok(None),
    };
    let fresh = random_bytes::<32>().map(|bytes| hex(&bytes));
    // The id of the page view is the server's own: a browser that chose it could make many views look like one.
    let view = random_bytes::<8>().map(|bytes| hex(&bytes));
    let has_chance = (known.is_some() || fresh.is_ok()) && view.is_ok();
    let sender = parts.extensions.get::<Sender>().cloned().unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let mut visit = Visit {
        path: row.map_or_else(Vec::new, |row| open_parts(row.path, parts.uri.path())),
        query: decode_pairs(parts.uri.query().unwrap_or_default()),
        form: Vec::new(),
        cookie: known.or(fresh.ok()).unwrap_or_default(),
        session: None,
        emergency: None,
        sender: Sender { request_id: view.ok(), ..sender },
        menu: Vec::new(),
        target,
        ui,
    };
    if !has_chance {
        // Forms of one browser could not be told from those of another, nor page views from one another.
        return (visit, Err(Problem::Failed(StatusCode::SERVICE_UNAVAILABLE)));
    }
    if visit.ui.demonstration.is_on() && !names_this_machine(&parts.headers) {
        return (visit, Err(Problem::ForeignHost));
    }
    match session {
        Ok(session) => {
            visit.menu = session.as_ref().map(|session| menu_of(&session.party)).unwrap_or_default();
            visit.session = session;
            visit.emergency = emergency(&visit, row, &parts.headers).await;
        }
        Err(problem) => return (visit, Err(problem)),
    }
    if parts.method == Method::POST {
        match form(&visit, &parts.headers, body).await {
            Ok(fields) => visit.form = fields,
            Err(problem) => return (visit, Err(problem)),
        }
    }
    (visit, Ok(parts))
}

/// Whether the request names this machine as its host. In a demonstration anybody may become anybody without a password, so no
/// other name that leads here (DNS rebinding) may make a page of another site one of ours.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    matches!(name.to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}

/// The open session of a cookie. A look-up in the own store takes microseconds; a database may let it wait.
async fn session(ui: &Ui, id: &str) -> Result<Option<BrowserSession>, Problem> {
    if ui.engine.kv().is_local() {
        return Ok(ui.engine.authorization().session(id)?);
    }
    let (engine, id) = (ui.engine.clone(), id.to_owned());
    Ok(on_a_thread(move || engine.authorization().session(&id)).await??)
}

/// The party of an emergency that this browser's cookie holds, on the pages of the record that the emergency opens.
async fn emergency(visit: &Visit, row: Option<&'static Page>, headers: &HeaderMap) -> Option<Arc<Party>> {
    let session = visit.session.as_ref()?;
    let id = row.filter(|row| row.path.starts_with("/p/{id}")).and_then(|_| visit.path.first())?;
    let sealed = cookie::emergency_in(headers, visit.ui.base_url())?;
    let token = visit.ui.engine.authorization().open_for(&visit.cookie, SEALED_AS, sealed)?;
    let engine = visit.ui.engine.clone();
    let party = on_a_thread(move || engine.authenticate(Some(&token))).await.ok()?.ok()?;
    let is_for_this = party.break_glass.as_ref().is_some_and(|emergency| emergency.patient == *id);
    (is_for_this && party.subject == session.party.subject).then_some(party)
}

/// The parts of a path that its row leaves open.
fn open_parts(pattern: &str, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = path;
    for part in pattern.split('/') {
        if part.starts_with("{*") {
            found.push(rest.to_owned());
            break;
        }
        let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
        if part.starts_with('{') {
            found.push(crate::operations::decode(segment));
        }
        rest = after;
    }
    found
}

/// The fields of a posted form. It must come from a page of this server and carry the token of this browser.
async fn form(visit: &Visit, headers: &HeaderMap, body: WireBody) -> Result<Vec<(String, String)>, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = content_type.split(';').next() == Some("application/x-www-form-urlencoded");
    if !is_form || !is_same_origin(headers) {
        return Err(Problem::ForeignForm);
    }
    let bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| Problem::TooLarge)?;
    let fields = decode_pairs(&String::from_utf8_lossy(&bytes));
    let token = fields.iter().find(|(name, _)| name == "form").map_or("", |(_, value)| value.as_str());
    if !visit.ui.engine.authorization().is_form_of(&visit.cookie, token) {
        return Err(Problem::ForeignForm);
    }
    Ok(fields)
}

/// Whether a browser says that a page of this server has sent the request. A request that does not say comes from no browser
/// that is in use, and is refused.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let origin = text(ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    origin.is_some_and(|authority| text(HOST).is_some_and(|host| host.eq_ignore_ascii_case(authority)))
}

async fn serve(
    ui: Ui,
    row: &'static Page,
    handler: Option<Handler>,
    request: WireRequest,
) -> Response<WireBody> {
    let is_new = cookie::id_in(request.headers(), ui.base_url()).is_none();
    let (visit, parts) = visit(ui, Some(row), request).await;
    let frame = Frame {
        cookie: cookie::set(&visit.cookie, visit.ui.base_url()).filter(|_| is_new),
        visit: visit.clone(),
    };
    let reply = match (parts, handler) {
        (Err(problem), _) => Err(problem),
        (Ok(_), None) => Err(Problem::WrongMethod),
        (Ok(parts), Some(handler)) => match admit(row, visit.session.as_ref()) {
            Ok(()) => handler(visit).await,
            Err(Problem::SignIn) if parts.method == Method::GET => return to_sign_in(&frame),
            Err(problem) => Err(problem),
        },
    };
    match reply {
        Ok(Reply::Shown(shown)) => frame.show(&shown),
        Ok(Reply::GoTo { path, cookie, forgets }) => {
            let mut response = go_to(&path);
            response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
            if forgets {
                let all = HeaderValue::from_static("\"cache\", \"cookies\", \"storage\"");
                response.headers_mut().insert(HeaderName::from_static("clear-site-data"), all);
            }
            response
        }
        Err(Problem::SignIn) => to_sign_in(&frame),
        Err(problem) => {
            frame.count(&problem);
            let mut shown = problem.shown();
            if matches!(problem, Problem::NotFound) && frame.visit.may_break_glass() {
                shown.body = html! { (shown.body) (offer()) };
            }
            frame.show(&shown)
        }
    }
}

/// Whether the page is for whoever asks.
fn admit(row: &Page, session: Option<&BrowserSession>) -> Result<(), Problem> {
    match (row.roles, session) {
        (Roles::Everybody | Roles::AsTheApi, _) => Ok(()),
        (_, None) => Err(Problem::SignIn),
        (_, Some(session)) if row.is_for(&session.party) => Ok(()),
        (_, Some(_)) => Err(Problem::NotForRole),
    }
}

/// What the frame of a page needs once the handler has taken the visit.
struct Frame {
    visit: Visit,
    /// The cookie for a browser that has none.
    cookie: Option<HeaderValue>,
}

impl Frame {
    /// Counts what is refused to somebody who has not signed in. Refusals of known people stand in the record of accesses.
    fn count(&self, problem: &Problem) {
        if self.visit.session.is_none() && matches!(problem, Problem::ForeignForm | Problem::ForeignHost) {
            let who = Unknown { name: None, address: self.visit.sender.peer.as_deref() };
            self.visit.ui.engine.count_refusal(Refused::Request, who);
        }
    }

    fn show(&self, shown: &Shown) -> Response<WireBody> {
        let mut response = response(&self.visit, shown);
        response.headers_mut().extend(self.cookie.clone().map(|cookie| (SET_COOKIE, cookie)));
        response
    }
}

fn to_sign_in(frame: &Frame) -> Response<WireBody> {
    go_to(&format!("/sign-in?to={}", encode(&frame.visit.target)))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{is_same_origin, names_this_machine, open_parts};

    #[test]
    fn a_demonstration_is_asked_by_this_machine() {
        let check = |host: &str, expected: bool| {
            let map =
                HeaderMap::from_iter([(axum::http::header::HOST, HeaderValue::from_str(host).unwrap())]);
            assert_eq!(names_this_machine(&map), expected, "{host}");
        };
        for own in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "[::1]"] {
            check(own, true);
        }
        for other in ["rebound.example:8080", "127.0.0.1.evil.example", "10.0.0.1:8080", ""] {
            check(other, false);
        }
    }

    #[test]
    fn a_form_comes_from_a_page_of_this_server() {
        let check = |headers: &[(&str, &str)], expected: bool| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(is_same_origin(&map), expected, "{headers:?}");
        };
        check(&[("host", "h:1"), ("origin", "http://h:1")], true);
        check(&[("host", "h:1"), ("sec-fetch-site", "same-origin")], true);
        check(&[("host", "h:1"), ("origin", "http://h:1"), ("sec-fetch-site", "cross-site")], false);
        check(&[("host", "h:1"), ("sec-fetch-site", "same-site")], false);
        check(&[("host", "h:1"), ("sec-fetch-site", "none")], false);
        check(&[("host", "h:1"), ("origin", "http://h:2")], false);
        check(&[("host", "h:1"), ("origin", "null")], false);
        check(&[("host", "h:1")], false);
    }

    #[test]
    fn a_row_leaves_parts_of_its_path_open() {
        let check = |pattern: &str, path: &str, expected: &[&str]| {
            assert_eq!(open_parts(pattern, path), expected, "{path}");
        };
        check("/", "/", &[]);
        check("/as/{persona}", "/as/doctor", &["doctor"]);
        check("/fhir/{*rest}", "/fhir/Patient/a%20b", &["Patient/a%20b"]);
        check("/p/{id}/r/{type}/{item}", "/p/a/r/Patient/x%2Fy", &["a", "Patient", "x/y"]);
    }
}
