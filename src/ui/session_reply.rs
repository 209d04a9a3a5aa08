//! The replies that begin and end a session.
use super::cookie;
use super::shown::Reply;
use super::visit::Visit;

/// After signing in, the page that was wanted.
pub(super) fn signed_in(visit: &Visit, id: &str) -> Reply {
    let cookie = cookie::set(id, visit.ui.base_url());
    Reply::GoTo { path: visit.wanted(), cookie, forgets: false }
}

/// After signing out, the first page; the browser forgets what it keeps of this server.
pub(super) fn signed_out(visit: &Visit) -> Reply {
    Reply::GoTo { path: "/".to_owned(), cookie: cookie::unset(visit.ui.base_url()), forgets: true }
}
