//! Examples for each command, shown at the end of its `--help`.

/// Commands with their subcommands, and examples of them.
const EXAMPLES: [(&str, &[&str]); 35] = [
    ("serve", &["chartward serve --data /var/lib/chartward --config /etc/chartward.toml"]),
    ("demo", &["chartward demo --patients 50 --listen 127.0.0.1:8080", "chartward demo --tour"]),
    ("audit verify", &["chartward audit verify /backup/chartward-data"]),
    ("backup", &["chartward backup --data /var/lib/chartward /backup/monday.chartward"]),
    (
        "restore",
        &[
            "chartward restore --data restored /backup/monday.chartward",
            "chartward restore --data restored /backup/monday.chartward --journal /var/lib/chartward --until 2026-11-26T09:30:00Z",
        ],
    ),
    (
        "client add",
        &[
            "chartward client add ehr --auth private_key_jwt --jwks keys.json --role system --organization Organization/hospital --purpose TREAT --scope 'system/*.cruds'",
            "chartward client add growth-chart --auth none --grant authorization_code,refresh_token --scope 'launch/patient patient/*.rs' --redirect-uri https://app.example/callback --launch standalone",
        ],
    ),
    ("client list", &["chartward client list"]),
    ("client show", &["chartward client show ehr"]),
    ("client change", &["chartward client change ehr --scope 'system/*.rs' --new-secret"]),
    ("client disable", &["chartward client disable ehr"]),
    ("client enable", &["chartward client enable ehr"]),
    ("client remove", &["chartward client remove ehr"]),
    (
        "user add",
        &[
            "chartward user add rossi --role clinician --user Practitioner/d1 --organization Organization/hospital --purpose TREAT",
        ],
    ),
    ("user password", &["chartward user password rossi"]),
    ("user list", &["chartward user list"]),
    ("user show", &["chartward user show rossi"]),
    ("user change", &["chartward user change rossi --may-break-glass true --without purposes"]),
    ("user disable", &["chartward user disable rossi"]),
    ("user enable", &["chartward user enable rossi"]),
    ("user remove", &["chartward user remove rossi"]),
    ("keys rotate", &["chartward keys rotate --data /var/lib/chartward"]),
    (
        "token",
        &[
            "chartward token --role clinician --user Practitioner/d1 --organization Organization/hospital --purpose TREAT",
        ],
    ),
    (
        "import",
        &[
            "chartward import --data new-hospital bundles/",
            "chartward import --url http://127.0.0.1:8080/fhir patients.ndjson.gz",
        ],
    ),
    ("generate", &["chartward generate --patients 2000 --seed 7 --out hospital"]),
    (
        "standby",
        &[
            "chartward standby --from https://fhir.example.org/fhir --data standby",
            "chartward standby --promote --data standby",
        ],
    ),
    ("verify", &["chartward verify --data /var/lib/chartward"]),
    ("selftest", &["chartward selftest"]),
    ("reindex", &["chartward reindex --data /var/lib/chartward"]),
    (
        "conform",
        &[
            "chartward demo --ready-file ready.json",
            "chartward conform http://127.0.0.1:8080/fhir --ready-file ready.json --only http",
        ],
    ),
    ("load", &["chartward load http://127.0.0.1:8080/fhir --shapes read,search --connections 16"]),
    ("consent decide", &["chartward consent decide cases.json"]),
    ("config", &["chartward config --config /etc/chartward.toml"]),
    ("fhirpath", &["chartward fhirpath 'Patient.name.given.first()' patient.json"]),
    ("patch", &["chartward patch changes.json patient.json"]),
    ("profiles", &["chartward profiles hl7.fhir.r4.core --out profiles"]),
];

/// The command line's grammar, with the examples at the end of each command's help.
pub(super) fn with_examples(command: clap::Command) -> clap::Command {
    EXAMPLES.iter().fold(command, |command, (path, examples)| {
        let mut text = if examples.len() == 1 { "Example:".to_owned() } else { "Examples:".to_owned() };
        for example in *examples {
            text.push_str("\n  ");
            text.push_str(example);
        }
        let names: Vec<&str> = path.split(' ').collect();
        at(command, &names, &text)
    })
}

/// Sets the text at the end of the help of a subcommand.
fn at(command: clap::Command, names: &[&str], text: &str) -> clap::Command {
    match names.split_first() {
        Some((name, rest)) => command.mut_subcommand(*name, |below| at(below, rest, text)),
        None => command.after_help(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::args::Arguments;
    use super::EXAMPLES;

    /// The words of a line as a shell reads them; only single quotes are supported.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (number, part) in line.split('\'').enumerate() {
            if number % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }

    fn leaves(command: &clap::Command, path: &str, out: &mut Vec<String>) {
        let mut below = command.get_subcommands().filter(|sub| sub.get_name() != "help").peekable();
        if below.peek().is_none() {
            out.push(path.trim_start().to_owned());
        }
        for sub in below {
            leaves(sub, &format!("{path} {}", sub.get_name()), out);
        }
    }

    #[test]
    fn every_command_has_an_example_that_it_understands() {
        let mut commands = Vec::new();
        leaves(&Arguments::command(), "", &mut commands);
        let mut shown: Vec<&str> = EXAMPLES.iter().map(|(path, _)| *path).collect();
        commands.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, commands);
        for (path, examples) in EXAMPLES {
            assert!(!examples.is_empty(), "{path}");
            let of_command = examples.iter().filter(|line| line.starts_with(&format!("chartward {path}")));
            assert!(of_command.count() > 0, "{path}");
            for line in examples {
                let read = Arguments::command().try_get_matches_from(words(line));
                assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
            }
        }
    }
}
