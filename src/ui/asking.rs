//! How pages ask: requests to the engine as the signed-in party, as the API handles them.
use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use futures_timer::Delay;
use futures_util::future::BoxFuture;

use crate::auth::Party;
use crate::model::{Node, Tree, parse};
use crate::operations::{Answer, Engine, Headers, Payload, Refusal, Request, Sender, Verb, until_the_grid};

use super::problem::Problem;

/// A request that is being worked on.
pub type Working = BoxFuture<'static, Result<Answer, Refusal>>;

/// Gives requests to the threads that work on them.
pub trait Work: Send + Sync {
    /// Work that only reads; it is given up when nobody waits for it any more.
    fn read(&self, work: Working) -> Working;
    /// Work that may write; it is carried through.
    fn write(&self, work: Working) -> Working;
}

/// Asks in the name of a party. All requests of one page have its request id.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) engine: Arc<Engine>,
    pub(super) work: Arc<dyn Work>,
    pub(super) party: Arc<Party>,
    pub(super) sender: Sender,
}

impl Asking {
    /// Reads what is at a path below the base URL.
    pub(super) async fn get(
        &self,
        path: Vec<String>,
        query: Vec<(String, String)>,
    ) -> Result<Answer, Refusal> {
        self.ask(Request::new(Verb::Get, path, query)).await
    }

    /// Sends something that is stored, or that is asked with a body.
    pub(super) async fn send(
        &self,
        verb: Verb,
        path: &[&str],
        headers: Headers,
        payload: Payload,
    ) -> Result<Answer, Refusal> {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.ask(Request { headers, payload, ..Request::new(verb, path, Vec::new()) }).await
    }

    async fn ask(&self, mut request: Request) -> Result<Answer, Refusal> {
        request.headers.request_id.clone_from(&self.sender.request_id);
        request.headers.peer.clone_from(&self.sender.peer);
        let (engine, party) = (self.engine.clone(), self.party.clone());
        let (verb, path) = (request.verb, request.path.clone());
        let begun = Instant::now();
        let working: Working = Box::pin(async move { engine.answer(&party, request).await });
        let handled =
            if verb == Verb::Get { self.work.read(working).await } else { self.work.write(working).await };
        // The time that a page takes must not tell hidden from absent either.
        if let Some(grid) = self.engine.grid(&self.party, (verb, &path), &handled) {
            Delay::new(until_the_grid(grid, begun.elapsed())).await;
        }
        handled
    }

    /// The resource that is at a path below the base URL.
    pub(super) async fn resource(
        &self,
        path: &[&str],
        query: Vec<(String, String)>,
    ) -> Result<Tree, Problem> {
        let answer = self.get(path.iter().map(|part| (*part).to_owned()).collect(), query).await?;
        tree(&answer)
    }
}

/// The resource in an answer.
pub(super) fn tree(answer: &Answer) -> Result<Tree, Problem> {
    let text = answer.body.json().unwrap_or_default();
    parse(text.as_bytes().to_vec()).map_err(|_| Problem::Failed(StatusCode::INTERNAL_SERVER_ERROR))
}

/// The query of the next page of a search.
pub(super) fn next_query(bundle: Node<'_>) -> Option<&str> {
    let next = bundle.items_at("link").find(|link| link.str_at("relation") == Some("next"))?;
    next.str_at("url")?.split_once('?').map(|(_, query)| query)
}

/// What somebody has typed, as the value of a search parameter: without the signs that have a meaning there. A comma would mean
/// "or", a bar separates system and code, a dollar sign the parts of a composite, and a backslash takes away such a meaning.
pub(super) fn plain_value(typed: &str) -> String {
    typed.chars().filter(|sign| !matches!(sign, ',' | '|' | '$' | '\\')).collect()
}
