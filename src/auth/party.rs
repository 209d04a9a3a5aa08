//! The party: who makes a request, in which role, for which organization and purpose.
use serde::{Deserialize, Serialize};

use crate::model::Millis;

use super::role::{Role, Writes};
use super::scope::{ADMIN, Scopes};

/// An emergency access: the id of the one patient, and the reason for breaking the glass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    pub patient: String,
    pub reason: String,
}

/// Who makes a request. It comes from this server's registrations or tokens; other claims can only narrow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The subject of the token.
    pub subject: String,
    pub client: String,
    pub role: Role,
    /// `Organization/id`.
    pub organization: Option<String>,
    /// `Practitioner/id`, `Patient/id` and the like.
    pub fhir_user: Option<String>,
    /// The id of the patient in the launch context. Scopes at the patient level reach only this patient.
    pub patient_context: Option<String>,
    /// The id of the only patient whose data the party may reach, whatever the level of its scopes.
    pub confined_to: Option<String>,
    /// Codes of v3-ActReason.
    pub purposes: Vec<String>,
    pub scopes: Scopes,
    /// Whether it may choose the ids of resources.
    pub assign_ids: bool,
    /// The emergency in which the party acts, if it has declared one and may.
    pub break_glass: Option<BreakGlass>,
    /// Whether it may declare an emergency (break the glass).
    pub may_break_glass: bool,
    /// Whether it may hand in Consents of members with `$member-match`.
    pub files_consent: bool,
    /// Whether unknown search parameters are ignored with a warning instead of refused.
    pub lenient: bool,
    /// The SHA-256 digest of the certificate that its client must present (RFC 8705).
    pub certificate: Option<[u8; 32]>,
    /// The id of the token, for access records.
    pub token_id: String,
    /// The id of the user's grant from which the token was issued, if there is one.
    pub grant: Option<String>,
    /// When the token was issued; 0 if unknown.
    pub issued: Millis,
    pub expires: Millis,
}

impl Party {
    /// Whether it may declare an emergency: its role and its registration let it, and it is in none.
    #[must_use]
    pub fn may_declare_emergency(&self) -> bool {
        self.may_break_glass && self.role.row().breaks_glass && self.break_glass.is_none()
    }

    /// Whether it records Consents: as staff for patients, or in its own matter.
    #[must_use]
    pub fn may_record_consents(&self) -> bool {
        let row = self.role.row();
        row.records_consents || row.writes == Writes::OwnMatters
    }

    /// The party of every request to an open server (`--open`): the own organization's system, with all its rights.
    #[must_use]
    pub fn open(organization: &str) -> Self {
        Self {
            subject: "open".to_owned(),
            client: "open".to_owned(),
            role: Role::System,
            organization: Some(organization.to_owned()),
            fhir_user: None,
            patient_context: None,
            confined_to: None,
            purposes: vec!["TREAT".to_owned()],
            scopes: Scopes::parse("system/*.cruds"),
            assign_ids: true,
            break_glass: None,
            may_break_glass: false,
            files_consent: false,
            lenient: false,
            certificate: None,
            token_id: "open".to_owned(),
            grant: None,
            issued: 0,
            expires: Millis::MAX,
        }
    }

    /// The party of a request without a token. It may only read what is public.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            subject: "anonymous".to_owned(),
            client: "anonymous".to_owned(),
            role: Role::Patient,
            organization: None,
            fhir_user: None,
            patient_context: None,
            confined_to: None,
            purposes: Vec::new(),
            scopes: Scopes::default(),
            assign_ids: false,
            break_glass: None,
            may_break_glass: false,
            files_consent: false,
            lenient: false,
            certificate: None,
            token_id: String::new(),
            grant: None,
            issued: 0,
            expires: Millis::MAX,
        }
    }

    /// Whether a client acts for a user: then it may do no more than the user has granted. A client of another issuer has
    /// that issuer's URL before its id, and equals its subject if it acts for itself.
    #[must_use]
    pub fn is_for_user(&self) -> bool {
        self.grant.is_some() || (self.client.contains('#') && self.subject != self.client)
    }

    /// Whether the role administers, and the user for whom the client acts, if any, has granted `admin`.
    #[must_use]
    pub fn may_administer(&self) -> bool {
        self.role.row().administers && (!self.is_for_user() || self.scopes.has(ADMIN))
    }

    /// Whether it may read access records.
    #[must_use]
    pub fn may_audit(&self) -> bool {
        self.role.row().audits
    }

    /// The id of the patient that the party itself is.
    #[must_use]
    pub fn own_patient(&self) -> Option<&str> {
        let user = self.fhir_user.as_deref().filter(|_| self.role == Role::Patient)?;
        user.strip_prefix("Patient/")
    }
}

#[cfg(test)]
mod tests {
    use super::{Party, Role, Scopes};

    #[test]
    fn who_asks_in_the_name_of_an_administrator_needs_to_be_let() {
        let party = |client: &str, subject: &str, grant: Option<&str>, scope: &str| Party {
            role: Role::Administrator,
            client: client.to_owned(),
            subject: subject.to_owned(),
            grant: grant.map(str::to_owned),
            scopes: Scopes::parse(scope),
            ..Party::nobody()
        };
        // A token minted with the issuer's key, and a client that acts for itself.
        assert!(party("chartward", "Practitioner/a", None, "user/*.rs").may_administer());
        assert!(party("https://a#desk", "https://a#desk", None, "system/*.rs").may_administer());
        for (client, subject, grant) in
            [("desk", "root", Some("g")), ("https://a#desk", "https://a#root", None)]
        {
            for (scope, expected) in [("openid", false), ("user/*.cruds", false), ("openid admin", true)] {
                assert_eq!(
                    party(client, subject, grant, scope).may_administer(),
                    expected,
                    "{client} {scope}"
                );
            }
        }
        let clinician = Party { role: Role::Clinician, ..party("desk", "doc", Some("g"), "admin") };
        assert!(!clinician.may_administer());
    }
}
