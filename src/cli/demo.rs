//! `chartward demo`: loads a synthetic hospital, serves it, and prints tokens for its people with commands to paste that show
//! consent at work.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::auth::Persona;
use crate::ui::Demonstration;

use super::config::{Common, Config};
use super::demo_hospital::{LIFETIME_SECONDS, load};
use super::house::House;
use super::parties::{DEMO_PARTIES, SCENARIO_PARTIES, signed};
use super::selftest;
use super::serve::{ready, start_with};
use super::tour;

/// Keep everything in memory and discard it at the end, unless --data names a new or empty directory to keep it in
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Number of patients in the hospital
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(3..=1_000_000))]
    patients: u64,
    /// Seed of the generated hospital
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write JSON with base_url, pid, tokens, and scenario_tokens (for `conform`) to this file when the demo is ready
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// Run the tour instead: print each step with the expected and the actual result; exit code 1 if one differs
    #[arg(long)]
    tour: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.tour {
        return tour::run();
    }
    selftest::assure()?;
    let config = Config::load(&arguments.common)?;
    if config.store.is_some() {
        return Err(
            "demo keeps its hospital in memory or in a new directory (--data), in no database".to_owned()
        );
    }
    let house = match &arguments.common.place.data {
        Some(data) => {
            only_new(data)?;
            House::open(&config)?
        }
        None => House::in_memory()?,
    };
    load(&house, &config, arguments.patients, arguments.seed)?;
    let running = start_with(&config, &house, (false, None), demonstration(&config))?;
    let issuer = house.issuer(&running.base_url)?;
    let tokens = signed(&DEMO_PARTIES, &issuer, &running.base_url, LIFETIME_SECONDS)?;
    if let Some(path) = &arguments.ready_file {
        let of_scenarios = signed(&SCENARIO_PARTIES, &issuer, &running.base_url, LIFETIME_SECONDS)?;
        ready(path, &running.base_url, &[("tokens", &tokens), ("scenario_tokens", &of_scenarios)])?;
    }
    let text = welcome(&running.base_url, arguments.patients, &tokens);
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    running.until_told()?;
    house.sled.as_ref().map_or(Ok(()), |sled| sled.close().map_err(|error| error.to_string()))
}

/// The people of the page at the server's address, in its order: the name of the party, who it is, and what there is for it.
const PEOPLE: [(&str, &str, &str); 7] = [
    ("doctor", "A doctor", "Reads and follows the records of patients."),
    (
        "emergency",
        "A doctor in the emergency room",
        "Opens a record that its patient has closed to him: number 99998.",
    ),
    (
        "technician",
        "A health-records technician",
        "Reads every file, hidden parts included, and keeps it complete.",
    ),
    ("officer", "The privacy officer", "Finds a record and reads who saw it, when, what and why."),
    ("patient", "A patient", "Reads the own record, and who saw it."),
    ("representative", "A mother", "Reads the record of her child, and who saw it."),
    ("ehr", "A tester", "Looks at what the API answers, as the hospital's own system."),
];

/// Those people, for the pages; nobody if other machines reach the server, because whoever opens the page may become anybody.
fn demonstration(config: &Config) -> Demonstration {
    let is_own = |address: SocketAddr| address.ip().is_loopback();
    if !config.listen.starts_with("localhost:") && !config.listen.parse().is_ok_and(is_own) {
        return Demonstration::default();
    }
    let party = |name: &str| DEMO_PARTIES.iter().find(|party| party.name == name);
    let person = |(name, title, what): (&str, &str, &'static str)| {
        let party = party(name)?.in_session();
        Some((Persona { name: name.to_owned(), title: title.to_owned(), party }, what))
    };
    Demonstration { people: PEOPLE.into_iter().filter_map(person).collect() }
}

/// Refuses a directory that is not empty, because it may hold the data of a real hospital.
fn only_new(data: &Path) -> Result<(), String> {
    let is_empty = match std::fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(format!("{}: {error}", data.display())),
    };
    if is_empty {
        return Ok(());
    }
    let data = data.display();
    Err(format!(
        "{data} holds something already, and demo writes into new directories alone: name another, or serve what is there with `chartward serve --data {data}`"
    ))
}

/// A command to paste, below a comment with its expected result.
fn line(expected: &str, party: &str, rest: &str) -> String {
    format!("# {expected}\ncurl -s -H \"Authorization: Bearer ${party}\" {rest}; echo\n")
}

fn welcome(base_url: &str, patients: u64, tokens: &BTreeMap<String, String>) -> String {
    let variables: String = tokens.iter().map(|(name, token)| format!("{name}={token}\n")).collect();
    let consent = tour::consent("active");
    let post = "-X POST -H 'Content-Type: application/fhir+json'";
    let payments = "\"$base/ExplanationOfBenefit?patient=p1&_summary=count\"";
    let lines = [
        "# What doctor, patient and insurer find in the file of p1 before there is a consent.\n".to_owned(),
        line("200: the Patient", "doctor", "$base/Patient/p1"),
        line(
            "a Bundle with the total of conditions",
            "patient",
            "\"$base/Condition?patient=p1&_summary=count\"",
        ),
        line("a Bundle with \"total\":0", "insurer", payments),
        "\n# The patient lets the insurer see coverage and explanations of benefit, and nothing else.\n"
            .to_owned(),
        line("201: the Consent", "patient", &format!("{post} $base/Consent -d '{consent}'")),
        line("a Bundle with the total of explanations of benefit", "insurer", payments),
        line("a Bundle with \"total\":0", "insurer", "\"$base/Condition?patient=p1&_summary=count\""),
        "\n# A mother acts for her child.\n".to_owned(),
        line("200: the child", "representative", "$base/Patient/child1"),
        line("404, as if there were no such patient", "representative", "$base/Patient/p1"),
        "\n# Who saw the file?\n".to_owned(),
        line(
            "a Bundle of 3 AuditEvents, the latest first",
            "officer",
            "\"$base/AuditEvent?patient=Patient/p1&_count=3\"",
        ),
    ];
    let address = base_url.strip_suffix("/fhir").unwrap_or(base_url);
    format!(
        "Riverside General Hospital, {patients} adult patients and a child, none of whom exists.

Open {address}/ in a browser to see what each of its people sees, or paste these commands.

base={base_url}
{variables}
{}
Ctrl-C ends the demo.
",
        lines.concat()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[test]
    fn every_line_to_paste_says_what_comes_and_ends_itself() {
        let tokens = super::DEMO_PARTIES.iter().map(|party| (party.name.to_owned(), "t".to_owned()));
        let text = super::welcome("http://localhost/fhir", 3, &tokens.collect::<BTreeMap<_, _>>());
        let lines: Vec<&str> = text.lines().collect();
        let mut count = 0;
        for pair in lines.windows(2) {
            if pair[1].starts_with("curl ") {
                assert!(pair[0].starts_with("# ") && pair[1].ends_with("; echo"), "{pair:?}");
                count += 1;
            }
        }
        assert_eq!(count, 9);
    }
}
