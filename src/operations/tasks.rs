//! Tasks that the server creates for hospital staff, such as merging files or reviewing emergencies. Nobody else sees them.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::consent::WORK_SYSTEM;
use crate::definitions::{TypeDef, r4};
use crate::model::{Amendments, Issue, IssueCode, Node, ResourceId, Temporal, parse, stored_form};
use crate::search::Filter;
use crate::store::{Change, Current, Derive as _, Method};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Refusal, RefusalKind};
use super::derive::SearchIndex;
use super::session::{Seen, Session};

/// The kinds of work for the staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaffTask {
    /// Two files seem to be of one person.
    MergePatients,
    /// Somebody has broken the glass.
    ReviewBreakGlass,
    /// A Consent names a Patient that is not here.
    AwaitPatient,
    /// A Patient was stored whose Consents were here before.
    PatientCame,
    /// A Consent names an actor that the server cannot identify.
    ClarifyConsent,
    /// The data subject of a resource cannot be determined.
    ResolveSubject,
    /// A file is under a hold, which somebody must end some day.
    Hold,
}

impl StaffTask {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::MergePatients => "merge-patients",
            Self::ReviewBreakGlass => "review-break-glass",
            Self::AwaitPatient => "consent-awaits-patient",
            Self::PatientCame => "patient-came-after-consent",
            Self::ClarifyConsent => "clarify-consent",
            Self::ResolveSubject => "resolve-subject",
            Self::Hold => "hold",
        }
    }
}

/// Whether this is a Task that the server created and that is closed; nothing depends on it any more.
pub(super) fn is_closed_work(session: &Session<'_>, current: &Current) -> Result<bool, Refusal> {
    const OVER: [&str; 5] = ["completed", "cancelled", "rejected", "failed", "entered-in-error"];
    if &*current.def.name != "Task" {
        return Ok(false);
    }
    let Some(stored) = session.newest_text(current)? else { return Ok(false) };
    let Ok(task) = serde_json::from_str::<Value>(&stored.text) else { return Ok(false) };
    let text = |path: &str| task.pointer(path).and_then(Value::as_str).unwrap_or_default();
    Ok(text("/code/coding/0/system") == WORK_SYSTEM && OVER.contains(&text("/status")))
}

/// Who asks, as the `requester` of a Task: the resource that stands for the user, and the name by which the user signs in.
pub(super) fn requester(session: &Session<'_>) -> Value {
    let party = session.lens.party();
    let mut requester = json!({"identifier": {"value": party.subject}});
    if let (Some(members), Some(user)) = (requester.as_object_mut(), &party.fhir_user) {
        members.insert("reference".to_owned(), json!(user));
    }
    requester
}

/// Plans a new Task, requested now, about a patient (`Patient/id`) if one is given. `more` holds further elements of the Task.
pub(super) fn task(
    session: &Session<'_>,
    work: StaffTask,
    patient: Option<&str>,
    more: Value,
) -> Result<Change, Refusal> {
    let mut task = json!({
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": WORK_SYSTEM, "code": work.code()}]},
        "authoredOn": Temporal::from_millis(session.context.now()).to_text(),
    });
    if let (Some(task), Value::Object(more)) = (task.as_object_mut(), more) {
        task.extend(patient.map(|patient| ("for".to_owned(), json!({"reference": patient}))));
        task.extend(more);
    }
    made(session, &task)
}

/// Plans a resource that the server itself creates. It is validated like one that a client sends.
pub(super) fn made(session: &Session<'_>, resource: &Value) -> Result<Change, Refusal> {
    let tree = parse(resource.to_string().into_bytes()).map_err(|error| failed(error.to_string()))?;
    let valid = Valid::check(Incoming::new(tree), r4(), Rules::default())
        .map_err(|outcome| Refusal::new(RefusalKind::Unprocessable, outcome))?;
    let text = resource.to_string();
    as_server(session, valid.def(), session.context.fresh_id()?, None, text)
}

/// Plans a change of a stored resource by the server itself.
pub(super) fn remade(session: &Session<'_>, current: Current, resource: &Value) -> Result<Change, Refusal> {
    let (def, id) = (current.def, current.id.clone());
    as_server(session, def, id, Some(current), resource.to_string())
}

/// A change by the server. The writer of the previous version stays the writer, so references stay masked for others as before.
fn as_server(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: ResourceId,
    prior: Option<Current>,
    text: String,
) -> Result<Change, Refusal> {
    let tree = parse(text.into_bytes()).map_err(|error| failed(error.to_string()))?;
    let form = stored_form(tree.root(), id.as_str(), &Amendments::default());
    let (body, tree) = (form.normalized(), form.tree);
    let derived = SearchIndex { params: session.params.clone() }.derive(def, tree.root());
    let written = |prior: &Current| session.repository().writer(prior.row, prior.sequence);
    let writer = prior.as_ref().map(written).transpose()?.flatten();
    let belongs = session.lens.belongings(tree.root(), writer.as_ref())?;
    let method = if prior.is_some() { Method::Update } else { Method::Create };
    Ok(Change { def, id, method, prior, body: Some(body), derived, writer, belongs })
}

fn failed(message: String) -> Refusal {
    Refusal::new(RefusalKind::Internal, Issue::error(IssueCode::Exception, message))
}

/// At most so many Patients with the same identifier are looked at.
const TWINS_MAX: usize = 8;

/// A Task for every Patient that shares a business identifier with a new one and is hidden from its creator. The creator does not
/// learn of it.
pub(super) fn merges(
    session: &Session<'_>,
    def: &'static TypeDef,
    patient: Node<'_>,
) -> Result<Vec<Change>, Refusal> {
    let Some(param) = session.params.find(def, "identifier").filter(|_| &*def.name == "Patient") else {
        return Ok(Vec::new());
    };
    let mut twins = BTreeMap::new();
    for identifier in patient.items_at("identifier") {
        let system = identifier.str_at("system").map(str::to_owned);
        let Some(value) = identifier.str_at("value") else { continue };
        let filter = Filter::codes(param, &[(system, value.to_owned())]);
        let found = session.stored(def, &filter, TWINS_MAX)?;
        twins.extend(found.into_iter().map(|current| (current.row, current)));
    }
    let own = format!("Patient/{}", patient.str_at("id").unwrap_or_default());
    let mut changes = Vec::new();
    for current in twins.into_values() {
        let twin = format!("Patient/{}", current.id);
        if twin == own || !matches!(session.look(def, &current.id)?, Seen::Nothing { .. }) {
            continue;
        }
        let more = json!({
            "focus": {"reference": twin},
            "description": "two files have the same identifier",
        });
        changes.push(task(session, StaffTask::MergePatients, Some(&own), more)?);
    }
    Ok(changes)
}
