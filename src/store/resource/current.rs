//! What is true of the newest version of a row: which it is, whether it is a deletion, and whom it is about.
//!
//! `sequence (8) | flags (1): 1 deleted, 2 labelled | type (2) | id length (1), id | patients: length (1), id, ...`
use crate::definitions::{TypeDef, r4};
use crate::model::ResourceId;
use crate::search::Facts;
use crate::store::kv::{Sequence, StoreError};

/// The newest version of a row, without its text.
#[derive(Clone, Debug)]
pub struct Current {
    pub row: u64,
    pub sequence: Sequence,
    /// The commit that wrote this state: that of the version, or a restore.
    pub written: Sequence,
    pub deleted: bool,
    pub def: &'static TypeDef,
    pub id: ResourceId,
    pub facts: Facts,
}

/// Where the sequence stands, for the writer to fill in.
pub(super) const SEQUENCE_OFFSET: usize = 0;

pub(super) fn encode(deleted: bool, def: &TypeDef, id: &ResourceId, facts: &Facts) -> Vec<u8> {
    let mut out = vec![0; 8];
    out.push(u8::from(deleted) | u8::from(facts.labelled) << 1);
    out.extend_from_slice(&r4().resource_number(def.id).unwrap_or(u16::MAX).to_be_bytes());
    for text in std::iter::once(id.as_str()).chain(facts.patients.iter().map(String::as_str)) {
        // INVARIANT: ids have at most 64 bytes.
        out.push(u8::try_from(text.len()).unwrap_or(0));
        out.extend_from_slice(text.as_bytes());
    }
    out
}

pub(super) fn decode(row: u64, value: &[u8], written: Sequence) -> Result<Current, StoreError> {
    parts(row, value, written).ok_or_else(|| StoreError::Corrupt(format!("the state of row {row}")))
}

fn parts(row: u64, value: &[u8], written: Sequence) -> Option<Current> {
    let (sequence, rest) = value.split_first_chunk::<8>()?;
    let (flags, rest) = rest.split_first()?;
    let (number, mut rest) = rest.split_first_chunk::<2>()?;
    let mut texts = Vec::new();
    while let Some((len, after)) = rest.split_first() {
        let (text, after) = after.split_at_checked(usize::from(*len))?;
        texts.push(std::str::from_utf8(text).ok()?.to_owned());
        rest = after;
    }
    let mut texts = texts.into_iter();
    Some(Current {
        row,
        sequence: Sequence(u64::from_be_bytes(*sequence)),
        written,
        deleted: flags & 1 == 1,
        def: r4().resource_numbered(u16::from_be_bytes(*number))?,
        id: ResourceId::parse(&texts.next()?)?,
        facts: Facts { patients: texts.collect(), labelled: flags & 2 == 2 },
    })
}
