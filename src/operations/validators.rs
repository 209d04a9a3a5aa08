//! Entity tags and dates of HTTP, by which a client says which version it has (RFC 9110 section 8.8).
use crate::model::Temporal;

/// Whether a list of entity tags, or `*`, names a version. What cannot be read names none: then all is sent again.
pub(super) fn names_version(tags: &str, version: &str) -> bool {
    tags.trim() == "*" || tags.split(',').any(|tag| entity_tag(tag) == Some(version))
}

/// The version id in `W/"1"` or `"1"`.
pub(super) fn entity_tag(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')
}

/// Milliseconds of an HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
pub(super) fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_whitespace().skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let stamp = format!("{year}-{month:02}-{day:0>2}T{time}Z");
    Temporal::parse(&stamp).map(|date| date.interval().start)
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
        assert_eq!(http_date("yesterday"), None);
    }
}
