//! Tests: compressed data come back unchanged, and a dictionary contains only what many patients share.
use std::sync::Arc;

use crate::definitions::r4;
use crate::model::{Amendments, ResourceId, parse, stored_form};
use crate::search::{Entry, Facts};
use crate::store::key::packing_dictionary_key;
use crate::store::kv::{At, Kv, StoreError};
use crate::store::resource::{Change, Derived, Draft, Method, Repository};
use crate::store::{Memory, SystemClock};

use super::super::super::batch::{Batch, Write};
use super::train::train;
use super::{Made, Packing, ROWS_MIN};

const PATIENTS: u64 = 40;

/// A resource of one of the patients, with words that all share, words that some share and words that only one has.
fn text(number: u64) -> String {
    let patient = number % PATIENTS;
    let (shade, tone) = (patient % 6, patient / 6);
    format!(
        "{{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\
         \"code\":\"718-7\",\"display\":\"Hemoglobin [Mass/volume] in Blood\"}}]}},\
         \"subject\":{{\"reference\":\"Patient/secret-of-{patient}-only\",\"display\":\"Name-{patient}-known-to-few\"}},\
         \"interpretation\":[{{\"text\":\"shade number {shade}\"}},{{\"text\":\"tone number {tone}\"}}],\
         \"valueQuantity\":{{\"value\":{number}.25,\"unit\":\"g/dL\"}}}}"
    )
}

fn entries(number: u64) -> Vec<Entry> {
    let value = |text: String| [&[0x11][..], text.as_bytes(), &[0, 0]].concat();
    let entry = |param, text| Entry { param, value: value(text), contained: None };
    vec![
        entry(7, "718-7 hemoglobin mass volume in blood".to_owned()),
        entry(9, format!("secret-of-{}-only", number % PATIENTS)),
        entry(11, format!("value-{number}")),
    ]
}

fn change(number: u64) -> Change {
    let def = r4().find("Observation").unwrap();
    let id = ResourceId::parse(&format!("o{number}")).unwrap();
    let tree = parse(text(number).into_bytes()).unwrap();
    let body = stored_form(tree.root(), id.as_str(), &Amendments::default()).normalized();
    let patients = vec![format!("secret-of-{}-only", number % PATIENTS)];
    let derived = Derived { entries: entries(number), facts: Facts { patients, ..Facts::default() } };
    Change {
        def,
        id,
        method: Method::Create,
        prior: None,
        body: Some(body),
        derived,
        writer: None,
        belongs: Vec::new(),
    }
}

/// Writes resources and notes the newest row. Returns the size of their records and entries in bytes.
fn write(kv: &dyn Kv, packing: &Packing, numbers: std::ops::Range<u64>) -> usize {
    let mut bytes = 0;
    for start in numbers.clone().step_by(512) {
        let snapshot = kv.snapshot(At::Latest).unwrap();
        let mut draft = Draft::packed(packing);
        for number in start..numbers.end.min(start + 512) {
            draft.push(&*snapshot, &mut change(number)).unwrap();
        }
        let is_of_resources = |write: &&Write| matches!(write.key.first(), Some(1 | 6));
        let written = draft.batch.writes.iter().filter(is_of_resources);
        bytes += written.map(|write| write.value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        let rows = draft.batch.rows;
        let committed = kv.commit(draft.batch).wait().unwrap();
        packing.saw(committed.first_row + rows - 1);
    }
    bytes
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

#[test]
fn a_dictionary_is_made_when_enough_is_there_and_what_is_packed_with_it_comes_back() {
    let kv: Arc<dyn Kv> = Arc::new(Memory::new(Arc::new(SystemClock)));
    let packing = Packing::of(&*kv).unwrap();
    let without = write(&*kv, &packing, 0..1_000);
    assert!(!packing.tend(&kv).unwrap() && packing.chosen().is_none());
    write(&*kv, &packing, 1_000..ROWS_MIN + 10);
    assert!(packing.tend(&kv).unwrap());
    let first = packing.chosen().unwrap().dictionary.number;
    assert!(!packing.tend(&kv).unwrap(), "one is enough for now");
    let with = write(&*kv, &packing, 10_000..11_000);
    assert!(with * 3 < without * 2, "{with} instead of {without} bytes");

    // Another server on the same store, or this one after a restart, uses the same dictionary.
    let reopened = Packing::of(&*kv).unwrap();
    assert_eq!(reopened.chosen().map(|chosen| chosen.dictionary.number), Some(first));
    let snapshot = kv.snapshot(At::Latest).unwrap();
    let repository = Repository::new(&*snapshot);
    for number in [0, 999, 8_000, 10_000, 10_999] {
        let change = change(number);
        let current = repository.current(change.def, &change.id).unwrap().unwrap();
        assert_eq!(repository.newest(&current).unwrap().text, change.body.unwrap().text);
        let mut expected = entries(number);
        expected.push(super::super::entries::every());
        expected.sort_unstable();
        assert_eq!(repository.entries(current.row).unwrap(), expected);
    }
}

#[test]
fn nothing_that_few_patients_have_is_in_a_dictionary() {
    let kv = Memory::new(Arc::new(SystemClock));
    write(&kv, &Packing::default(), 0..4_000);
    let snapshot = kv.snapshot(At::Latest).unwrap();
    let words = train(&*snapshot, 4_000).unwrap().unwrap();
    for shared in ["Hemoglobin", "valueQuantity", "mass volume", "shade number"] {
        assert!(contains(&words, shared), "{shared}");
    }
    for own in ["secret-of", "known-to-few", ".25", "value-"] {
        assert!(!contains(&words, own), "{own}");
    }
    // Several patients have each shade and each tone, but only one has both, so the two must not be adjacent.
    for shade in 0..6 {
        for tone in 0..7 {
            let both = format!("shade number {shade}\"}},{{\"text\":\"tone number {tone}");
            assert!(!contains(&words, &both), "{both}");
        }
    }
}

#[test]
fn a_damaged_dictionary_is_an_error_and_not_another_text() {
    let kv: Arc<dyn Kv> = Arc::new(Memory::new(Arc::new(SystemClock)));
    let missing = Made { dictionary: 0x1234_5678, rows: 9 };
    let put = |key, value| Write { key, value: Some(value), ..Write::default() };
    let write = |writes| kv.commit(Batch { writes, ..Batch::default() }).wait().unwrap();
    write(vec![put(crate::store::key::packing_key(), missing.encode())]);
    assert!(matches!(Packing::of(&*kv), Err(StoreError::Corrupt(_))));
    write(vec![put(packing_dictionary_key(0x1234_5678), vec![0, 0, 0, 1, 2, 3])]);
    assert!(matches!(Packing::of(&*kv), Err(StoreError::Corrupt(_))));
}
