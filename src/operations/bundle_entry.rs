//! The entries of a batch or transaction, each read as the request that it would be alone.
use crate::model::{IssueCode, Node, Tree};

use super::answer::Refusal;
use super::place::Route;
use super::request::{Headers, Payload, Request, decode, decode_pairs};
use super::verb::Verb;

/// An entry as it was sent.
pub(super) struct Entry<'t> {
    pub(super) full_url: Option<&'t str>,
    pub(super) verb: Verb,
    /// Path segments below the base.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Headers,
    pub(super) resource: Option<Node<'t>>,
    pub(super) route: Result<Route, Refusal>,
}

impl<'t> Entry<'t> {
    /// Reads an entry; `base` is this server's base URL, with which the entry's URLs may begin.
    pub(super) fn parse(entry: Node<'t>, base: &str) -> Result<Self, Refusal> {
        let required =
            |what: &str| Refusal::bad_request(IssueCode::Required, format!("the entry has no {what}"));
        let request = entry.get("request").ok_or_else(|| required("request"))?;
        let method = request.str_at("method").ok_or_else(|| required("request.method"))?;
        let verb = Verb::parse(method).ok_or_else(|| {
            Refusal::bad_request(IssueCode::Value, format!("there is no method `{method}`"))
        })?;
        let url = request.str_at("url").ok_or_else(|| required("request.url"))?;
        let url = url.strip_prefix(base).unwrap_or(url).trim_start_matches('/');
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let header = |name: &str| request.str_at(name).map(str::to_owned);
        let path = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
        let Request { verb, path, query, route, .. } = Request::new(verb, path, decode_pairs(query));
        Ok(Self {
            full_url: entry.str_at("fullUrl"),
            verb,
            path,
            query,
            route,
            headers: Headers {
                if_match: header("ifMatch"),
                if_none_match: header("ifNoneMatch"),
                if_none_exist: header("ifNoneExist"),
                if_modified_since: header("ifModifiedSince"),
                ..Headers::default()
            },
            resource: entry.get("resource"),
        })
    }

    /// The entry as a request, with this resource.
    pub(super) fn request(&self, tree: Option<Tree>) -> Result<Request, Refusal> {
        Ok(Request {
            verb: self.verb,
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            route: self.route.clone(),
            payload: match tree {
                Some(tree) if self.verb == Verb::Patch => patch_payload(tree)?,
                Some(tree) => Payload::Resource(tree),
                None => Payload::None,
            },
        })
    }
}

/// A Bundle carries a JSON Patch in a Binary (R4 http.html#jsonpatch); a FHIRPath Patch is a Parameters resource.
fn patch_payload(tree: Tree) -> Result<Payload, Refusal> {
    if tree.root().str_at("resourceType") != Some("Binary") {
        return Ok(Payload::Resource(tree));
    }
    let wrong = || Refusal::bad_request(IssueCode::Value, "the Binary of a patch holds JSON Patch in base64");
    let data: String = tree.root().str_at("data").ok_or_else(wrong)?.split_whitespace().collect();
    crate::model::decode_base64(&data).map(Payload::JsonPatch).ok_or_else(wrong)
}
