//! OperationOutcome: errors and remarks on a request. `diagnostics` goes to the client, `internal` to the log; neither contains
//! personal data.
use std::fmt;

use super::normalize::quote;

/// The severity of an issue (R4 valueset-issue-severity.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Information,
    Warning,
    Error,
    Fatal,
}

impl Severity {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

macro_rules! issue_codes {
    ($($name:ident = $code:literal),+ $(,)?) => {
        /// The type of an issue (R4 valueset-issue-type.html).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum IssueCode { $($name),+ }

        impl IssueCode {
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }
        }
    };
}

issue_codes! {
    Invalid = "invalid", Structure = "structure", Required = "required", Value = "value", Invariant = "invariant",
    Security = "security", Login = "login", Expired = "expired", Forbidden = "forbidden",
    Suppressed = "suppressed", Processing = "processing", NotSupported = "not-supported", Duplicate = "duplicate",
    MultipleMatches = "multiple-matches", NotFound = "not-found", Deleted = "deleted", TooLong = "too-long",
    CodeInvalid = "code-invalid", Extension = "extension", TooCostly = "too-costly",
    BusinessRule = "business-rule", Conflict = "conflict", Transient = "transient", Throttled = "throttled",
    Exception = "exception", Timeout = "timeout", NoStore = "no-store", Informational = "informational",
}

/// One issue of an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub severity: Severity,
    pub code: IssueCode,
    /// For the client: lower case, without a full stop, and specific.
    pub diagnostics: String,
    /// FHIRPath of the element, for findings in a resource.
    pub expression: Option<String>,
    /// Line and column in the body (from 1), for syntax errors.
    pub position: Option<(usize, usize)>,
}

impl Issue {
    #[must_use]
    pub fn error(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            diagnostics: diagnostics.into(),
            expression: None,
            position: None,
        }
    }

    #[must_use]
    pub fn warning(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, diagnostics) }
    }

    #[must_use]
    pub fn information(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Information, ..Self::error(code, diagnostics) }
    }

    /// The same issue, with the element that it concerns.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// The same issue, with a position in the body.
    #[must_use]
    pub fn on(mut self, position: (usize, usize)) -> Self {
        self.position = Some(position);
        self
    }
}

/// At most this many findings of one document are kept, because they may be larger than the document; further ones are counted.
pub const FINDINGS_KEPT_MAX: usize = 1_000;
/// The maximum bytes of one finding's text, because a name in it may be as long as the document.
const DIAGNOSTICS_BYTES_MAX: usize = 2_000;

/// Collects the findings of one document.
#[derive(Debug, Default)]
pub struct Findings {
    kept: Vec<Issue>,
    more: usize,
}

impl Findings {
    /// Keeps a finding or only counts it; `issue` is called only if it is kept.
    pub fn push(&mut self, issue: impl FnOnce() -> Issue) {
        if self.kept.len() < FINDINGS_KEPT_MAX {
            self.kept.push(issue());
        } else {
            self.more += 1;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The kept findings, and the number of further ones.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Issue>, usize) {
        (self.kept, self.more)
    }
}

/// A list of issues: the answer to a failed request, or remarks on a successful one.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Outcome {
    pub issues: Vec<Issue>,
    /// For the log only: the underlying failure.
    pub internal: Option<String>,
}

impl Outcome {
    /// An outcome with one error.
    #[must_use]
    pub fn error(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Issue::error(code, diagnostics).into()
    }

    /// Whether any issue is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.issues.iter().any(|issue| issue.severity >= Severity::Error)
    }

    /// The same outcome with a text for the log.
    #[must_use]
    pub fn because(mut self, internal: impl Into<String>) -> Self {
        self.internal = Some(internal.into());
        self
    }

    /// The OperationOutcome resource as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"resourceType\":\"OperationOutcome\",\"issue\":[");
        for (issue, number) in self.issues.iter().zip(0_usize..) {
            if number > 0 {
                out.push(',');
            }
            write_issue(issue, &mut out);
        }
        out.push_str("]}");
        out
    }
}

impl fmt::Display for Outcome {
    /// The diagnostics of the issues, for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (issue, number) in self.issues.iter().zip(0_usize..) {
            let separator = if number > 0 { "; " } else { "" };
            write!(f, "{separator}{}", issue.diagnostics)?;
        }
        Ok(())
    }
}

impl From<Issue> for Outcome {
    fn from(issue: Issue) -> Self {
        Self { issues: vec![issue], internal: None }
    }
}

impl From<Vec<Issue>> for Outcome {
    fn from(issues: Vec<Issue>) -> Self {
        Self { issues, internal: None }
    }
}

/// The beginning of a text, at most `DIAGNOSTICS_BYTES_MAX` long.
fn cut(text: &str) -> &str {
    let mut end = DIAGNOSTICS_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn write_issue(issue: &Issue, out: &mut String) {
    out.push_str("{\"severity\":\"");
    out.push_str(issue.severity.code());
    out.push_str("\",\"code\":\"");
    out.push_str(issue.code.code());
    out.push_str("\",\"diagnostics\":");
    quote(cut(&issue.diagnostics), out);
    if let Some((line, column)) = issue.position {
        // CHOICE: R4 deprecates `location` for FHIRPath in favour of `expression`. A position in a body that does not parse has
        // no path, so it is given in `location`, as the well-known validators do.
        out.push_str(",\"location\":[");
        quote(&format!("line {line}, column {column}"), out);
        out.push(']');
    }
    if let Some(expression) = &issue.expression {
        out.push_str(",\"expression\":[");
        quote(cut(expression), out);
        out.push(']');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::{Issue, IssueCode, Outcome};

    #[test]
    fn an_outcome_is_written_as_its_resource() {
        let outcome: Outcome =
            Issue::error(IssueCode::Value, "`x` is no date").at("Patient.birthDate").on((2, 7)).into();
        assert_eq!(
            outcome.to_json(),
            r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","diagnostics":"`x` is no date","location":["line 2, column 7"],"expression":["Patient.birthDate"]}]}"#
        );
        assert!(outcome.has_errors());
    }
}
