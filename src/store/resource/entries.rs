//! The index entries of the newest version, stored beside the resource.
use bytes::Bytes;

use crate::search::{EVERY, Entry};
use crate::store::key::{Key, Space};
use crate::store::kv::{Snapshot, StoreError};

use super::packing::numbered::dictionary_numbered;
use super::packing::{Dictionary, Sort};

/// The entry that every resource has unless it is deleted; it finds all resources of a type.
pub(super) fn every() -> Entry {
    Entry::present(EVERY)
}

/// This bit of a posting's type marks an entry of a contained resource.
pub(super) const CONTAINED: u16 = 0x8000;

/// The type under which an entry is posted: that of the contained resource, marked, or that of the resource itself.
pub(super) fn posting_type(number: u16, entry: &Entry) -> u16 {
    entry.contained.map_or(number, |contained| contained | CONTAINED)
}

/// This bit of an entry's length marks an entry of a contained resource; the type of that resource follows.
pub(super) const HAS_TYPE: u16 = 0x8000;

/// Encodes entries one after the other.
pub(super) fn encode_entries(entries: &[&Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.iter().map(|entry| entry.value.len() + 8).sum());
    entries.iter().for_each(|entry| put_entry(&mut out, entry.param, &entry.value, entry.contained));
    out
}

/// Appends one entry: `parameter (4) | value length (2) | type of the contained resource (2), if it is of one | value`.
pub(super) fn put_entry(out: &mut Vec<u8>, param: u32, value: &[u8], contained: Option<u16>) {
    out.extend_from_slice(&param.to_be_bytes());
    // INVARIANT: values are much shorter than 32 KiB, because indexing truncates texts.
    let len = u16::try_from(value.len()).unwrap_or(0);
    match contained {
        Some(contained) => {
            out.extend_from_slice(&(len | HAS_TYPE).to_be_bytes());
            out.extend_from_slice(&contained.to_be_bytes());
        }
        None => out.extend_from_slice(&len.to_be_bytes()),
    }
    out.extend_from_slice(value);
}

/// Marks compressed entries. It stands in the place of the first parameter; no parameter has this number. Then follow
/// `dictionary (4) | length (4) | compressed`.
pub(super) const PACKED: [u8; 4] = [0xff; 4];

pub(super) fn pack_entries(plain: Vec<u8>, dictionary: Option<&'static Dictionary>) -> Vec<u8> {
    let Some(dictionary) = dictionary else { return plain };
    let len = u32::try_from(plain.len()).unwrap_or(u32::MAX).to_be_bytes();
    let head = [PACKED, dictionary.number.to_be_bytes(), len].concat();
    match dictionary.pack(Sort::Entries, &plain) {
        Some(packed) if head.len() + packed.len() < plain.len() => [head, packed].concat(),
        _ => plain,
    }
}

pub(super) fn unpack_entries(snapshot: &dyn Snapshot, row: u64, stored: Bytes) -> Result<Bytes, StoreError> {
    let Some(rest) = stored.strip_prefix(&PACKED) else { return Ok(stored) };
    let corrupt = || StoreError::Corrupt(format!("the entries of row {row}"));
    let (number, rest) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let (len, packed) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let dictionary = dictionary_numbered(snapshot, u32::from_be_bytes(*number))?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| corrupt())?;
    dictionary.unpack(Sort::Entries, packed, len).map(Bytes::from).ok_or_else(corrupt)
}

/// The index entries of the newest version of a row, sorted.
pub(super) fn entries_of(snapshot: &dyn Snapshot, row: u64) -> Result<Vec<Entry>, StoreError> {
    decode_entries(&entries_value(snapshot, row)?, row)
}

/// The decompressed, still encoded entries of a row; empty if it has none.
pub(super) fn entries_value(snapshot: &dyn Snapshot, row: u64) -> Result<Bytes, StoreError> {
    let key = Key::new(Space::Entries).number(row).into_bytes();
    let stored = snapshot.get(&key)?.map(|(value, _)| value).unwrap_or_default();
    unpack_entries(snapshot, row, stored)
}

/// Visits parameter and value of the resource's own entries, not those of contained resources. `None` if they are damaged.
pub(super) fn raw_entries(stored: &[u8], visit: &mut dyn FnMut(u32, &[u8])) -> Option<()> {
    each_entry(stored, &mut |param, value, contained| {
        if contained.is_none() {
            visit(param, value);
        }
    })
}

/// Receives the parameter, the value, and, for an entry of a contained resource, its type.
pub(super) type EntryVisitor<'v> = dyn FnMut(u32, &[u8], Option<u16>) + 'v;

pub(super) fn each_entry(stored: &[u8], visit: &mut EntryVisitor<'_>) -> Option<()> {
    let mut rest = stored;
    while !rest.is_empty() {
        let (param, after) = rest.split_first_chunk::<4>()?;
        let (len, mut after) = after.split_first_chunk::<2>()?;
        let len = u16::from_be_bytes(*len);
        let mut contained = None;
        if len & HAS_TYPE != 0 {
            let (number, following) = after.split_first_chunk::<2>()?;
            contained = Some(u16::from_be_bytes(*number));
            after = following;
        }
        let (value, following) = after.split_at_checked(usize::from(len & !HAS_TYPE))?;
        visit(u32::from_be_bytes(*param), value, contained);
        rest = following;
    }
    Some(())
}

pub(super) fn decode_entries(stored: &[u8], row: u64) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    each_entry(stored, &mut |param, value, contained| {
        entries.push(Entry { param, value: value.to_vec(), contained });
    })
    .ok_or_else(|| StoreError::Corrupt(format!("the entries of row {row}")))?;
    Ok(entries)
}
