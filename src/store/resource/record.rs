//! The stored form of a version: when and how it was written, and its text.
//!
//! `time (8) | method (1) | type (2) | id length (1), id | meta place (4) | compression (1) | text`; a compressed text is
//! `dictionary (4), if one was used | length (4) | compressed`.
use bytes::Bytes;

use crate::definitions::{TypeDef, r4};
use crate::model::{Millis, Normalized, ResourceId, Temporal};
use crate::store::kv::{Snapshot, StoreError};
use crate::store::pack::{pack, unpack};

use super::super::batch::Sequence;
use super::packing::numbered::dictionary_numbered;
use super::packing::{Dictionary, Sort};

/// The interaction that wrote a version (R4 http.html, the interactions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Create,
    Update,
    Delete,
}

impl Method {
    fn byte(self) -> u8 {
        match self {
            Self::Create => 1,
            Self::Update => 2,
            Self::Delete => 3,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete].into_iter().find(|method| method.byte() == byte)
    }
}

/// The third state of a resource: a version that the store holds. It cannot be sent to a client; only a lens turns it into
/// something that can.
#[derive(Clone, Debug)]
pub struct Stored {
    pub row: u64,
    pub sequence: Sequence,
    pub time: Millis,
    pub method: Method,
    pub def: &'static TypeDef,
    pub id: ResourceId,
    /// The text in normal form; empty for a deletion.
    pub text: String,
    pub meta_at: usize,
}

impl Stored {
    /// The text with `versionId` and `lastUpdated` inserted into `meta`.
    #[must_use]
    pub fn stamped(&self, version_id: &str) -> String {
        let (before, after) = self.text.split_at_checked(self.meta_at).unwrap_or((&self.text, ""));
        let comma = if after.starts_with('}') { "" } else { "," };
        let time = Temporal::from_millis(self.time).to_text();
        format!("{before}\"versionId\":\"{version_id}\",\"lastUpdated\":\"{time}\"{comma}{after}")
    }
}

const NONE: u8 = 0;
const ZSTD: u8 = 1;
const ZSTD_WITH_DICTIONARY: u8 = 2;
/// Shorter texts do not get smaller without a dictionary.
const PACK_BYTES_MIN: usize = 160;
/// The offset of the time, which the writer fills in.
pub(super) const TIME_OFFSET: usize = 0;

/// Encodes a version. The writer fills in the time.
pub(super) fn encode(
    method: Method,
    def: &TypeDef,
    id: &ResourceId,
    body: Option<&Normalized>,
    dictionary: Option<&'static Dictionary>,
) -> Vec<u8> {
    let mut out = vec![0; 8];
    out.push(method.byte());
    out.extend_from_slice(&r4().resource_number(def.id).unwrap_or(u16::MAX).to_be_bytes());
    out.push(u8::try_from(id.as_str().len()).unwrap_or(0));
    out.extend_from_slice(id.as_str().as_bytes());
    let (text, meta_at) = body.map_or(("", 0), |body| (body.text.as_str(), body.meta_at));
    out.extend_from_slice(&u32::try_from(meta_at).unwrap_or(0).to_be_bytes());
    let packed = match dictionary {
        Some(dictionary) if !text.is_empty() => {
            let head = [&[ZSTD_WITH_DICTIONARY][..], &dictionary.number.to_be_bytes()].concat();
            dictionary.pack(Sort::Text, text.as_bytes()).map(|packed| (head, packed))
        }
        None if text.len() >= PACK_BYTES_MIN => pack(text.as_bytes()).map(|packed| (vec![ZSTD], packed)),
        _ => None,
    };
    match packed.filter(|(_, packed)| packed.len() < text.len()) {
        Some((head, packed)) => {
            out.extend_from_slice(&head);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(&packed);
        }
        None => {
            out.push(NONE);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// Decodes a version.
pub(super) fn decode(
    snapshot: &dyn Snapshot,
    row: u64,
    sequence: Sequence,
    value: &Bytes,
) -> Result<Stored, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("the record of row {row}"));
    let packed = packed_with(value).ok_or_else(corrupt)?;
    let dictionary = packed.map(|number| dictionary_numbered(snapshot, number)).transpose()?;
    parts(row, sequence, value, dictionary).ok_or_else(corrupt)
}

/// The number of the dictionary that compressed a record's text; the inner `None` if none did.
fn packed_with(value: &[u8]) -> Option<Option<u32>> {
    let id_len = usize::from(*value.get(11)?);
    let (packing, rest) = value.get(12 + id_len + 4..)?.split_first()?;
    if *packing != ZSTD_WITH_DICTIONARY {
        return Some(None);
    }
    Some(Some(u32::from_be_bytes(*rest.first_chunk::<4>()?)))
}

fn parts(row: u64, sequence: Sequence, value: &[u8], dictionary: Option<&Dictionary>) -> Option<Stored> {
    let (time, rest) = value.split_first_chunk::<8>()?;
    let (method, rest) = rest.split_first()?;
    let (number, rest) = rest.split_first_chunk::<2>()?;
    let (len, rest) = rest.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*len))?;
    let (meta_at, rest) = rest.split_first_chunk::<4>()?;
    let (packing, rest) = rest.split_first()?;
    let text = match *packing {
        NONE => rest.to_vec(),
        ZSTD => {
            let (len, packed) = rest.split_first_chunk::<4>()?;
            unpack(packed, usize::try_from(u32::from_be_bytes(*len)).ok()?)?
        }
        ZSTD_WITH_DICTIONARY => {
            let (len, packed) = rest.get(4..)?.split_first_chunk::<4>()?;
            dictionary?.unpack(Sort::Text, packed, usize::try_from(u32::from_be_bytes(*len)).ok()?)?
        }
        _ => return None,
    };
    Some(Stored {
        row,
        sequence,
        time: Millis::try_from(u64::from_be_bytes(*time)).ok()?,
        method: Method::of(*method)?,
        def: r4().resource_numbered(u16::from_be_bytes(*number))?,
        id: ResourceId::parse(std::str::from_utf8(id).ok()?)?,
        text: String::from_utf8(text).ok()?,
        meta_at: usize::try_from(u32::from_be_bytes(*meta_at)).ok()?,
    })
}
