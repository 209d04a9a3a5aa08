//! EHR launches (SMART App Launch 2.2, "EHR launch"): the EHR registers the context of its user, and passes the launch id
//! to the app.
use serde::{Deserialize, Serialize};

use crate::model::{Millis, ResourceId};

use super::super::registry::Expiring;
use super::fields::OauthError;
use super::seal::{digest_text, secret_text};
use super::server::AuthorizationContext;

/// The context of an EHR's user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchContext {
    /// The id of a Patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// The id of an Encounter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<String>,
    /// Whether the app must show the patient's identity. `false` if the EHR shows it around the app.
    #[serde(default = "yes")]
    pub need_patient_banner: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize, Deserialize)]
struct Launch {
    context: LaunchContext,
    expires: Millis,
}

impl AuthorizationContext<'_> {
    /// Stores a launch and returns its id.
    ///
    /// # Errors
    /// `invalid_request` if `patient` or `encounter` is no resource id.
    pub fn register_launch(&self, context: LaunchContext) -> Result<String, OauthError> {
        let ids = [&context.patient, &context.encounter];
        if ids.into_iter().flatten().any(|id| ResourceId::parse(id).is_none()) {
            return Err(OauthError::invalid_request("patient and encounter are ids of resources"));
        }
        let id = secret_text()?;
        let expires = self.ahead(self.server.options.launch_seconds);
        let launch = Launch { context, expires };
        self.server.registry.keep(Expiring::Launch, &digest_text(&id), &launch, (expires, self.now))?;
        Ok(id)
    }

    pub(super) fn launch_context(&self, id: &str) -> Result<Option<LaunchContext>, OauthError> {
        let found = self.server.registry.kept::<Launch>(Expiring::Launch, &digest_text(id))?;
        Ok(found
            .map(|(launch, _)| launch)
            .filter(|launch| launch.expires > self.now)
            .map(|launch| launch.context))
    }
}
