//! The launch from an EHR (SMART App Launch 2.2, "EHR launch"): the EHR registers what its user is looking at, and hands
//! the app a launch id for it.
use serde::{Deserialize, Serialize};

use crate::model::{Millis, ResourceId};

use super::super::registry::Expiring;
use super::fields::OauthError;
use super::seal::{digest_text, secret_text};
use super::server::AuthorizationContext;

/// What the user of an EHR is looking at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchContext {
    /// The id of a Patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// The id of an Encounter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<String>,
    /// Whether the app shall show whose data it shows; an EHR that shows it itself says no.
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
    /// Registers a launch and gives its id.
    ///
    /// # Errors
    /// `invalid_request`, if it names what is no id.
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
