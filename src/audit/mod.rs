//! Who saw what? One compact record for every request, in the same journal as everything else, and the AuditEvents that
//! are made of it when somebody asks.

mod event;
mod record;

pub use event::audit_events;
pub use record::{Access, Action, read_all, write};
