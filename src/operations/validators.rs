//! Entity tags and dates of HTTP, by which a client says which version it has (RFC 9110 section 8.8).
use std::time::UNIX_EPOCH;

use crate::model::Millis;

/// Whether a list of entity tags, or `*`, names a version. A malformed tag names none, so that the resource is sent again.
pub(super) fn names_version(tags: &str, version: &str) -> bool {
    tags.trim() == "*" || tags.split(',').any(|tag| entity_tag(tag) == Some(version))
}

/// The version id in `W/"1"` or `"1"`.
pub(super) fn entity_tag(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')
}

/// Milliseconds since 1970 of an HTTP date in any of its three forms (RFC 9110 section 5.6.7); `None` if it is none.
pub(super) fn http_date(text: &str) -> Option<Millis> {
    let date = httpdate::parse_http_date(text).ok()?;
    Millis::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::{entity_tag, http_date};

    #[test]
    fn tags_and_dates_are_read() {
        assert_eq!(entity_tag(" W/\"1\""), Some("1"));
        assert_eq!(entity_tag("\"1\""), Some("1"));
        assert_eq!(entity_tag("1"), None);
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(http_date("Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(http_date("Sun Nov  6 08:49:37 1994"), Some(784_111_777_000));
        assert_eq!(http_date("yesterday"), None);
    }
}
