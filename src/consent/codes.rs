//! Codes in Consents and labels: the many spellings of one code system, and the narrower-than relation.
use crate::definitions::r4;
use crate::model::Node;

/// The code systems that decisions know by name; all others are known by URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodeSystem {
    Purpose,
    ActCode,
    Confidentiality,
    ResourceType,
    Action,
    Participation,
    Mime,
    Other(String),
}

const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

impl CodeSystem {
    /// The system of a URL, in any of the spellings that published Consents use.
    #[must_use]
    pub fn of(url: &str) -> Self {
        match url.trim_end_matches('/') {
            ACT_REASON
            | "http://terminology.hl7.org/CodeSystem/v3-PurposeOfUse"
            | "http://terminology.hl7.org/ValueSet/v3-PurposeOfUse"
            | "http://hl7.org/fhir/v3/ActReason"
            | "urn:oid:2.16.840.1.113883.5.8" => Self::Purpose,
            ACT_CODE
            | "http://terminology.hl7.org/ValueSet/v3-InformationSensitivityPolicy"
            | "http://hl7.org/fhir/v3/ActCode"
            | "urn:oid:2.16.840.1.113883.5.4" => Self::ActCode,
            "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
            | "https://terminology.hl7.org/CodeSystem/v3-Confidentiality"
            | "http://hl7.org/fhir/v3/Confidentiality"
            | "urn:oid:2.16.840.1.113883.5.25" => Self::Confidentiality,
            "http://hl7.org/fhir/resource-types" | "http://hl7.org/fhir/fhir-types" => Self::ResourceType,
            "http://terminology.hl7.org/CodeSystem/consentaction" | "http://hl7.org/fhir/consentaction" => {
                Self::Action
            }
            "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
            | "http://hl7.org/fhir/v3/ParticipationType" => Self::Participation,
            "urn:ietf:bcp:13" => Self::Mime,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl CodeSystem {
    /// The URL of the system in R4.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::Purpose => ACT_REASON,
            Self::ActCode => ACT_CODE,
            Self::Confidentiality => "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
            Self::ResourceType => "http://hl7.org/fhir/resource-types",
            Self::Action => "http://terminology.hl7.org/CodeSystem/consentaction",
            Self::Participation => "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
            Self::Mime => "urn:ietf:bcp:13",
            Self::Other(url) => url,
        }
    }
}

/// A code in its system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code {
    pub system: CodeSystem,
    pub code: String,
}

/// Sensitivity codes that published profiles place below another code, where the code system does not.
/// CHOICE: IHE PCF lists substance use below ETH, which v3-ActCode keeps apart from SUD.
const EXTRA_BROADER: [(&str, &str); 3] = [("SUD", "ETH"), ("ETHUD", "ETH"), ("OPIOIDUD", "ETH")];

impl Code {
    #[must_use]
    pub fn new(system: CodeSystem, code: impl Into<String>) -> Self {
        Self { system, code: code.into() }
    }

    #[must_use]
    pub fn purpose(code: &str) -> Self {
        Self::new(CodeSystem::Purpose, code)
    }

    /// The code of a Coding; `None` without a code.
    #[must_use]
    pub fn of_coding(coding: Node<'_>) -> Option<Self> {
        let code = coding.str_at("code")?;
        Some(Self::new(CodeSystem::of(coding.str_at("system").unwrap_or_default()), code))
    }

    /// Whether this code equals the other or is narrower.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        if self.system != other.system {
            return false;
        }
        let url = match self.system {
            CodeSystem::Purpose => ACT_REASON,
            CodeSystem::ActCode => ACT_CODE,
            _ => return false,
        };
        let mut open = vec![self.code.as_str()];
        let mut seen: Vec<&str> = Vec::new();
        while let Some(code) = open.pop() {
            let extra = EXTRA_BROADER.iter().filter(|(narrow, _)| *narrow == code).map(|(_, broad)| *broad);
            let broader = r4().broader(url, code).iter().map(String::as_str);
            for parent in broader.chain(extra) {
                if parent == other.code {
                    return true;
                }
                if !seen.contains(&parent) {
                    seen.push(parent);
                    open.push(parent);
                }
            }
        }
        false
    }
}

/// Confidentiality codes by kind of information. Each also counts as the sensitivity code of that name (v3-Confidentiality).
pub const BY_KIND: [&str; 4] = ["HIV", "PSY", "ETH", "SDV"];
/// Confidentiality codes by who may have access, and modifiers (business, clinician, individual, celebrity, sensitive, taboo).
/// All rank as restricted.
const BY_ACCESS: [&str; 6] = ["B", "D", "I", "C", "S", "T"];
/// Labels that the law protects. They count in any code system.
pub const OF_ANY_SYSTEM: [&str; 2] = ["PSYTHPN", "42CFRPart2"];

/// The rank of a confidentiality code, from 0 (unrestricted) to 5 (very restricted); `None` for an unknown code.
#[must_use]
pub fn confidentiality_rank(code: &str) -> Option<u8> {
    const ORDER: [&str; 6] = ["U", "L", "M", "N", "R", "V"];
    if BY_KIND.contains(&code) || BY_ACCESS.contains(&code) {
        return Some(RESTRICTED_RANK);
    }
    ORDER.iter().zip(0..).find(|(known, _)| **known == code).map(|(_, rank)| rank)
}

/// The rank of unlabelled data: normal.
pub const NORMAL_RANK: u8 = 3;
/// The rank to which a stigmatizing label raises data: restricted (IHE PCF 1:53.4.2.7).
pub const RESTRICTED_RANK: u8 = 4;

/// Labels whose presence makes data restricted.
pub const STIGMATIZING: [&str; 15] = [
    "42CFRPart2",
    "ETH",
    "SUD",
    "ETHUD",
    "OPIOIDUD",
    "PSY",
    "PSYTHPN",
    "MH",
    "BH",
    "SDV",
    "HIV",
    "STD",
    "SEX",
    "SPI",
    "VIO",
];
