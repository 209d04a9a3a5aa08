//! Preconditions of a write: `If-Match`, `If-Unmodified-Since` and `If-None-Match` (RFC 9110 sections 13.1 and 13.2.2; R4
//! http.html#concurrency). A malformed one is refused, since to ignore it would allow more than was asked for.
use crate::model::{IssueCode, Millis};

use super::answer::Refusal;
use super::request::Headers;
use super::validators::{entity_tag, http_date};

/// The current version: its version id, and when it was written. `None` if the resource is absent or deleted.
pub(super) type State<'s> = Option<(&'s str, Millis)>;

/// Checks the conditions of a write in the order of RFC 9110 section 13.2.2.
///
/// # Errors
/// 412 if one does not hold, 400 if one cannot be read.
pub(super) fn check(headers: &Headers, state: State<'_>) -> Result<(), Refusal> {
    if let Some(tags) = &headers.if_match {
        if !names(tags, state, "If-Match")? {
            return Err(Refusal::precondition_failed("the version in If-Match is not the newest"));
        }
    } else if let Some(date) = &headers.if_unmodified_since {
        let malformed =
            || Refusal::bad_request(IssueCode::Value, "If-Unmodified-Since is no HTTP date".to_owned());
        let since = http_date(date).ok_or_else(malformed)?;
        // HTTP dates have whole seconds.
        if state.is_none_or(|(_, written)| written.div_euclid(1_000) > since.div_euclid(1_000)) {
            return Err(Refusal::precondition_failed("it was changed after If-Unmodified-Since"));
        }
    }
    if let Some(tags) = &headers.if_none_match
        && names(tags, state, "If-None-Match")?
    {
        return Err(Refusal::precondition_failed("there is a version that If-None-Match names"));
    }
    Ok(())
}

/// Whether a list of entity tags, or `*`, names the current version.
fn names(tags: &str, state: State<'_>, header: &str) -> Result<bool, Refusal> {
    if tags.trim() == "*" {
        return Ok(state.is_some());
    }
    let malformed = || {
        Refusal::bad_request(IssueCode::Value, format!("{header} is no list of entity tags such as W/\"1\""))
    };
    let versions: Option<Vec<&str>> = tags.split(',').map(entity_tag).collect();
    let versions = versions.ok_or_else(malformed)?;
    Ok(state.is_some_and(|(version, _)| versions.contains(&version)))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::operations::request::Headers;

    #[test]
    fn conditions_hold_or_do_not() {
        let written = 784_111_777_500;
        let status = |matches: &str, none_match: &str, since: &str, is_there: bool| {
            let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
            let headers = Headers {
                if_match: text(matches),
                if_none_match: text(none_match),
                if_unmodified_since: text(since),
                ..Headers::default()
            };
            check(&headers, is_there.then_some(("2", written)))
                .map_or_else(|refusal| refusal.kind.status(), |()| 200)
        };
        for (matches, expected, of_nothing) in [
            ("W/\"2\"", 200, 412),
            ("\"2\"", 200, 412),
            ("\"1\", W/\"2\"", 200, 412),
            ("\"1\",\"3\"", 412, 412),
            ("*", 200, 412),
            ("2", 400, 400),
            ("\"1\",*", 400, 400),
        ] {
            assert_eq!(status(matches, "", "", true), expected, "{matches}");
            assert_eq!(status(matches, "", "", false), of_nothing, "{matches}");
        }
        for (none, expected, of_nothing) in
            [("*", 412, 200), ("\"2\"", 412, 200), ("W/\"1\", W/\"3\"", 200, 200), ("x", 400, 400)]
        {
            assert_eq!(status("", none, "", true), expected, "{none}");
            assert_eq!(status("", none, "", false), of_nothing, "{none}");
        }
        for (since, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
            ("Sun, 06 Nov 1994 08:49:36 GMT", 412),
            ("Sun, 06 Nov 1994 09:49:36 GMT", 200),
            ("yesterday", 400),
        ] {
            assert_eq!(status("", "", since, true), expected, "{since}");
        }
        assert_eq!(status("", "", "Sun, 06 Nov 1994 08:49:37 GMT", false), 412);
        // The date counts only where no version is named.
        assert_eq!(status("\"2\"", "", "Sun, 06 Nov 1994 08:49:36 GMT", true), 200);
        assert_eq!(status("\"2\"", "*", "", true), 412);
    }
}
