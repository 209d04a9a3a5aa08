//! The conformance scenarios against a server in this process, over a real socket, each party with a token of its own.
use std::collections::BTreeMap;

use chartward::auth::AccessToken;
use chartward::cli::{Config, Report, Scenario, Target, claims, scenarios, start};

/// Name, user, role, organization, purpose, scopes, whether it chooses ids.
pub type Party =
    (&'static str, Option<&'static str>, &'static str, &'static str, &'static str, &'static str, bool);

/// The parties that scenarios name.
pub const PARTIES: [Party; 11] = [
    ("ehr", None, "system", "Organization/hospital", "TREAT", "system/*.cruds", true),
    (
        "doctor",
        Some("Practitioner/scenario-doctor"),
        "clinician",
        "Organization/hospital",
        "TREAT",
        "user/*.cruds",
        false,
    ),
    ("patient", Some("Patient/scenario-p1"), "patient", "", "PATRQT", "patient/*.cruds", false),
    ("insurer", None, "insurer", "Organization/scenario-acme", "HPAYMT", "system/*.rs", false),
    ("other", None, "system", "Organization/scenario-other", "TREAT", "user/*.cruds", false),
    ("payer", None, "insurer", "Organization/scenario-acme", "HPAYMT", "system/*.rs system/Consent.c", false),
    (
        "technician",
        Some("Practitioner/scenario-technician"),
        "technician",
        "Organization/hospital",
        "HOPERAT",
        "user/*.cruds",
        false,
    ),
    ("officer", None, "privacy-officer", "Organization/hospital", "HOPERAT", "user/*.cruds", false),
    (
        "emergency",
        Some("Practitioner/scenario-emergency"),
        "clinician",
        "Organization/hospital",
        "TREAT",
        "user/*.cruds",
        false,
    ),
    (
        "representative",
        Some("RelatedPerson/scenario-guardian"),
        "representative",
        "",
        "PATRQT",
        "patient/*.rs user/*.rs",
        false,
    ),
    ("admin", None, "administrator", "Organization/hospital", "HOPERAT", "user/*.cruds", false),
];

/// What the token of a party says.
pub fn token(url: &str, party: &Party) -> AccessToken {
    let (name, user, role, organization, purpose, scope, assign_ids) = *party;
    AccessToken {
        sub: user.unwrap_or(name).to_owned(),
        role: role.to_owned(),
        fhir_user: user.map(str::to_owned),
        organization: (!organization.is_empty()).then(|| organization.to_owned()),
        purpose_of_use: vec![purpose.to_owned()],
        scope: scope.to_owned(),
        assign_ids,
        may_break_glass: name == "emergency",
        files_consent: name == "payer",
        ..claims(url, 3_600).unwrap()
    }
}

#[test]
fn every_scenario_holds() {
    let report = run("own-tpo", &scenarios().unwrap());
    println!("{} scenarios hold, {} wait for what is not served yet", report.held(), report.waiting());
    assert_eq!(report.failed(), 0, "{}", report.table());
}

#[test]
fn scenarios_of_other_policies_hold() {
    let mut chosen = scenarios().unwrap();
    chosen.retain(|scenario| scenario.policy.as_deref() == Some("tpo"));
    assert!(!chosen.is_empty());
    let report = run("tpo", &chosen);
    assert_eq!((report.failed(), report.waiting()), (0, 0), "{}", report.table());
}

/// Runs scenarios against a server of a default policy, and proves its store afterwards.
fn run(policy: &str, scenarios: &[Scenario]) -> Report {
    let config =
        Config { listen: "127.0.0.1:0".to_owned(), default_policy: policy.to_owned(), ..Config::default() };
    let house = crate::shared::house();
    let mut running = start(&config, &house, false, None).unwrap();
    let issuer = house.issuer(&running.base_url).unwrap();
    let tokens: BTreeMap<String, String> = PARTIES
        .iter()
        .map(|party| (party.0.to_owned(), issuer.sign(&token(&running.base_url, party)).unwrap()))
        .collect();
    let report = Target::new(&running.base_url, tokens).with_policy(policy).run(scenarios);
    running.stop().unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    report
}
