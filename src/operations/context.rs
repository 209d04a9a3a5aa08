//! What every interaction is given: the store and what is known of it, the settings, the keys, and who may run the server.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::audit::{AuditIndex, Signer};
use crate::auth::{
    AuthorizationContext, AuthorizationServer, Issuer, Party, Permission, Role, Sealer, Trust,
};
use crate::consent::{ConsentCache, Settings};
use crate::model::{Issue, IssueCode, Millis, ResourceId, hex};
use crate::store::{Clock, Kv, Packing, VersionCipher};

use super::answer::{Refusal, RefusalKind};
use super::audit::Refusals;
use super::index::Index;
use super::member_match_cache::MemberMatches;
use super::secret::{derived, version_cipher};
use super::statement_cache::Statements;

/// The settings of an engine, each with a name and a default.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The base URL of the API, without a slash at its end.
    pub base_url: String,
    pub page_len_default: usize,
    pub page_len_max: usize,
    /// How many resources includes may add to a page.
    pub include_len_max: usize,
    /// How many matches beyond a page are looked at for a total that was not asked for.
    pub total_unasked_max: usize,
    /// How many matches of several types are sorted together.
    pub listed_max: usize,
    /// How long a request is attempted again while the writes of others come before its commit.
    pub overtaken_for: Duration,
    /// Whether a reference to what is not there, and the deletion of what is referred to, are refused.
    pub referential_integrity: bool,
    /// Whether a Patient stays that something refers to.
    pub keep_patients_referred_to: bool,
    /// Whether an update that changes nothing makes a version all the same.
    pub version_unchanged: bool,
    /// Whether what the own staff reads waits for its record as well.
    pub durable_reads: bool,
    /// A search that takes longer is logged with its plan.
    pub slow_search: Duration,
    /// The grid on which answers are given that show nothing of anybody.
    pub answer_grid: Duration,
}

impl EngineOptions {
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            page_len_default: 20,
            page_len_max: 1_000,
            include_len_max: 1_000,
            total_unasked_max: 20,
            listed_max: 10_000,
            overtaken_for: Duration::from_secs(5),
            referential_integrity: false,
            keep_patients_referred_to: true,
            version_unchanged: false,
            durable_reads: false,
            slow_search: Duration::from_secs(1),
            answer_grid: Duration::from_millis(4),
        }
    }
}

/// What a [`Context`] is made of.
pub struct ContextParts {
    pub options: EngineOptions,
    pub kv: Arc<dyn Kv>,
    pub index: Arc<Index>,
    /// How the store has been packed.
    pub packing: Arc<Packing>,
    pub clock: Arc<dyn Clock>,
    /// The store's own secret, of which every other key is made.
    pub secret: [u8; 32],
    pub settings: Settings,
    /// Signs the access tokens.
    pub issuer: Issuer,
    /// Who else is trusted to say who asks.
    pub trust: Option<Trust>,
    /// Signs what the record of accesses is.
    pub audit_signer: Option<Arc<Signer>>,
    /// Who asks without a token, where the server is open.
    pub open: Option<Party>,
}

/// What every interaction is given: the store, what is known of it, the settings, and the keys.
pub struct Context {
    pub options: EngineOptions,
    pub(super) kv: Arc<dyn Kv>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cipher: VersionCipher,
    /// Seals page cursors.
    pub(super) sealer: Sealer,
    pub(super) settings: Arc<Settings>,
    /// Compiled Consents.
    pub(super) consents: ConsentCache,
    /// How often clients have tried to match members.
    pub(super) member_matches: MemberMatches,
    /// The search parameters in force, and the work of indexing by them.
    pub index: Arc<Index>,
    /// How what is written is packed.
    pub packing: Arc<Packing>,
    pub(super) issuer: Issuer,
    /// Who else is trusted to say who asks.
    pub(super) trust: Option<Trust>,
    /// Signs what the record of accesses is.
    pub(super) audit_signer: Option<Arc<Signer>>,
    /// The embedded authorization server, with the registry of clients and users.
    pub authorization: AuthorizationServer,
    /// The CapabilityStatements that were made, by what they differ in, with the state of the store that each is of.
    pub(super) statements: Statements,
    /// Who was refused and is not known.
    pub(super) refusals: Refusals,
    /// Finds AuditEvents.
    pub(super) audit_index: AuditIndex,
    /// Held by who looks up whom answered requests concerned.
    pub(super) looking_up: Mutex<()>,
    /// Who asks without a token; only where the server is open.
    pub(super) open: Option<Arc<Party>>,
}

impl Context {
    #[must_use]
    pub fn new(parts: ContextParts) -> Self {
        let derived = |what: &str| derived(parts.secret, what);
        Self {
            options: parts.options,
            authorization: AuthorizationServer::new(parts.kv.clone(), derived("authorization")),
            kv: parts.kv,
            clock: parts.clock,
            cipher: version_cipher(parts.secret),
            sealer: Sealer::new(&derived("cursors")),
            settings: Arc::new(parts.settings),
            consents: ConsentCache::default(),
            member_matches: MemberMatches::default(),
            index: parts.index,
            packing: parts.packing,
            issuer: parts.issuer,
            trust: parts.trust,
            audit_signer: parts.audit_signer,
            statements: Statements::default(),
            refusals: Refusals::default(),
            audit_index: AuditIndex::default(),
            looking_up: Mutex::default(),
            open: parts.open.map(Arc::new),
        }
    }

    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    #[must_use]
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Whether everybody who reaches the server is taken for the hospital's own system.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a party runs the server: an administrator of the own organization, or an app that one has let do so.
    #[must_use]
    pub fn may_administer(&self, party: &Party) -> bool {
        let is_own = party.organization.as_ref().is_some_and(|own| self.settings.own.contains(own));
        is_own && party.may_administer()
    }

    /// Whether a party may register a launch: a system or professional of the own organization, with a token that is good
    /// for launches or for patients.
    #[must_use]
    pub fn may_launch(&self, party: &Party) -> bool {
        let is_own = party.organization.as_ref().is_some_and(|own| self.settings.own.contains(own));
        let reaches = |permission| party.scopes.permit(permission, Some("Patient"));
        let has_scope = party.scopes.has("launch") || Permission::SEEING.into_iter().any(reaches);
        is_own && has_scope && matches!(party.role, Role::System | Role::Clinician)
    }

    /// The authorization server, now.
    #[must_use]
    pub fn authorization(&self) -> AuthorizationContext<'_> {
        self.authorization.at(&self.issuer, self.now())
    }

    /// A fresh id: 32 hexadecimal digits of randomness.
    pub(super) fn fresh_id(&self) -> Result<ResourceId, Refusal> {
        let mut bytes = [0; 16];
        let failed =
            || Refusal::new(RefusalKind::Internal, Issue::error(IssueCode::Exception, "no randomness"));
        getrandom::fill(&mut bytes).map_err(|_| failed())?;
        ResourceId::parse(&hex(&bytes)).ok_or_else(failed)
    }
}
