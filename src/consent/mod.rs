//! What may they see? Consents compiled to rules, decisions with reasons, and the lens through which alone a stored
//! resource becomes a disclosed one.

mod accesses;
mod belonging;
mod bundle;
mod case;
mod codes;
mod data;
mod decide;
mod decision;
mod disclosed;
mod identities;
mod kept;
mod ladder;
mod later;
mod later_labels;
mod lens;
mod lint;
mod mask;
mod masking;
mod matching;
mod naming;
mod obligations;
mod of_patient;
mod policy;
mod program;
mod programs;
mod reach;
mod release;
mod requester;
mod show;
mod stored;
mod writing;
mod written_by;

pub use case::{Case, CaseDecision};
pub use codes::{Code, CodeSystem};
pub use data::{DataFacts, WORK_SYSTEM};
pub use decide::decide;
pub use decision::{Basis, Decision};
pub use policy::{BreakGlassMode, Combining, DefaultPolicy, Settings};
pub use requester::Requester;

pub use accesses::is_own;
pub use bundle::{Bundle, BundleEntry, BundleKind, EntryResponse, SearchMode};
pub use disclosed::Disclosed;
pub use later_labels::Later;
pub use lens::Lens;
pub use lint::lint;
pub use mask::{Finding, Sight};
pub use naming::depends_on_others;
pub use obligations::{Obligation, obligations};
pub use of_patient::FILES_MAX;
pub use program::{Actor, Criterion, Program, Rule, Status, compile};
pub use programs::Programs;
pub use release::{Release, Withheld};
pub use writing::Writing;
