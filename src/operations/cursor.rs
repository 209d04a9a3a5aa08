//! Page cursors: which state, how far, until when; sealed, and bound to who asked what. A cursor is never a proof of a
//! right: every page passes the lens of its own request.
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::auth::Party;
use crate::model::{IssueCode, Millis};
use crate::store::Way;

use super::answer::Refusal;
use super::engine::Engine;

/// How long a cursor is good for, in milliseconds; the store keeps old states as long.
pub(super) const CURSOR_MS_MAX: Millis = 15 * 60 * 1_000;

/// The place of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The state of the first page.
    pub(super) sequence: u64,
    /// The row after which (or, going back, before which) the page is.
    pub(super) row: u64,
    /// How many matches are before the page, where links count; of a history the commit that made the version of the row.
    pub(super) offset: usize,
    pub(super) way: Way,
    /// The total that the first page found.
    pub(super) total: Option<usize>,
    pub(super) made: Millis,
    /// When the first page was asked for.
    pub(super) first_asked: Millis,
}

/// Six numbers and the way: every cursor is as long as any other, so that it tells nothing of how far its page is.
const LEN: usize = 6 * 8 + 1;

impl Cursor {
    fn bytes(&self) -> Vec<u8> {
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(LEN + 16);
        for part in [self.sequence, self.row, number(self.offset), self.total.map_or(u64::MAX, number)] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
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
            made: Millis::from_be_bytes(part(4)?),
            first_asked: Millis::from_be_bytes(part(5)?),
            way: if *bytes.get(LEN - 1)? == 1 { Way::Back } else { Way::Onward },
        })
    }
}

impl Engine {
    /// The cursor as text for a link.
    pub(super) fn seal(&self, cursor: &Cursor, party: &Party, query: &str) -> Result<String, Refusal> {
        let failed = || Refusal::bad_request(IssueCode::Exception, "no page link could be made");
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|_| failed())?;
        let mut bytes = cursor.bytes();
        let key = self.cursor_cipher().ok_or_else(failed)?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(binding(party, query)),
            &mut bytes,
        )
        .map_err(|_| failed())?;
        Ok(nonce.iter().chain(&bytes).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The cursor of a link.
    pub(super) fn unseal(&self, text: &str, party: &Party, query: &str) -> Result<Cursor, Refusal> {
        let wrong = || Refusal::bad_request(IssueCode::Invalid, "the page link is none of yours");
        let mut bytes = Vec::with_capacity(text.len() / 2);
        for at in (0..text.len()).step_by(2) {
            let byte = text.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            bytes.push(byte.ok_or_else(wrong)?);
        }
        let (nonce, sealed) = bytes.split_first_chunk_mut::<12>().ok_or_else(wrong)?;
        let key = self.cursor_cipher().ok_or_else(wrong)?;
        let plain = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(binding(party, query)), sealed)
            .map_err(|_| wrong())?;
        let cursor = Cursor::read(plain).ok_or_else(wrong)?;
        if self.now() - cursor.made > CURSOR_MS_MAX {
            return Err(crate::store::StoreError::Expired.into());
        }
        Ok(cursor)
    }

    fn cursor_cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.cursor_key).ok().map(LessSafeKey::new)
    }
}

/// Who asked what.
fn binding(party: &Party, query: &str) -> String {
    format!("{}\n{}\n{}", party.client, party.subject, query)
}
