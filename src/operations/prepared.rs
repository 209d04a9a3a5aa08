//! What all writes have in common until they are committed: the body is checked before any data is read, and the change is
//! planned on a snapshot.
use std::collections::{BTreeMap, BTreeSet};

use crate::auth::Permission;
use crate::consent::{Disclosed, FILES_MAX, Writing};
use crate::definitions::{TypeDef, r4};
use crate::model::{
    Amendments, Issue, IssueCode, JsonKind, Node, Outcome, ResourceId, SyntaxError, Tree, parse, stored_form,
};
use crate::store::{Change, Current, Derive as _, Expectation, Method, Stored};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Answer, Body, Kind, Public, Refusal, RefusalKind};
use super::audit::{mark_sender, sender_tag};
use super::derive::SearchIndex;
use super::own_base::OwnBase;
use super::request::{Headers, Payload, Preference, Request};
use super::session::{Seen, Session};
use super::table::{Code, Interaction};

/// A write as it was sent, with its body validated.
pub(super) struct Input {
    pub(super) headers: Headers,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: InputBody,
    /// The id that a transaction has chosen for the resource.
    pub(super) assigned: Option<ResourceId>,
}

pub(super) enum InputBody {
    None,
    Valid(Valid),
    JsonPatch(Vec<u8>),
}

impl Input {
    pub(super) fn new(request: Request) -> Result<Self, Refusal> {
        let body = match request.payload {
            Payload::None | Payload::Form(_) => InputBody::None,
            Payload::JsonPatch(patch) => InputBody::JsonPatch(patch),
            Payload::Resource(tree) => {
                let valid = Valid::check(Incoming::new(tree), r4(), Rules::default());
                InputBody::Valid(valid.map_err(|outcome| Refusal::new(RefusalKind::Unprocessable, outcome))?)
            }
        };
        Ok(Self { headers: request.headers, query: request.query, body, assigned: None })
    }

    /// The resource in the body, which must have the type that the path names.
    pub(super) fn resource(&self, def: &TypeDef) -> Result<&Valid, Refusal> {
        let InputBody::Valid(valid) = &self.body else {
            return Err(Refusal::bad_request(IssueCode::Required, "the body holds no resource"));
        };
        if valid.def().id != def.id {
            let message = format!("the body is a {}, the path names {}", valid.def().name, def.name);
            return Err(Refusal::bad_request(IssueCode::Invalid, message));
        }
        Ok(valid)
    }
}

/// A write that is ready to be committed, or needs no commit.
pub(super) enum Prepared {
    Change(Box<Planned>),
    /// Nothing is to be written: the answer, and the expectations under which it is right.
    Nothing(Box<Answer>, Vec<Expectation>),
}

/// A change and what to answer once it is committed.
pub(super) struct Planned {
    pub(super) change: Change,
    pub(super) kind: Kind,
    pub(super) expectations: Vec<Expectation>,
    pub(super) warnings: Vec<Issue>,
    /// Changes that the server adds by itself, such as Tasks for the staff. The access record does not name them.
    pub(super) also: Vec<Change>,
    /// Changes that the writer has asked for beside this one: cascaded deletions, a Provenance. The access record names them.
    pub(super) beside: Vec<Change>,
    /// Whether it deletes a resource that its writer may not read.
    pub(super) is_unread: bool,
    /// The resource as it will be stored; `None` for a deletion.
    pub(super) tree: Option<Tree>,
}

impl Planned {
    /// A change with no others in its commit.
    pub(super) fn of(change: Change, kind: Kind) -> Self {
        Self {
            change,
            kind,
            expectations: Vec::new(),
            warnings: Vec::new(),
            also: Vec::new(),
            beside: Vec::new(),
            is_unread: false,
            tree: None,
        }
    }

    /// Adds another planned change to the same commit; the access record names it, too.
    pub(super) fn bring(&mut self, other: Self) {
        self.expectations.extend(other.expectations);
        self.warnings.extend(other.warnings);
        self.beside.push(other.change);
        self.beside.extend(other.beside);
        self.also.extend(other.also);
    }

    /// All changes of the commit but the main one.
    pub(super) fn others(&mut self) -> impl Iterator<Item = &mut Change> {
        self.beside.iter_mut().chain(&mut self.also)
    }

    /// All changes that the access record names.
    pub(super) fn on_record(&self) -> impl Iterator<Item = &Change> {
        std::iter::once(&self.change).chain(&self.beside)
    }
}

/// Plans the write of a resource under an id.
pub(super) fn put(
    session: &Session<'_>,
    valid: &Valid,
    id: ResourceId,
    prior: Option<Current>,
) -> Result<Planned, Refusal> {
    let def = valid.def();
    if carries_tag(valid, &["SUBSETTED", "REDACTED"]) {
        let message = "the resource is marked as a part of one; writing it would lose the rest";
        return Err(Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::Conflict, message)));
    }
    let unreadable = |error: SyntaxError| Refusal::bad_request(IssueCode::Structure, error.to_string());
    let before = match &prior {
        Some(prior) => session.newest_text(prior)?,
        None => None,
    };
    let writing =
        if prior.as_ref().is_none_or(|prior| prior.deleted) { Writing::New } else { Writing::Change };
    let before_tree = before.as_ref().map(|before| parse(before.text.clone().into_bytes()));
    let before_tree = before_tree.transpose().map_err(unreadable)?;
    let tag = if def.rules.is_access_record { Some(sender_tag(session.lens.party())?) } else { None };
    let amendments = amendments(session, valid, before_tree.as_ref().map(Tree::root), tag.as_ref())?;
    let form = stored_form(valid.root(), id.as_str(), &amendments);
    let (body, tree) = (form.normalized(), form.tree);
    let mut may_write = session.lens.may_write(tree.root(), writing)?;
    let mut expectations = Vec::new();
    if let Some(old) = &before_tree {
        may_write = may_write && session.lens.may_write(old.root(), writing)?;
        // Taking a resource out of a patient's file counts as deleting it there.
        let (from, to) = (session.lens.subjects_of(old.root())?, session.lens.subjects_of(tree.root())?);
        if may_write && writing == Writing::Change {
            expectations = super::hold::not_held(session, from.difference(&to))?;
        }
    }
    let known = before_tree.as_ref().map(Tree::root);
    may_write =
        may_write && super::integrity::is_about_what_is_there(session, (known, writing), tree.root())?;
    let is_about_new = before.is_none() && is_about_new(session, &session.lens.facts_of(tree.root()).owners)?;
    may_write = may_write || (is_about_new && session.lens.may_write_about_new(tree.root()));
    if !may_write {
        session.lens.refuse_to_write(format!("{}/{id}", def.name), tree.root());
        return Err(Refusal::may_not_write());
    }
    super::consent::check_patient(session, def, tree.root())?;
    let is_linked = &*def.name == "Patient" && tree.root().get("link").is_some();
    if is_linked && session.lens.files_joined_by(tree.root())? > FILES_MAX {
        let message = format!("the links would join more than {FILES_MAX} files of one person");
        let issue = Issue::error(IssueCode::TooCostly, message).at("Patient.link");
        return Err(Refusal::new(RefusalKind::Unprocessable, issue));
    }
    super::integrity::check_references(session, tree.root())?;
    let derived = SearchIndex { params: session.params.clone() }.derive(def, tree.root());
    let is_new = prior.as_ref().is_none_or(|prior| prior.deleted);
    let method = if prior.is_none() { Method::Create } else { Method::Update };
    let writer = session.lens.writer_of(tree.root())?;
    let mut belongs = session.lens.belongings(tree.root(), writer.as_ref())?;
    if let (Some(old), Some(prior)) = (&before_tree, &prior) {
        let of_old = session.repository().writer(prior.row, prior.sequence)?;
        for (reference, patient) in session.lens.belongings(old.root(), of_old.as_ref())? {
            // A subject that was removed as a mistake must not come back from an earlier version.
            let ever = session.repository().subjects_ever(&reference)?;
            if !ever.contains(&(patient.clone(), true)) {
                belongs.push((reference, patient));
            }
        }
    }
    let change = Change { def, id, method, prior, body: Some(body), derived, writer, belongs };
    let kind = if is_new { Kind::Created } else { Kind::Ok };
    let mut warnings = valid.warnings().to_vec();
    if &*def.name == "Consent" {
        super::consent::check_strictly(session, tree.root())?;
        warnings.extend(super::consent::remarks(session, tree.root()));
    }
    let mut also = if is_new { super::tasks::merges(session, def, tree.root())? } else { Vec::new() };
    if is_new || &*def.name == "Consent" {
        let (remarks, tasks) = super::consent::awaited(session, def, tree.root())?;
        warnings.extend(remarks);
        also.extend(tasks);
    }
    let (remarks, changes) = super::logical_reference::held(session, tree.root(), known)?;
    warnings.extend(remarks);
    also.extend(changes);
    Ok(Planned { expectations, warnings, also, tree: Some(tree), ..Planned::of(change, kind) })
}

/// Decides about a planned change of an existing resource: nothing is written if the content is the same and the writer sees all
/// of it (R4 http.html#update leaves it to the server whether that makes a version).
pub(super) fn settled(
    session: &Session<'_>,
    planned: Planned,
    (current, stored): (&Current, &Stored),
    headers: &Headers,
) -> Result<Prepared, Refusal> {
    let (def, id) = (planned.change.def, &planned.change.id);
    let is_same = !session.context.options.version_unchanged
        && planned.also.is_empty()
        && planned.tree.as_ref().is_some_and(|tree| is_same_resource(tree, &stored.text));
    // Only a party that sees the whole resource may be told that nothing changed.
    if is_same
        && let Seen::Resource { disclosed, .. } = session.look(def, id)?
        && disclosed.is_whole()
    {
        let mut expectations = planned.expectations;
        expectations.push(session.repository().unchanged(current));
        let answer = Answer {
            body: body(Some(&disclosed), planned.warnings, headers.preference),
            ..existing(session, *disclosed, headers)
        };
        return Ok(Prepared::Nothing(Box::new(answer), expectations));
    }
    Ok(Prepared::Change(Box::new(planned)))
}

/// Whether a stored text is the same resource, whatever the order of its members.
fn is_same_resource(tree: &Tree, stored: &str) -> bool {
    tree.text() == stored
        || parse(stored.as_bytes().to_vec()).is_ok_and(|stored| is_same(tree.root(), stored.root()))
}

fn is_same(one: Node<'_>, other: Node<'_>) -> bool {
    if one.kind() != other.kind() {
        return false;
    }
    match one.kind() {
        JsonKind::Object => {
            one.children().count() == other.children().count()
                && one
                    .children()
                    .all(|child| other.get(child.key()).is_some_and(|other| is_same(child, other)))
        }
        JsonKind::Array => {
            one.children().count() == other.children().count()
                && one.children().zip(other.children()).all(|(one, other)| is_same(one, other))
        }
        JsonKind::String | JsonKind::Number | JsonKind::Bool | JsonKind::Null => one.text() == other.text(),
    }
}

/// Whether all of these patients (`Patient/id`) are created by the same transaction and never existed before.
fn is_about_new(session: &Session<'_>, owners: &BTreeSet<String>) -> Result<bool, Refusal> {
    let Some(patients) = r4().resource("Patient") else { return Ok(false) };
    for owner in owners {
        let Some(id) = owner.strip_prefix("Patient/").and_then(ResourceId::parse) else { return Ok(false) };
        if !session.coming.contains(owner) || session.repository().current(patients, &id)?.is_some() {
            return Ok(false);
        }
    }
    Ok(!owners.is_empty())
}

/// Checks that the written resource is within the scopes: of their patient, and within their search constraints. The overwritten
/// version was checked with the same permission.
pub(super) fn check_scope(
    session: &Session<'_>,
    row: &Interaction,
    planned: &Planned,
) -> Result<(), Refusal> {
    let Some(tree) = &planned.tree else { return Ok(()) };
    let is_new = planned.kind == Kind::Created;
    let letter = match row.code {
        // A plain update creates only for parties that may choose ids; SMART's `u` covers that.
        Code::ConditionalUpdate if is_new => Some(Permission::Create),
        _ => row.permission,
    };
    if session.lens.reaches_all(letter.as_slice(), planned.change.def) {
        return Ok(());
    }
    if session.lens.is_reached(letter.as_slice(), tree.root()) {
        Ok(())
    } else {
        Err(Refusal::may_not_write())
    }
}

/// The server's changes to a received resource: references below its own base URL become relative, security labels of the
/// previous version stay (only `$meta-delete` removes labels), a patient who is named by an identifier gets a reference, and an
/// AuditEvent is tagged with its sender.
fn amendments<'t>(
    session: &Session<'_>,
    valid: &'t Valid,
    before: Option<Node<'t>>,
    tag: Option<&'t Tree>,
) -> Result<Amendments<'t>, Refusal> {
    let mut amendments = Amendments::default();
    let own = OwnBase::of(&session.context.options.base_url);
    for node in valid.root().subtree() {
        // Of `url` elements only those that name a Binary are references.
        let below = match node.key() {
            "reference" => node.as_str().and_then(|text| own.below(text)),
            "url" => {
                node.as_str().and_then(|text| own.below(text)).filter(|rest| rest.starts_with("Binary/"))
            }
            _ => None,
        };
        if let Some(below) = below {
            amendments.strings.insert(node.index(), below.to_owned());
        }
    }
    if let Some(before) = before {
        let mut labels: Vec<Node<'t>> =
            valid.root().get("meta").into_iter().flat_map(|meta| meta.items_at("security")).collect();
        let own_labels = labels.len();
        let repeated = labels_of(valid.root());
        for ((place, label), whole) in labels_of(before) {
            let is_there = labels.iter().any(|other| label_key(*other) == label);
            if !is_there && !repeated.contains_key(&(place, label)) {
                labels.push(whole);
            }
        }
        if labels.len() > own_labels {
            amendments.meta_lists.insert("security", labels);
        }
    }
    super::logical_reference::resolve(session, valid.root(), &mut amendments)?;
    if let Some(tag) = tag {
        mark_sender(valid.root(), tag, &mut amendments);
    }
    Ok(amendments)
}

/// System and code of a label.
type LabelKey<'t> = (Option<&'t str>, Option<&'t str>);

fn label_key(label: Node<'_>) -> LabelKey<'_> {
    (label.str_at("system"), label.str_at("code"))
}

/// The labels of a resource and of the resources within it, by path and label: a label on one part does not repeat the same label
/// on another part.
fn labels_of(root: Node<'_>) -> BTreeMap<(String, LabelKey<'_>), Node<'_>> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), root)];
    while let Some((place, value)) = open.pop() {
        match value.kind() {
            JsonKind::Object => {
                for label in value.get("meta").into_iter().flat_map(|meta| meta.items_at("security")) {
                    found.insert((place.clone(), label_key(label)), label);
                }
                open.extend(value.children().map(|member| (format!("{place}.{}", member.key()), member)));
            }
            JsonKind::Array => {
                for (item, number) in value.children().zip(0_usize..) {
                    // An item with an id keeps its key when its position in the list changes.
                    let name = item.str_at("id").map_or_else(|| number.to_string(), |id| format!("#{id}"));
                    open.push((format!("{place}[{name}]"), item));
                }
            }
            JsonKind::String | JsonKind::Number | JsonKind::Bool | JsonKind::Null => {}
        }
    }
    found
}

fn carries_tag(valid: &Valid, codes: &[&str]) -> bool {
    let meta = valid.root().get("meta");
    let mut tags = meta.into_iter().flat_map(|meta| meta.items_at("tag").chain(meta.items_at("security")));
    tags.any(|tag| {
        tag.str_at("system").is_some_and(|system| system.ends_with("v3-ObservationValue"))
            && tag.str_at("code").is_some_and(|code| codes.contains(&code))
    })
}

/// The answer that the requested resource exists already.
pub(super) fn existing(session: &Session<'_>, disclosed: Disclosed, headers: &Headers) -> Answer {
    let base = &session.context.options.base_url;
    let location = format!("{base}/{}/_history/{}", disclosed.reference(), disclosed.version_id());
    let mut answer = Answer::of(Kind::Ok, disclosed.clone());
    answer.body = body(Some(&disclosed), Vec::new(), headers.preference);
    answer.location = Some(location);
    answer.written = Some(disclosed);
    answer
}

/// Like `existing`, for a record keeper that may not read the resource: status and location alone.
pub(super) fn existing_unread(session: &Session<'_>, def: &TypeDef, id: &ResourceId) -> Answer {
    let mut answer = Answer::new(Kind::Ok, Body::None);
    answer.location = Some(format!("{}/{}/{id}", session.context.options.base_url, def.name));
    answer
}

/// The body that the sender prefers. A party sees its own write only if the read decision permits it.
pub(super) fn body(shown: Option<&Disclosed>, warnings: Vec<Issue>, preference: Preference) -> Body {
    match (preference, shown) {
        (Preference::Representation, Some(disclosed)) => Body::Disclosed(disclosed.clone()),
        (Preference::OperationOutcome, _) => {
            let mut issues = warnings;
            issues.push(Issue::information(IssueCode::Informational, "the resource was written"));
            Body::Public(Public::outcome(&Outcome::from(issues)))
        }
        (Preference::Minimal | Preference::Representation, _) => Body::None,
    }
}
