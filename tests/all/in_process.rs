//! An engine in this process, called without HTTP.
use std::path::Path;
use std::sync::Arc;

use chartward::auth::Party;
use chartward::cli::{Config, House};
use chartward::model::parse;
use chartward::operations::{Answer, Engine, Headers, Payload, Refusal, Request, Verb, decode_pairs};
use serde_json::Value;

pub struct Server {
    pub house: House,
    pub engine: Engine,
    pub party: Arc<Party>,
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    /// A server on disk, with the sled backend.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Self::at(folder.path());
        Self { _folder: Some(folder), ..server }
    }

    /// A server on a data directory that outlives it.
    pub fn at(data: &Path) -> Self {
        let config = Config { data: data.to_owned(), ..Config::default() };
        Self::with(House::open(&config).unwrap(), &config)
    }

    /// A server in memory.
    pub fn in_memory() -> Self {
        Self::with(crate::shared::house(), &Config::default())
    }

    fn with(house: House, config: &Config) -> Self {
        let engine = house.engine(config, "http://127.0.0.1/fhir", false).unwrap();
        Self { house, engine, party: Arc::new(Party::open(&config.organization)), _folder: None }
    }

    pub fn send(
        &self,
        verb: Verb,
        url: &str,
        headers: Headers,
        body: Option<&Value>,
    ) -> Result<Answer, Refusal> {
        let payload = body
            .map_or(Payload::None, |body| Payload::Resource(parse(body.to_string().into_bytes()).unwrap()));
        self.send_as(&self.party, verb, url, headers, payload)
    }

    pub fn send_as(
        &self,
        party: &Arc<Party>,
        verb: Verb,
        url: &str,
        headers: Headers,
        payload: Payload,
    ) -> Result<Answer, Refusal> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        self.engine
            .handle(party, Request { headers, payload, ..Request::new(verb, path, decode_pairs(query)) })
    }

    pub fn get(&self, url: &str) -> Value {
        let answer = self.send(Verb::Get, url, Headers::default(), None).unwrap();
        serde_json::from_str(answer.body.json().unwrap()).unwrap()
    }

    /// The status and outcome of a refused request.
    pub fn refused(&self, verb: Verb, url: &str, body: Option<&Value>) -> (u16, String) {
        let refusal = self.send(verb, url, Headers::default(), body).unwrap_err();
        (refusal.kind.status(), refusal.outcome.to_json())
    }
}
