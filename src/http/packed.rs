//! Compressed request bodies (`Content-Encoding`, RFC 9110 section 8.4): gzip and brotli, within the size limit of bodies.
use std::io::Read;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;

use crate::model::{Issue, IssueCode};
use crate::operations::{Refusal, RefusalKind};

use super::workers::Workers;

/// A supported content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
}

/// A body with more codings than this is refused.
const CODINGS_MAX: usize = 2;

/// The content codings of a body, in the order in which they were applied.
///
/// # Errors
/// 415 for an unknown coding, or for too many.
pub(super) fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Refusal> {
    let refused = || {
        let message = "the content encoding is not one that is taken: gzip and br are";
        Refusal::new(RefusalKind::UnsupportedMediaType, Issue::error(IssueCode::NotSupported, message))
    };
    let mut found = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().map_err(|_| refused())?.split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "identity" | "" => {}
                "gzip" | "x-gzip" => found.push(Coding::Gzip),
                "br" => found.push(Coding::Brotli),
                _ => return Err(refused()),
            }
        }
    }
    if found.len() > CODINGS_MAX { Err(refused()) } else { Ok(found) }
}

/// The decompressed body; `None` if decompression exceeds `bytes_max`, however small the compressed body is.
///
/// # Errors
/// 415 for an unknown coding, 400 for a body that cannot be decompressed.
pub(super) async fn unpacked(
    workers: &Workers,
    headers: &HeaderMap,
    body: Bytes,
    bytes_max: usize,
) -> Result<Option<Bytes>, Refusal> {
    let codings = codings(headers)?;
    if codings.is_empty() {
        return Ok(Some(body));
    }
    let work = move || {
        let mut body = body;
        for coding in codings.into_iter().rev() {
            match unpack(coding, &body, bytes_max)? {
                Some(unpacked) => body = unpacked.into(),
                None => return Ok(None),
            }
        }
        Ok(Some(body))
    };
    let unreadable = |_: std::io::Error| {
        let message = "the body cannot be unpacked as its content encoding says";
        Refusal::new(RefusalKind::BadRequest, Issue::error(IssueCode::Structure, message))
    };
    workers.write(async move { work().map_err(unreadable) }).await
}

fn unpack(coding: Coding, body: &[u8], bytes_max: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    // One byte above the limit shows that the body is too large.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    match coding {
        Coding::Gzip => flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut out)?,
        Coding::Brotli => {
            brotli_decompressor::Decompressor::new(body, 64 * 1024).take(limit).read_to_end(&mut out)?
        }
    };
    Ok((out.len() <= bytes_max).then_some(out))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Coding, codings, unpack};
    use axum::http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

    #[test]
    fn a_small_body_that_would_be_large_is_not_unpacked_whole() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b' '; 1_000_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(unpack(Coding::Gzip, &packed, 1_000_000).unwrap().map(|out| out.len()), Some(1_000_000));
        assert_eq!(unpack(Coding::Gzip, &packed, 999_999).unwrap(), None);
        assert!(unpack(Coding::Gzip, b"{}", 10).is_err());
        assert!(unpack(Coding::Gzip, packed.get(..packed.len() / 2).unwrap(), 1_000_000).is_err());
        assert!(unpack(Coding::Brotli, b"{}", 10).is_err());
    }

    #[test]
    fn codings_are_told_by_their_names() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(value));
            codings(&headers).map_err(|refusal| refusal.kind.status())
        };
        assert_eq!(of("identity"), Ok(vec![]));
        assert_eq!(of("GZIP"), Ok(vec![Coding::Gzip]));
        assert_eq!(of("gzip, br"), Ok(vec![Coding::Gzip, Coding::Brotli]));
        assert_eq!(of("deflate"), Err(415));
        assert_eq!(of("gzip, gzip, gzip"), Err(415));
    }
}
