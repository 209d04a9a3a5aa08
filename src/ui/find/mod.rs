//! Finding people: one box over name, birth date, record number and phone.

mod near;
mod page;
mod question;

pub(super) use page::{ask, found, start};
