//! Chartward: an HL7 FHIR R4 server that keeps patients' health records and discloses each of them only to whoever is entitled
//! to it. The folders are layers; ARCHITECTURE.md says which may use which.

pub mod audit;
pub mod auth;
pub mod cli;
pub mod consent;
pub mod definitions;
pub mod fhirpath;
pub mod http;
pub mod model;
pub mod operations;
pub mod search;
pub mod store;
pub mod ui;
pub mod validate;
