//! The parties of the demo and of the conformance scenarios, and their access tokens.
use std::collections::BTreeMap;

use crate::auth::{self, AccessToken, Issuer, PAGES, Role, Scopes};

use super::house::claims;

/// A party that has an access token.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    pub name: &'static str,
    /// As `Type/id`.
    pub user: Option<&'static str>,
    pub role: &'static str,
    /// As `Organization/id`.
    pub organization: Option<&'static str>,
    /// A purpose of use: a code of v3-ActReason.
    pub purpose: &'static str,
    pub scope: &'static str,
    pub chooses_ids: bool,
    pub may_break_glass: bool,
    pub files_consent: bool,
}

const OWN: Option<&str> = Some("Organization/hospital");
const ALL: &str = "user/*.cruds";

const fn party(name: &'static str, role: &'static str, purpose: &'static str, scope: &'static str) -> Party {
    Party {
        name,
        user: None,
        role,
        organization: None,
        purpose,
        scope,
        chooses_ids: false,
        may_break_glass: false,
        files_consent: false,
    }
}

impl Party {
    const fn of(self, organization: Option<&'static str>) -> Self {
        Self { organization, ..self }
    }

    const fn who_is(self, user: &'static str) -> Self {
        Self { user: Some(user), ..self }
    }

    /// The claims of the party's token, for the server at a base URL.
    ///
    /// # Errors
    /// If the system has no random bytes for the token's id.
    pub fn token(&self, base_url: &str, lifetime_seconds: i64) -> Result<AccessToken, String> {
        Ok(AccessToken {
            sub: self.user.unwrap_or(self.name).to_owned(),
            role: self.role.to_owned(),
            fhir_user: self.user.map(str::to_owned),
            organization: self.organization.map(str::to_owned),
            purpose_of_use: vec![self.purpose.to_owned()],
            scope: self.scope.to_owned(),
            assign_ids: self.chooses_ids,
            may_break_glass: self.may_break_glass,
            files_consent: self.files_consent,
            ..claims(base_url, lifetime_seconds)?
        })
    }
}

impl Party {
    /// The party as its token makes it, in a session of the pages.
    pub(super) fn in_session(&self) -> auth::Party {
        let own_patient = self.user.and_then(|user| user.strip_prefix("Patient/")).map(str::to_owned);
        auth::Party {
            subject: self.user.unwrap_or(self.name).to_owned(),
            client: PAGES.to_owned(),
            role: Role::parse(self.role).unwrap_or(Role::Researcher),
            organization: self.organization.map(str::to_owned),
            fhir_user: self.user.map(str::to_owned),
            patient_context: own_patient.filter(|_| self.role == Role::Patient.code()),
            purposes: vec![self.purpose.to_owned()],
            scopes: Scopes::parse(self.scope),
            may_break_glass: self.may_break_glass,
            ..auth::Party::nobody()
        }
    }
}

const EHR: Party = Party { chooses_ids: true, ..party("ehr", "system", "TREAT", "system/*.cruds").of(OWN) };

/// The parties that the scenarios name.
pub const SCENARIO_PARTIES: [Party; 11] = [
    EHR,
    party("doctor", "clinician", "TREAT", ALL).of(OWN).who_is("Practitioner/scenario-doctor"),
    party("patient", "patient", "PATRQT", "patient/*.cruds").who_is("Patient/scenario-p1"),
    party("insurer", "insurer", "HPAYMT", "system/*.rs").of(Some("Organization/scenario-acme")),
    party("other", "system", "TREAT", ALL).of(Some("Organization/scenario-other")),
    Party {
        files_consent: true,
        ..party("payer", "insurer", "HPAYMT", "system/*.rs system/Consent.c")
            .of(Some("Organization/scenario-acme"))
    },
    party("technician", "technician", "HOPERAT", ALL).of(OWN).who_is("Practitioner/scenario-technician"),
    party("officer", "privacy-officer", "HOPERAT", ALL).of(OWN),
    Party {
        may_break_glass: true,
        ..party("emergency", "clinician", "TREAT", ALL).of(OWN).who_is("Practitioner/scenario-emergency")
    },
    party("representative", "representative", "PATRQT", "patient/*.rs user/*.rs")
        .who_is("RelatedPerson/scenario-guardian"),
    party("admin", "administrator", "HOPERAT", ALL).of(OWN),
];

/// The people and organizations of the demo's hospital.
pub(super) const DEMO_PARTIES: [Party; 11] = [
    party("doctor", "clinician", "TREAT", ALL).of(OWN).who_is("Practitioner/d1"),
    Party {
        may_break_glass: true,
        ..party("emergency", "clinician", "TREAT", ALL).of(OWN).who_is("Practitioner/d6")
    },
    party("technician", "technician", "HOPERAT", ALL).of(OWN).who_is("Practitioner/t1"),
    party("officer", "privacy-officer", "HOPERAT", ALL).of(OWN).who_is("Practitioner/o1"),
    party("administrator", "administrator", "HOPERAT", ALL).of(OWN),
    party("patient", "patient", "PATRQT", "patient/*.cruds").who_is("Patient/p1"),
    party("representative", "representative", "PATRQT", ALL).who_is("RelatedPerson/guardian1"),
    party("insurer", "insurer", "HPAYMT", "system/*.rs").of(Some("Organization/acme")),
    party("other", "system", "TREAT", "system/*.cruds").of(Some("Organization/lakeside")),
    party("researcher", "researcher", "HRESCH", "user/*.rs").of(OWN),
    EHR,
];

/// A signed token for each party, by the party's name.
///
/// # Errors
/// If the system has no random bytes, or the key cannot sign.
pub(super) fn signed(
    parties: &[Party],
    issuer: &Issuer,
    base_url: &str,
    lifetime_seconds: i64,
) -> Result<BTreeMap<String, String>, String> {
    let sign = |party: &Party| {
        let token = issuer.sign(&party.token(base_url, lifetime_seconds)?)?;
        Ok::<_, String>((party.name.to_owned(), token))
    };
    parties.iter().map(sign).collect()
}
