//! Sessions of people in a browser. The browser has a random id in a cookie; the store has its digest, so that a copy of the store
//! opens no session. A session ends after some idle time, at its latest hour, at sign-out, and when the user's registration is
//! disabled or changed.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Millis, hex};
use crate::store::random_bytes;

use super::super::party::Party;
use super::super::registry::{Amendment, Expiring, Kept, User};
use super::super::role::Role;
use super::super::scope::Scopes;
use super::fields::OauthError;
use super::login_attempts::LoginError;
use super::seal::digest_text;
use super::server::AuthorizationContext;

/// The client that access records name for the server's own pages. No client can be registered under this name, because an id has
/// no colon.
pub const PAGES: &str = "chartward:pages";
/// What the pages ask for in a person's name. Role and Consents decide what of it is granted.
const SCOPES: &str = "openid fhirUser user/*.cruds patient/*.cruds";
/// A use is noted at most this often, so that not every page is a write.
const NOTED_EVERY: Millis = 60_000;

/// A session as the store keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SessionRecord {
    of: Holder,
    begun: Millis,
    /// When it was last used, to within `NOTED_EVERY`.
    used: Millis,
    ends: Millis,
    #[serde(default)]
    ended: bool,
}

/// Whose session it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Holder {
    /// The name of a registered user.
    User(String),
    /// One of a demonstration's people, who are not registered.
    Persona(Box<Persona>),
}

/// A person of a demonstration, whose session needs no password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persona {
    /// The name in the address that begins the session.
    pub name: String,
    /// The name that the pages show.
    pub title: String,
    pub party: Party,
}

/// The open session of a browser.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    pub party: Arc<Party>,
    /// The name that the pages show.
    pub title: String,
    /// The name of the persona, if it is one of a demonstration's people.
    pub persona: Option<String>,
    /// When it ends if it is not used.
    pub idle_until: Millis,
    /// When it ends in any case.
    pub ends: Millis,
}

impl AuthorizationContext<'_> {
    /// Signs a user in and begins a session. Returns its id, for the cookie.
    ///
    /// # Errors
    /// [`LoginError`].
    pub fn begin_session(&self, name: &str, password: &str) -> Result<String, LoginError> {
        let user = self.check_login(name, password)?;
        self.keep_session(Holder::User(user.name)).map_err(|_| LoginError::Failed)
    }

    /// Begins the session of a demonstration's person. Returns its id, for the cookie.
    ///
    /// # Errors
    /// `server_error`.
    pub fn begin_session_as(&self, persona: &Persona) -> Result<String, OauthError> {
        self.keep_session(Holder::Persona(Box::new(persona.clone())))
    }

    fn keep_session(&self, of: Holder) -> Result<String, OauthError> {
        let id = hex(&random_bytes::<32>().map_err(|_| OauthError::failed())?);
        let ends = self.ahead(self.server.options.session_seconds_max);
        let record = SessionRecord { of, begun: self.now, used: self.now, ends, ended: false };
        let times = (ends, self.now);
        match self.server.registry.keep(Expiring::Session, &digest_text(&id), &record, times)? {
            Kept::Yes => Ok(id),
            Kept::No => Err(OauthError::failed()),
        }
    }

    /// The session with the id of a cookie; `None` if there is none, or it has ended.
    ///
    /// # Errors
    /// `server_error`.
    pub fn session(&self, id: &str) -> Result<Option<BrowserSession>, OauthError> {
        let key = digest_text(id);
        let kept = self.server.registry.kept::<SessionRecord>(Expiring::Session, &key)?;
        let Some((record, sequence)) = kept else { return Ok(None) };
        let idle = self.server.options.session_idle_seconds.saturating_mul(1_000);
        if record.ended || record.ends <= self.now || record.used.saturating_add(idle) <= self.now {
            return Ok(None);
        }
        let token_id: String = key.chars().take(16).collect();
        let Some((title, party)) = self.holder(&record, token_id)? else { return Ok(None) };
        if self.now - record.used >= NOTED_EVERY {
            let used = SessionRecord { used: self.now, ..record.clone() };
            // Another request may have noted its use meanwhile, which is as good.
            let _ = self.server.registry.amend(
                Expiring::Session,
                &key,
                &used,
                sequence,
                Amendment::KeepsTokens,
            )?;
        }
        let persona = match &record.of {
            Holder::Persona(persona) => Some(persona.name.clone()),
            Holder::User(_) => None,
        };
        let idle_until = self.now.saturating_add(idle).min(record.ends);
        Ok(Some(BrowserSession { party: Arc::new(party), title, persona, idle_until, ends: record.ends }))
    }

    fn holder(
        &self,
        record: &SessionRecord,
        token_id: String,
    ) -> Result<Option<(String, Party)>, OauthError> {
        let (title, party) = match &record.of {
            Holder::Persona(persona) => (persona.title.clone(), persona.party.clone()),
            Holder::User(name) => {
                let user = self.server.registry.user(name)?;
                // A user who signed in before the password was changed must sign in again.
                let user = user.filter(|user| !user.disabled && user.not_before <= record.begun);
                let found = user.and_then(|user| Some((user.name.clone(), party_of(user)?)));
                let Some(found) = found else { return Ok(None) };
                found
            }
        };
        let party = Party { token_id, issued: record.begun, expires: record.ends, ..party };
        Ok(Some((title, party)))
    }

    /// Checks the password of the user whose session has this id once more, before something that must not happen by a session
    /// that somebody else has taken over. A demonstration's person has no password to check.
    ///
    /// # Errors
    /// [`LoginError`], also if there is no such session.
    pub fn confirm_password(&self, id: &str, password: &str) -> Result<(), LoginError> {
        let kept = self.server.registry.kept::<SessionRecord>(Expiring::Session, &digest_text(id));
        match kept.map_err(|_| LoginError::Failed)? {
            Some((SessionRecord { of: Holder::User(name), .. }, _)) => {
                self.check_login(&name, password).map(drop)
            }
            Some((SessionRecord { of: Holder::Persona(_), .. }, _)) => Ok(()),
            None => Err(LoginError::Wrong),
        }
    }

    /// Ends the session with the id of a cookie.
    ///
    /// # Errors
    /// `server_error`.
    pub fn end_session(&self, id: &str) -> Result<(), OauthError> {
        self.end_kept_session(&digest_text(id))
    }

    fn end_kept_session(&self, key: &str) -> Result<(), OauthError> {
        loop {
            let kept = self.server.registry.kept::<SessionRecord>(Expiring::Session, key)?;
            let Some((record, sequence)) = kept.filter(|(record, _)| !record.ended) else { return Ok(()) };
            let ended = SessionRecord { ended: true, ..record };
            let amendment = Amendment::KeepsTokens;
            if self.server.registry.amend(Expiring::Session, key, &ended, sequence, amendment)? == Kept::Yes {
                return Ok(());
            }
        }
    }

    /// Ends every session of the person whose session has this id, this one included.
    ///
    /// # Errors
    /// `server_error`.
    pub fn end_sessions_everywhere(&self, id: &str) -> Result<(), OauthError> {
        let kept = self.server.registry.kept::<SessionRecord>(Expiring::Session, &digest_text(id))?;
        let Some((own, _)) = kept else { return Ok(()) };
        for (key, record) in self.server.registry.all_kept::<SessionRecord>(Expiring::Session)? {
            if record.of.is_same(&own.of) {
                self.end_kept_session(&key)?;
            }
        }
        Ok(())
    }

    /// A text of this browser as part of an address, which tells nothing of it.
    ///
    /// # Errors
    /// `server_error`.
    pub fn seal_for(&self, id: &str, what: &str, text: &str) -> Result<String, OauthError> {
        self.server.sealer.seal(&format!("{what} of {}", digest_text(id)), &text)
    }

    /// The text that was sealed for this browser and purpose.
    #[must_use]
    pub fn open_for(&self, id: &str, what: &str, sealed: &str) -> Option<String> {
        self.server.sealer.open(&format!("{what} of {}", digest_text(id)), sealed)
    }

    /// The token that every form of the browser with this id carries. Pages of other sites do not know it, so they cannot make the
    /// browser send a form.
    #[must_use]
    pub fn form_token(&self, id: &str) -> String {
        digest_text(&format!("form of {id}"))
    }

    /// Whether the token in a form is that of the browser with this id.
    #[must_use]
    pub fn is_form_of(&self, id: &str, token: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.form_token(id).as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl Holder {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User(name), Self::User(other)) => name == other,
            (Self::Persona(persona), Self::Persona(other)) => persona.name == other.name,
            (Self::User(_), Self::Persona(_)) | (Self::Persona(_), Self::User(_)) => false,
        }
    }
}

/// A registered user as a party.
fn party_of(user: User) -> Option<Party> {
    let own_patient = user.own_patient().map(str::to_owned);
    let is_own_business = matches!(Role::parse(&user.role)?, Role::Patient | Role::Representative);
    Some(Party {
        subject: user.name,
        client: PAGES.to_owned(),
        role: Role::parse(&user.role)?,
        organization: user.organization,
        fhir_user: user.fhir_user,
        patient_context: own_patient.clone(),
        confined_to: own_patient.filter(|_| is_own_business),
        purposes: user.purposes.into_iter().take(1).collect(),
        scopes: Scopes::parse(SCOPES),
        may_break_glass: user.may_break_glass,
        ..Party::nobody()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{Party, Persona};
    use crate::auth::oauth::AuthorizationServer;
    use crate::auth::{Issuer, RegistrationStatus, Role, User};
    use crate::store::{Memory, SystemClock};

    const SECOND: i64 = 1_000;

    fn server() -> AuthorizationServer {
        let server = AuthorizationServer::new(Arc::new(Memory::new(Arc::new(SystemClock))), [7; 32]);
        let user = json!({"name": "doc", "password": "correct horse battery", "role": "clinician",
            "organization": "Organization/hospital", "fhir_user": "Practitioner/d1", "purposes": ["TREAT"]});
        server.registry.register_user(&user.to_string()).unwrap();
        server
    }

    fn issuer() -> Issuer {
        Issuer::new("http://127.0.0.1/fhir", &Issuer::generate_key().unwrap()).unwrap()
    }

    fn persona(name: &str) -> Persona {
        let party = Party { role: Role::Technician, ..Party::nobody() };
        Persona { name: name.to_owned(), title: "A technician".to_owned(), party }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_too_old_or_ended() {
        let server = server();
        let issuer = issuer();
        let at = |seconds: i64| server.at(&issuer, seconds * SECOND);
        let id = at(0).begin_session("doc", "correct horse battery").unwrap();
        assert!(at(0).begin_session("doc", "wrong").is_err());
        let session = at(100).session(&id).unwrap().unwrap();
        assert_eq!((session.title.as_str(), session.party.role), ("doc", Role::Clinician));
        assert_eq!(session.party.purposes, ["TREAT"]);
        // Used at 100 s, so it is open at 999 s and idle at 1,900 s.
        assert!(at(999).session(&id).unwrap().is_some());
        assert!(at(999 + 900).session(&id).unwrap().is_none());
        let id = at(0).begin_session_as(&persona("t")).unwrap();
        for minute in 0..720 {
            assert!(at(minute * 60).session(&id).unwrap().is_some(), "{minute}");
        }
        assert!(at(12 * 3_600).session(&id).unwrap().is_none());
        let (one, two, other) = (persona("t"), persona("t"), persona("u"));
        let [one, two, other] = [one, two, other].map(|persona| at(0).begin_session_as(&persona).unwrap());
        at(1).end_session(&one).unwrap();
        assert!(at(1).session(&one).unwrap().is_none() && at(1).session(&two).unwrap().is_some());
        at(1).end_sessions_everywhere(&two).unwrap();
        assert!(at(1).session(&two).unwrap().is_none() && at(1).session(&other).unwrap().is_some());
        assert!(at(1).session("guessed").unwrap().is_none());
    }

    #[test]
    fn who_is_disabled_or_has_another_password_is_signed_out() {
        let server = server();
        let issuer = issuer();
        let id = server.at(&issuer, 0).begin_session("doc", "correct horse battery").unwrap();
        assert!(server.at(&issuer, 1).session(&id).unwrap().is_some());
        server.registry.enable::<User>("doc", RegistrationStatus::Disabled, 2).unwrap();
        assert!(server.at(&issuer, 3).session(&id).unwrap().is_none());
        server.registry.enable::<User>("doc", RegistrationStatus::Enabled, 4).unwrap();
        assert!(server.at(&issuer, 5).session(&id).unwrap().is_none());
    }

    #[test]
    fn a_form_is_of_one_session() {
        let server = server();
        let issuer = issuer();
        let context = server.at(&issuer, 0);
        let token = context.form_token("a");
        assert!(context.is_form_of("a", &token));
        assert!(!context.is_form_of("b", &token) && !context.is_form_of("a", ""));
    }
}
