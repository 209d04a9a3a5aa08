//! The apps to which a user has granted access: lists and revokes them (SMART App Launch 2.2, `management_endpoint`).
use serde::{Deserialize, Serialize};

use crate::model::Millis;

use super::super::party::Party;
use super::super::registry::{Expiring, Grant, User};
use super::super::role::Role;
use super::fields::OauthError;
use super::login_attempts::LoginError;
use super::seal::digest_text;
use super::server::AuthorizationContext;

/// A browser's session on the page of apps. `user` is set once the user has signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppsSession {
    user: Option<String>,
    /// When the user signed in.
    authenticated: Millis,
    /// The digest of the browser's cookie.
    browser: String,
    expires: Millis,
}

/// An app with access.
#[derive(Clone, Debug)]
pub struct GrantedApp {
    /// The id of the grant, by which it is revoked.
    pub id: String,
    pub name: String,
    pub scopes: Vec<String>,
    /// The id of the patient of the grant.
    pub patient: Option<String>,
    /// When the user signed in to grant the access, and when the grant expires.
    pub since: Millis,
    pub until: Millis,
}

const SORT: &str = "visit to the apps";

impl AuthorizationContext<'_> {
    /// Begins a session of the browser with the cookie.
    #[must_use]
    pub fn begin_visit(&self, cookie: &str) -> AppsSession {
        let expires = self.ahead(self.server.options.dialogue_seconds_max);
        AppsSession { user: None, authenticated: 0, browser: digest_text(cookie), expires }
    }

    /// The sealed session, for a form field.
    ///
    /// # Errors
    /// `server_error`.
    pub fn seal_visit(&self, visit: &AppsSession) -> Result<String, OauthError> {
        self.server.sealer.seal(SORT, visit)
    }

    /// The session in a form field; `None` if it is not from this server and for this browser, or has expired.
    #[must_use]
    pub fn open_visit(&self, sealed: &str, cookie: &str) -> Option<AppsSession> {
        let visit: AppsSession = self.server.sealer.open(SORT, sealed)?;
        (visit.browser == digest_text(cookie) && visit.expires > self.now).then_some(visit)
    }

    /// Signs a user in.
    ///
    /// # Errors
    /// [`LoginError`].
    pub fn sign_in(&self, visit: AppsSession, name: &str, password: &str) -> Result<AppsSession, LoginError> {
        let user = self.check_login(name, password)?;
        Ok(AppsSession { user: Some(user.name), authenticated: self.now, ..visit })
    }

    fn visitor(&self, visit: &AppsSession) -> Result<Option<User>, OauthError> {
        let Some(name) = &visit.user else { return Ok(None) };
        let is_good = |user: &User| !user.disabled && user.not_before <= visit.authenticated;
        Ok(self.server.registry.user(name)?.filter(is_good))
    }

    /// The signed-in user as a party, for the access record; `None` if nobody has signed in.
    #[must_use]
    pub fn visiting_party(&self, visit: &AppsSession) -> Option<Party> {
        let user = self.visitor(visit).ok()??;
        Some(Party {
            subject: user.name,
            client: "apps".to_owned(),
            role: Role::parse(&user.role)?,
            organization: user.organization,
            fhir_user: user.fhir_user,
            token_id: "sign-in".to_owned(),
            issued: visit.authenticated,
            expires: visit.expires,
            ..Party::nobody()
        })
    }

    /// The apps with access in the signed-in user's name, the most recent first; `None` if nobody has signed in.
    ///
    /// # Errors
    /// `server_error`.
    pub fn apps(&self, visit: &AppsSession) -> Result<Option<Vec<GrantedApp>>, OauthError> {
        let Some(user) = self.visitor(visit)? else { return Ok(None) };
        let mut apps = Vec::new();
        for (id, grant) in self.server.registry.all_kept::<Grant>(Expiring::Grant)? {
            if grant.user != user.name || grant.expires <= self.now {
                continue;
            }
            let client = self.server.registry.client(&grant.client)?;
            if !grant.stands(Some(&user), client.as_ref()) {
                continue;
            }
            apps.push(GrantedApp {
                id,
                name: client.map_or(grant.client, |client| client.client_name),
                scopes: grant.scope.split_whitespace().map(str::to_owned).collect(),
                patient: grant.patient,
                since: grant.authenticated,
                until: grant.expires,
            });
        }
        apps.sort_by_key(|app| (std::cmp::Reverse(app.since), app.name.clone()));
        Ok(Some(apps))
    }

    /// Revokes the access of one of the user's apps and returns its name; `None` if the user has no such app.
    ///
    /// # Errors
    /// `server_error`.
    pub fn take_away(&self, visit: &AppsSession, id: &str) -> Result<Option<String>, OauthError> {
        let apps = self.apps(visit)?.unwrap_or_default();
        let Some(app) = apps.into_iter().find(|app| app.id == id) else { return Ok(None) };
        self.revoke_grant(id)?;
        Ok(Some(app.name))
    }
}
