//! Non-interference: two servers whose data differ only in what is hidden from a party give that party the same answers to all
//! its reads and writes.
//!
//! Exceptions, which are not compared; their number may only shrink:
//!
//! - `AuditEvent/[id]/$audit-proof` tells its reader how many records there are: a proof is a path in the tree over all records,
//!   and without their number nobody can check it.
//! - The place, in an order that nothing sorts, of a resource with a hidden first version and visible later ones: a resource gets
//!   its row once, when it is created.
//! - The own organization can tell a reference to a hidden resource, which is masked, from one to an absent resource; its searches
//!   by `_content`, `_text`, `:text` and `:identifier` match masked parts; and its clinicians see what they wrote about an absent
//!   patient, but not what they wrote about a hidden one. Records come back as they were written, and a denial does not stop
//!   clinicians from adding to a record.
//! - Accesses to what is withheld from its subject: the subject is told of every access to its file (45 CFR 164.528).
//! - A PUT with an id that is taken, by a party that may choose ids: the standard has no other answer than to refuse.
//! - `$break-glass` and `$member-match` by parties that have the right: they are about files that are hidden.

mod data;
mod made;
mod pages;
mod parties;
mod requests;
mod revocation;
mod same;
mod told;
mod wire;
mod world;
