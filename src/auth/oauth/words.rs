//! Describes scopes and purposes in words, for the page on which a user consents.

use super::super::granted::parts_of;
use super::super::scope::ADMIN;

/// The parts of a scope that may be granted instead of it, each with its description.
#[must_use]
pub fn described_parts(scope: &str) -> Vec<(String, String)> {
    parts_of(scope)
        .into_iter()
        .map(|part| {
            let words = describe(&part);
            (part, words)
        })
        .collect()
}

/// What a scope permits a client to do, as the continuation of "it may".
#[must_use]
pub fn describe(scope: &str) -> String {
    let special = match scope {
        "openid" => Some("know who you are"),
        "fhirUser" | "profile" => Some("know which entry of the records stands for you"),
        "launch" => Some("know which patient you are looking at"),
        "launch/patient" => Some("know which patient it is to work with"),
        "launch/encounter" => Some("know which visit it is to work with"),
        "offline_access" => Some("keep its access after you have left"),
        "online_access" => Some("keep its access for as long as you are there"),
        ADMIN => Some("run this server in your name: register apps and users, make backups"),
        _ => None,
    };
    if let Some(words) = special {
        return words.to_owned();
    }
    let Some((level, rest)) = scope.split_once('/') else { return scope.to_owned() };
    let (resource, letters) = rest.split_once('.').unwrap_or((rest, ""));
    let (letters, query) = letters.split_once('?').unwrap_or((letters, ""));
    let category = query.strip_prefix("category=").filter(|category| !category.contains('&'));
    let category = category.map(|category| category.rsplit('|').next().unwrap_or(category).replace('-', " "));
    let letters = match letters {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters => letters,
    };
    let verbs: Vec<&str> =
        [("c", "create"), ("r", "read"), ("u", "change"), ("d", "delete"), ("s", "search")]
            .into_iter()
            .filter_map(|(letter, word)| letters.contains(letter).then_some(word))
            .collect();
    let what =
        if resource == "*" { "records of every kind".to_owned() } else { format!("{resource} records") };
    let verbs = listed(&verbs);
    let only = category.map(|category| format!(" of the category {category}")).unwrap_or_default();
    if level == "patient" {
        format!("{verbs} the patient's {what}{only}")
    } else {
        format!("{verbs} {what}{only} that you may see")
    }
}

/// A purpose of use in words. Codes without words of their own are returned as they are.
#[must_use]
pub fn describe_purpose(code: &str) -> String {
    let words = match code {
        "TREAT" => "treatment",
        "ETREAT" => "emergency treatment",
        "HPAYMT" => "payment",
        "HOPERAT" => "work of the hospital beside treatment",
        "PUBHLTH" => "public health",
        "HRESCH" => "research",
        "PATRQT" => "at the patient's request",
        "FAMRQT" => "at the family's request",
        "PWATRNY" => "with power of attorney",
        _ => return code.to_owned(),
    };
    format!("{words} ({code})")
}

/// Joins words with commas and a final "and".
fn listed(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{describe, describe_purpose};

    #[test]
    fn scopes_and_purposes_are_told_in_words() {
        for (scope, words) in [
            ("patient/Observation.rs", "read and search the patient's Observation records"),
            (
                "patient/Observation.r?category=vital-signs",
                "read the patient's Observation records of the category vital signs",
            ),
            ("user/*.write", "create, change and delete records of every kind that you may see"),
            ("openid", "know who you are"),
        ] {
            assert_eq!(describe(scope), words);
        }
        assert_eq!(describe_purpose("TREAT"), "treatment (TREAT)");
        assert_eq!(describe_purpose("CLINTRCH"), "CLINTRCH");
    }
}
