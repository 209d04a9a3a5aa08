//! The door: one file per subcommand, and the table of them.

mod args;
mod fhirpath;
mod profiles;

pub use args::run;
