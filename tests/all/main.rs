//! The one integration-test binary; each module tests one subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test tells what it skips")]

mod audit;
mod audit_index;
mod audit_tampering;
mod backup;
mod browser;
mod circles;
mod clients;
mod commands;
mod concerned;
mod concurrency;
mod consent_corpus;
mod consent_desk;
mod consent_rows;
mod demo;
mod disk_full;
mod emergency;
mod erasure;
mod examples;
mod faults;
mod fhirpath_suite;
mod grid;
mod hidden;
mod history;
mod hostile;
mod in_process;
mod includes;
mod interference;
mod issuers;
mod kill;
mod limits;
mod load;
mod oauth;
mod oauth_admin;
mod oauth_code;
mod oauth_limits;
mod oracle;
mod page_walks;
mod pages;
mod parameters;
mod patch_suite;
mod policy;
mod postgres;
mod preview;
mod process;
mod refusals;
mod reindex;
mod rest;
mod roles;
mod round_trip;
mod scopes;
mod search_oracle;
mod shared;
mod shipped;
mod signer;
mod sources;
mod standby;
mod store_faults;
mod subjects;
mod synthea;
mod tidy;
mod ties_and_counts;
mod tokens;
mod tour;
mod watched;
mod webdriver;
mod who_writes;
mod wire;
