//! What may they see? Consents compiled to rules, decisions with reasons, and the lens through which alone a stored
//! resource becomes a disclosed one.

mod bundle;
mod codes;
mod data;
mod decide;
mod lens;

mod matching;
mod program;
mod programs;
mod reach;

pub use codes::{Code, CodeSystem};
pub use data::DataFacts;
pub use decide::{Basis, Combining, Decision, DefaultPolicy, Requester, Settings, decide};

pub use bundle::{Bundle, BundleEntry, BundleKind, EntryResponse, SearchMode};
pub use lens::{Disclosed, Lens, Writing};
pub use program::{Program, Status, compile};
pub use programs::Programs;
