//! Writes access records: what they keep of every request, and whether its answer waits until they are durable.
use pollster::block_on;

use crate::audit::{Access, Action, Due, Ground, RequesterKind, writes};
use crate::auth::{Party, Role};
use crate::consent::is_own;
use crate::model::{Amendments, IssueCode, Node, Outcome, Tree, parse};
use crate::store::{At, Batch, Change, Sequence, Write};

use super::super::answer::{Answer, Body, Refusal, RefusalKind};
use super::super::context::Context;
use super::super::request::RequestForRecord;
use super::super::session::Session;
use super::super::table::{Code, Interaction};

/// How many characters of a refused request's line are recorded.
const REFUSED_CHARS_MAX: usize = 2_000;

impl Context {
    /// Begins the access record of a party's request; it lists nothing as released yet.
    pub(in super::super) fn begin_record(
        &self,
        party: &Party,
        (interaction, action): (&str, Action),
        asked: RequestForRecord,
    ) -> Result<Access, Refusal> {
        let mut access = Access::of(party, interaction, action, asked.line, self.now());
        match party.subject.split_once('#') {
            // The subject of another issuer's token begins with that issuer's URL.
            Some((issuer, subject)) if issuer.starts_with("http") => {
                (access.issuer, access.subject) = (issuer.to_owned(), subject.to_owned());
            }
            _ => self.issuer().url().clone_into(&mut access.issuer),
        }
        access.requester_kind = Some(self.requester_kind(party)?);
        access.request_id = asked.request_id;
        access.peer = asked.peer;
        Ok(access)
    }

    /// The record as writes of a batch. If a look-up is due, a note of it is added: the given one, or one for the criteria in the
    /// record, which were searched by in the snapshot `searched`.
    pub(in super::super) fn record_writes(
        &self,
        access: &Access,
        due: Option<Due>,
        searched: Option<Sequence>,
    ) -> Vec<Write> {
        let mut out = writes(access, 0);
        let by_criteria = || {
            (!access.criteria.is_empty())
                .then(|| Due { searched: searched.map(|Sequence(sequence)| sequence), ..Due::default() })
        };
        out.extend(due.or_else(by_criteria).map(|due| due.write(0)));
        out
    }

    /// How the party is related to the hospital.
    pub(in super::super) fn requester_kind(&self, party: &Party) -> Result<RequesterKind, Refusal> {
        if matches!(party.role, Role::Patient | Role::Representative) {
            return Ok(RequesterKind::Subject);
        }
        let Some(organization) = &party.organization else { return Ok(RequesterKind::Outside) };
        if self.settings.own.contains(organization) {
            return Ok(RequesterKind::Own);
        }
        let snapshot = self.kv.snapshot(At::Latest)?;
        let is_own = is_own(&*snapshot, organization, &self.settings)?;
        Ok(if is_own { RequesterKind::Own } else { RequesterKind::Outside })
    }

    /// Records who saw what. Reads by hospital staff are released at once, and their record becomes durable with the next sync;
    /// reads by others are released when their record is durable.
    pub(in super::super) async fn record(
        &self,
        party: &Party,
        row: &Interaction,
        asked: RequestForRecord,
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
        self.store_record(party, &access, due).await
    }

    /// Records a party's request that reached no interaction; `line` is its method, path and query.
    ///
    /// # Errors
    /// 503, if it cannot be recorded.
    pub async fn record_unrouted(
        &self,
        party: &Party,
        line: String,
        (request_id, peer): (Option<String>, Option<String>),
        refusal: &Refusal,
    ) -> Result<(), Refusal> {
        let asked = RequestForRecord { line, named: Vec::new(), request_id, peer };
        self.record_refusal(party, asked, refusal).await
    }

    pub(in super::super) async fn record_refusal(
        &self,
        party: &Party,
        asked: RequestForRecord,
        refusal: &Refusal,
    ) -> Result<(), Refusal> {
        // The line of a refused request may have any length.
        let line = asked.line.chars().take(REFUSED_CHARS_MAX).collect();
        let asked = RequestForRecord { line, ..asked };
        let mut access = self.begin_record(party, ("operation", Action::Execute), asked)?;
        access.status = refusal.kind.status();
        self.store_record(party, &access, None).await
    }

    /// Records what somebody did outside the FHIR API, such as registering, signing in or granting access; the thread waits.
    ///
    /// # Errors
    /// 503, if it cannot be recorded.
    pub fn record_beside(&self, party: &Party, line: String, status: u16) -> Result<(), Refusal> {
        let mut access = Access::of(party, "operation", Action::Execute, line, self.now());
        access.status = status;
        block_on(self.store_record(party, &access, None))
    }

    /// Whether a party's reads are released before their record is durable, as those of the hospital's own staff are.
    #[must_use]
    pub fn releases_at_once(&self, party: &Party) -> bool {
        let is_own = party.organization.as_ref().is_some_and(|own| self.settings.own.contains(own));
        is_own && party.role != Role::Patient && !self.options.durable_reads
    }

    /// Stores the record of an answer that is about to be released.
    async fn store_record(&self, party: &Party, access: &Access, due: Option<Due>) -> Result<(), Refusal> {
        let batch = Batch { writes: self.record_writes(access, due, None), ..Batch::default() };
        let is_emergency = access.released.iter().any(|item| item.ground == Ground::BreakGlass);
        if self.releases_at_once(party) && !is_emergency {
            self.kv.commit_soon(batch);
            return Ok(());
        }
        self.kv.commit(batch).await.map(drop).map_err(|error| {
            let outcome = Outcome::error(IssueCode::NoStore, "the access cannot be recorded")
                .because(error.to_string());
            Refusal::new(RefusalKind::Busy, outcome)
        })
    }
}

impl Refusal {
    /// Adds the resources that the session withheld and the criteria that it searched by, for the record alone.
    pub(in super::super) fn withholding(mut self, session: &Session<'_>) -> Self {
        self.withheld.extend(session.lens.take_withheld());
        self.criteria.extend(session.take_criteria());
        self
    }
}

/// The tag of AuditEvents that other systems have handed in: they are no part of the server's own record.
const FROM_OUTSIDE: (&str, &str) = ("urn:chartward:audit", "from-outside");

/// The tag of an AuditEvent from another system: who has sent it.
pub(in super::super) fn sender_tag(party: &Party) -> Result<Tree, Refusal> {
    let (system, code) = FROM_OUTSIDE;
    let tag = serde_json::json!({"system": system, "code": code, "display": format!("handed in by {}", party.client)});
    parse(tag.to_string().into_bytes())
        .map_err(|error| Refusal::bad_request(IssueCode::Structure, error.to_string()))
}

/// Puts the tag in the place of one that the sender may have sent.
pub(in super::super) fn mark_sender<'t>(event: Node<'t>, tag: &'t Tree, amendments: &mut Amendments<'t>) {
    let (system, _) = FROM_OUTSIDE;
    let sent = event.get("meta").into_iter().flat_map(|meta| meta.items_at("tag"));
    let others = sent.filter(|tag| tag.str_at("system") != Some(system));
    amendments.meta_lists.insert("tag", others.chain([tag.root()]).collect());
}

/// Adds a change to the access record of its commit.
pub(in super::super) fn add_change(access: &mut Access, change: &Change) {
    let patients: Vec<String> =
        change.derived.facts.patients.iter().map(|id| format!("Patient/{id}")).collect();
    let done = match (&change.body, &change.prior) {
        (None, _) => Action::Delete,
        (Some(_), None) => Action::Create,
        (Some(_), Some(prior)) if prior.deleted => Action::Create,
        (Some(_), Some(_)) => Action::Update,
    };
    let labels = change.derived.facts.labels.clone();
    access.write(format!("{}/{}", change.def.name, change.id), &patients, labels, done);
}

/// Adds what an answer released and withheld to its access record.
pub(in super::super) fn fill(access: &mut Access, answer: &Answer) {
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
