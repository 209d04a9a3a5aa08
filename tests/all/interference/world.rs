//! A server in memory with a clock set by the test. In its answers, opaque ids are replaced by names, so that the answers of two
//! servers can be compared.
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chartward::auth::{Issuer, Party};
use chartward::consent::Settings;
use chartward::model::parse;
use chartward::operations::{
    ContextParts, Engine, EngineOptions, Headers, Index, Payload, Preference, Request, Verb, decode_pairs,
};
use chartward::store::{Clock, Memory};

pub const BASE: &str = "http://127.0.0.1/fhir";

/// A clock that stands still until it is set.
#[derive(Default)]
pub struct SetClock(AtomicI64);

impl SetClock {
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The body of a request.
#[derive(Clone, Debug, Default)]
pub enum Sent {
    #[default]
    Nothing,
    Resource(String),
    JsonPatch(String),
    Form(String),
}

/// A request; opaque ids in it are replaced by their names.
#[derive(Clone, Debug)]
pub struct Asked {
    pub verb: Verb,
    pub url: String,
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_none_exist: Option<String>,
    pub if_modified_since: Option<String>,
    pub preference: Preference,
    pub lenient: bool,
    pub body: Sent,
}

impl Asked {
    pub fn new(verb: Verb, url: impl Into<String>) -> Self {
        Self {
            verb,
            url: url.into(),
            if_match: None,
            if_none_match: None,
            if_none_exist: None,
            if_modified_since: None,
            preference: Preference::default(),
            lenient: false,
            body: Sent::Nothing,
        }
    }

    pub fn with(self, body: &serde_json::Value) -> Self {
        Self { body: Sent::Resource(body.to_string()), ..self }
    }
}

impl Told {
    /// The answer without what reveals whether the target of a reference is hidden: displays and identifiers of references,
    /// narratives, and the tag of masked resources.
    pub fn without_references(&self) -> Self {
        let Ok(mut json) = serde_json::from_str(&self.body) else { return self.clone() };
        strip(&mut json);
        Self { body: json.to_string(), ..self.clone() }
    }

    /// Describes where another answer begins to differ.
    pub fn difference(&self, other: &Self) -> String {
        if (self.status, self.body.is_empty()) != (other.status, other.body.is_empty())
            || self.body == other.body
        {
            let brief = |told: &Self| {
                let body: String = told.body.chars().take(300).collect();
                format!("{} {:?} {:?} {:?} {body}", told.status, told.version, told.location, told.modified)
            };
            return format!("  {}\n  {}", brief(self), brief(other));
        }
        let same =
            self.body.chars().zip(other.body.chars()).take_while(|(left, right)| left == right).count();
        let from =
            |told: &Self| told.body.chars().skip(same.saturating_sub(150)).take(300).collect::<String>();
        format!("  ...{}\n  ...{}", from(self), from(other))
    }
}

fn strip(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(members) => {
            if members.contains_key("reference") {
                members.retain(|name, _| !["display", "_display", "identifier"].contains(&name.as_str()));
            }
            if members.contains_key("resourceType") {
                members.shift_remove("text");
            }
            if let Some(labels) = members.get_mut("security").and_then(serde_json::Value::as_array_mut) {
                labels.retain(|label| label["code"] != "REDACTED");
            }
            members.retain(|name, value| {
                name != "security" || value.as_array().is_some_and(|all| !all.is_empty())
            });
            members.values_mut().for_each(strip);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// An answer; opaque ids in it are replaced by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub status: u16,
    pub version: Option<String>,
    pub location: Option<String>,
    /// Milliseconds since 1970; the clocks of both servers are equal.
    pub modified: Option<i64>,
    pub body: String,
}

pub struct World {
    pub engine: Arc<Engine>,
    names: RefCell<Names>,
}

impl World {
    pub fn new(clock: Arc<dyn Clock>, secret: u8) -> Self {
        let memory = Arc::new(Memory::new(clock.clone()));
        let index = Arc::new(Index::default());
        index.begin(&*memory).unwrap();
        let options = EngineOptions { page_len_default: 7, ..EngineOptions::new(BASE) };
        let settings = Settings::of(["Organization/hospital".to_owned()].into());
        let key = Issuer::generate_key().unwrap();
        let issuer = Issuer::with_retired(BASE, &key, &[]).unwrap();
        let engine = Engine::new(ContextParts {
            options,
            kv: memory,
            index,
            packing: Arc::default(),
            clock,
            secret: [secret; 32],
            settings,
            issuer,
            trust: None,
            audit_signer: None,
            open: None,
        });
        Self { engine: Arc::new(engine), names: RefCell::default() }
    }

    /// Sends a request, with this server's own ids in place of the names.
    pub fn ask(&self, party: &Arc<Party>, asked: &Asked) -> Told {
        let own = |text: &str| self.names.borrow().own(text);
        let own_of = |text: &Option<String>| text.as_deref().map(own);
        let url = own(&asked.url);
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let path = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        let payload = match &asked.body {
            Sent::Nothing => Payload::None,
            Sent::Resource(text) => Payload::Resource(parse(own(text).into_bytes()).unwrap()),
            Sent::JsonPatch(text) => Payload::JsonPatch(own(text).into_bytes()),
            Sent::Form(text) => Payload::Form(decode_pairs(&own(text))),
        };
        let headers = Headers {
            if_match: own_of(&asked.if_match),
            if_none_match: own_of(&asked.if_none_match),
            if_none_exist: own_of(&asked.if_none_exist),
            if_modified_since: asked.if_modified_since.clone(),
            preference: asked.preference,
            lenient: asked.lenient,
            ..Headers::default()
        };
        let request = Request { headers, payload, ..Request::new(asked.verb, path, decode_pairs(query)) };
        let named = |text: &str| self.names.borrow_mut().named(text);
        match self.engine.handle(party, request) {
            Ok(answer) => Told {
                status: answer.kind.status(),
                version: answer.version_id.as_deref().map(named),
                location: answer.location.as_deref().map(named),
                modified: answer.last_modified,
                body: answer.body.json().map(named).unwrap_or_default(),
            },
            Err(refusal) => Told {
                status: refusal.kind.status(),
                version: None,
                location: None,
                modified: None,
                body: named(&refusal.outcome.to_json()),
            },
        }
    }
}

impl World {
    /// Replaces this server's own ids in a text by their names.
    pub fn named(&self, text: &str) -> String {
        self.names.borrow_mut().named(text)
    }

    /// Sets whether references to absent resources are refused.
    pub fn set_referential_integrity(&mut self, is_on: bool) {
        Arc::get_mut(&mut self.engine).unwrap().options.referential_integrity = is_on;
    }

    /// Renames a version id, so that both servers use the same name for it.
    pub fn rename(&self, name: &str, new: &str) {
        let mut names = self.names.borrow_mut();
        let word = names.by_name.remove(name).unwrap();
        names.by_text.insert(word.clone(), new.to_owned());
        names.by_name.insert(new.to_owned(), word);
    }
}

/// Makes both servers use the same names for their next opaque ids, even if one has returned more of them than the other.
pub fn align(left: &World, right: &World) {
    let (mut left, mut right) = (left.names.borrow_mut(), right.names.borrow_mut());
    let next = left.next.max(right.next);
    (left.next, right.next) = (next, next);
}

/// The names of version ids, random ids and cursors, in the order in which they appeared: `~16.1~` has 16 digits.
#[derive(Default)]
struct Names {
    next: usize,
    by_text: HashMap<String, String>,
    by_name: HashMap<String, String>,
}

/// The lengths of version ids and random ids; each kind has a fixed length, so that the length reveals nothing.
const LENGTHS: [usize; 2] = [16, 32];

/// A cursor or UUID at the beginning of a text: what precedes it, the id itself, and the rest. A cursor's name includes its
/// length, which must be equal on both servers for the same query.
fn marked(text: &str) -> Option<(&str, &str, &str)> {
    for (mark, len) in [("_cursor=", None), ("urn:uuid:", Some(36))] {
        let Some(rest) = text.strip_prefix(mark) else { continue };
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        let end = rest.find(|letter: char| !is_part(letter)).unwrap_or(rest.len());
        if end > 0 && len.is_none_or(|len| len == end) {
            let (word, after) = rest.split_at(end);
            return Some((mark, word, after));
        }
    }
    None
}

impl Names {
    fn named(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            if let Some((before, word, after)) = marked(rest) {
                out.push_str(before);
                out.push_str(&self.name(word));
                rest = after;
                continue;
            }
            let end = rest.find(|sign: char| !sign.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let is_hex = word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if is_hex && LENGTHS.contains(&word.len()) {
                out.push_str(&self.name(word));
            } else {
                out.push_str(word);
            }
            let sign = after.chars().next().map_or(0, char::len_utf8);
            out.push_str(&after[..sign]);
            rest = &after[sign..];
        }
        out
    }

    fn name(&mut self, word: &str) -> String {
        if let Some(name) = self.by_text.get(word) {
            return name.clone();
        }
        self.next += 1;
        let name = format!("~{}.{}~", word.len(), self.next);
        self.by_text.insert(word.to_owned(), name.clone());
        self.by_name.insert(name.clone(), word.to_owned());
        name
    }

    fn own(&self, text: &str) -> String {
        let mut out = String::new();
        for (part, number) in text.split('~').zip(0_usize..) {
            let name = format!("~{part}~");
            out.push_str(self.by_name.get(&name).filter(|_| number % 2 == 1).map_or(part, String::as_str));
        }
        out
    }
}
