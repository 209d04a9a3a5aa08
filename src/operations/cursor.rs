//! Page links: snapshot, position, expiry and query of a page, encrypted and bound to the party and the path. A link grants no
//! rights: every page passes the lens of its own request.
use std::io::{Read as _, Write as _};

use crate::auth::{Party, base64_url};
use crate::model::decode_base64_url;
use crate::model::{IssueCode, Millis, encode};
use crate::store::Way;

use super::answer::Refusal;
use super::context::Context;
use super::request::{Payload, Request, decode_pairs};

/// How long a cursor is valid, in milliseconds; the store keeps old snapshots as long.
pub(super) const CURSOR_MS_MAX: Millis = 15 * 60 * 1_000;

/// The position of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The sequence of the snapshot that the first page read.
    pub(super) sequence: u64,
    /// The row after which (going back: before which) the page begins; [`Self::AT_THE_BEGINNING`] for the first page.
    pub(super) row: u64,
    /// How many of the resources included with the page's first match were on earlier pages.
    pub(super) included: usize,
    /// Matches before the page; in a history the last version's sequence; for AuditEvents by time the last event's number.
    pub(super) offset: usize,
    pub(super) way: Way,
    /// The total that the first page found, if it found one.
    pub(super) total: Option<usize>,
    pub(super) made: Millis,
    /// When the first page was asked for.
    pub(super) first_asked: Millis,
}

/// Seven numbers and the direction. Every cursor has the same length, so that it does not reveal how far its page is.
const LEN: usize = 7 * 8 + 1;

impl Cursor {
    /// Stands for "no row"; no row has this number.
    pub(super) const AT_THE_BEGINNING: u64 = u64::MAX;

    /// The row after which (or before which) the page begins; `None` for the first page.
    pub(super) fn from(&self) -> Option<u64> {
        (self.row != Self::AT_THE_BEGINNING).then_some(self.row)
    }

    fn bytes(&self) -> Vec<u8> {
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(LEN + 16);
        for part in [self.sequence, self.row, number(self.offset), self.total.map_or(u64::MAX, number)] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        bytes.extend_from_slice(&number(self.included).to_be_bytes());
        bytes.extend_from_slice(&self.made.to_be_bytes());
        bytes.extend_from_slice(&self.first_asked.to_be_bytes());
        bytes.push(u8::from(self.way == Way::Back));
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let part = |at: usize| bytes.get(at * 8..)?.first_chunk::<8>().copied();
        let number = |at: usize| part(at).map(u64::from_be_bytes);
        let total = number(3)?;
        Some(Self {
            sequence: number(0)?,
            row: number(1)?,
            offset: usize::try_from(number(2)?).ok()?,
            total: if total == u64::MAX { None } else { Some(usize::try_from(total).ok()?) },
            included: usize::try_from(number(4)?).ok()?,
            made: Millis::from_be_bytes(part(5)?),
            first_asked: Millis::from_be_bytes(part(6)?),
            way: if *bytes.get(LEN - 1)? == 1 { Way::Back } else { Way::Onward },
        })
    }
}

/// A packed query of more bytes than this is kept in the store, so that every client and proxy can follow the link.
const INLINE_BYTES_MAX: usize = 1_024;

/// The most bytes of an unpacked query; a longer query has only its first page.
const QUERY_BYTES_MAX: usize = 16 * 1_024 * 1_024;

const NOT_YOURS: &str = "the page link is none of yours";

/// Parameters for the form of the answer: they stand in the clear beside a cursor, and clients may add them.
const ANSWER_PARAMETERS: [&str; 2] = ["_format", "_pretty"];

impl Context {
    /// The URL of another page of the same query; `path` is relative to the base URL, `query` is the request's query, encoded.
    pub(super) fn page_link(
        &self,
        cursor: &Cursor,
        party: &Party,
        (path, query): (&str, &str),
    ) -> Result<String, Refusal> {
        let (open, sealed): (Vec<_>, Vec<_>) =
            decode_pairs(query).into_iter().partition(|(name, _)| ANSWER_PARAMETERS.contains(&name.as_str()));
        let text = |pairs: &[(String, String)]| {
            let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
            pairs.collect::<Vec<_>>().join("&")
        };
        let sealed = text(&sealed);
        if sealed.len() > QUERY_BYTES_MAX {
            let message =
                format!("a query of more than {QUERY_BYTES_MAX} bytes has no other pages than the first");
            return Err(Refusal::bad_request(IssueCode::TooCostly, message));
        }
        let packed = pack(&sealed);
        let mut bytes = cursor.bytes();
        if packed.len() <= INLINE_BYTES_MAX {
            bytes.push(0);
            bytes.extend_from_slice(&packed);
        } else {
            bytes.push(1);
            bytes.extend_from_slice(&self.keep_query(party, &packed, cursor.made)?);
        }
        let cursor = base64_url(&self.sealer.seal(bytes, &binding(party, path)).ok_or_else(unmade)?);
        let open = text(&open);
        let separator = if open.is_empty() { "" } else { "&" };
        let base = format!("{}/{path}", self.options.base_url);
        Ok(format!("{}?{open}{separator}_cursor={cursor}", base.trim_end_matches('/')))
    }

    /// The position that a link names.
    pub(super) fn cursor(&self, text: &str, party: &Party, path: &str) -> Result<Cursor, Refusal> {
        self.opened(text, party, path).map(|(cursor, _)| cursor)
    }

    /// Adds the query of a page link to the request's parameters; the cursor stays among them.
    ///
    /// # Errors
    /// 400 if the link is not for this party and path, or has parameters other than [`ANSWER_PARAMETERS`]; 410 if it has expired.
    pub(super) fn resume(&self, party: &Party, request: &mut Request) -> Result<(), Refusal> {
        let is_cursor = |(name, value): &&(String, String)| name == "_cursor" && !value.is_empty();
        if let Payload::Form(form) = &request.payload
            && form.iter().any(|pair| is_cursor(&pair))
        {
            return Err(Refusal::bad_request(IssueCode::Invalid, "page links are followed by GET"));
        }
        let Some((_, text)) = request.query.iter().find(is_cursor).cloned() else { return Ok(()) };
        let is_added =
            |(name, _): &&(String, String)| name != "_cursor" && !ANSWER_PARAMETERS.contains(&name.as_str());
        if let Some((name, _)) = request.query.iter().find(is_added) {
            let message =
                format!("`{name}` cannot be added to a page link, {} can", ANSWER_PARAMETERS.join(" and "));
            return Err(Refusal::bad_request(IssueCode::Invalid, message));
        }
        let (cursor, plain) = self.opened(&text, party, &request.path.join("/"))?;
        let wrong = || Refusal::bad_request(IssueCode::Invalid, NOT_YOURS);
        let (is_kept, rest) = plain.get(LEN..).and_then(<[u8]>::split_first).ok_or_else(wrong)?;
        let query = if *is_kept == 1 {
            let kept = self.kept_query(party, rest, cursor.made)?;
            unpack(&kept.ok_or(crate::store::StoreError::Expired)?)
        } else {
            unpack(rest)
        };
        let query = query.ok_or_else(wrong)?;
        request.query.splice(0..0, decode_pairs(&query));
        Ok(())
    }

    /// The cursor of a valid link, and the decrypted bytes, which begin with the cursor.
    fn opened(&self, text: &str, party: &Party, path: &str) -> Result<(Cursor, Vec<u8>), Refusal> {
        let wrong = || Refusal::bad_request(IssueCode::Invalid, NOT_YOURS);
        let bytes = decode_base64_url(text).ok_or_else(wrong)?;
        let plain = self.sealer.open(bytes, &binding(party, path)).ok_or_else(wrong)?;
        let cursor = Cursor::read(&plain).ok_or_else(wrong)?;
        if self.now() - cursor.made > CURSOR_MS_MAX {
            return Err(crate::store::StoreError::Expired.into());
        }
        Ok((cursor, plain))
    }
}

/// Refuses a request whose page links cannot be encrypted, for want of randomness.
pub(super) fn unmade() -> Refusal {
    Refusal::bad_request(IssueCode::Exception, "no page link could be made")
}

fn pack(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

fn unpack(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let limit = u64::try_from(QUERY_BYTES_MAX).unwrap_or(u64::MAX);
    flate2::read::DeflateDecoder::new(bytes).take(limit).read_to_string(&mut text).ok()?;
    Some(text)
}

/// What a link is bound to: client, subject and path.
fn binding(party: &Party, path: &str) -> String {
    format!("{}\n{}\n{}", party.client, party.subject, path.trim_matches('/'))
}
