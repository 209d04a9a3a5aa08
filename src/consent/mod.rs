//! What may a party see? Consents are compiled to rules, decisions carry reasons, and the lens is the only way for a stored
//! resource to become a disclosed one.

mod accesses;
mod bundle;
mod case;
mod codes;
mod compiled_consent;
mod consent_cache;
mod data;
mod decide;
mod decision;
mod decision_cache;
mod disclosed;
mod earlier_versions;
mod high_water_mark;
mod identities;
mod label_inheritance;
mod ladder;
mod lens;
mod lint;
mod matching;
mod naming;
mod obligations;
mod of_patient;
mod policy;
mod reference_masking;
mod release;
mod requester;
mod row_visibility;
mod scope_reach;
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
pub use compiled_consent::{Actor, CompiledConsent, Criterion, Effect, Rule, Status, compile};
pub use consent_cache::ConsentCache;
pub use disclosed::Disclosed;
pub use high_water_mark::HighWaterMark;
pub use lens::{Lens, LensParts};
pub use lint::lint;
pub use naming::depends_on_others;
pub use obligations::{Obligation, obligations};
pub use of_patient::FILES_MAX;
pub use release::{Release, Withheld};
pub use row_visibility::{SearchLens, SearchPart};
pub use writing::Writing;
