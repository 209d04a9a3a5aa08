//! Access records in plain words, for people who do not know FHIR.
use crate::model::{Millis, Temporal};

use super::record::Ground;

/// The words for types of resources. Other types have the words of their own name.
const KINDS: [(&str, &str); 23] = [
    ("Patient", "name and contact details"),
    ("Observation", "measurements and test results"),
    ("DiagnosticReport", "reports of examinations"),
    ("Condition", "diagnoses"),
    ("MedicationRequest", "prescriptions"),
    ("MedicationStatement", "medicines taken"),
    ("MedicationAdministration", "medicines given"),
    ("MedicationDispense", "medicines dispensed"),
    ("AllergyIntolerance", "allergies"),
    ("Immunization", "vaccinations"),
    ("Encounter", "visits and stays"),
    ("Procedure", "treatments and operations"),
    ("DocumentReference", "documents"),
    ("Binary", "documents"),
    ("Claim", "bills to the insurer"),
    ("ClaimResponse", "answers of the insurer"),
    ("ExplanationOfBenefit", "accounts of the insurer"),
    ("Coverage", "insurance"),
    ("ServiceRequest", "orders and referrals"),
    ("Consent", "consents"),
    ("AuditEvent", "who saw the file"),
    ("Disclosure", "a disclosure into the accounting"),
    ("FamilyMemberHistory", "illnesses in the family"),
];

/// The words for a type of resource.
#[must_use]
pub fn kind_in_words(type_name: &str) -> String {
    if let Some((_, words)) = KINDS.iter().find(|(name, _)| *name == type_name) {
        return (*words).to_owned();
    }
    let mut words = String::new();
    for letter in type_name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// The words for a purpose of use; an unknown code is returned as it is.
#[must_use]
pub fn purpose_in_words(code: &str) -> &str {
    match code {
        "TREAT" | "CAREMGT" | "CLINTRCH" | "PATSFTY" => "treatment",
        "ETREAT" => "emergency treatment",
        "BTG" => "an emergency",
        "HPAYMT" | "CLMATTCH" | "COVAUTH" | "COVERAGE" | "ELIGDTRM" | "ELIGVER" | "ENROLLM" => "payment",
        "HOPERAT" | "HQUALIMP" | "HLEGAL" | "HCOMPL" | "HDIRECT" | "RECORDMGT" | "HSYSADMIN" => {
            "the running of the hospital"
        }
        "PATRQT" | "FAMRQT" | "PWATRNY" | "SUPNWK" => "the patient's own request",
        "HRESCH" | "CLINTRIAL" | "PRECLIN" | "BIORCH" => "research",
        "PUBHLTH" | "DISASTER" | "THREAT" => "public health",
        "HMARKT" => "marketing",
        other => other,
    }
}

/// The words for the basis of a decision.
#[must_use]
pub fn ground_in_words(ground: &Ground) -> String {
    match ground {
        Ground::Consent(..) => "the patient's consent".to_owned(),
        Ground::RightOfAccess => "the patient's right to see the own file".to_owned(),
        Ground::Policy => "the hospital's rules for treatment, payment and its own work".to_owned(),
        Ground::Law(law) => format!("the law: {law}"),
        Ground::BreakGlass => "emergency access, which is reviewed".to_owned(),
        Ground::None => "the right that the hospital has given to this role".to_owned(),
    }
}

/// The words for a role; an unknown code is returned as it is.
#[must_use]
pub fn role_in_words(code: &str) -> &str {
    match code {
        "system" => "a computer system",
        "clinician" => "a professional who treats",
        "technician" => "a health-records technician",
        "administrator" => "an administrator",
        "privacy-officer" => "a privacy officer",
        "patient" => "a patient",
        "representative" => "somebody who acts for the patient",
        "insurer" => "an insurer",
        "researcher" => "a researcher",
        other => other,
    }
}

/// Several words as a list with `and` before the last.
#[must_use]
pub fn listed(words: &[String]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    }
}

/// A day such as `12 May 2026`, in UTC.
#[must_use]
pub fn day_in_words(time: Millis) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let date = Temporal::from_millis(time);
    let month = MONTHS.get(usize::from(date.month).saturating_sub(1)).copied().unwrap_or_default();
    format!("{} {month} {}", date.day, date.year)
}

/// A time of day such as `10:03`, in UTC.
#[must_use]
pub fn clock_in_words(time: Millis) -> String {
    let date = Temporal::from_millis(time);
    format!("{:02}:{:02}", date.hour, date.minute)
}

#[cfg(test)]
mod tests {
    use super::{clock_in_words, day_in_words, kind_in_words, listed};

    #[test]
    fn words_are_those_of_people() {
        assert_eq!(kind_in_words("Observation"), "measurements and test results");
        assert_eq!(kind_in_words("NutritionOrder"), "nutrition order");
        let words = |words: &[&str]| listed(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!((words(&["a"]), words(&["a", "b", "c"])), ("a".to_owned(), "a, b and c".to_owned()));
        assert_eq!(day_in_words(1_700_000_000_123), "14 November 2023");
        assert_eq!(clock_in_words(1_700_000_000_123), "22:13");
    }
}
