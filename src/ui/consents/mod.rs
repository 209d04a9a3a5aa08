//! The consent desk: the permissions and restrictions of one patient in plain sentences; a form for another one, which says who
//! gains and who loses before anything is stored; and taking one back.

mod change;
mod desk;
mod draft;
mod people;
mod write;

pub(super) use desk::{desk, end};
pub(super) use write::{begin, go_on};
