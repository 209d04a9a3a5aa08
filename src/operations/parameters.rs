//! Input and output of operations (R4 parameters.html): parameters from the query or from a Parameters resource in the body, and
//! the Parameters of an answer.
use serde_json::{Map, Value, json};

use crate::definitions::TypeDef;
use crate::model::encode_base64;
use crate::model::{Issue, IssueCode, Millis, Node, ResourceId, Temporal};

use super::answer::{Refusal, RefusalKind};
use super::place::Place;
use super::request::{Payload, Request};
use super::session::Session;

/// The most characters of a reason.
const REASON_LEN_MAX: usize = 1_000;

/// A parameter that an operation takes (R4 operationdefinition.html). All others are refused.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    pub name: &'static str,
    pub min: u32,
    /// A number, or `*`.
    pub max: &'static str,
    /// A data type or a resource type.
    pub of_type: &'static str,
    pub says: &'static str,
}

/// A call of an operation.
pub(super) struct Call<'r> {
    pub(super) place: &'r Place,
    pub(super) request: &'r Request,
}

impl<'r> Call<'r> {
    /// The id of the instance on which the operation is called.
    pub(super) fn id(&self) -> Result<&'r ResourceId, Refusal> {
        match self.place {
            Place::Instance(_, id) => Ok(id),
            _ => Err(Refusal::not_found()),
        }
    }

    /// Checks that the token's scopes and its launch context reach the file of the patient on whom an operation is called.
    ///
    /// # Errors
    /// 404 if they do not.
    pub(super) fn is_within_reach(&self, session: &Session<'_>) -> Result<(), Refusal> {
        match self.place {
            Place::Instance(def, id) if &*def.name == "Patient" => {
                let is_reached = session.lens.reaches_file(&format!("Patient/{id}"));
                if is_reached { Ok(()) } else { Err(Refusal::not_found()) }
            }
            _ => Ok(()),
        }
    }

    /// Type and id of the instance on which the operation is called.
    pub(super) fn instance(&self) -> Result<(&'static TypeDef, &'r ResourceId), Refusal> {
        match self.place {
            Place::Instance(def, id) => Ok((def, id)),
            _ => Err(Refusal::not_found()),
        }
    }

    /// The value of a parameter, if it has this `value[x]` type (such as `valueMeta`).
    pub(super) fn value(&self, name: &str, of: &str) -> Option<Node<'r>> {
        self.parameters(name).find_map(|parameter| parameter.get(of))
    }

    fn body(&self) -> Option<Node<'r>> {
        match &self.request.payload {
            Payload::Resource(tree) => Some(tree.root()),
            Payload::None | Payload::JsonPatch(_) | Payload::Form(_) => None,
        }
    }

    fn parameters(&self, name: &str) -> impl Iterator<Item = Node<'r>> + use<'r, '_> {
        let body = self.body().filter(|body| body.str_at("resourceType") == Some("Parameters"));
        let all = body.into_iter().flat_map(|body| body.items_at("parameter"));
        let name = name.to_owned();
        all.filter(move |parameter| parameter.str_at("name") == Some(&name))
    }

    /// All values of a parameter as texts: codes, references, dates, booleans, whatever their `value[x]` type.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let of_query = self.request.query.iter().filter(|(known, _)| known == name);
        let mut found: Vec<String> = of_query
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        found.extend(self.parameters(name).filter_map(text_of));
        found
    }

    /// The value of a parameter that may be given once.
    ///
    /// # Errors
    /// 400 if there are several.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let mut found = self.texts(name);
        if found.len() > 1 {
            let message = format!("the parameter `{name}` is given more than once");
            return Err(Refusal::bad_request(IssueCode::Value, message));
        }
        Ok(found.pop())
    }

    /// The value of a parameter that must be given exactly once.
    ///
    /// # Errors
    /// 400 if it is not.
    pub(super) fn required(&self, name: &str) -> Result<String, Refusal> {
        let missing =
            || Refusal::bad_request(IssueCode::Required, format!("the parameter `{name}` is missing"));
        self.text(name)?.ok_or_else(missing)
    }

    /// The parameter `reason`, which says why something is done: at least so many letters, blanks not counted.
    ///
    /// # Errors
    /// 400 if it is missing, 422 if it is too short or too long.
    pub(super) fn reason(&self, letters_min: usize) -> Result<String, Refusal> {
        let reason = self.required("reason")?.trim().to_owned();
        let letters = reason.chars().filter(|letter| !letter.is_whitespace()).count();
        if letters < letters_min || reason.chars().count() > REASON_LEN_MAX {
            let message =
                format!("the reason has {letters_min} to {REASON_LEN_MAX} letters, blanks not counted");
            return Err(Refusal::new(RefusalKind::Unprocessable, Issue::error(IssueCode::Value, message)));
        }
        Ok(reason)
    }

    /// The resource in a parameter; or the body itself, which may stand for the only resource that is asked for (R4
    /// operations.html#request).
    pub(super) fn resource(&self, name: &str, type_name: Option<&str>) -> Option<Node<'r>> {
        let of_parameter = self.parameters(name).find_map(|parameter| parameter.get("resource"));
        let is_meant = |body: &Node<'_>| match type_name {
            Some(wanted) => body.str_at("resourceType") == Some(wanted),
            None => body.str_at("resourceType") != Some("Parameters"),
        };
        of_parameter.or_else(|| self.body().filter(is_meant))
    }

    /// Refuses parameters that the operation does not have: a client would believe that an ignored parameter was heeded.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub(super) fn takes_only(&self, known: &[Takes]) -> Result<(), Refusal> {
        let body = self.body().filter(|body| body.str_at("resourceType") == Some("Parameters"));
        let named = body.into_iter().flat_map(|body| body.items_at("parameter"));
        let of_body = named.map(|parameter| parameter.str_at("name").unwrap_or_default().to_owned());
        let of_query = self.request.query.iter().map(|(name, _)| name.clone());
        let unknown = of_query
            .filter(|name| !matches!(name.as_str(), "_format" | "_pretty" | "_cursor"))
            .chain(of_body)
            .find(|name| known.iter().all(|takes| takes.name != name));
        match unknown {
            Some(name) => {
                let known = known.iter().map(|takes| takes.name).collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none" } else { &known };
                let message = format!("unknown parameter `{name}`; there are {known}");
                Err(Refusal::bad_request(IssueCode::Invalid, message))
            }
            None => Ok(()),
        }
    }
}

/// The value of a parameter as a text.
fn text_of(parameter: Node<'_>) -> Option<String> {
    let value = parameter.children().find(|child| child.key().starts_with("value"))?;
    let part = match value.key() {
        "valueReference" => value.get("reference"),
        "valueCoding" => value.get("code"),
        "valueCodeableConcept" => {
            value.items_at("coding").next().and_then(|coding| coding.get("code")).or(value.get("text"))
        }
        _ => Some(value),
    };
    part.map(|part| part.text().to_owned()).filter(|text| !text.is_empty())
}

/// Builds the Parameters of an answer.
#[derive(Default)]
pub(super) struct Parameters(Vec<Value>);

impl Parameters {
    pub(super) fn code(mut self, name: &str, code: &str) -> Self {
        self.0.push(json!({"name": name, "valueCode": code}));
        self
    }

    pub(super) fn string(mut self, name: &str, text: &str) -> Self {
        if !text.is_empty() {
            self.0.push(json!({"name": name, "valueString": text}));
        }
        self
    }

    pub(super) fn reference(mut self, name: &str, reference: &str) -> Self {
        self.0.push(json!({"name": name, "valueReference": {"reference": reference}}));
        self
    }

    /// A party for whom no resource stands, by its name.
    pub(super) fn display(mut self, name: &str, display: &str) -> Self {
        self.0.push(json!({"name": name, "valueReference": {"display": display}}));
        self
    }

    pub(super) fn count(mut self, name: &str, count: usize) -> Self {
        self.0.push(json!({"name": name, "valueInteger": count}));
        self
    }

    /// `time` in milliseconds since 1970.
    pub(super) fn instant(mut self, name: &str, time: Millis) -> Self {
        self.0.push(json!({"name": name, "valueInstant": Temporal::from_millis(time).to_text()}));
        self
    }

    /// A document that is not FHIR, as a Binary.
    pub(super) fn document(mut self, name: &str, content_type: &str, text: &str) -> Self {
        let data = encode_base64(text.as_bytes());
        let binary = json!({"resourceType": "Binary", "contentType": content_type, "data": data});
        self.0.push(json!({"name": name, "resource": binary}));
        self
    }

    pub(super) fn boolean(mut self, name: &str, truth: bool) -> Self {
        self.0.push(json!({"name": name, "valueBoolean": truth}));
        self
    }

    /// A parameter with parts.
    pub(super) fn parts(mut self, name: &str, parts: Self) -> Self {
        self.0.push(json!({"name": name, "part": parts.0}));
        self
    }

    /// The resource as JSON.
    pub(super) fn json(self) -> String {
        let mut resource = Map::new();
        resource.insert("resourceType".to_owned(), json!("Parameters"));
        if !self.0.is_empty() {
            resource.insert("parameter".to_owned(), Value::Array(self.0));
        }
        Value::Object(resource).to_string()
    }
}
