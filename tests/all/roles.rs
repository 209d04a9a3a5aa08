//! What every role sees and writes without any Consent: role x purpose x type x label, as a golden file for review. `BLESS=1
//! cargo test roles` rewrites it; review its diff like code.
use std::fmt::Write as _;
use std::sync::Arc;

use chartward::auth::{Party, Role, Scopes};
use chartward::cli::now;
use chartward::consent::{ConsentCache, Lens, LensParts, Settings, Writing};
use chartward::model::parse;
use chartward::store::At;
use serde_json::{Value, json};

const PURPOSES: [&str; 6] = ["TREAT", "HPAYMT", "HOPERAT", "PATRQT", "HRESCH", "BTG"];

fn resources() -> Vec<(&'static str, Value)> {
    let patient = json!({"reference": "Patient/p1"});
    let of = |name: &str| json!({"resourceType": name, "id": "r", "subject": patient});
    let work = json!({"resourceType": "Task", "id": "r", "for": patient,
        "code": {"coding": [{"system": "urn:chartward:work", "code": "merge-patients"}]}});
    vec![
        ("Patient", json!({"resourceType": "Patient", "id": "p1"})),
        ("Encounter", of("Encounter")),
        ("AllergyIntolerance", json!({"resourceType": "AllergyIntolerance", "id": "r", "patient": patient})),
        ("Condition", of("Condition")),
        ("Observation", of("Observation")),
        ("Claim", json!({"resourceType": "Claim", "id": "r", "patient": patient})),
        ("Consent", json!({"resourceType": "Consent", "id": "r", "patient": patient})),
        ("CareTeam", of("CareTeam")),
        ("Task of work", work),
        ("Organization", json!({"resourceType": "Organization", "id": "r"})),
        ("Questionnaire", json!({"resourceType": "Questionnaire", "id": "r"})),
        ("AuditEvent", json!({"resourceType": "AuditEvent", "id": "r"})),
    ]
}

/// Without a label, and with each label that affects decisions.
const LABELS: [Option<(&str, &str)>; 5] = [
    None,
    Some(("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "R")),
    Some(("http://terminology.hl7.org/CodeSystem/v3-ActCode", "PSY")),
    Some(("http://terminology.hl7.org/CodeSystem/v3-ActCode", "PSYTHPN")),
    Some(("http://terminology.hl7.org/CodeSystem/v3-ActCode", "42CFRPart2")),
];

fn party(role: Role, is_own: bool, purpose: &str) -> Arc<Party> {
    let user = match role {
        Role::Patient => Some("Patient/p1"),
        Role::Clinician => Some("Practitioner/d1"),
        _ => None,
    };
    let organization = if is_own { "Organization/hospital" } else { "Organization/other" };
    Arc::new(Party {
        role,
        organization: (role != Role::Patient && role != Role::Representative)
            .then(|| organization.to_owned()),
        fhir_user: user.map(str::to_owned),
        purposes: vec![purpose.to_owned()],
        scopes: Scopes::parse("user/*.cruds"),
        ..Party::nobody()
    })
}

/// One letter per label: `b` sees and writes, `r` sees, `w` writes, `-` neither.
fn cell(lens: &Lens<'_>, resource: &Value) -> String {
    LABELS
        .iter()
        .map(|label| {
            let mut labelled = resource.clone();
            if let Some((system, code)) = label {
                labelled["meta"] = json!({"security": [{"system": system, "code": code}]});
            }
            let tree = parse(labelled.to_string().into_bytes()).unwrap();
            let sees = lens.may_see(tree.root()).unwrap();
            let writes = lens.may_write(tree.root(), Writing::New).unwrap();
            match (sees, writes) {
                (true, true) => 'b',
                (true, false) => 'r',
                (false, true) => 'w',
                (false, false) => '-',
            }
        })
        .collect()
}

#[test]
fn roles_see_and_write_what_the_golden_file_says() {
    let house = crate::shared::house();
    let snapshot = house.kv().snapshot(At::Latest).unwrap();
    let settings = Arc::new(Settings::of(["Organization/hospital".to_owned()].into()));
    let consents = ConsentCache::default();
    let resources = resources();
    let mut table = String::from(
        "What a role sees and writes without any Consent, under the default policy own-tpo.\n\
         Five letters: without a label, R, PSY, PSYTHPN, 42CFRPart2. b both, r sees, w writes, - neither.\n\n",
    );
    write!(table, "{:32}", "role, organization, purpose").unwrap();
    for (name, _) in &resources {
        write!(table, " {name:>18}").unwrap();
    }
    table.push('\n');
    for role in Role::ALL {
        for (is_own, whose) in [(true, "own"), (false, "other")] {
            for purpose in PURPOSES {
                let party = party(*role, is_own, purpose);
                let lens = Lens::new(LensParts {
                    snapshot: &*snapshot,
                    party,
                    settings: settings.clone(),
                    consents: &consents,
                    now: now(),
                })
                .unwrap();
                write!(table, "{:32}", format!("{}, {whose}, {purpose}", role.code())).unwrap();
                for (_, resource) in &resources {
                    write!(table, " {:>18}", cell(&lens, resource)).unwrap();
                }
                table.push('\n');
            }
        }
    }
    crate::shared::assert_golden("roles.txt", &table);
}
