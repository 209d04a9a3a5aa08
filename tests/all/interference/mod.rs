//! Non-interference: two servers whose data differ only in what is hidden from a party give that party the same answers to all
//! its reads and writes.

mod data;
mod made;
mod parties;
mod requests;
mod revocation;
mod same;
mod told;
mod wire;
mod world;
