//! The wire: one service that takes HTTP requests apart and puts answers together. All that they mean is decided in
//! `operations`.

mod administration;
mod asker;
mod bare;
mod binary;
mod listen;
mod negotiate;
mod oauth;
mod observe;
mod packed;
mod printed;
mod respond;
mod same_origin;
mod service;
mod tls;
mod unknown;
mod welcome;

pub use administration::FOLLOW_SCOPE;
pub use bare::{Answered, Bare, bare};
pub use listen::{Listening, Patience, serve};
pub use observe::{Figures, Observed, SPANS};
pub use service::{CommittedAfter, Limits, Task, Tasks, router, watching};
pub use tls::{tls_from_files, tls_self_signed};
