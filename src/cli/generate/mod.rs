//! `chartward generate`: a synthetic hospital. Everybody in it is fictional; the same seed gives the same bytes.

mod billing;
mod chart;
mod consents;
mod documents;
mod hospital;
mod oncology;
mod people;
mod random;
mod showcase;
mod visit;
mod visits;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use random::Random;

/// How the output is split into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One transaction Bundle per patient, one per line
    Bundles,
    /// One resource per line
    Ndjson,
}

/// Write the hospital itself first (organizations, practitioners, locations, an insurer), then one patient after the other
#[derive(clap::Args)]
pub struct Arguments {
    /// Number of patients, up to 1,000,000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    patients: u64,
    /// Seed; the same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for hospital.ndjson; standard output if omitted
    #[arg(long)]
    out: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Bundles)]
    format: Format,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    match &arguments.out {
        Some(folder) => {
            let path = folder.join("hospital.ndjson");
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::File::create(&path))
                .map_err(|error| format!("{}: {error}", path.display()))
                .and_then(|file| write_all(arguments, &mut BufWriter::new(file)))
        }
        None => write_all(arguments, &mut BufWriter::new(std::io::stdout().lock())),
    }
}

fn write_all(arguments: &Arguments, out: &mut dyn Write) -> Result<(), String> {
    let mut failed = None;
    let hospital = Hospital { patients: arguments.patients, seed: arguments.seed, of_adults: false };
    documents_of(hospital, arguments.format, &mut |line| {
        if failed.is_none() {
            failed = writeln!(out, "{line}").err();
        }
        failed.is_none()
    });
    match failed {
        // A reader that stops early, such as `head`, is no error.
        Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Some(error) => Err(error.to_string()),
        None => out.flush().map_err(|error| error.to_string()),
    }
}

/// The resources of a hospital with this many patients, in the order in which they are generated.
#[must_use]
pub fn generated(patients: u64, seed: u64) -> Vec<String> {
    let mut all = Vec::new();
    documents_of(Hospital { patients, seed, of_adults: false }, Format::Ndjson, &mut |line| {
        all.push(line);
        true
    });
    all
}

/// The size and seed of a hospital.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hospital {
    pub(super) patients: u64,
    pub(super) seed: u64,
    /// Whether all its patients are adults.
    pub(super) of_adults: bool,
}

/// Calls `visit` with every document in order, until it returns false.
pub(super) fn documents_of(hospital: Hospital, format: Format, visit: &mut dyn FnMut(String) -> bool) {
    let mut emit = |resources: &[Value]| match format {
        Format::Bundles => visit(bundle(resources).to_string()),
        Format::Ndjson => resources.iter().all(|resource| visit(resource.to_string())),
    };
    if !emit(&hospital::resources()) {
        return;
    }
    for number in 1..=hospital.patients {
        if !emit(&file_of(number, hospital)) {
            return;
        }
    }
}

/// A transaction Bundle with the chart of a child who is eight at this time, in milliseconds, and of the mother who acts for it.
pub(super) fn child(time: i64) -> String {
    bundle(&people::child(time)).to_string()
}

/// A transaction Bundle with the chart of the demonstration's patient whose days are around this time, in milliseconds.
pub(super) fn showcase(time: i64) -> String {
    bundle(&showcase::resources(time)).to_string()
}

/// A transaction that puts each resource under its own id.
fn bundle(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources
        .iter()
        .map(|resource| {
            let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
            let url = format!("{}/{}", text("resourceType"), text("id"));
            json!({"resource": resource, "request": {"method": "PUT", "url": url}})
        })
        .collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

/// All resources of one patient. Each patient has a random generator of their own, so a larger hospital starts with the same
/// patients.
fn file_of(number: u64, hospital: Hospital) -> Vec<Value> {
    let days = if hospital.of_adults { people::ADULT_DAYS } else { 1 };
    let mut chart = people::register(number, Random::new(hospital.seed, number), days);
    people::allergies(&mut chart);
    visits::life(&mut chart);
    if number.is_multiple_of(25) {
        oncology::course(&mut chart);
    }
    consents::given(&mut chart);
    people::duplicate(&mut chart);
    chart.resources
}

#[cfg(test)]
mod tests {
    use super::{Format, Hospital, child, documents_of};
    use crate::cli::generate::chart::TODAY;
    use crate::definitions::r4;
    use crate::model::parse;
    use crate::validate::{Incoming, Rules, Valid};

    fn lines(patients: u64, seed: u64, format: Format) -> Vec<String> {
        let mut lines = Vec::new();
        documents_of(Hospital { patients, seed, of_adults: false }, format, &mut |line| {
            lines.push(line);
            true
        });
        lines
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(lines(30, 7, Format::Ndjson), lines(30, 7, Format::Ndjson));
        assert_ne!(lines(3, 7, Format::Ndjson), lines(3, 8, Format::Ndjson));
        assert_eq!(lines(5, 7, Format::Bundles)[..4], lines(3, 7, Format::Bundles)[..]);
    }

    #[test]
    fn the_demo_has_adults_and_one_child() {
        let mut births = Vec::new();
        let of = |text: &str| -> Vec<String> {
            let found = text.match_indices("\"birthDate\":\"").map(|(at, name)| at + name.len());
            found.map(|at| text[at..at + 10].to_owned()).collect()
        };
        documents_of(Hospital { patients: 300, seed: 1, of_adults: true }, Format::Bundles, &mut |text| {
            births.extend(of(&text));
            true
        });
        assert!(births.len() >= 300);
        assert!(births.iter().all(|birth| birth.as_str() <= "2008-06-30"), "{births:?}");
        assert_eq!(of(&child(TODAY)), ["2018-06-30"]);
    }

    #[test]
    fn everything_is_valid_and_every_kind_is_there() {
        let mut kinds = std::collections::BTreeSet::new();
        for line in lines(60, 1, Format::Ndjson) {
            let tree = parse(line.clone().into_bytes()).unwrap();
            kinds.insert(tree.root().str_at("resourceType").unwrap().to_owned());
            if let Err(outcome) = Valid::check(Incoming::new(tree), r4(), Rules::default()) {
                panic!("{outcome:?}\n{line}");
            }
        }
        for kind in [
            "AllergyIntolerance",
            "Binary",
            "Claim",
            "Condition",
            "Consent",
            "Coverage",
            "DiagnosticReport",
            "DocumentReference",
            "Encounter",
            "ExplanationOfBenefit",
            "Immunization",
            "Location",
            "Media",
            "MedicationRequest",
            "Observation",
            "Organization",
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "Procedure",
        ] {
            assert!(kinds.contains(kind), "{kind} is missing");
        }
    }
}
