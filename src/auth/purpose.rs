//! Purposes of use that a token or a client assertion states (UDAP Security `hl7-b2b`, IHE IUA). They can only narrow the
//! registered purposes.

use serde_json::Value;

/// The names of the code system v3-ActReason in tokens.
const ACT_REASON: [&str; 4] = [
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "http://hl7.org/fhir/v3/ActReason",
    "urn:oid:2.16.840.1.113883.5.8",
    "2.16.840.1.113883.5.8",
];
/// The names of TEFCA's code system of exchange purposes.
const EXCHANGE_PURPOSES: [&str; 2] =
    ["urn:oid:2.16.840.1.113883.3.7204.1.5.2.1", "2.16.840.1.113883.3.7204.1.5.2.1"];
/// CHOICE: TEFCA has its own purpose codes; each maps to the corresponding code of v3-ActReason. A longer code such as
/// `T-HCO-CC` maps like its prefix.
const EXCHANGE_TO_REASON: [(&str, &str); 7] = [
    ("T-TREAT", "TREAT"),
    ("T-TRTMNT", "TREAT"),
    ("T-PYMNT", "HPAYMT"),
    ("T-HCO", "HOPERAT"),
    ("T-PH", "PUBHLTH"),
    ("T-IAS", "PATRQT"),
    ("T-GOVDTRM", "ELIGDTRM"),
];
/// The most purposes of one token.
const PURPOSES_MAX: usize = 16;

/// Why the purposes of a token are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurposeError {
    /// A purpose cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The purpose is not registered.
    #[error("the purpose `{0}` is not allowed")]
    NotAllowed(String),
}

/// The stated purposes as codes of v3-ActReason, without duplicates; empty if there are none. They are read from
/// `purpose_of_use` at the top level, and from `hl7-b2b` and `ihe_iua`, each at the top level or in `extensions`.
///
/// # Errors
/// [`PurposeError::Malformed`] if a purpose cannot be read. Ignoring it would let the default purpose apply instead.
pub fn asserted_purposes(claims: &Value) -> Result<Vec<String>, PurposeError> {
    let mut found = Vec::new();
    let extensions = [claims.get("extensions"), Some(claims)];
    for holder in extensions.into_iter().flatten() {
        if let Some(b2b) = holder.get("hl7-b2b") {
            check_b2b(b2b)?;
            found.extend(b2b.get("purpose_of_use"));
        }
        found.extend(holder.get("ihe_iua").and_then(|iua| iua.get("purpose_of_use")));
    }
    found.extend(claims.get("purpose_of_use"));
    let mut codes: Vec<String> = Vec::new();
    for stated in found {
        let each = match stated {
            Value::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        for item in each {
            let code = read(item)?;
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
    }
    if codes.len() > PURPOSES_MAX {
        return Err(PurposeError::Malformed("there are too many purposes of use".to_owned()));
    }
    Ok(codes)
}

/// The effective purposes: the stated ones if all are allowed; if none is stated, the default or the only allowed one.
///
/// # Errors
/// [`PurposeError::NotAllowed`] for a purpose that the registration does not allow.
pub fn narrowed_purposes(
    asserted: &[String],
    allowed: &[String],
    default: Option<&str>,
) -> Result<Vec<String>, PurposeError> {
    let is_allowed = |code: &str| allowed.iter().any(|known| known == code);
    if let Some(code) = asserted.iter().find(|code| !is_allowed(code)) {
        return Err(PurposeError::NotAllowed(code.clone()));
    }
    if !asserted.is_empty() {
        return Ok(asserted.to_vec());
    }
    // The default is the client's, and its user may be allowed fewer purposes.
    let default = default.filter(|code| is_allowed(code)).map(str::to_owned);
    let only = if let [only] = allowed { Some(only.clone()) } else { None };
    Ok(default.or(only).into_iter().collect())
}

/// Checks the required members (UDAP Security, "B2B Authorization Extension Object").
fn check_b2b(b2b: &Value) -> Result<(), PurposeError> {
    let text = |name: &str| b2b.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let malformed = |what: &str| Err(PurposeError::Malformed(format!("the claim hl7-b2b {what}")));
    if text("version") != Some("1") {
        return malformed("is of no version that is read here");
    }
    if text("organization_id").is_none() {
        return malformed("names no organization_id");
    }
    match b2b.get("purpose_of_use").and_then(Value::as_array) {
        Some(purposes) if !purposes.is_empty() => Ok(()),
        Some(_) | None => malformed("states no purpose_of_use"),
    }
}

/// Reads a code, `system#code`, `system|code`, or a Coding.
fn read(item: &Value) -> Result<String, PurposeError> {
    let malformed = || PurposeError::Malformed("a purpose of use cannot be read".to_owned());
    let (system, code) = match item {
        Value::String(text) => match text.rsplit_once(['#', '|']) {
            Some((system, code)) => (Some(system), code),
            None => (None, text.as_str()),
        },
        Value::Object(coding) => {
            let text = |name: &str| coding.get(name).and_then(Value::as_str);
            (text("system"), text("code").ok_or_else(malformed)?)
        }
        _ => return Err(malformed()),
    };
    let is_exchange = match system {
        Some(system) if ACT_REASON.contains(&system) => false,
        Some(system) if EXCHANGE_PURPOSES.contains(&system) => true,
        Some(_) => return Err(malformed()),
        None => code.starts_with("T-"),
    };
    if is_exchange {
        let part_of = |known: &str| {
            code.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let found = EXCHANGE_TO_REASON.iter().find(|(known, _)| part_of(known));
        return found.map(|(_, reason)| (*reason).to_owned()).ok_or_else(malformed);
    }
    let is_code =
        !code.is_empty() && code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_code { Ok(code.to_owned()) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::{PurposeError, asserted_purposes, narrowed_purposes};
    use serde_json::json;

    #[test]
    fn every_form_is_read() {
        let b2b = |purposes: serde_json::Value| json!({"extensions": {"hl7-b2b": {"version": "1", "organization_id": "https://o", "purpose_of_use": purposes}}});
        for (claims, codes) in [
            (json!({}), vec![]),
            (json!({"purpose_of_use": "TREAT"}), vec!["TREAT"]),
            (json!({"purpose_of_use": ["TREAT", "HPAYMT", "TREAT"]}), vec!["TREAT", "HPAYMT"]),
            (b2b(json!(["urn:oid:2.16.840.1.113883.5.8#TREAT"])), vec!["TREAT"]),
            (b2b(json!(["http://terminology.hl7.org/CodeSystem/v3-ActReason|HOPERAT"])), vec!["HOPERAT"]),
            (b2b(json!(["urn:oid:2.16.840.1.113883.3.7204.1.5.2.1#T-TREAT"])), vec!["TREAT"]),
            (b2b(json!(["T-PYMNT", "T-HCO-CC"])), vec!["HPAYMT", "HOPERAT"]),
            (
                json!({"extensions": {"ihe_iua": {"purpose_of_use": [
                    {"system": "urn:oid:2.16.840.1.113883.5.8", "code": "PUBHLTH"}
                ]}}}),
                vec!["PUBHLTH"],
            ),
        ] {
            assert_eq!(asserted_purposes(&claims).unwrap(), codes, "{claims}");
        }
        for claims in [
            json!({"purpose_of_use": 1}),
            json!({"purpose_of_use": ["http://other|TREAT"]}),
            json!({"purpose_of_use": "T-TREATMENT"}),
            json!({"purpose_of_use": ""}),
            b2b(json!([])),
            json!({"hl7-b2b": {"version": "2", "organization_id": "o", "purpose_of_use": ["TREAT"]}}),
            json!({"hl7-b2b": {"version": "1", "purpose_of_use": ["TREAT"]}}),
        ] {
            assert!(asserted_purposes(&claims).is_err(), "{claims}");
        }
    }

    #[test]
    fn what_is_stated_only_narrows() {
        let texts = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<String>>();
        let narrowed = |asserted: &[&str], allowed: &[&str], default| {
            narrowed_purposes(&texts(asserted), &texts(allowed), default)
        };
        assert_eq!(narrowed(&["TREAT"], &["TREAT", "HPAYMT"], None), Ok(texts(&["TREAT"])));
        let refused = Err(PurposeError::NotAllowed("BTG".to_owned()));
        assert_eq!(narrowed(&["TREAT", "BTG"], &["TREAT"], None), refused);
        assert_eq!(narrowed(&[], &["TREAT", "HPAYMT"], Some("HPAYMT")), Ok(texts(&["HPAYMT"])));
        assert_eq!(narrowed(&[], &["TREAT"], Some("HPAYMT")), Ok(texts(&["TREAT"])));
        assert_eq!(narrowed(&[], &["TREAT", "HOPERAT"], None), Ok(vec![]));
    }
}
