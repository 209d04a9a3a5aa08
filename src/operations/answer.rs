//! The result of a request: an answer made of disclosed resources, or a refusal. HTTP status codes are chosen in this file alone.
use crate::auth::RegistryError;
use crate::consent::{Disclosed, Withheld};
use crate::model::{Issue, IssueCode, Millis, Outcome};
use crate::store::{CommitError, Sequence, StoreError};

/// What kind of success an answer reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ok,
    Created,
    NoContent,
    NotModified,
}

impl Kind {
    /// The HTTP status (R4 http.html).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Created => 201,
            Self::NoContent => 204,
            Self::NotModified => 304,
        }
    }
}

/// Marks a type whose JSON holds no patient data. Only the file that implements this trait can make values of the type, and it
/// makes them from tables, numbers and signed tokens, so that the text of a stored resource cannot become one.
pub(super) trait HoldsNobody {
    fn json(&self) -> String;
}

/// A text without patient data. It has two constructors: one takes a value that is `HoldsNobody`, the other an outcome, whose
/// texts are the server's own words.
#[derive(Clone, Debug)]
pub struct Public {
    json: String,
}

impl Public {
    #[must_use]
    pub fn outcome(outcome: &Outcome) -> Self {
        Self { json: outcome.to_json() }
    }

    /// The text of a value that holds no patient data.
    pub(super) fn of(made: &impl HoldsNobody) -> Self {
        Self { json: made.json() }
    }

    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// What the wire may send as a body.
#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    None,
    Disclosed(Disclosed),
    Public(Public),
}

impl Body {
    /// The JSON text, if there is one.
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Disclosed(disclosed) => Some(disclosed.text()),
            Self::Public(public) => Some(public.json()),
        }
    }
}

/// Asks for a look-up after the answer, which adds patients that the answer did not show to the record of accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unshown {
    /// Whether the answer counted more matches than it showed.
    pub(super) counted: bool,
    /// The sequence of the snapshot that was searched.
    pub(super) searched: Sequence,
}

/// The answer to a request that succeeded.
#[derive(Clone, Debug)]
pub struct Answer {
    pub kind: Kind,
    pub body: Body,
    /// The version id, for `ETag`.
    pub version_id: Option<String>,
    pub last_modified: Option<Millis>,
    pub location: Option<String>,
    /// The resource that the request wrote or found (as for a 304), recorded as released even where the body does not show it.
    pub written: Option<Disclosed>,
    /// Whether the access record is stored already, because it was part of the write's batch.
    pub recorded: bool,
    /// Resources that were asked for and hidden. They go into the record of accesses, never onto the wire.
    pub(super) withheld: Vec<Withheld>,
    /// The criteria of conditional interactions and references (`Type?criteria`), for the record of accesses alone.
    pub(super) criteria: Vec<String>,
    pub(super) unshown: Option<Unshown>,
    /// Set for a batch: how many of its entries would wait for the time grid if sent alone. `None` means every entry.
    pub on_the_grid: Option<u32>,
}

impl Answer {
    #[must_use]
    pub fn new(kind: Kind, body: Body) -> Self {
        Self {
            kind,
            body,
            version_id: None,
            last_modified: None,
            location: None,
            written: None,
            recorded: false,
            withheld: Vec::new(),
            criteria: Vec::new(),
            unshown: None,
            on_the_grid: None,
        }
    }

    /// An answer whose body is one version of one resource.
    #[must_use]
    pub fn of(kind: Kind, disclosed: Disclosed) -> Self {
        Self {
            version_id: Some(disclosed.version_id().to_owned()),
            last_modified: Some(disclosed.time()),
            ..Self::new(kind, Body::Disclosed(disclosed))
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    /// The client took too long to send its request.
    TooSlow,
    Conflict,
    Gone,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    Unprocessable,
    Internal,
    Busy,
    Full,
}

impl RefusalKind {
    /// The HTTP status (R4 http.html).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::TooSlow => 408,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Unprocessable => 422,
            Self::Internal => 500,
            Self::Busy => 503,
            Self::Full => 507,
        }
    }
}

/// A refusal: its kind, and the outcome with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{outcome}")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub outcome: Outcome,
    /// Resources that were asked for and hidden. They go into the record of accesses, never onto the wire.
    pub(super) withheld: Vec<Withheld>,
    /// The criteria of conditional interactions and references (`Type?criteria`), for the record of accesses alone.
    pub(super) criteria: Vec<String>,
    /// Whether the commit failed because another write came first; another attempt may succeed.
    pub(super) is_overtaken: bool,
}

impl Refusal {
    #[must_use]
    pub fn new(kind: RefusalKind, outcome: impl Into<Outcome>) -> Self {
        Self {
            kind,
            outcome: outcome.into(),
            withheld: Vec::new(),
            criteria: Vec::new(),
            is_overtaken: false,
        }
    }

    #[must_use]
    pub fn bad_request(code: IssueCode, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::BadRequest, Issue::error(code, message))
    }

    /// The answer for hidden and absent resources alike, so that it does not tell which of the two applies.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(RefusalKind::NotFound, Issue::error(IssueCode::NotFound, "there is no such resource"))
    }

    #[must_use]
    pub fn gone() -> Self {
        Self::new(RefusalKind::Gone, Issue::error(IssueCode::Deleted, "the resource has been deleted"))
    }

    #[must_use]
    pub fn precondition_failed(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::PreconditionFailed, Issue::error(IssueCode::Conflict, message))
    }

    /// Refuses a feature of the standard that this server does not support.
    #[must_use]
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::bad_request(IssueCode::NotSupported, message)
    }

    /// One answer for every write that a party may not do: separate texts for scopes and denials would reveal the denial.
    #[must_use]
    pub fn may_not_write() -> Self {
        Self::forbidden("the token's scopes, or who the party is, do not permit to write this")
    }

    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Forbidden, Issue::error(IssueCode::Forbidden, message))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Expired => {
                Self::new(RefusalKind::Gone, Issue::error(IssueCode::Expired, "the page link has expired"))
            }
            StoreError::Corrupt(_) | StoreError::Io(_) | StoreError::InUse | StoreError::Format(_) => {
                let outcome =
                    Outcome::error(IssueCode::Exception, "the store failed").because(error.to_string());
                Self::new(RefusalKind::Internal, outcome)
            }
        }
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        let outcome = Outcome::error(IssueCode::Transient, error.to_string());
        match error {
            RegistryError::Store(why) => Self::new(RefusalKind::Busy, outcome.because(why)),
            RegistryError::Exists | RegistryError::Absent | RegistryError::Invalid(_) => {
                Self::new(RefusalKind::Unprocessable, outcome)
            }
        }
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        let (kind, code) = match error {
            CommitError::Conflict { .. } => (RefusalKind::Conflict, IssueCode::Conflict),
            CommitError::Busy => (RefusalKind::Busy, IssueCode::Transient),
            CommitError::Full => (RefusalKind::Full, IssueCode::NoStore),
            CommitError::Stopped => (RefusalKind::Busy, IssueCode::NoStore),
        };
        let is_overtaken = matches!(error, CommitError::Conflict { .. });
        Self { is_overtaken, ..Self::new(kind, Issue::error(code, error.to_string())) }
    }
}
