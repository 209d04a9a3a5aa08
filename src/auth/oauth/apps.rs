//! The apps that a user has let in: what they may, and taking it from them (SMART App Launch 2.2, `management_endpoint`).
use serde::{Deserialize, Serialize};

use crate::model::Millis;

use super::super::party::Party;
use super::super::registry::{Expiring, Grant, User};
use super::super::role::Role;
use super::fields::OauthError;
use super::login_attempts::LoginError;
use super::seal::digest_text;
use super::server::AuthorizationContext;

/// A browser that looks at the apps of a user, once one has signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppsSession {
    user: Option<String>,
    /// When the user signed in.
    authenticated: Millis,
    /// A digest of the browser's cookie.
    browser: String,
    expires: Millis,
}

/// An app with access.
#[derive(Clone, Debug)]
pub struct GrantedApp {
    /// By which its access is taken away.
    pub id: String,
    pub name: String,
    pub scopes: Vec<String>,
    /// The id of the patient with whose record it works.
    pub patient: Option<String>,
    /// When the user signed in to grant it, and when it ends by itself.
    pub since: Millis,
    pub until: Millis,
}

const SORT: &str = "visit to the apps";

impl AuthorizationContext<'_> {
    /// Begins a visit of the browser that has the cookie.
    #[must_use]
    pub fn begin_visit(&self, cookie: &str) -> AppsSession {
        let expires = self.ahead(self.server.options.dialogue_seconds_max);
        AppsSession { user: None, authenticated: 0, browser: digest_text(cookie), expires }
    }

    /// The visit as the field of a form.
    ///
    /// # Errors
    /// `server_error`.
    pub fn seal_visit(&self, visit: &AppsSession) -> Result<String, OauthError> {
        self.server.sealer.seal(SORT, visit)
    }

    /// The visit of a form that the browser with the cookie sends; `None` if it has not got it from here, or too long ago.
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

    /// Who looks, for the record of accesses; `None` if nobody has signed in.
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

    /// The apps that have access in the name of who has signed in, the last that was let in first.
    ///
    /// # Errors
    /// `server_error`; `None` if nobody has signed in.
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

    /// Takes the access of one of them away: its tokens are good no longer. The name of the app; `None` if it is none of theirs.
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
