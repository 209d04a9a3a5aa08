//! A user registration: the user's role, organization and purposes.
use serde::{Deserialize, Serialize};

use crate::model::Millis;

use super::super::role::Role;
use super::client::{Actor, check_id, is_unset, role_of};
use super::invalid_registration::InvalidRegistration;

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name with which the user signs in.
    pub name: String,
    /// The argon2id hash of the password.
    pub password_hash: String,
    /// The code of the user's role.
    pub role: String,
    /// `Organization/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// `Practitioner/id`, `Patient/id` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fhir_user: Option<String>,
    /// The id of the patient for whom the user acts, if the user is a representative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// Codes of v3-ActReason that the user may assert; the first is the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<String>,
    #[serde(default)]
    pub may_break_glass: bool,
    #[serde(default)]
    pub disabled: bool,
    /// Whether the registration was removed. It is kept, without a password, so that its name is never given again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Grants and tokens from before this time are refused.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub not_before: Millis,
}

impl User {
    /// Checks the registration.
    ///
    /// # Errors
    /// Why the registration is invalid.
    pub fn check(&self) -> Result<(), InvalidRegistration> {
        check_id("name", &self.name)?;
        let role = role_of(&self.role)?;
        let actor = Actor {
            role: Some(role),
            organization: self.organization.as_deref(),
            fhir_user: self.fhir_user.as_deref(),
            patient: self.patient.as_deref(),
            purposes: &self.purposes,
            may_break_glass: self.may_break_glass,
        };
        actor.check()
    }

    /// The id of the patient that the user is, or for whom the user acts: tokens can only be for this one.
    #[must_use]
    pub fn own_patient(&self) -> Option<&str> {
        if self.role == Role::Patient.code() {
            return self.fhir_user.as_deref()?.strip_prefix("Patient/");
        }
        self.patient.as_deref()
    }

    /// The registration without its password hash.
    #[must_use]
    pub fn shown(&self) -> serde_json::Value {
        let mut shown = serde_json::json!(self);
        if let Some(members) = shown.as_object_mut() {
            members.remove("password_hash");
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::User;
    use serde_json::json;

    #[test]
    fn a_patient_is_itself_and_nobody_else() {
        let user = |change: &[(&str, serde_json::Value)]| {
            let mut user =
                json!({"name": "ann", "password_hash": "x", "role": "patient", "fhir_user": "Patient/p1"});
            change.iter().for_each(|(name, value)| user[*name] = value.clone());
            serde_json::from_value::<User>(user).unwrap()
        };
        user(&[]).check().unwrap();
        assert_eq!(user(&[("patient", json!("p2"))]).own_patient(), Some("p1"));
        for wrong in [
            ("fhir_user", json!("Practitioner/d1")),
            ("may_break_glass", json!(true)),
            ("purposes", json!(["TREAT"])),
        ] {
            assert!(user(std::slice::from_ref(&wrong)).check().is_err(), "{wrong:?}");
        }
        user(&[("purposes", json!(["PATRQT"]))]).check().unwrap();
        assert!(user(&[("name", json!("ann/../bob"))]).check().is_err());
        assert!(!user(&[]).shown().to_string().contains("hash"));
    }
}
