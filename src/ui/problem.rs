//! What a page says when it cannot be shown. Hidden and absent are the same page.
use axum::http::StatusCode;
use maud::{Markup, html};

use crate::auth::OauthError;
use crate::operations::{Refusal, RefusalKind};

use super::parts::sentence;
use super::shown::Shown;

/// Why a page cannot be shown.
#[derive(Clone, Debug)]
pub(super) enum Problem {
    /// Nobody has signed in, or the session has ended.
    SignIn,
    NotFound,
    /// The page is not for this role.
    NotForRole,
    /// A form that is not of this browser's session, or of a page of another site.
    ForeignForm,
    /// A demonstration was asked under the name of another machine.
    ForeignHost,
    /// Somebody has changed the item since the page was made; the page is at this path.
    Changed {
        path: String,
    },
    WrongMethod,
    TooLarge,
    Refused(Box<Refusal>),
    Failed(StatusCode),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal.kind {
            RefusalKind::NotFound => Self::NotFound,
            _ => Self::Refused(Box::new(refusal)),
        }
    }
}

impl From<OauthError> for Problem {
    fn from(_: OauthError) -> Self {
        Self::Failed(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl Problem {
    pub(super) fn shown(&self) -> Shown {
        let page =
            |status: StatusCode, title: &str, body: Markup| Shown { status, ..Shown::new(title, body) };
        match self {
            Self::SignIn => page(
                StatusCode::FORBIDDEN,
                "Please sign in",
                html! {
                    (sentence("Nobody has signed in on this browser, or the session has ended because it was not used."))
                    p { a href="/" { "Sign in" } }
                },
            ),
            Self::NotFound => page(
                StatusCode::NOT_FOUND,
                "There is nothing here for you",
                html! {
                    (sentence("What you look for does not exist, or is not shown to you. Check the address, or go back."))
                },
            ),
            Self::NotForRole => page(
                StatusCode::FORBIDDEN,
                "This page is not for you",
                html! { (sentence("It belongs to another kind of work. What there is for you is in the menu.")) },
            ),
            Self::ForeignForm => page(
                StatusCode::FORBIDDEN,
                "This form is too old",
                html! {
                    (sentence("It was made before you signed in, or by another page. Nothing was changed. Open the page again and send the form from there."))
                },
            ),
            Self::ForeignHost => page(
                StatusCode::FORBIDDEN,
                "This demonstration is for this machine",
                html! { (sentence("Open it as 127.0.0.1 or localhost.")) },
            ),
            Self::Changed { path } => page(
                StatusCode::CONFLICT,
                "Somebody has changed this meanwhile",
                html! {
                    (sentence("Nothing was changed by you. Look at it as it is now, and decide again."))
                    p { a href=(path) { "Look at it" } }
                },
            ),
            Self::WrongMethod => page(
                StatusCode::METHOD_NOT_ALLOWED,
                "This page cannot do that",
                html! { (sentence("Nothing was changed.")) },
            ),
            Self::TooLarge => page(
                StatusCode::PAYLOAD_TOO_LARGE,
                "This is too much at once",
                html! { (sentence("The form is larger than this page accepts. Nothing was changed.")) },
            ),
            Self::Refused(refusal) => {
                let status = StatusCode::from_u16(refusal.kind.status());
                page(
                    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    "This cannot be done",
                    html! {
                        (sentence("The server refuses it for this reason:"))
                        ul { @for issue in &refusal.outcome.issues { li { (issue.diagnostics) } } }
                    },
                )
            }
            Self::Failed(status) => page(
                *status,
                "The server cannot answer now",
                html! { (sentence("Nothing was changed. Try again in a moment.")) },
            ),
        }
    }
}
