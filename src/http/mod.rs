//! HTTP: parses requests and writes responses. The meaning of both is decided in `operations`.

mod administration;
mod app;
mod authentication;
mod bare;
mod binary;
mod cors;
mod listen;
mod negotiate;
mod oauth;
mod observe;
mod packed;
mod page_routes;
mod payload;
mod printed;
mod respond;
mod same_origin;
mod service;
mod tls;
mod unknown;
mod workers;

pub use administration::FOLLOW_SCOPE;
pub use app::Limits;
pub use app::{CommittedAfter, Task, TaskError, Tasks};
pub use bare::{Bare, PreparedResponse, bare};
pub use listen::{Listener, Patience, serve};
pub use observe::{Figures, Observed, SPANS};
pub use page_routes::PageRoutes;
pub use service::{router, watching};
pub use tls::{TlsError, tls_from_files, tls_self_signed};
pub use workers::{Workers, give_way};
