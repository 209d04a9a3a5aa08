//! One version of a resource as it is stored: when and how it came, and its text.
//!
//! `time (8) | method (1) | type (2) | id length (1), id | meta place (4) | packing (1) | text`
use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::definitions::{TypeDef, r4};
use crate::model::{Millis, Normalized, ResourceId, Temporal};
use crate::store::kv::{Sequence, StoreError};

/// How a version came about (R4 http.html, the interactions).
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

/// The third state of a resource: a version that the store holds. It cannot be written to the wire; only a lens makes
/// something of it that can.
#[derive(Clone, Debug)]
pub struct Stored {
    pub row: u64,
    pub sequence: Sequence,
    pub time: Millis,
    pub method: Method,
    pub def: &'static TypeDef,
    pub id: ResourceId,
    /// The normal form; empty for a deletion.
    pub text: String,
    pub meta_at: usize,
}

impl Stored {
    /// The text with the version's own stamps spliced into `meta`.
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
/// Shorter texts do not get smaller.
const PACK_BYTES_MIN: usize = 160;
const ZSTD_LEVEL: i32 = 1;
/// Where the time stands, for the writer to fill in.
pub(super) const TIME_OFFSET: usize = 0;

/// The record of a version; the time is left for the writer.
pub(super) fn encode(method: Method, def: &TypeDef, id: &ResourceId, body: Option<&Normalized>) -> Vec<u8> {
    let mut out = vec![0; 8];
    out.push(method.byte());
    out.extend_from_slice(&r4().resource_number(def.id).unwrap_or(u16::MAX).to_be_bytes());
    out.push(u8::try_from(id.as_str().len()).unwrap_or(0));
    out.extend_from_slice(id.as_str().as_bytes());
    let (text, meta_at) = body.map_or(("", 0), |body| (body.text.as_str(), body.meta_at));
    out.extend_from_slice(&u32::try_from(meta_at).unwrap_or(0).to_be_bytes());
    let packed = if text.len() >= PACK_BYTES_MIN {
        pack(text.as_bytes()).filter(|packed| packed.len() < text.len())
    } else {
        None
    };
    match packed {
        Some(packed) => {
            out.push(ZSTD);
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

thread_local! {
    // What zstd needs for its work is large, and takes longer to make than most texts to pack.
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(ZSTD_LEVEL).ok());
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

fn pack(text: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(text).ok())
}

fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| unpacker.as_mut()?.decompress(packed, len).ok())
}

/// Reads a record back.
pub(super) fn decode(row: u64, sequence: Sequence, value: &Bytes) -> Result<Stored, StoreError> {
    parts(row, sequence, value).ok_or_else(|| StoreError::Corrupt(format!("the record of row {row}")))
}

fn parts(row: u64, sequence: Sequence, value: &[u8]) -> Option<Stored> {
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
