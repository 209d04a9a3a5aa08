//! Content negotiation: what a request body is, and which format the response has (R4 http.html#mime-type).
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};

/// The wire formats of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Json,
    Xml,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/fhir+json; charset=utf-8",
            Self::Xml => "application/fhir+xml; charset=utf-8",
        }
    }

    fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/fhir+json" | "application/json" | "text/json" | "json" | "application/json+fhir" => {
                Self::Json
            }
            "application/fhir+xml" | "application/xml" | "text/xml" | "xml" | "application/xml+fhir" => {
                Self::Xml
            }
            _ => return None,
        })
    }
}

/// The content of a body, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Resource(Format),
    JsonPatch,
    Form,
    Unknown,
}

/// Whether a media type is for this FHIR release (R4 http.html#version-parameter), as it is without the parameter.
fn is_of_r4(value: &str) -> bool {
    let parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut versions = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("fhirVersion"));
    versions.all(|(_, version)| matches!(version.trim().trim_matches('"'), "4.0" | "4.0.0" | "4.0.1"))
}

fn plain(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The content of a body; JSON if there is no `Content-Type`.
pub(super) fn content(headers: &HeaderMap) -> Content {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Content::Resource(Format::Json) };
    let value = value.to_str().unwrap_or_default();
    if !is_of_r4(value) {
        return Content::Unknown;
    }
    let media_type = plain(value);
    match media_type.as_str() {
        "application/json-patch+json" => Content::JsonPatch,
        "application/x-www-form-urlencoded" => Content::Form,
        other => Format::of(other).map_or(Content::Unknown, Content::Resource),
    }
}

/// The format of the response. `_format` overrides `Accept`; `None` if no requested format is supported.
pub(super) fn answer(headers: &HeaderMap, format: Option<&str>) -> Option<Format> {
    if let Some(format) = format {
        // The plus sign of `application/fhir+xml` arrives as a space unless the client has escaped it.
        return Format::of(&plain(&format.replace(' ', "+"))).filter(|_| is_of_r4(format));
    }
    let mut best: Option<(u32, Format)> = None;
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        for part in value.to_str().unwrap_or_default().split(',').filter(|part| !part.trim().is_empty()) {
            any = true;
            let quality = quality(part);
            let media_type = plain(part);
            let format = match media_type.as_str() {
                "*/*" | "application/*" | "text/*" => Some(Format::Json),
                other => Format::of(other),
            };
            if let Some(format) = format.filter(|_| quality > 0 && is_of_r4(part))
                && best.is_none_or(|(known, _)| quality > known)
            {
                best = Some((quality, format));
            }
        }
    }
    if any { best.map(|(_, format)| format) } else { Some(Format::Json) }
}

/// Whether the client prefers HTML to every FHIR format: by weight, and at equal weight by order.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let mut best: Option<(u32, bool)> = None;
    for value in headers.get_all(ACCEPT) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let (media_type, quality) = (plain(part), quality(part));
            let is_html = matches!(media_type.as_str(), "text/html" | "application/xhtml+xml");
            let is_named = is_html || Format::of(&media_type).is_some();
            if is_named && quality > 0 && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, is_html));
            }
        }
    }
    best.is_some_and(|(_, is_html)| is_html)
}

/// The weight `q` of an `Accept` entry, in thousandths.
fn quality(part: &str) -> u32 {
    let weight = part.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    let Some(weight) = weight else { return 1_000 };
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let thousandths = digits.parse::<u32>().unwrap_or(0);
    if whole == "1" { 1_000 } else { thousandths }
}

#[cfg(test)]
mod tests {
    use super::{Format, answer, prefers_html};
    use axum::http::{HeaderMap, HeaderValue, header::ACCEPT};

    #[test]
    fn browsers_are_told_from_programs() {
        let asks = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            prefers_html(&headers)
        };
        assert!(asks("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(asks("application/xml;q=0.9, text/html"));
        for program in [
            "*/*",
            "application/fhir+json",
            "application/fhir+json, text/html",
            "text/html;q=0.1, application/fhir+json",
            "text/html;q=0",
            "application/xml",
        ] {
            assert!(!asks(program), "{program}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn the_best_that_can_be_had_is_chosen() {
        let check = |accept: &'static str, format: Option<&str>, expected: Option<Format>| {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(answer(&headers, format), expected, "{accept} {format:?}");
        };
        check("", None, Some(Format::Json));
        check("application/fhir+xml", None, Some(Format::Xml));
        check("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", None, Some(Format::Json));
        check("text/html, */*;q=0.1", None, Some(Format::Json));
        check("text/html", None, None);
        check("application/fhir+json", Some("xml"), Some(Format::Xml));
        check("", Some("application/fhir xml"), Some(Format::Xml));
        check("", Some("pdf"), None);
        check("application/fhir+json; fhirVersion=4.0", None, Some(Format::Json));
        check("application/fhir+json; fhirVersion=3.0", None, None);
        check("application/fhir+json;fhirversion=\"5.0\", application/fhir+xml", None, Some(Format::Xml));
        check("", Some("application/fhir+json; fhirVersion=3.0"), None);
    }
}
