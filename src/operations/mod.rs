//! The interactions, one file each, behind one table that the router, the CapabilityStatement, the scope check and the
//! record of accesses read. Ordinary code: no wire, no asynchrony.

mod answer;
mod audit;
mod batch;
mod break_glass;
mod bundle_entry;
mod capabilities;
mod conditional;
mod consent;
mod create;
mod cursor;
mod delete;
mod derive;
mod engine;
mod erase;
mod history;
mod hold;
mod index;
mod integrity;
mod lookup;
mod member_match;
mod meta_delete;
mod operation;
mod own_base;
mod parameters;
mod patch;
mod read;
mod request;
mod route;
mod search;
mod session;
mod subject;
mod table;
mod transaction;
mod update;
mod work;
mod write;

pub use answer::{Answer, Body, Kind, Public, Refusal, RefusalKind};
pub use audit::{Refused, Unknown};
pub use derive::SearchIndex;
pub use engine::{Engine, EngineOptions};
pub use index::{Index, Progress};
pub use operation::{OPERATIONS, Operation, operations_of};
pub use request::{Headers, Payload, Preference, Request, Verb, decode, decode_pairs, encode, query_text};
pub use route::{Place, allowed, named, route};
pub use table::{INTERACTIONS, Interaction, Level};
