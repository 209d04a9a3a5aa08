//! Who saw what? Every request leaves one compact access record in the same journal as the data. AuditEvents are made of the
//! records when somebody asks for them.

mod accounting;
mod addition;
mod agents;
mod concern;
mod entered;
mod entities;
mod event;
#[cfg(test)]
mod event_tests;
mod examine;
mod index;
mod log;
mod making;
mod merkle;
mod outside;
mod page;
mod place;
mod record;
mod sealed;
mod signer;
mod suspension;
mod who_saw;
mod words;

pub use accounting::{ACCOUNTED_MS, Accounting, Disclosure};
pub use addition::{Due, done, due};
pub use concern::{Concern, Patients};
pub use entered::{
    AccountedBy, DISCLOSURE_BASES, DisclosureBasis, Entered, RECORD_DISCLOSURE, corrected, disclosure_basis,
};
pub use event::{event_of_record, record_of_event};
pub use examine::{Examination, Examined};
pub use index::{AuditIndex, Bounds, Candidate, Candidates, EventQuery, View, verify_segments};
pub use log::{Records, index_patients, record, verify_index, writes};
pub use making::{Event, Making, Reader};
pub use merkle::{Hash, Leaves, consistency, inclusion, is_consistent, root_of_path};
pub use outside::{event_from_outside, events_of};
pub use page::Page;
pub use place::RecordPlace;
pub use record::{Access, Action, BREAK_GLASS, ERASE, Erased, Ground, Item, Label, RequesterKind};
pub use sealed::{LogTree, SEGMENT_LEN, seal, signed_root};
pub use signer::{SignedRoot, Signer, key_name};
pub use suspension::{SPOKEN_DAYS_MAX, Suspension, is_told, suspended};
pub use who_saw::{AccessKind, Names, Viewing, Viewings};
pub use words::{
    clock_in_words, day_in_words, ground_in_words, kind_in_words, listed, purpose_in_words, role_in_words,
};
