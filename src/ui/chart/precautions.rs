//! Conditions that ask for precautions when one treats: the table `profiles/precautions.ndjson`.
use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::Node;

const PRECAUTIONS: &str = include_str!("../../../profiles/precautions.ndjson");

/// A row of the table.
#[derive(Debug, Deserialize)]
struct Precaution {
    /// What one heeds.
    heed: String,
    system: String,
    /// Codes; one that ends with `*` stands for all that begin so.
    codes: Vec<String>,
}

static TABLE: LazyLock<Vec<Precaution>> = LazyLock::new(|| {
    // The table is part of the program, and a test reads every row.
    PRECAUTIONS.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
});

impl Precaution {
    fn is_about(&self, coding: Node<'_>) -> bool {
        let Some(code) = coding.str_at("code") else { return false };
        let fits = |known: &String| match known.strip_suffix('*') {
            Some(begin) => code.starts_with(begin),
            None => code == known,
        };
        coding.str_at("system") == Some(&self.system) && self.codes.iter().any(fits)
    }
}

/// The precaution that a condition asks for when one treats the patient.
pub(super) fn precaution_of(condition: Node<'_>) -> Option<&'static str> {
    let mut codings = condition.items_at("code").flat_map(|code| code.items_at("coding"));
    codings.find_map(|coding| TABLE.iter().find(|row| row.is_about(coding)).map(|row| row.heed.as_str()))
}

#[cfg(test)]
mod tests {
    use super::{PRECAUTIONS, TABLE, precaution_of};
    use crate::model::parse;

    #[test]
    fn conditions_ask_for_precautions_by_their_codes() {
        assert_eq!(TABLE.len(), PRECAUTIONS.lines().count());
        let check = |system: &str, code: &str, expected: Option<&str>| {
            let text = format!(r#"{{"code":{{"coding":[{{"system":"{system}","code":"{code}"}}]}}}}"#);
            assert_eq!(precaution_of(parse(text.into_bytes()).unwrap().root()), expected, "{system} {code}");
        };
        check("http://snomed.info/sct", "44054006", Some("Diabetes"));
        check("http://hl7.org/fhir/sid/icd-10-cm", "E11.9", Some("Diabetes"));
        check("http://hl7.org/fhir/sid/icd-10-cm", "J45.909", None);
        check("urn:other", "44054006", None);
    }
}
