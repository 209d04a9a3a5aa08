//! The state of the newest version of a row: the resource's identity, whether it is deleted, and the facts for decisions.
//!
//! `sequence (8) | flags (1): 1 deleted, 2 has a date, 4 of an unknown patient | type (2) | id | date: start (8), end (8) |
//! patients | labels: system, code | authors | custodians`. Texts are preceded by their length, lists by their number of
//! items, both as variable-length numbers (seven bits per byte, the lowest first). Common systems are stored as a number.
use crate::definitions::{TypeDef, r4};
use crate::model::{Interval, ResourceId};
use crate::search::Facts;
use crate::store::kv::StoreError;

use super::super::batch::Sequence;

/// The newest version of a row, without its text.
#[derive(Clone, Debug)]
pub struct Current {
    pub row: u64,
    pub sequence: Sequence,
    /// The commit that last wrote this state: that of the version, of a later reindex, or of a restore.
    pub written: Sequence,
    pub deleted: bool,
    pub def: &'static TypeDef,
    pub id: ResourceId,
    pub facts: Facts,
}

/// The offset of the sequence, which the writer fills in.
pub(super) const SEQUENCE_OFFSET: usize = 0;

const DELETED: u8 = 1;
const HAS_DATE: u8 = 2;
const OF_UNKNOWN: u8 = 4;

/// Label systems that are stored by their place in this list, so the order must never change.
const SYSTEMS: [&str; 3] = [
    "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
];

/// Whether an encoded state is that of a deleted resource.
pub(in crate::store) fn is_deleted(value: &[u8]) -> bool {
    value.get(SEQUENCE_OFFSET + 8).is_some_and(|flags| flags & DELETED != 0)
}

pub(super) fn encode(deleted: bool, def: &TypeDef, id: &ResourceId, facts: &Facts) -> Vec<u8> {
    let mut out = vec![0; 8];
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.push(
        flag(deleted, DELETED) | flag(facts.when.is_some(), HAS_DATE) | flag(facts.of_unknown, OF_UNKNOWN),
    );
    out.extend_from_slice(&r4().resource_number(def.id).unwrap_or(u16::MAX).to_be_bytes());
    put_text(&mut out, id.as_str());
    if let Some(Interval { start, end }) = facts.when {
        out.extend_from_slice(&start.to_be_bytes());
        out.extend_from_slice(&end.to_be_bytes());
    }
    let lists = [&facts.patients, &facts.authors, &facts.custodians];
    let [patients, authors, custodians] = lists;
    put_list(&mut out, patients);
    put_length(&mut out, facts.labels.len());
    for (system, code) in &facts.labels {
        match SYSTEMS.iter().position(|known| known == system) {
            Some(number) => put_length(&mut out, number + 1),
            None => {
                put_length(&mut out, 0);
                put_text(&mut out, system);
            }
        }
        put_text(&mut out, code);
    }
    put_list(&mut out, authors);
    put_list(&mut out, custodians);
    out
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or(0));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_list(out: &mut Vec<u8>, texts: &[String]) {
    put_length(out, texts.len());
    texts.iter().for_each(|text| put_text(out, text));
}

pub(super) fn decode(row: u64, value: &[u8], written: Sequence) -> Result<Current, StoreError> {
    parts(row, value, written).ok_or_else(|| StoreError::Corrupt(format!("the state of row {row}")))
}

/// Reads a value part by part.
struct Parts<'v>(&'v [u8]);

impl<'v> Parts<'v> {
    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            length |= usize::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(length);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'v str> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut found = Vec::new();
        for _ in 0..self.length()? {
            found.push(self.text()?.to_owned());
        }
        Some(found)
    }

    fn time(&mut self) -> Option<i64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(i64::from_be_bytes(*bytes))
    }

    fn labels(&mut self) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        for _ in 0..self.length()? {
            let system = match self.length()?.checked_sub(1) {
                Some(number) => *SYSTEMS.get(number)?,
                None => self.text()?,
            };
            found.push((system.to_owned(), self.text()?.to_owned()));
        }
        Some(found)
    }
}

/// The patient whom a state is about, if it is about at most one, is not deleted, and its facts do not set it apart
/// ([`Facts::sets_apart`]). Reads no more of the state than it needs.
pub(super) fn patient_alone(value: &[u8]) -> Option<Option<&str>> {
    let (flags, rest) = value.get(SEQUENCE_OFFSET + 8..)?.split_first()?;
    if flags & (DELETED | OF_UNKNOWN) != 0 {
        return None;
    }
    let mut rest = Parts(rest.get(2..)?);
    rest.text()?;
    if flags & HAS_DATE != 0 {
        rest.time()?;
        rest.time()?;
    }
    let patient = match rest.length()? {
        0 => None,
        1 => Some(rest.text()?),
        _ => return None,
    };
    (rest.length()? == 0).then_some(patient)
}

fn parts(row: u64, value: &[u8], written: Sequence) -> Option<Current> {
    let (sequence, rest) = value.split_first_chunk::<8>()?;
    let (flags, rest) = rest.split_first()?;
    let (number, rest) = rest.split_first_chunk::<2>()?;
    let mut rest = Parts(rest);
    let id = ResourceId::parse(rest.text()?)?;
    let when = match flags & HAS_DATE {
        0 => None,
        _ => Some(Interval { start: rest.time()?, end: rest.time()? }),
    };
    Some(Current {
        row,
        sequence: Sequence(u64::from_be_bytes(*sequence)),
        written,
        deleted: flags & DELETED == DELETED,
        def: r4().resource_numbered(u16::from_be_bytes(*number))?,
        id,
        facts: Facts {
            when,
            patients: rest.list()?,
            labels: rest.labels()?,
            authors: rest.list()?,
            custodians: rest.list()?,
            of_unknown: flags & OF_UNKNOWN == OF_UNKNOWN,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{Sequence, decode, encode};
    use crate::definitions::r4;
    use crate::model::{Interval, ResourceId};
    use crate::search::Facts;

    #[test]
    fn facts_come_back() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let label = |system: &str, code: &str| (system.to_owned(), code.to_owned());
        let long = "x".repeat(300);
        let facts = Facts {
            patients: texts(&["a", "b"]),
            labels: vec![label(super::SYSTEMS[0], "PSY"), label("urn:other", "x"), label("", "y")],
            when: Some(Interval { start: -5, end: i64::MAX }),
            authors: texts(&["Practitioner/d", &long]),
            custodians: texts(&["Organization/o"]),
            of_unknown: true,
        };
        let (def, id) = (r4().resource("Observation").unwrap(), ResourceId::parse("o1").unwrap());
        for facts in [facts, Facts::default()] {
            let stored = encode(true, def, &id, &facts);
            let current = decode(7, &stored, Sequence(1)).unwrap();
            assert!(current.deleted && current.id == id && current.facts == facts);
            assert!(decode(7, &stored[..stored.len() - 1], Sequence(1)).is_err());
        }
    }
}
