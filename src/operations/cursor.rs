//! Page cursors: which state, how far, until when; sealed, and bound to who asked what. A cursor is never a proof of a
//! right: every page passes the lens of its own request.
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::auth::Party;
use crate::model::{IssueCode, Millis};

use super::answer::Refusal;
use super::engine::Engine;

/// How long a cursor is good for, in milliseconds; the store keeps old states as long.
pub(super) const CURSOR_MS_MAX: Millis = 15 * 60 * 1_000;

/// The place of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub(super) sequence: u64,
    pub(super) offset: usize,
    pub(super) made: Millis,
}

impl Engine {
    /// The cursor as text for a link.
    pub(super) fn seal(&self, cursor: &Cursor, party: &Party, query: &str) -> Result<String, Refusal> {
        let failed = || Refusal::bad_request(IssueCode::Exception, "no page link could be made");
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|_| failed())?;
        // A fixed length, so that the text tells nothing of how far the page is.
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&cursor.sequence.to_be_bytes());
        bytes.extend_from_slice(&u64::try_from(cursor.offset).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(&cursor.made.to_be_bytes());
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
        let number = |at: usize| plain.get(at..at + 8).and_then(|bytes| bytes.first_chunk::<8>()).copied();
        let (sequence, offset, made) = (number(0), number(8), number(16));
        let cursor = Cursor {
            sequence: u64::from_be_bytes(sequence.ok_or_else(wrong)?),
            offset: usize::try_from(u64::from_be_bytes(offset.ok_or_else(wrong)?)).map_err(|_| wrong())?,
            made: Millis::from_be_bytes(made.ok_or_else(wrong)?),
        };
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
