//! The engine: everything that a request needs, and the way that every request takes through it.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::audit::{Access, Action, AuditIndex, Due, Ground, Signer};
use crate::auth::{
    AuthorizationServer, Client, Desk, Issuer, Party, Permission, Role, TokenError, Trust, User,
};
use crate::consent::{Programs, Settings};
use crate::model::{Issue, IssueCode, Millis, Outcome};
use crate::store::{At, Batch, Clock, Kv, Packing, VersionCipher};

use super::answer::{Answer, Body, Refusal, RefusalKind};
use super::attempts::attempted;
use super::audit::Refusals;
use super::index::Index;
use super::member_match::MemberMatches;
use super::operation::operation_at;
use super::parameters::Call;
use super::request::{Asked, Request};
use super::route::{Place, route};
use super::secret::{derived, version_cipher};
use super::session::Session;
use super::table::{Code, Interaction};
use super::{batch, capabilities, conditional, create, delete, history, patch, read, search, update};

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
    /// For how long a write is attempted anew that others overtake.
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

/// How much of a refused request is put on record.
const REFUSED_CHARS_MAX: usize = 2_000;
/// How long who looks for accesses waits for what is to be looked up of earlier ones.
const LOOK_UP_MAX: Duration = Duration::from_secs(5);

/// Whom a registration names: role, `Organization/id`, and who it is.
type Registered = (Role, Option<String>, Option<String>);

/// The engine.
pub struct Engine {
    pub options: EngineOptions,
    pub(super) kv: Arc<dyn Kv>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cipher: VersionCipher,
    /// Seals page cursors.
    pub(super) cursor_key: [u8; 32],
    pub(super) settings: Arc<Settings>,
    /// Compiled Consents.
    pub(super) programs: Programs,
    /// How often clients have tried to match members.
    pub(super) member_matches: MemberMatches,
    /// The search parameters in force, and the work of indexing by them.
    pub index: Arc<Index>,
    /// How what is written is packed.
    pub packing: Arc<Packing>,
    issuer: Issuer,
    /// Who else is trusted to say who asks.
    trust: Option<Trust>,
    /// Signs what the record of accesses is.
    pub(super) audit_signer: Option<Arc<Signer>>,
    /// The embedded authorization server, with the registry of clients and users.
    pub authorization: AuthorizationServer,
    /// The CapabilityStatements that were made, by what they differ in, with the state of the store that each is of.
    pub(super) statements: Mutex<HashMap<capabilities::Variant, capabilities::Kept>>,
    /// Who was refused and is not known.
    pub(super) refusals: Refusals,
    /// Finds AuditEvents.
    pub(super) audit_index: AuditIndex,
    /// Held by who looks up whom answered requests concerned.
    pub(super) looking_up: Mutex<()>,
    /// Who asks without a token; only where the server is open.
    open: Option<Arc<Party>>,
}

impl Engine {
    #[must_use]
    pub fn new(
        options: EngineOptions,
        (kv, index): (Arc<dyn Kv>, Arc<Index>),
        clock: Arc<dyn Clock>,
        secret: [u8; 32],
        settings: Settings,
        issuer: Issuer,
        open: Option<Party>,
    ) -> Self {
        let derived = |what: &str| derived(secret, what);
        Self {
            options,
            authorization: AuthorizationServer::new(kv.clone(), derived("authorization")),
            kv,
            clock,
            cipher: version_cipher(secret),
            cursor_key: derived("cursors"),
            settings: Arc::new(settings),
            programs: Programs::default(),
            member_matches: MemberMatches::default(),
            index,
            packing: Arc::default(),
            issuer,
            trust: None,
            audit_signer: None,
            statements: Mutex::default(),
            refusals: Refusals::default(),
            audit_index: AuditIndex::default(),
            looking_up: Mutex::default(),
            open: open.map(Arc::new),
        }
    }

    /// The engine that trusts others too to say who asks.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust: Some(trust), ..self }
    }

    /// The engine that packs what it writes as the store has been packed.
    #[must_use]
    pub fn packing_as(self, packing: Arc<Packing>) -> Self {
        Self { packing, ..self }
    }

    /// The engine with the key that signs what the record of accesses is.
    #[must_use]
    pub fn signing_with(self, signer: Arc<Signer>) -> Self {
        Self { audit_signer: Some(signer), ..self }
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

    /// The party of a request: by its token, or the open one where there is none.
    ///
    /// # Errors
    /// 401.
    pub fn authenticate(&self, token: Option<&str>) -> Result<Arc<Party>, Refusal> {
        self.authenticate_with(token, None)
    }

    /// The same, for who has shown a client certificate: its SHA-256. Without a token it is the certificate's party. A token
    /// that is bound to a certificate (RFC 8705 section 3) is good with that one alone.
    ///
    /// # Errors
    /// 401; 403 for a token that states a purpose which is not allowed; 503 if its issuer cannot be asked.
    pub fn authenticate_with(
        &self,
        token: Option<&str>,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Arc<Party>, Refusal> {
        let refuse = |message: String| {
            Refusal::new(RefusalKind::Unauthorized, Issue::error(IssueCode::Login, message))
        };
        let Some(token) = token else {
            let trusted = self.trust.as_ref().zip(certificate);
            let known = trusted.and_then(|(trust, certificate)| trust.party_of_certificate(certificate));
            let party = known.or_else(|| self.open.clone());
            return party.ok_or_else(|| refuse("an access token is needed".to_owned()));
        };
        let own = self.issuer.verify(token, self.now());
        if let Ok(party) = &own
            && !self.authorization.registry.admits(party)?
        {
            return Err(refuse("the access token was revoked".to_owned()));
        }
        let party = match (own, &self.trust) {
            (Err(TokenError::Malformed | TokenError::Untrusted(_)), Some(trust)) => {
                trust.party(token, self.now())
            }
            (own, _) => own,
        };
        let party = party.map_err(|error| token_refusal(&error))?;
        if party.certificate.is_some() && party.certificate.as_ref() != certificate {
            return Err(refuse("the access token needs the certificate that it is bound to".to_owned()));
        }
        Ok(party)
    }

    /// Whom registrations name, here and of other issuers: role, organization and user.
    pub(super) fn registered(&self) -> Result<Vec<Registered>, Refusal> {
        let registry = &self.authorization.registry;
        let mut found = Vec::new();
        for client in registry.list::<Client>()?.into_iter().filter(|client| !client.disabled) {
            let role = client.role.as_deref().and_then(Role::parse);
            found.extend(role.map(|role| (role, client.organization, client.fhir_user)));
        }
        for user in registry.list::<User>()?.into_iter().filter(|user| !user.disabled) {
            found.extend(Role::parse(&user.role).map(|role| (role, user.organization, user.fhir_user)));
        }
        let of_others = self.trust.iter().flat_map(Trust::registered);
        found.extend(of_others.map(|(role, organization, user)| {
            (role, organization.map(str::to_owned), user.map(str::to_owned))
        }));
        Ok(found)
    }

    /// Whether somebody else may have to be asked to know a token, which takes its time: another server, or a database.
    #[must_use]
    pub fn may_ask_others(&self, token: &str) -> bool {
        !self.kv.is_local() || self.trust.as_ref().is_some_and(|trust| trust.may_ask(token, self.now()))
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
    pub fn desk(&self) -> Desk<'_> {
        self.authorization.at(&self.issuer, self.now())
    }

    /// Answers a request of a party.
    ///
    /// # Errors
    /// The refusal with its outcome.
    pub fn handle(&self, party: &Arc<Party>, request: Request) -> Result<Answer, Refusal> {
        self.record_refusals_due();
        let (row, place) = match route(request.verb, &request.path) {
            Ok(routed) => routed,
            Err(refusal) => {
                self.record_refusal(party, request.asked(), &refusal)?;
                return Err(refusal);
            }
        };
        if let Err(failure) = self.kv.health() {
            // What cannot be recorded is not released.
            let outcome = Outcome::error(IssueCode::NoStore, "accesses cannot be recorded").because(failure);
            return Err(Refusal::new(RefusalKind::Busy, outcome));
        }
        let mut request = request;
        if let Err(refusal) = self.resume(party, &mut request) {
            self.record_refusal(party, request.asked(), &refusal)?;
            return Err(refusal);
        }
        let asked = request.asked();
        if let Err(refusal) = permit(party, row, &place) {
            let refused = Err(refusal);
            self.record(party, row, asked, &refused)?;
            return refused;
        }
        let result = self.dispatch(party, row, &place, request);
        self.record(party, row, asked, &result)?;
        result
    }

    fn dispatch(
        &self,
        party: &Arc<Party>,
        row: &Interaction,
        place: &Place,
        request: Request,
    ) -> Result<Answer, Refusal> {
        if row.code == Code::Capabilities {
            return capabilities::capabilities(self, party, &request);
        }
        if row.code == Code::Bundle {
            return batch::bundle(self, party, request);
        }
        if is_write(row) {
            return super::write::write(self, party, row, place, request);
        }
        self.settle_accesses(row, place)?;
        attempted(self.options.overtaken_for, || {
            let snapshot = self.kv.snapshot(At::Latest)?;
            let session = Session::new(self, party.clone(), &*snapshot)?.for_reading(row, place);
            answer_read(&session, row, place, &request).map_err(|refusal| refusal.withholding(&session))
        })
    }

    /// Who looks for accesses finds all that were let through before, and whom they concerned, as far as a few seconds are enough to
    /// find that out.
    pub(super) fn settle_accesses(&self, row: &Interaction, place: &Place) -> Result<(), Refusal> {
        let is_of_accesses = place.def().is_some_and(|def| &*def.name == "AuditEvent")
            || matches!(row.name, "$who-saw" | "$accounting-of-disclosures");
        if !is_of_accesses {
            return Ok(());
        }
        self.kv.settle();
        let now = self.kv.snapshot(At::Latest)?.sequence();
        if let Err(refusal) = self.look_up_unshown(now, Some(Instant::now() + LOOK_UP_MAX)) {
            // What is on record is told all the same.
            let cause = refusal.outcome.internal.as_deref().unwrap_or("the store takes no writes");
            tracing::error!(cause, "whom requests concerned could not be looked up");
        }
        Ok(())
    }

    /// Writes down who saw what. What the own staff reads is released at once and on record with the next sync; what
    /// others read is on record before it is released.
    pub(super) fn record(
        &self,
        party: &Party,
        row: &Interaction,
        asked: Asked,
        result: &Result<Answer, Refusal>,
    ) -> Result<(), Refusal> {
        let is_recorded = result.as_ref().is_ok_and(|answer| answer.recorded);
        if row.code == Code::Capabilities || is_recorded {
            return Ok(());
        }
        let named = asked.named.clone();
        let mut access = self.begin_record(party, (row.name, row.action), asked)?;
        let mut due = None;
        match result {
            Ok(answer) => {
                fill(&mut access, answer);
                access.concern(&named);
                access.criteria.clone_from(&answer.criteria);
                due = answer.unshown.map(|unshown| Due {
                    party: Some(party.clone()),
                    counted: unshown.counted,
                    searched: Some(unshown.searched.0),
                });
            }
            Err(refusal) => {
                access.status = refusal.kind.status();
                access.withhold(&refusal.withheld);
                access.criteria.clone_from(&refusal.criteria);
            }
        }
        self.store_record(party, &access, due)
    }

    /// Stores a record of a party's request that came to no interaction: `line` is its method, path and query.
    ///
    /// # Errors
    /// 503, if it cannot be recorded.
    pub fn record_unrouted(
        &self,
        party: &Party,
        line: String,
        (request_id, peer): (Option<String>, Option<String>),
        refusal: &Refusal,
    ) -> Result<(), Refusal> {
        self.record_refusal(party, Asked { line, named: Vec::new(), request_id, peer }, refusal)
    }

    fn record_refusal(&self, party: &Party, asked: Asked, refusal: &Refusal) -> Result<(), Refusal> {
        // Refused requests may be of any length.
        let line = asked.line.chars().take(REFUSED_CHARS_MAX).collect();
        let asked = Asked { line, ..asked };
        let mut access = self.begin_record(party, ("operation", Action::Execute), asked)?;
        access.status = refusal.kind.status();
        self.store_record(party, &access, None)
    }

    /// Stores a record of what somebody did beside the API: registered, signed in, granted.
    ///
    /// # Errors
    /// 503, if it cannot be recorded.
    pub fn record_beside(&self, party: &Party, line: String, status: u16) -> Result<(), Refusal> {
        let mut access = Access::of(party, "operation", Action::Execute, line, self.now());
        access.status = status;
        self.store_record(party, &access, None)
    }

    /// Whether what a party reads is released before the record of it is durable: the own staff's.
    #[must_use]
    pub fn releases_at_once(&self, party: &Party) -> bool {
        let is_own = party.organization.as_ref().is_some_and(|own| self.settings.own.contains(own));
        is_own && party.role != Role::Patient && !self.options.durable_reads
    }

    /// Whether a request is answered without a wait and with little work: a read of one resource by who is released at
    /// once. Then it needs no thread of its own.
    #[must_use]
    pub fn answers_at_once(&self, party: &Party, request: &Request) -> bool {
        let is_small = |place: &Place| {
            place.def().is_some_and(|def| !matches!(&*def.name, "AuditEvent" | "Binary" | "Bundle"))
        };
        let read = route(request.verb, &request.path);
        let is_read =
            read.is_ok_and(|(row, place)| matches!(row.code, Code::Read | Code::Vread) && is_small(&place));
        is_read && self.kv.is_local() && party.break_glass.is_none() && self.releases_at_once(party)
    }

    /// Stores a record of what is about to be released.
    fn store_record(&self, party: &Party, access: &Access, due: Option<Due>) -> Result<(), Refusal> {
        let batch = Batch { writes: self.record_writes(access, due, None), ..Batch::default() };
        let is_emergency = access.released.iter().any(|item| item.ground == Ground::BreakGlass);
        if self.releases_at_once(party) && !is_emergency {
            self.kv.commit_soon(batch);
            return Ok(());
        }
        self.kv.commit(batch).wait().map(drop).map_err(|error| {
            let outcome = Outcome::error(IssueCode::NoStore, "the access cannot be recorded")
                .because(error.to_string());
            Refusal::new(RefusalKind::Busy, outcome)
        })
    }
}

fn token_refusal(error: &TokenError) -> Refusal {
    let (kind, code) = match error {
        TokenError::Malformed | TokenError::Expired | TokenError::Untrusted(_) => {
            (RefusalKind::Unauthorized, IssueCode::Login)
        }
        TokenError::Forbidden(_) => (RefusalKind::Forbidden, IssueCode::Forbidden),
        TokenError::Unavailable(_) => (RefusalKind::Busy, IssueCode::Transient),
    };
    let outcome = Outcome::error(code, error.to_string());
    match error {
        TokenError::Untrusted(why) | TokenError::Unavailable(why) => {
            Refusal::new(kind, outcome.because(why.clone()))
        }
        TokenError::Malformed | TokenError::Expired | TokenError::Forbidden(_) => Refusal::new(kind, outcome),
    }
}

/// What an answer tells the record.
pub(super) fn fill(access: &mut Access, answer: &Answer) {
    access.status = answer.kind.status();
    let shown = match &answer.body {
        Body::Disclosed(disclosed) => Some(disclosed),
        Body::None | Body::Public(_) => None,
    };
    for disclosed in shown.into_iter().chain(answer.written.as_ref()) {
        access.release(disclosed.releases());
        access.concern(disclosed.patients());
    }
    access.withhold(&answer.withheld);
}

pub(super) fn is_write(row: &Interaction) -> bool {
    match row.code {
        Code::Update
        | Code::ConditionalUpdate
        | Code::Patch
        | Code::ConditionalPatch
        | Code::Delete
        | Code::ConditionalDelete
        | Code::Create => true,
        Code::Capabilities
        | Code::Read
        | Code::Vread
        | Code::Search
        | Code::SearchByPost
        | Code::HistoryInstance
        | Code::HistoryType
        | Code::HistorySystem
        | Code::Bundle
        | Code::Operation => false,
    }
}

/// Whether the token's scopes permit the interaction: before any data is looked at, so that the answer tells nothing
/// of data.
pub(super) fn permit(party: &Party, row: &Interaction, place: &Place) -> Result<(), Refusal> {
    let name = place.def().map(|def| &*def.name);
    let is_search = matches!(row.code, Code::Search | Code::SearchByPost);
    // A search of several types is judged type by type, one of a compartment's single type here.
    let by_type = name.filter(|_| is_search).map(|_| Permission::Search);
    let Some(permission) = row.permission.or(by_type) else { return Ok(()) };
    let mut permitted = party.scopes.permit(permission, name);
    if row.code == Code::ConditionalUpdate {
        // It may create as well.
        permitted = permitted && party.scopes.permit(Permission::Create, name);
    }
    if permitted { Ok(()) } else { Err(Refusal::forbidden("the token's scopes do not permit this")) }
}

/// A read of any kind, on the session's snapshot.
pub(super) fn answer_read(
    session: &Session<'_>,
    row: &Interaction,
    place: &Place,
    request: &Request,
) -> Result<Answer, Refusal> {
    match (row.code, place) {
        (Code::Read, Place::Instance(def, id)) => read::read(session, def, id, request),
        (Code::Vread, Place::Version(def, id, version)) => read::vread(session, def, id, version, request),
        (Code::Search | Code::SearchByPost, place) => search::search(session, place, request),
        (Code::HistoryInstance | Code::HistoryType | Code::HistorySystem, place) => {
            history::history(session, place, request)
        }
        (Code::Operation, place) => match operation_at(place, row.name) {
            Some(operation) => {
                let call = Call { place, request };
                call.is_within_reach(session)?;
                operation.act(session, &call)
            }
            None => Err(Refusal::not_found()),
        },
        _ => Err(Refusal::not_found()),
    }
}

/// A write of any kind, prepared on the session's snapshot.
pub(super) fn prepare_write(
    session: &Session<'_>,
    row: &Interaction,
    place: &Place,
    input: &super::write::Input,
) -> Result<super::write::Prepared, Refusal> {
    if place.def().is_some_and(|def| &*def.name == "AuditEvent") && row.code != Code::Create {
        // Before any data is looked at: no such event can be changed or deleted by anybody.
        let message = "the record of accesses is never changed; events of other systems are added by POST";
        let issue = Issue::error(IssueCode::NotSupported, message);
        return Err(Refusal::new(RefusalKind::MethodNotAllowed, issue));
    }
    if place.def().is_some_and(|def| &*def.name == "Parameters") {
        let issue =
            Issue::error(IssueCode::NotSupported, "Parameters are for operations; they are not stored");
        return Err(Refusal::new(RefusalKind::MethodNotAllowed, issue));
    }
    let prepared = match (row.code, place) {
        (Code::Create, Place::Type(def)) => create::prepare(session, def, input),
        (Code::Update, Place::Instance(def, id)) => update::prepare(session, def, id, input),
        (Code::Patch, Place::Instance(def, id)) => patch::prepare(session, def, id, input),
        (Code::Delete, Place::Instance(def, id)) => delete::prepare(session, def, id, input),
        (Code::ConditionalUpdate, Place::Type(def)) => conditional::update(session, def, input),
        (Code::ConditionalPatch, Place::Type(def)) => conditional::patch(session, def, input),
        (Code::ConditionalDelete, Place::Type(def)) => conditional::delete(session, def, input),
        _ => Err(Refusal::not_found()),
    }?;
    if let super::write::Prepared::Change(planned) = &prepared {
        super::write::check_scope(session, row, planned)?;
    }
    Ok(prepared)
}
