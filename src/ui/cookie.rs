//! The session cookie. It counts on the pages alone; requests to the API need a token.
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// The length of a session's id, in hexadecimal digits.
const ID_LEN: usize = 64;

/// Over https the name keeps other hosts of the same domain from setting the cookie (RFC 6265bis section 4.1.3.2).
fn name(base_url: &str) -> &'static str {
    if base_url.starts_with("https:") { "__Host-chartward-session" } else { "chartward-session" }
}

/// The id in the browser's cookie, if it has the form of one.
pub(super) fn id_in(headers: &HeaderMap, base_url: &str) -> Option<String> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, id) = pairs.find(|(key, _)| *key == name(base_url))?;
    let is_id = id.len() == ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

/// The `Set-Cookie` value with an id; the browser forgets it when it is closed.
pub(super) fn set(id: &str, base_url: &str) -> Option<HeaderValue> {
    let secure = if base_url.starts_with("https:") { "; Secure" } else { "" };
    let text = format!("{}={id}; Path=/; HttpOnly; SameSite=Lax{secure}", name(base_url));
    HeaderValue::from_str(&text).ok()
}

/// The `Set-Cookie` value that removes the cookie.
pub(super) fn unset(base_url: &str) -> Option<HeaderValue> {
    let secure = if base_url.starts_with("https:") { "; Secure" } else { "" };
    let text = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}", name(base_url));
    HeaderValue::from_str(&text).ok()
}

/// The cookie of an emergency. Its path is that of one record's pages, so it opens no other. It cannot have the prefix `__Host-`,
/// which asks for the path of the whole server.
fn emergency_name(base_url: &str) -> &'static str {
    if base_url.starts_with("https:") { "__Secure-chartward-emergency" } else { "chartward-emergency" }
}

/// The sealed text of the emergency that the browser's cookie holds.
pub(super) fn emergency_in<'h>(headers: &'h HeaderMap, base_url: &str) -> Option<&'h str> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == emergency_name(base_url)).map(|(_, sealed)| sealed)
}

/// The `Set-Cookie` value with an emergency, for the pages below a path and for so many seconds.
pub(super) fn set_emergency(
    sealed: &str,
    (path, seconds): (&str, u32),
    base_url: &str,
) -> Option<HeaderValue> {
    let secure = if base_url.starts_with("https:") { "; Secure" } else { "" };
    let name = emergency_name(base_url);
    let text = format!("{name}={sealed}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).ok()
}

/// The `Set-Cookie` value that ends an emergency.
pub(super) fn unset_emergency(path: &str, base_url: &str) -> Option<HeaderValue> {
    set_emergency("", (path, 0), base_url)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header::COOKIE};

    use super::id_in;

    #[test]
    fn the_cookie_is_read_if_it_looks_like_one() {
        let id = "0a".repeat(32);
        let check = |cookie: String, base: &str, expected: bool| {
            let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&cookie).unwrap())]);
            assert_eq!(id_in(&headers, base).is_some(), expected, "{cookie}");
        };
        check(format!("a=b; chartward-session={id}"), "http://h/fhir", true);
        check(format!("chartward-session={id}"), "https://h/fhir", false);
        check(format!("__Host-chartward-session={id}"), "https://h/fhir", true);
        check(format!("chartward-session={id}0"), "http://h/fhir", false);
        check("chartward-session=x; other".to_owned(), "http://h/fhir", false);
    }
}
