//! The request body, parsed according to its content type.
use crate::model::{Issue, IssueCode, Outcome, from_xml, parse};
use crate::operations::{Payload, Refusal, RefusalKind, decode_pairs};

use super::negotiate::{Content, Format};

pub(super) fn read(content: Content, bytes: Vec<u8>) -> Result<Payload, Refusal> {
    match content {
        Content::JsonPatch => Ok(Payload::JsonPatch(bytes)),
        Content::Form => {
            // An unreadable form must not become an empty search, which would match everything.
            let wrong =
                || refuse(RefusalKind::BadRequest, IssueCode::Structure, "the form is no text in UTF-8");
            let pairs = decode_pairs(std::str::from_utf8(&bytes).map_err(|_| wrong())?);
            few_enough(&pairs)?;
            Ok(Payload::Form(pairs))
        }
        Content::Resource(Format::Json) | Content::Unknown => {
            parse(bytes).map(Payload::Resource).map_err(|error| {
                let issue = Issue::error(IssueCode::Structure, error.message).on((error.line, error.column));
                Refusal::new(RefusalKind::BadRequest, Outcome::from(issue))
            })
        }
        Content::Resource(Format::Xml) => from_xml(&bytes).map(Payload::Resource).map_err(|unreadable| {
            let kind =
                if unreadable.is_malformed { RefusalKind::BadRequest } else { RefusalKind::Unprocessable };
            Refusal::new(kind, unreadable.outcome)
        }),
    }
}

/// The most parameters of a query or a form.
pub(super) const PARAMETERS_MAX: usize = 1_000;

pub(super) fn few_enough(pairs: &[(String, String)]) -> Result<(), Refusal> {
    if pairs.len() <= PARAMETERS_MAX {
        return Ok(());
    }
    let message = format!("there are more than {PARAMETERS_MAX} parameters");
    Err(refuse(RefusalKind::BadRequest, IssueCode::TooCostly, message))
}

pub(super) fn refuse(kind: RefusalKind, code: IssueCode, message: impl Into<String>) -> Refusal {
    Refusal::new(kind, Issue::error(code, message))
}
