//! The steps of every request: it is routed, checked against the scopes, answered, and recorded.
use std::ops::{ControlFlow, Deref, DerefMut};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pollster::block_on;

use crate::auth::Party;
use crate::model::{IssueCode, Outcome};
use crate::store::At;

use super::answer::{Answer, Refusal, RefusalKind};
use super::attempts::Attempts;
use super::context::{Context, ContextParts};
use super::interactions::answer_read;
use super::place::Route;
use super::place::{Place, permit};
use super::request::{Payload, Request};
use super::session::Session;
use super::table::{Code, Interaction};
use super::write::write;
use super::{batch, capabilities, provenance_header, transaction};

/// Answers requests with what its [`Context`] holds.
pub struct Engine {
    context: Context,
}

/// Gives access to the context's options, store, authentication and record of accesses.
impl Deref for Engine {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

/// Lets callers change settings before the engine serves.
impl DerefMut for Engine {
    fn deref_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

impl Engine {
    #[must_use]
    pub fn new(parts: ContextParts) -> Self {
        Self { context: Context::new(parts) }
    }

    /// Answers a request of a party, and lets the thread wait until the answer may be released.
    ///
    /// # Errors
    /// The refusal with its outcome.
    pub fn handle(&self, party: &Arc<Party>, request: Request) -> Result<Answer, Refusal> {
        block_on(self.answer(party, request))
    }

    /// Answers a request of a party. The work is done when the future is polled; while a commit becomes durable it holds no
    /// thread.
    ///
    /// # Errors
    /// The refusal with its outcome.
    pub fn answer<'e>(
        &'e self,
        party: &'e Arc<Party>,
        request: Request,
    ) -> BoxFuture<'e, Result<Answer, Refusal>> {
        self.routed(party, request).boxed()
    }

    async fn routed(&self, party: &Arc<Party>, request: Request) -> Result<Answer, Refusal> {
        self.record_refusals_due();
        let Route { row, place } = match request.route.clone() {
            Ok(route) => route,
            Err(refusal) => {
                self.record_refusal(party, request.asked(), &refusal).await?;
                return Err(refusal);
            }
        };
        if let Err(failure) = self.kv.health() {
            // An access that cannot be recorded must not be answered.
            let outcome = Outcome::error(IssueCode::NoStore, "accesses cannot be recorded").because(failure);
            return Err(Refusal::new(RefusalKind::Busy, outcome));
        }
        let mut request = request;
        if let Err(refusal) = self.resume(party, &mut request) {
            self.record_refusal(party, request.asked(), &refusal).await?;
            return Err(refusal);
        }
        let asked = request.asked();
        if let Err(refusal) = permit(party, row, &place) {
            let refused = Err(refusal);
            self.record(party, row, asked, &refused).await?;
            return refused;
        }
        let result = self.dispatch(party, row, &place, request).await;
        self.record(party, row, asked, &result).await?;
        result
    }

    async fn dispatch(
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
            return self.bundle(party, &request).await;
        }
        if row.code.is_write() {
            return write(self, party, row, place, request).await;
        }
        self.settle_accesses(row, place)?;
        let mut attempts = Attempts::within(self.options.overtaken_for);
        loop {
            let attempt = self.answer_read(party, row, place, &request);
            if let ControlFlow::Break(settled) = attempts.settled(attempt).await {
                return settled;
            }
        }
    }

    /// A read of any kind, on the newest snapshot.
    fn answer_read(
        &self,
        party: &Arc<Party>,
        row: &Interaction,
        place: &Place,
        request: &Request,
    ) -> Result<Answer, Refusal> {
        let snapshot = self.kv.snapshot(At::Latest)?;
        let session = Session::new(self, party.clone(), &*snapshot)?.for_reading(row, place);
        answer_read(&session, row, place, request).map_err(|refusal| refusal.withholding(&session))
    }

    /// Whether a request can be answered quickly on the caller's thread: a read of one small resource, by a party whose reads do
    /// not wait for their record to be durable.
    #[must_use]
    pub fn answers_at_once(&self, party: &Party, request: &Request) -> bool {
        let is_small =
            |place: &Place| place.def().is_some_and(|def| !def.rules.is_large && !def.rules.is_access_record);
        let is_read = request.route.as_ref().is_ok_and(|Route { row, place }| {
            matches!(row.code, Code::Read | Code::Vread) && is_small(place)
        });
        is_read && self.kv.is_local() && party.break_glass.is_none() && self.releases_at_once(party)
    }

    /// A Bundle posted to the base: a batch or a transaction.
    async fn bundle(&self, party: &Arc<Party>, request: &Request) -> Result<Answer, Refusal> {
        let Payload::Resource(tree) = &request.payload else {
            return Err(Refusal::bad_request(IssueCode::Required, "the body holds no Bundle"));
        };
        let root = tree.root();
        if root.str_at("resourceType") != Some("Bundle") {
            return Err(Refusal::bad_request(IssueCode::Invalid, "what is posted to the base is a Bundle"));
        }
        match root.str_at("type") {
            Some("batch") => {
                provenance_header::refuse(&request.headers)?;
                let handle = |request| self.answer(party, request);
                batch::batch(self, party, (root, &request.headers), &handle).await
            }
            Some("transaction") => transaction::transaction(self, party, root, &request.headers).await,
            _ => {
                Err(Refusal::bad_request(IssueCode::Value, "the Bundle is neither a batch nor a transaction"))
            }
        }
    }
}
