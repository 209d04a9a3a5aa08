//! What a handler of a page gives back.
use axum::http::{HeaderValue, StatusCode};
use maud::Markup;

/// A page: its title is the question that it answers, or the name of what it shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) status: StatusCode,
    pub(super) title: String,
    pub(super) body: Markup,
}

impl Shown {
    pub(super) fn new(title: impl Into<String>, body: Markup) -> Self {
        Self { status: StatusCode::OK, title: title.into(), body }
    }
}

/// The reply of a page's handler.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Shown(Shown),
    /// A form was accepted: the browser goes on to a path of this server (303), perhaps with another cookie.
    GoTo {
        path: String,
        cookie: Option<HeaderValue>,
        /// Whether the browser forgets what it keeps of this server, as after signing out.
        forgets: bool,
    },
}
