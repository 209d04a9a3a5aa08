//! `chartward demo`: a synthetic hospital, loaded and served, with tokens for four parties and lines to paste that show
//! consent at work.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, mpsc};

use crate::auth::AccessToken;

use super::args::report;
use super::config::{Common, Config};
use super::generate::{Format, documents_of};
use super::house::{House, claims};
use super::import::Sink;
use super::selftest;
use super::serve::{ready, start};
use super::tour;

/// Everything is in memory and gone at the end, unless --data names a directory to keep it in.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// How many patients the hospital has
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(3..=1_000_000))]
    patients: u64,
    /// The seed of the hospital
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Written when the demo is ready: JSON with base_url, pid and tokens
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// Run the tour instead: each step with what is expected and what came; exit code 1 if one differs
    #[arg(long)]
    tour: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.tour {
        return tour::run();
    }
    selftest::assure()?;
    let config = Config::load(&arguments.common)?;
    let house = match &arguments.common.data {
        Some(_) => House::open(&config)?,
        None => House::in_memory()?,
    };
    load(&house, &config, arguments.patients, arguments.seed)?;
    let running = start(&config, &house, false, None)?;
    let tokens = tokens(&house, &running.base_url)?;
    if let Some(path) = &arguments.ready_file {
        ready(path, &running.base_url, &tokens)?;
    }
    let text = welcome(&running.base_url, arguments.patients, &tokens);
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    running.until_told()?;
    house.sled.as_ref().map_or(Ok(()), |sled| sled.close().map_err(|error| error.to_string()))
}

/// Makes the hospital and loads it, with as many workers as there are processors.
pub(super) fn load(house: &House, config: &Config, patients: u64, seed: u64) -> Result<(), String> {
    let sink = Sink::house(house, config)?;
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let (sender, receiver) = mpsc::sync_channel::<String>(workers * 2);
    let receiver = Mutex::new(receiver);
    let failed: Mutex<Option<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(document) = next else { return };
                    let (_, rejected) = sink.load(&document);
                    if let Some(rejected) = rejected.into_iter().next() {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejected.reason);
                    }
                }
            });
        }
        let mut count = 0_u64;
        documents_of(patients, seed, Format::Bundles, &mut |document| {
            count += 1;
            if count.is_multiple_of(1_000) {
                report(&format!("{count} of {patients} patients"));
            }
            sender.send(document).is_ok()
        });
        drop(sender);
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(reason) => Err(format!("the hospital could not be loaded: {reason}")),
        None => Ok(()),
    }
}

/// How long the tokens of a demo are good for, in seconds.
const LIFETIME_SECONDS: i64 = 12 * 3_600;

/// Tokens of the four parties, by name.
pub(super) fn tokens(house: &House, base_url: &str) -> Result<BTreeMap<String, String>, String> {
    let issuer = house.issuer(base_url)?;
    let own = || Some("Organization/hospital".to_owned());
    let mut tokens = BTreeMap::new();
    let mut mint = |name: &str, role: &str, purpose: &str, scope: &str, fill: &dyn Fn(&mut AccessToken)| {
        let mut token = claims(base_url, LIFETIME_SECONDS)?;
        name.clone_into(&mut token.sub);
        role.clone_into(&mut token.role);
        scope.clone_into(&mut token.scope);
        token.purpose_of_use = vec![purpose.to_owned()];
        fill(&mut token);
        tokens.insert(name.to_owned(), issuer.sign(&token)?);
        Ok::<(), String>(())
    };
    mint("doctor", "clinician", "TREAT", "user/*.cruds", &|token| {
        token.fhir_user = Some("Practitioner/d1".to_owned());
        token.organization = own();
    })?;
    mint("patient", "patient", "PATRQT", "patient/*.cruds", &|token| {
        token.fhir_user = Some("Patient/p1".to_owned())
    })?;
    mint("insurer", "insurer", "HPAYMT", "system/*.rs", &|token| {
        token.organization = Some("Organization/acme".to_owned());
    })?;
    mint("administrator", "administrator", "HOPERAT", "user/*.cruds", &|token| token.organization = own())?;
    mint("ehr", "system", "TREAT", "system/*.cruds", &|token| {
        token.organization = own();
        token.assign_ids = true;
    })?;
    Ok(tokens)
}

fn welcome(base_url: &str, patients: u64, tokens: &BTreeMap<String, String>) -> String {
    let token = |name: &str| tokens.get(name).map_or("", String::as_str);
    let consent = tour::consent("active");
    format!(
        "Riverside General Hospital, {patients} patients, none of whom exists.

base={base_url}
doctor={}
patient={}
insurer={}
administrator={}

# The doctor and the patient read the file of p1; the insurer finds nobody.
curl -s -H \"Authorization: Bearer $doctor\" $base/Patient/p1
curl -s -H \"Authorization: Bearer $patient\" \"$base/Condition?patient=p1&_summary=count\"
curl -s -H \"Authorization: Bearer $insurer\" \"$base/ExplanationOfBenefit?patient=p1&_summary=count\"

# The patient lets the insurer see coverage and explanations of benefit, and nothing else.
curl -s -X POST -H \"Authorization: Bearer $patient\" -H 'Content-Type: application/fhir+json' $base/Consent -d '{consent}'
curl -s -H \"Authorization: Bearer $insurer\" \"$base/ExplanationOfBenefit?patient=p1&_summary=count\"
curl -s -H \"Authorization: Bearer $insurer\" \"$base/Condition?patient=p1&_summary=count\"

# The administrator sees who saw what.
curl -s -H \"Authorization: Bearer $administrator\" \"$base/AuditEvent?patient=Patient/p1&_count=3\"

Ctrl-C ends the demo.
",
        token("doctor"),
        token("patient"),
        token("insurer"),
        token("administrator"),
    )
}
