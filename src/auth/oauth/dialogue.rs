//! The dialogue with a user between a client's authorization request and its code: sign in, choose a patient and an
//! encounter if the client asks for them, consent to each scope. Its state is sealed into the forms and bound to the
//! browser by a cookie, so that pages of other sites cannot submit them.
use serde::{Deserialize, Serialize};

use crate::model::{Millis, ResourceId};

use super::super::granted::{is_of_patient, parts_of};
use super::super::party::Party;
use super::super::registry::{Client, Grant, User};
use super::super::role::Role;
use super::super::scope::{ADMIN, Scopes};
use super::authorize::{AuthorizationRefusal, AuthorizationRequest, refused_address, with_query};
use super::fields::{Fields, OauthCode, OauthError};
use super::login_attempts::LoginError;
use super::seal::digest_text;
use super::server::AuthorizationContext;

/// The state of a dialogue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dialogue {
    request: AuthorizationRequest,
    /// The digest of the browser's cookie.
    browser: String,
    expires: Millis,
    user: Option<String>,
    authenticated: Millis,
    patient: Option<String>,
    encounter: EncounterChoice,
}

/// The user's choice of an encounter: not made yet, no encounter, or one by its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum EncounterChoice {
    Open,
    None,
    One(String),
}

/// What the user is asked next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextPrompt {
    Login,
    Patient,
    /// To choose an encounter of the patient with that id, or none.
    Encounter {
        patient: String,
    },
    /// To consent: the offered scopes, and the purposes to choose from, the default first.
    Consent {
        scopes: Vec<String>,
        purposes: Vec<String>,
    },
}

/// What a user is told before consenting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentDetails {
    /// The name of the signed-in user.
    pub user: String,
    /// The id of the patient with whose record the client will work.
    pub patient: Option<String>,
    /// Scheme and host of the redirect URI, or the scheme of a native app.
    pub client_origin: String,
}

const SORT: &str = "dialogue";

impl AuthorizationContext<'_> {
    /// Begins a dialogue with the browser that has the cookie.
    ///
    /// # Errors
    /// Why the authorization request is refused.
    pub fn begin_dialogue(&self, fields: &Fields, cookie: &str) -> Result<Dialogue, AuthorizationRefusal> {
        Ok(Dialogue {
            request: self.read_authorization(fields)?,
            browser: digest_text(cookie),
            expires: self.ahead(self.server.options.dialogue_seconds_max),
            user: None,
            authenticated: 0,
            patient: None,
            encounter: EncounterChoice::Open,
        })
    }

    /// The sealed dialogue, for a form field.
    ///
    /// # Errors
    /// `server_error`.
    pub fn seal_dialogue(&self, dialogue: &Dialogue) -> Result<String, OauthError> {
        self.server.sealer.seal(SORT, dialogue)
    }

    /// The dialogue in a form field; `None` if it is not from this server and for this browser, or has expired.
    #[must_use]
    pub fn open_dialogue(&self, sealed: &str, cookie: &str) -> Option<Dialogue> {
        let dialogue: Dialogue = self.server.sealer.open(SORT, sealed)?;
        (dialogue.browser == digest_text(cookie) && dialogue.expires > self.now).then_some(dialogue)
    }

    /// The client of the dialogue.
    ///
    /// # Errors
    /// If the client is no longer registered, or is disabled.
    pub fn client_of(&self, dialogue: &Dialogue) -> Result<Client, OauthError> {
        self.enabled_client(&dialogue.request.client_id)
    }

    fn user(&self, dialogue: &Dialogue) -> Result<Option<User>, OauthError> {
        let Some(name) = &dialogue.user else { return Ok(None) };
        // A user who signed in before the password was changed must sign in again.
        let is_good = |user: &User| !user.disabled && user.not_before <= dialogue.authenticated;
        Ok(self.server.registry.user(name)?.filter(is_good))
    }

    /// Signs a user in.
    ///
    /// # Errors
    /// [`LoginError`].
    pub fn log_in(&self, dialogue: Dialogue, name: &str, password: &str) -> Result<Dialogue, LoginError> {
        let user = self.check_login(name, password)?;
        Ok(Dialogue { user: Some(user.name), authenticated: self.now, ..dialogue })
    }

    /// What the user must be asked next.
    ///
    /// # Errors
    /// The redirect with an error, if the user cannot grant what the client requests.
    pub fn next_step(&self, dialogue: &Dialogue) -> Result<NextPrompt, AuthorizationRefusal> {
        let user = self.user(dialogue).map_err(|error| refused(dialogue, &error))?;
        let Some(user) = user else { return Ok(NextPrompt::Login) };
        let launched = dialogue.request.launch.as_ref().and_then(|launch| launch.patient.as_deref());
        if let (Some(own), Some(launched)) = (user.own_patient(), launched)
            && own != launched
        {
            let error = OauthError::new(OauthCode::AccessDenied, "the launch is not about the user");
            return Err(refused(dialogue, &error));
        }
        let patient = self.patient(dialogue, &user);
        if patient.is_none() && wants_patient(&dialogue.request.scope) {
            return Ok(NextPrompt::Patient);
        }
        let wants_encounter = dialogue.request.scope.iter().any(|scope| scope == "launch/encounter");
        let is_open =
            matches!(dialogue.encounter, EncounterChoice::Open) && dialogue.request.launch.is_none();
        if let (Some(patient), true) = (patient, wants_encounter && is_open) {
            return Ok(NextPrompt::Encounter { patient });
        }
        let client = self.client_of(dialogue).map_err(|error| refused(dialogue, &error))?;
        let scopes = offered(dialogue, &user).map(str::to_owned).collect();
        Ok(NextPrompt::Consent { scopes, purposes: purposes(&user, &client) })
    }

    /// The patient of the dialogue: the user's own, or the launch's, or the chosen one, in this order.
    fn patient(&self, dialogue: &Dialogue, user: &User) -> Option<String> {
        let launched = dialogue.request.launch.as_ref().and_then(|launch| launch.patient.clone());
        user.own_patient().map(str::to_owned).or(launched).or_else(|| dialogue.patient.clone())
    }

    /// What the signed-in user is told before consenting; `None` if nobody has signed in.
    #[must_use]
    pub fn circumstances(&self, dialogue: &Dialogue) -> Option<ConsentDetails> {
        let user = self.user(dialogue).ok()??;
        let request = &dialogue.request;
        let is_about_patient = request.launch.is_some() || wants_patient(&request.scope);
        let patient = self.patient(dialogue, &user).filter(|_| is_about_patient);
        Some(ConsentDetails { user: user.name, patient, client_origin: origin(&request.redirect_uri) })
    }

    /// The user as the party that searches patients and encounters, so that only visible ones can be chosen.
    #[must_use]
    pub fn chooser(&self, dialogue: &Dialogue) -> Option<Party> {
        let user = self.user(dialogue).ok()??;
        let client = self.client_of(dialogue).ok()?;
        Some(Party {
            subject: user.name.clone(),
            client: client.client_id.clone(),
            role: Role::parse(&user.role)?,
            organization: user.organization.clone(),
            fhir_user: user.fhir_user.clone(),
            patient_context: None,
            confined_to: None,
            purposes: purposes(&user, &client).into_iter().take(1).collect(),
            scopes: Scopes::parse("user/Patient.rs user/Encounter.rs"),
            assign_ids: false,
            break_glass: None,
            may_break_glass: false,
            files_consent: false,
            lenient: false,
            certificate: None,
            token_id: "sign-in".to_owned(),
            grant: None,
            issued: dialogue.authenticated,
            expires: dialogue.expires,
        })
    }

    /// The dialogue with the chosen patient. The caller must have checked that the user may see the patient.
    #[must_use]
    pub fn with_patient(&self, dialogue: Dialogue, patient: &ResourceId) -> Dialogue {
        Dialogue { patient: Some(patient.to_string()), ..dialogue }
    }

    /// The dialogue with the chosen encounter, or none. The caller must have checked that the user may see the encounter
    /// and that it belongs to the patient.
    #[must_use]
    pub fn with_encounter(&self, dialogue: Dialogue, encounter: Option<&ResourceId>) -> Dialogue {
        let choice = encounter.map_or(EncounterChoice::None, |id| EncounterChoice::One(id.to_string()));
        Dialogue { encounter: choice, ..dialogue }
    }

    /// The redirect to the client when the user refuses.
    #[must_use]
    pub fn refuse(&self, dialogue: &Dialogue) -> String {
        let error = OauthError::new(OauthCode::AccessDenied, "the user has refused");
        refused_address(&dialogue.request.redirect_uri, dialogue.request.state.as_deref(), &error)
    }

    /// The chosen scopes that the user can grant: offered ones, or parts of one that is not chosen itself.
    #[must_use]
    pub fn chosen(&self, dialogue: &Dialogue, chosen: &[&str]) -> Vec<String> {
        let Ok(Some(user)) = self.user(dialogue) else { return Vec::new() };
        let is_chosen = |scope: &str| chosen.contains(&scope);
        let each = |scope: &str| -> Vec<String> {
            if is_chosen(scope) {
                vec![scope.to_owned()]
            } else {
                parts_of(scope).into_iter().filter(|part| is_chosen(part)).collect()
            }
        };
        offered(dialogue, &user).flat_map(each).collect()
    }

    /// Grants the chosen scopes. Returns the redirect to the client, with a code or an error.
    ///
    /// # Errors
    /// `server_error`.
    pub fn consent(
        &self,
        dialogue: &Dialogue,
        chosen: &[&str],
        purpose: Option<&str>,
    ) -> Result<String, OauthError> {
        let request = &dialogue.request;
        let user = self.user(dialogue)?;
        let Some(user) = user else { return Ok(self.refuse(dialogue)) };
        let granted = self.chosen(dialogue, chosen);
        let scope: Vec<&str> = granted.iter().map(String::as_str).collect();
        if scope.is_empty() {
            return Ok(self.refuse(dialogue));
        }
        let patient = self.patient(dialogue, &user);
        if patient.is_none() && wants_patient(&request.scope) {
            return Ok(self.refuse(dialogue));
        }
        let client = self.client_of(dialogue)?;
        let purposes = purposes(&user, &client);
        let purpose = purposes.iter().find(|code| Some(code.as_str()) == purpose).or(purposes.first());
        let options = &self.server.options;
        let seconds = if scope.contains(&"offline_access") {
            options.offline_seconds
        } else if scope.contains(&"online_access") {
            options.online_seconds
        } else {
            options.user_token_seconds
        };
        let is_about_patient = scope.iter().any(|scope| scope.starts_with("launch") || is_of_patient(scope));
        let launch = request.launch.as_ref().filter(|_| scope.contains(&"launch"));
        let chosen = match &dialogue.encounter {
            EncounterChoice::One(id) if scope.contains(&"launch/encounter") => Some(id.clone()),
            EncounterChoice::One(_) | EncounterChoice::Open | EncounterChoice::None => None,
        };
        let encounter = launch.and_then(|launch| launch.encounter.clone()).or(chosen);
        let grant = Grant {
            client: client.client_id,
            user: user.name,
            scope: scope.join(" "),
            patient: patient.filter(|_| is_about_patient),
            encounter,
            need_patient_banner: launch.is_none_or(|launch| launch.need_patient_banner),
            purpose: purpose.cloned(),
            nonce: request.nonce.clone(),
            authenticated: dialogue.authenticated,
            expires: self.ahead(seconds),
            generation: 0,
            revoked: false,
        };
        let code = self.issue_code(&grant, &request.redirect_uri, &request.challenge)?;
        let mut pairs = vec![("code", code.as_str())];
        pairs.extend(request.state.as_deref().map(|state| ("state", state)));
        Ok(with_query(&request.redirect_uri, &pairs))
    }
}

fn refused(dialogue: &Dialogue, error: &OauthError) -> AuthorizationRefusal {
    let request = &dialogue.request;
    AuthorizationRefusal::Redirect(refused_address(&request.redirect_uri, request.state.as_deref(), error))
}

/// Scheme and host of an address; the scheme alone if it has no host.
fn origin(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        None => address.split(':').next().unwrap_or_default().to_owned(),
    }
}

/// The requested scopes that the user can grant. Only a user whose role administers can grant `admin`.
fn offered<'d>(dialogue: &'d Dialogue, user: &User) -> impl Iterator<Item = &'d str> {
    let administers = Role::parse(&user.role).is_some_and(|role| role.row().administers);
    let scopes = dialogue.request.scope.iter().map(String::as_str);
    scopes.filter(move |scope| administers || *scope != ADMIN)
}

fn wants_patient(scope: &[String]) -> bool {
    scope.iter().any(|scope| scope.starts_with("launch/") || is_of_patient(scope))
}

/// The purposes that a user may have through a client: the user's, limited to the client's if the client has any.
fn purposes(user: &User, client: &Client) -> Vec<String> {
    let is_allowed = |code: &&String| client.purposes.is_empty() || client.purposes.contains(code);
    let mut purposes: Vec<String> = user.purposes.iter().filter(is_allowed).cloned().collect();
    let usual =
        client.default_purpose.as_ref().and_then(|usual| purposes.iter().position(|code| code == usual));
    if let Some(usual) = usual {
        purposes.swap(0, usual);
    }
    purposes
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn an_origin_says_whose_an_address_is() {
        assert_eq!(origin("https://app.example/cb?x=1"), "https://app.example");
        assert_eq!(origin("http://127.0.0.1:8000"), "http://127.0.0.1:8000");
        assert_eq!(origin("example.app:/cb"), "example.app");
    }
}
