//! Verifies the store: each resource has exactly its postings, each posting its resource, each id its row, and each version
//! its place in history.
use std::collections::BTreeSet;

use crate::definitions::r4;
use crate::model::parse;
use crate::store::key::{Key, Space, erased_prefix, erased_row, number_at, row_of};
use crate::store::kv::{Direction, Flow, StoreError};

use super::super::batch::KeyRange;
use super::change::Derive;
use super::current;
use super::entries::{every, posting_type};
use super::repository::Repository;

/// The result of a verification. Texts of faults name rows, never contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Resources that are not deleted.
    pub resources: u64,
    pub deleted: u64,
    pub versions: u64,
    pub postings: u64,
    pub faults: Vec<String>,
}

/// At most this many faults are listed.
const FAULTS_MAX: usize = 100;

impl Findings {
    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }
}

impl Repository<'_> {
    /// Verifies all resources that the snapshot shows.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails. Damage in data that can be read is a finding, not an error.
    pub fn verify(&self, derive: &dyn Derive) -> Result<Findings, StoreError> {
        let mut findings = Findings::default();
        let mut expected: BTreeSet<Vec<u8>> = BTreeSet::new();
        for row in self.row_numbers()? {
            self.verify_row(row, derive, &mut expected, &mut findings)?;
        }
        let mut found = 0;
        self.snapshot.scan(
            &KeyRange::prefix(vec![Space::Posting.byte()]),
            Direction::Forward,
            &mut |key, _| {
                found += 1;
                if !expected.remove(key) {
                    let row = row_of(key).unwrap_or(0);
                    findings.fault(format!("a posting of row {row} that its resource does not have"));
                }
                Flow::Next
            },
        )?;
        findings.postings = found;
        for key in expected {
            findings.fault(format!("a posting of row {} is missing", row_of(&key).unwrap_or(0)));
        }
        self.verify_history(&mut findings)?;
        self.verify_erased(&mut findings)?;
        Ok(findings)
    }

    /// Checks that erased rows have no state, entries or versions left.
    fn verify_erased(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        self.snapshot.scan(&KeyRange::prefix(erased_prefix()), Direction::Forward, &mut |key, _| {
            rows.extend(erased_row(key));
            Flow::Next
        })?;
        for row in rows {
            let key = |space: Space| Key::new(space).number(row).into_bytes();
            let is_left = self.snapshot.get(&key(Space::Current))?.is_some()
                || self.snapshot.get(&key(Space::Entries))?.is_some()
                || !self.versions(row)?.is_empty();
            if is_left {
                findings.fault(format!("something is left of row {row}, which was erased"));
            }
        }
        Ok(())
    }

    fn row_numbers(&self) -> Result<Vec<u64>, StoreError> {
        let mut rows = Vec::new();
        self.snapshot.scan(
            &KeyRange::prefix(vec![Space::Current.byte()]),
            Direction::Forward,
            &mut |key, _| {
                rows.extend(row_of(key));
                Flow::Next
            },
        )?;
        Ok(rows)
    }

    fn verify_row(
        &self,
        row: u64,
        derive: &dyn Derive,
        expected: &mut BTreeSet<Vec<u8>>,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let Some((value, written)) = self.snapshot.get(&Key::new(Space::Current).number(row).into_bytes())?
        else {
            return Ok(());
        };
        let Ok(current) = current::decode(row, &value, written) else {
            findings.fault(format!("the state of row {row} cannot be read"));
            return Ok(());
        };
        if self.current(current.def, &current.id)?.is_none_or(|found| found.row != row) {
            findings.fault(format!("the id of row {row} leads elsewhere"));
        }
        *if current.deleted { &mut findings.deleted } else { &mut findings.resources } += 1;
        findings.versions += u64::try_from(self.versions(row)?.len()).unwrap_or(0);
        let Ok(stored) = self.newest(&current) else {
            findings.fault(format!("the newest version of row {row} cannot be read"));
            return Ok(());
        };
        let mut entries = Vec::new();
        if !current.deleted {
            let Ok(tree) = parse(stored.text.into_bytes()) else {
                findings.fault(format!("the text of row {row} is no JSON"));
                return Ok(());
            };
            let derived = derive.derive(current.def, tree.root());
            if derived.facts != current.facts {
                findings.fault(format!("the facts of row {row} are not those of its resource"));
            }
            entries = derived.entries;
            entries.push(every());
            entries.sort_unstable();
        }
        if self.entries(row)? != entries {
            findings.fault(format!("the entries of row {row} are not those of its resource"));
        }
        let number = r4().resource_number(current.def.id).unwrap_or(u16::MAX);
        for entry in entries {
            let key = Key::new(Space::Posting).short(posting_type(number, &entry)).word(entry.param);
            expected.insert(key.bytes(&entry.value).number(row).into_bytes());
        }
        Ok(())
    }

    fn verify_history(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let mut places = Vec::new();
        self.snapshot.scan(
            &KeyRange::prefix(vec![Space::History.byte()]),
            Direction::Forward,
            &mut |key, _| {
                places.extend(number_at(key, 3).zip(number_at(key, 11)));
                Flow::Next
            },
        )?;
        if u64::try_from(places.len()).unwrap_or(0) != findings.versions {
            findings.fault(format!("history has {} places for {} versions", places.len(), findings.versions));
        }
        for (sequence, row) in places {
            let key = Key::new(Space::Record).number(row).number(sequence).into_bytes();
            if self.snapshot.get(&key)?.is_none() {
                findings.fault(format!("history names a version of row {row} that is not there"));
            }
        }
        Ok(())
    }
}
