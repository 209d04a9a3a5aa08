//! The command line: one file per subcommand, and the parts that several subcommands share.

mod accesses;
mod allowed;
mod anchor;
mod args;
mod audit;
mod background;
mod backup;
mod clock;
mod concerned_patients;
mod config;
mod conform;
mod consent;
mod demo;
mod demo_hospital;
mod examples;
mod fhirpath;
mod generate;
mod house;
mod huge_pages;
mod import;
mod keys;
mod load;
mod parties;
mod patch;
mod policy;
mod profiles;
mod registrations;
mod reindex;
mod remote;
mod response;
mod rotate_keys;
mod sealing;
mod selftest;
mod serve;
mod sources;
mod standby;
mod stderr;
mod stopping;
mod telemetry;
mod token;
mod tour;
mod trust;
mod verify;

pub use args::run;
pub use clock::now;
pub use config::Config;
pub use conform::{Report, Scenario, ScenarioKind, Target, scenarios};
pub use generate::generated;
pub use house::{House, claims};
pub use parties::{Party, SCENARIO_PARTIES};
pub use policy::ConsentConfig;
pub use serve::{Running, start};
pub use telemetry::LogConfig;
pub use trust::{
    CertificateSection, ClientSection, IntrospectionSection, IssuerSection, Secret, UserSection,
};
