//! What the form for a Consent says, and the Consent that it makes.
use serde_json::{Map, Value, json};

use crate::operations::MATTERS;

use super::super::visit::Visit;

/// The kinds of items from which one chooses; all others belong to the whole record.
pub(super) const KINDS: [&str; 13] = [
    "Patient",
    "AllergyIntolerance",
    "Condition",
    "MedicationRequest",
    "Observation",
    "DiagnosticReport",
    "Encounter",
    "Procedure",
    "Immunization",
    "DocumentReference",
    "Coverage",
    "Claim",
    "ExplanationOfBenefit",
];

/// The purposes from which one chooses (v3-ActReason).
pub(super) const PURPOSES: [(&str, &str); 4] = [
    ("TREAT", "treatment"),
    ("HPAYMT", "payment"),
    ("HOPERAT", "the running of a hospital or an insurer"),
    ("HRESCH", "research"),
];

/// The form offers the first so many of `MATTERS`; the others are narrower or broader than these.
const MATTERS_OFFERED: usize = 7;

/// The sensitive matters that the form offers.
pub(super) fn matters() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    MATTERS.iter().take(MATTERS_OFFERED)
}

/// The form as it was filled in.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Names this filling of the form, so that a form that is sent twice makes one Consent.
    pub(super) once: String,
    /// What was typed to look for somebody.
    pub(super) sought: String,
    /// `Type/id`, or `ANYBODY`.
    pub(super) who: String,
    pub(super) is_denial: bool,
    pub(super) kinds: Vec<String>,
    /// The sensitive matters that are left out, or that alone are withheld.
    pub(super) matters: Vec<String>,
    pub(super) purposes: Vec<String>,
    /// The last day, as it was typed.
    pub(super) until: String,
}

/// Stands for everybody in the place of a reference.
pub(super) const ANYBODY: &str = "anybody";

/// The types that one may name as recipients.
const RECIPIENTS: [&str; 4] = ["Organization", "Practitioner", "PractitionerRole", "RelatedPerson"];

impl Draft {
    /// The empty form: a permission to see the whole record for any purpose; only who gets it must still be chosen.
    pub(super) fn empty(once: String) -> Self {
        Self { once, ..Self::default() }
    }

    pub(super) fn read(visit: &Visit) -> Self {
        let chosen = |name: &str, known: &mut dyn Iterator<Item = &'static str>| -> Vec<String> {
            let is_chosen =
                |code: &&str| visit.form.iter().any(|(field, value)| field == name && value == code);
            known.filter(is_chosen).map(str::to_owned).collect()
        };
        Self {
            once: visit.field("once").to_owned(),
            sought: visit.field("sought").trim().to_owned(),
            who: visit.field("who").to_owned(),
            is_denial: visit.field("may") == "deny",
            kinds: chosen("kind", &mut KINDS.into_iter()),
            matters: chosen("matter", &mut matters().map(|(code, _)| *code)),
            purposes: chosen("why", &mut PURPOSES.into_iter().map(|(code, _)| code)),
            until: visit.field("until").trim().to_owned(),
        }
    }

    /// The fields of the form as pairs, to carry them along.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let mut fields = vec![
            ("once", self.once.as_str()),
            ("sought", &self.sought),
            ("who", &self.who),
            ("may", if self.is_denial { "deny" } else { "permit" }),
            ("until", &self.until),
        ];
        for (name, values) in [("kind", &self.kinds), ("matter", &self.matters), ("why", &self.purposes)] {
            fields.extend(values.iter().map(|value| (name, value.as_str())));
        }
        fields
    }

    /// What must be mended: the field and the message.
    pub(super) fn faults(&self, today: &str) -> Vec<(&'static str, &'static str)> {
        let mut faults = Vec::new();
        let is_somebody = || {
            let parts = self.who.split_once('/');
            parts.is_some_and(|(type_name, id)| {
                RECIPIENTS.contains(&type_name) && crate::model::ResourceId::parse(id).is_some()
            })
        };
        if self.who != ANYBODY && !is_somebody() {
            faults.push(("who", "Choose who it is about"));
        }
        if !self.until.is_empty() {
            match crate::model::Temporal::parse(&self.until).filter(|_| self.until.len() == 10) {
                None => faults.push(("until", "Write the last day as year-month-day, such as 2027-12-31")),
                Some(_) if self.until.as_str() < today => {
                    faults.push(("until", "The last day is over already"))
                }
                Some(_) => {}
            }
        }
        faults
    }

    /// The Consent: about this patient, agreed to by this performer, at this time; `name` is that of the recipient.
    pub(super) fn consent(&self, (patient, performer): (&str, &str), now: &str, name: Option<&str>) -> Value {
        let coding = |system: &str, code: &str, display: &str| json!({"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code, "display": display});
        let mut provision = Map::new();
        let mut set = |name: &str, value: Value| drop(provision.insert(name.to_owned(), value));
        set("type", json!(if self.is_denial { "deny" } else { "permit" }));
        if !self.until.is_empty() {
            set("period", json!({"end": self.until}));
        }
        if self.who != ANYBODY {
            let reference = match name {
                Some(name) => json!({"reference": self.who, "display": name}),
                None => json!({"reference": self.who}),
            };
            let role = json!({"coding": [coding("v3-ParticipationType", "IRCP", "information recipient")]});
            set("actor", json!([{"role": role, "reference": reference}]));
        }
        let word = |code: &str, words: &[(&str, &str)]| {
            words
                .iter()
                .find(|(known, _)| *known == code)
                .map_or_else(String::new, |(_, word)| (*word).to_owned())
        };
        if !self.purposes.is_empty() {
            let purpose = |code: &String| coding("v3-ActReason", code, &word(code, &PURPOSES));
            set("purpose", self.purposes.iter().map(purpose).collect());
        }
        if !self.kinds.is_empty() {
            let class = |kind: &String| json!({"system": "http://hl7.org/fhir/resource-types", "code": kind});
            set("class", self.kinds.iter().map(class).collect());
        }
        if !self.matters.is_empty() {
            let label = |code: &String| coding("v3-ActCode", code, &word(code, &MATTERS));
            let labels: Value = self.matters.iter().map(label).collect();
            if self.is_denial {
                set("securityLabel", labels);
            } else {
                set("provision", json!([{"type": "deny", "securityLabel": labels}]));
            }
        }
        let rule = if self.is_denial { ("OPTOUT", "opt-out") } else { ("OPTIN", "opt-in") };
        json!({
            "resourceType": "Consent",
            "identifier": [{"system": FORM_SYSTEM, "value": self.once}],
            "status": "active",
            "scope": {"coding": [coding("consentscope", "patient-privacy", "Privacy Consent")]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0", "display": "Consent Document"}]}],
            "patient": {"reference": patient},
            "dateTime": now,
            "performer": [{"reference": performer}],
            "policyRule": {"coding": [coding("v3-ActCode", rule.0, rule.1)]},
            "provision": provision,
        })
    }
}

/// The system of the identifier that tells from which filling of the form a Consent comes.
pub(super) const FORM_SYSTEM: &str = "urn:chartward:form";

#[cfg(test)]
mod tests {
    use super::{ANYBODY, Draft};
    use crate::consent::{Status, compile};
    use crate::model::parse;
    use crate::operations::sentences;

    #[test]
    fn what_is_chosen_is_what_is_said_and_enforced() {
        let owned = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>();
        let insurer = Draft { who: "Organization/mutual".to_owned(), ..Draft::empty("x".to_owned()) };
        let check = |draft: Draft, expected: &[&str]| {
            assert!(draft.faults("2026-01-01").is_empty());
            let text =
                draft.consent(("Patient/p", "Patient/p"), "2026-01-01T10:00:00Z", Some("Mutual")).to_string();
            let tree = parse(text.into_bytes()).unwrap();
            assert_eq!(compile(tree.root()).status, Status::Enforceable);
            let said = sentences(tree.root(), &|_| None).into_iter().map(|sentence| sentence.text);
            assert_eq!(said.collect::<Vec<_>>(), expected);
        };
        check(
            Draft {
                kinds: owned(&["Coverage", "Claim"]),
                purposes: owned(&["HPAYMT"]),
                matters: owned(&["PSY", "HIV"]),
                until: "2027-12-31".to_owned(),
                ..insurer.clone()
            },
            &[
                "Mutual may see insurance and bills to the insurer for payment until 31 December 2027, and by this consent nothing else.",
                "But not whatever is marked as mental health or HIV.",
            ],
        );
        check(Draft { is_denial: true, ..insurer.clone() }, &["Mutual may not see anything of the record."]);
        check(
            Draft { is_denial: true, who: ANYBODY.to_owned(), matters: owned(&["SEX"]), ..insurer },
            &["Nobody may see whatever is marked as sexual and reproductive health."],
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let check = |who: &str, until: &str, expected: &[&str]| {
            let draft = Draft { who: who.to_owned(), until: until.to_owned(), ..Draft::default() };
            let faults = draft.faults("2026-06-01");
            assert_eq!(faults.iter().map(|(field, _)| *field).collect::<Vec<_>>(), expected, "{who} {until}");
        };
        check("Organization/a", "", &[]);
        check("anybody", "2026-06-01", &[]);
        check("", "", &["who"]);
        check("Patient/a", "", &["who"]);
        check("Organization/<script>", "2026-05-31", &["who", "until"]);
        for wrong in ["tomorrow", "2026-13-01", "2027", "31.12.2027"] {
            check("anybody", wrong, &["until"]);
        }
    }
}
