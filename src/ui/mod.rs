//! The pages that people open in a browser. A page is made of requests to `operations` in the name of the signed-in person, so it
//! shows what the API would show, and each of its requests stands in the record of accesses.

mod account;
mod asking;
mod chart;
mod confirm;
mod consents;
mod cookie;
mod demonstration;
mod emergency;
mod find;
mod handled;
mod home;
mod item;
mod me;
mod parts;
mod people;
mod problem;
mod router;
mod session_reply;
mod shown;
mod sign_in;
mod table;
mod thread;
mod visit;

pub use asking::{Work, Working};
pub use people::Demonstration;
pub use router::{Pages, pages};
pub use table::{PAGES, Page, Roles};
