//! What every interaction receives: the store and its caches, the settings, the keys, and checks of who may run the server.
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::audit::{AuditIndex, Signer};
use crate::auth::{
    AuthorizationContext, AuthorizationServer, Issuer, Party, Permission, Role, Sealer, Trust,
};
use crate::consent::{ConsentCache, Settings};
use crate::model::{Issue, IssueCode, Millis, ResourceId, hex};
use crate::store::random_bytes;
use crate::store::{Clock, Kv, Packing, VersionCipher};

use super::answer::{Refusal, RefusalKind};
use super::audit::Refusals;
use super::index::Index;
use super::member_match_cache::MemberMatches;
use super::secret::{derived, version_cipher};
use super::statement_cache::Statements;

/// The options of an engine, each with a default.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The base URL of the API, without a trailing slash.
    pub base_url: String,
    pub page_len_default: usize,
    pub page_len_max: usize,
    /// How many resources `_include` and `_revinclude` may add to a page.
    pub include_len_max: usize,
    /// How many matches beyond a page are read to find a total that the client did not ask for.
    pub total_unasked_max: usize,
    /// How many matches of one type a sorted search of several types, or a search with `_contained`, may have.
    pub listed_max: usize,
    /// How long a request is retried while the writes of others come before its commit.
    pub overtaken_for: Duration,
    /// Whether to refuse references to absent resources, and deletions of resources that are referred to.
    pub referential_integrity: bool,
    /// Whether to refuse the deletion of a Patient that other resources refer to.
    pub keep_patients_referred_to: bool,
    /// Whether an update that changes nothing still creates a version.
    pub version_unchanged: bool,
    /// Whether reads by the hospital's own staff, too, wait until their access record is durable.
    pub durable_reads: bool,
    /// Searches that take longer are logged with their plan.
    pub slow_search: Duration,
    /// The step of the time grid on which answers that show no patient data are sent (`schedule.rs`).
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

/// The parts from which a [`Context`] is made.
pub struct ContextParts {
    pub options: EngineOptions,
    pub kv: Arc<dyn Kv>,
    pub index: Arc<Index>,
    /// The dictionary by which new versions are packed.
    pub packing: Arc<Packing>,
    pub clock: Arc<dyn Clock>,
    /// The store's own secret, from which other keys are derived.
    pub secret: [u8; 32],
    pub settings: Settings,
    /// Signs the access tokens.
    pub issuer: Issuer,
    /// Other issuers whose tokens are trusted, and registered client certificates.
    pub trust: Option<Trust>,
    /// Signs the roots of the tree over the record of accesses.
    pub audit_signer: Option<Arc<Signer>>,
    /// The party of requests without a token, if the server is open.
    pub open: Option<Party>,
}

/// What every interaction receives: the store and its caches, the settings, and the keys.
pub struct Context {
    pub options: EngineOptions,
    pub(super) kv: Arc<dyn Kv>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cipher: VersionCipher,
    /// Seals page cursors.
    pub(super) sealer: Sealer,
    pub(super) settings: Arc<Settings>,
    /// The cache of compiled Consents.
    pub(super) consents: ConsentCache,
    /// How often each client has tried `$member-match`.
    pub(super) member_matches: MemberMatches,
    /// The search parameters in force, and the job that indexes by them.
    pub index: Arc<Index>,
    /// The dictionary by which new versions are packed.
    pub packing: Arc<Packing>,
    pub(super) issuer: Issuer,
    /// Other issuers whose tokens are trusted, and registered client certificates.
    pub(super) trust: Option<Trust>,
    /// Signs the roots of the tree over the record of accesses.
    pub(super) audit_signer: Option<Arc<Signer>>,
    /// The embedded authorization server, with the registry of clients and users.
    pub authorization: AuthorizationServer,
    /// Cached CapabilityStatements by variant, each with the state of the store that it was made from.
    pub(super) statements: Statements,
    /// Counts the refusals of unknown parties.
    pub(super) refusals: Refusals,
    /// The index by which AuditEvents are found.
    pub(super) audit_index: AuditIndex,
    /// Locked by the thread that looks up whom answered requests concerned.
    pub(super) looking_up: Mutex<()>,
    /// All look-ups for records of commits before this one are done.
    pub(super) looked_up_before: AtomicU64,
    /// The party of requests without a token, if the server is open.
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
            looked_up_before: AtomicU64::default(),
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

    /// Whether a request without a token counts as one of the hospital's own system.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a party may run the server: an administrator of the own organization, or an app authorized by one.
    #[must_use]
    pub fn may_administer(&self, party: &Party) -> bool {
        let is_own = party.organization.as_ref().is_some_and(|own| self.settings.own.contains(own));
        is_own && party.may_administer()
    }

    /// Whether a party may register a launch: a system or clinician of the own organization, with a token that has the scope
    /// `launch` or may read or search Patients.
    #[must_use]
    pub fn may_launch(&self, party: &Party) -> bool {
        let is_own = party.organization.as_ref().is_some_and(|own| self.settings.own.contains(own));
        let reaches = |permission| party.scopes.permit(permission, Some("Patient"));
        let has_scope = party.scopes.has("launch") || Permission::SEEING.into_iter().any(reaches);
        is_own && has_scope && matches!(party.role, Role::System | Role::Clinician)
    }

    /// The authorization server with this issuer and the current time.
    #[must_use]
    pub fn authorization(&self) -> AuthorizationContext<'_> {
        self.authorization.at(&self.issuer, self.now())
    }

    /// A fresh id: 32 hexadecimal digits of randomness.
    pub(super) fn fresh_id(&self) -> Result<ResourceId, Refusal> {
        let failed =
            || Refusal::new(RefusalKind::Internal, Issue::error(IssueCode::Exception, "no randomness"));
        let bytes = random_bytes::<16>().map_err(|_| failed())?;
        ResourceId::parse(&hex(&bytes)).ok_or_else(failed)
    }
}
