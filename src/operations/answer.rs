//! What comes of a request: an answer made of what was disclosed, or a refusal. Status codes are chosen here, once.
use crate::auth::RegistryError;
use crate::consent::{Disclosed, Withheld};
use crate::model::{Issue, IssueCode, Millis, Outcome};
use crate::store::{CommitError, Sequence, StoreError};

/// What an answer is.
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

/// What is known to hold nothing of anybody, by its type: nothing outside the file that implements this makes a value of the type, and
/// that file makes it of tables, numbers and signed tokens, so that the text of a stored resource cannot become one.
pub(super) trait HoldsNobody {
    fn json(&self) -> String;
}

/// Texts that hold nothing of anybody. The constructors are all there are: one takes what `HoldsNobody`; an outcome says what is wrong
/// in words of the server's own.
#[derive(Clone, Debug)]
pub struct Public {
    json: String,
}

impl Public {
    #[must_use]
    pub fn outcome(outcome: &Outcome) -> Self {
        Self { json: outcome.to_json() }
    }

    /// A text of the server's own.
    pub(super) fn of(made: &impl HoldsNobody) -> Self {
        Self { json: made.json() }
    }

    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// What the wire may carry.
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

/// What is to be looked up after the answer for the record of accesses: whom it concerned beyond what it showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unshown {
    /// Whether it counted more than it showed.
    pub(super) counted: bool,
    /// The state that was searched.
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
    /// The resource that a write concerned, even where the body does not show it.
    pub written: Option<Disclosed>,
    /// Whether the record of the access is in the store already, in the batch of the write.
    pub recorded: bool,
    /// What was asked for and not shown. It goes into the record and never onto the wire.
    pub(super) withheld: Vec<Withheld>,
    /// By which criteria things were looked for (`Type?criteria`), for the record alone.
    pub(super) criteria: Vec<String>,
    pub(super) unshown: Option<Unshown>,
    /// How many of a Bundle's entries are answered as if alone on the grid of time; none is said of what is no Bundle.
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

    /// An answer that is one version of one resource.
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
    /// The client took too long to send what it wanted to.
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

/// A refusal: what it is, and the outcome that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub outcome: Outcome,
    /// What was asked for and not shown. It goes into the record and never onto the wire.
    pub(super) withheld: Vec<Withheld>,
    /// By which criteria things were looked for (`Type?criteria`), for the record alone.
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

    /// What hidden and absent things have in common: no word of which it is.
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

    /// Something that the standard has and that is not served.
    #[must_use]
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::bad_request(IssueCode::NotSupported, message)
    }

    /// One answer for all that a party may not write: whether scopes or a denial stopped it tells of the denial.
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
            StoreError::Corrupt(_) | StoreError::Io(_) | StoreError::InUse => {
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
