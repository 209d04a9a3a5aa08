//! A compiled Consent: its provisions as flat rules, each with all its criteria, including the inherited ones.
use crate::model::{Interval, Millis, Node, Reference, ReferenceTarget, Temporal};
use crate::search::plain;

use super::codes::{Code, CodeSystem};

/// How deep provisions may nest.
const DEPTH_MAX: usize = 8;

/// Permit or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Permit,
    Deny,
}

impl Effect {
    fn opposite(self) -> Self {
        match self {
            Self::Permit => Self::Deny,
            Self::Deny => Self::Permit,
        }
    }

    fn of(code: &str) -> Option<Self> {
        match code {
            "permit" => Some(Self::Permit),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }
}

/// An actor of a provision: role, reference, identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub role: String,
    pub reference: Option<String>,
    pub identifiers: Vec<(String, String)>,
}

impl Actor {
    /// Whether the actor can be identified: by a reference to a resource, local or remote, or by an identifier with a value.
    #[must_use]
    pub fn is_somebody(&self) -> bool {
        let is_resource = |reference: &String| {
            matches!(
                Reference::parse(reference).target,
                ReferenceTarget::Relative(_) | ReferenceTarget::Absolute { .. }
            )
        };
        self.reference.as_ref().is_some_and(is_resource) || !self.identifiers.is_empty()
    }

    /// Whether the actor is the discloser instead of a recipient (HRex).
    #[must_use]
    pub fn is_discloser(&self) -> bool {
        self.role == "performer"
    }
}

/// One kind of criterion with its values, which are alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    Actor(Vec<Actor>),
    /// Custodians and authors, which describe the data and not the recipient.
    DataActor(Vec<Actor>),
    Purpose(Vec<Code>),
    Action(Vec<Code>),
    Label(Vec<Code>),
    Class(Vec<Code>),
    Code(Vec<Code>),
    Period(Interval),
    DataPeriod(Interval),
    /// Pairs of `meaning` and reference.
    Data(Vec<(String, String)>),
    Environment(Vec<String>),
    DataSource(Vec<String>),
    DataTag(Vec<Vec<(String, String)>>),
    Payer,
    /// The disclosers: the rule covers only what they disclose.
    Discloser(Vec<Actor>),
    /// Some of the values cannot be computed: where the others do not match, the criterion may still match.
    Partly(Box<Self>),
}

impl Criterion {
    /// The kind as a number: a criterion of a child replaces its parent's criterion of the same kind.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Actor(_) => 0,
            Self::DataActor(_) => 1,
            Self::Purpose(_) => 2,
            Self::Action(_) => 3,
            Self::Label(_) => 4,
            Self::Class(_) => 5,
            Self::Code(_) => 6,
            Self::Period(_) => 7,
            Self::DataPeriod(_) => 8,
            Self::Data(_) => 9,
            Self::Environment(_) => 10,
            Self::DataSource(_) => 11,
            Self::DataTag(_) => 12,
            Self::Payer => 13,
            Self::Discloser(_) => 14,
            Self::Partly(known) => known.kind(),
        }
    }

    /// The criterion with those of its values that can be computed: `Partly` is unwrapped.
    #[must_use]
    pub fn known(&self) -> &Self {
        match self {
            Self::Partly(known) => known.known(),
            whole => whole,
        }
    }

    /// Whether the criterion is about the requester, as opposed to the data.
    #[must_use]
    pub fn is_of_requester(&self) -> bool {
        match self {
            Self::Actor(_)
            | Self::Purpose(_)
            | Self::Action(_)
            | Self::Period(_)
            | Self::Environment(_)
            | Self::Discloser(_)
            | Self::Payer => true,
            Self::Partly(known) => known.is_of_requester(),
            Self::DataActor(_)
            | Self::Label(_)
            | Self::Class(_)
            | Self::Code(_)
            | Self::DataPeriod(_)
            | Self::Data(_)
            | Self::DataSource(_)
            | Self::DataTag(_) => false,
        }
    }
}

/// A rule of a Consent.
#[derive(Clone, Debug)]
pub struct Rule {
    pub effect: Effect,
    pub criteria: Vec<Criterion>,
    pub parent: Option<usize>,
    /// The path of its provision in the Consent, such as `provision.provision[0]`, for explanations.
    pub path: String,
}

/// Whether, and in how many readings, a Consent can be enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Enforceable,
    /// Two readings are possible; the more restrictive is enforced.
    Ambiguous,
    /// It cannot be enforced, for this reason. It is ignored, unless `unsupported_denies` makes it a denial.
    Unsupported(&'static str),
}

/// A compiled Consent: one reading, or two where it is ambiguous.
#[derive(Clone, Debug)]
pub struct CompiledConsent {
    pub id: String,
    pub status: Status,
    /// `Patient/id`; `None` for an organization-wide policy.
    pub patient: Option<String>,
    pub active: bool,
    pub scopes: Vec<String>,
    pub date_time: Option<i64>,
    /// The period of the root provision, during which the Consent is in force.
    pub period: Interval,
    pub readings: Vec<Vec<Rule>>,
    /// The references in `related` criteria. Decisions need the references of those resources.
    pub related: Vec<String>,
    /// Whether only its denials count, because it belongs to another file of the same person.
    pub denies_only: bool,
    /// The Groups and CareTeams that are named as recipients. Decisions need their members.
    pub teams: Vec<String>,
}

impl CompiledConsent {
    /// Whether a rule names a recipient who cannot be identified.
    #[must_use]
    pub fn has_actors_unknown(&self) -> bool {
        let mut criteria = self.readings.iter().flatten().flat_map(|rule| &rule.criteria);
        criteria.any(|criterion| {
            matches!(criterion, Criterion::Partly(known) if matches!(**known, Criterion::Actor(_)))
        })
    }

    /// The moments at which the Consent, or one of its rules, begins or ends.
    pub(super) fn bounds(&self) -> impl Iterator<Item = Millis> {
        let criteria = self.readings.iter().flatten().flat_map(|rule| &rule.criteria);
        let periods = criteria.filter_map(|criterion| match criterion.known() {
            Criterion::Period(period) => Some(*period),
            _ => None,
        });
        periods.chain([self.period]).flat_map(|period| [period.start, period.end])
    }
}

/// Compiles a Consent resource.
#[must_use]
pub fn compile(consent: Node<'_>) -> CompiledConsent {
    let (status, readings) = readings(consent);
    let scope = consent.get("scope").into_iter().flat_map(|scope| scope.items_at("coding"));
    let categories = consent.items_at("category").flat_map(|category| category.items_at("coding"));
    let of_category = categories
        .filter(|coding| coding.str_at("system").is_some_and(|system| system.contains("consentscope")));
    let scopes =
        scope.chain(of_category).filter_map(|coding| coding.str_at("code")).map(str::to_owned).collect();
    let related = readings
        .iter()
        .flatten()
        .flat_map(|rule| &rule.criteria)
        .filter_map(|criterion| match criterion.known() {
            Criterion::Data(values) => Some(values),
            _ => None,
        })
        .flatten()
        .filter(|(meaning, _)| meaning == "related")
        .map(|(_, reference)| reference.clone())
        .collect();
    let actors = readings.iter().flatten().flat_map(|rule| &rule.criteria).filter_map(|criterion| {
        match criterion.known() {
            Criterion::Actor(actors) => Some(actors),
            _ => None,
        }
    });
    let mut teams: Vec<String> = actors
        .flatten()
        .filter_map(|actor| actor.reference.clone())
        .filter(|reference| reference.starts_with("Group/") || reference.starts_with("CareTeam/"))
        .collect();
    teams.sort();
    teams.dedup();
    CompiledConsent {
        id: consent.str_at("id").unwrap_or("?").to_owned(),
        status,
        patient: consent.get("patient").and_then(|patient| patient.str_at("reference")).map(plain),
        active: consent.str_at("status") == Some("active"),
        scopes,
        date_time: consent.str_at("dateTime").and_then(Temporal::parse).map(|date| date.interval().start),
        period: consent
            .get("provision")
            .and_then(|provision| provision.get("period"))
            .map_or(Interval::ALWAYS, period),
        readings,
        related,
        denies_only: false,
        teams,
    }
}

fn readings(consent: Node<'_>) -> (Status, Vec<Vec<Rule>>) {
    let unsupported = |why| (Status::Unsupported(why), Vec::new());
    let in_provision = consent.get("provision").into_iter().flat_map(Node::subtree);
    if consent.get("modifierExtension").is_some()
        || in_provision.into_iter().any(|node| node.key() == "modifierExtension")
    {
        return unsupported("it has a modifier extension");
    }
    if consent
        .items_at("verification")
        .any(|node| node.get("verified").is_some_and(|node| node.text() == "false"))
    {
        return unsupported("it is not verified");
    }
    let rule_codes: Vec<&str> = consent
        .get("policyRule")
        .into_iter()
        .flat_map(|rule| rule.items_at("coding"))
        .filter_map(|coding| coding.str_at("code"))
        .collect();
    let has = |codes: &[&str]| rule_codes.iter().any(|code| codes.contains(code));
    let base = if has(&["OPTIN", "OPTINR", "IMPLIED", "IMPLIEDD"]) {
        Some(Effect::Permit)
    } else if has(&["OPTOUT", "OPTOUTE"]) {
        Some(Effect::Deny)
    } else {
        None
    };
    let provision = consent.get("provision");
    let root_type = provision.and_then(|provision| provision.str_at("type")).and_then(Effect::of);
    if root_type.is_none() && has(&["EMRGONLY"]) {
        return (Status::Enforceable, vec![emergency_only()]);
    }
    if root_type.is_none() && has(&["hipaa-self-pay"]) {
        return (Status::Enforceable, vec![vec![self_pay(provision, consent)]]);
    }
    let Some(provision) = provision else {
        return match base {
            Some(effect) => {
                (Status::Enforceable, vec![vec![rule(effect, Vec::new(), None, "policyRule".to_owned())]])
            }
            None => unsupported("it has neither a provision nor a policy rule that can be computed"),
        };
    };
    let regular = consent
        .items_at("policy")
        .filter_map(|policy| policy.str_at("uri"))
        .any(|uri| uri.ends_with("hrex-consent.html#regular"));
    match (root_type, base) {
        (Some(effect), _) => {
            let mut reading = match tree(provision, effect, consent) {
                Ok(reading) => reading,
                Err(why) => return unsupported(why),
            };
            if regular && effect == Effect::Permit && provision.get("securityLabel").is_none() {
                limit_to_normal(&mut reading);
            }
            (Status::Enforceable, vec![reading])
        }
        (None, None) => unsupported("its root has no type and no policy rule can be computed"),
        (None, Some(base)) => typeless(provision, base, consent),
    }
}

/// Compiles a Consent whose root has no type, as in R4's own examples. What the root's criteria mean is then open.
fn typeless(provision: Node<'_>, base: Effect, consent: Node<'_>) -> (Status, Vec<Vec<Rule>>) {
    let unbounded =
        criteria(provision, consent).iter().all(|criterion| matches!(criterion, Criterion::Period(_)));
    let mut children = provision.items_at("provision").peekable();
    let only_permits =
        children.peek().is_some() && children.all(|child| child.str_at("type") == Some("permit"));
    let built = if unbounded && base == Effect::Permit && only_permits {
        // Permits below a permit change nothing, so the provision is read as "only these".
        tree(provision, Effect::Deny, consent).map(|reading| (Status::Ambiguous, vec![reading]))
    } else if unbounded {
        tree(provision, base, consent).map(|reading| (Status::Enforceable, vec![reading]))
    } else {
        tree(provision, base, consent).and_then(|constraint| {
            let exception = exception(provision, base, consent)?;
            Ok((Status::Ambiguous, vec![constraint, exception]))
        })
    };
    built.unwrap_or_else(|why| (Status::Unsupported(why), Vec::new()))
}

fn rule(effect: Effect, criteria: Vec<Criterion>, parent: Option<usize>, path: String) -> Rule {
    Rule { effect, criteria, parent, path }
}

fn emergency_only() -> Vec<Rule> {
    let purpose = Criterion::Purpose(vec![Code::purpose("ETREAT")]);
    vec![
        rule(Effect::Deny, Vec::new(), None, "policyRule".to_owned()),
        rule(Effect::Permit, vec![purpose], Some(0), "policyRule(EMRGONLY)".to_owned()),
    ]
}

fn self_pay(provision: Option<Node<'_>>, consent: Node<'_>) -> Rule {
    let mut own = provision.map(|provision| criteria(provision, consent)).unwrap_or_default();
    own.retain(|criterion| !matches!(criterion, Criterion::Purpose(_) | Criterion::Period(_)));
    own.push(Criterion::Purpose(vec![Code::purpose("HPAYMT"), Code::purpose("HOPERAT")]));
    own.push(Criterion::Payer);
    rule(Effect::Deny, own, None, "policyRule(hipaa-self-pay)".to_owned())
}

/// Limits a permit of the HRex policy "regular" to data of at most normal confidentiality.
fn limit_to_normal(reading: &mut [Rule]) {
    let normal = Criterion::Label(vec![Code::new(CodeSystem::Confidentiality, "N")]);
    for rule in reading {
        if !rule.criteria.iter().any(|criterion| criterion.kind() == normal.kind()) {
            rule.criteria.push(normal.clone());
        }
    }
}

fn tree(root: Node<'_>, effect: Effect, consent: Node<'_>) -> Result<Vec<Rule>, &'static str> {
    let mut rules = Vec::new();
    walk((root, consent), effect, None, "provision".to_owned(), 0, &mut rules)?;
    Ok(rules)
}

fn walk(
    (provision, consent): (Node<'_>, Node<'_>),
    effect: Effect,
    parent: Option<usize>,
    path: String,
    depth: usize,
    rules: &mut Vec<Rule>,
) -> Result<(), &'static str> {
    if depth > DEPTH_MAX {
        return Err("its provisions nest deeper than 8 levels");
    }
    let inherited =
        parent.and_then(|parent| rules.get(parent)).map(|rule| rule.criteria.clone()).unwrap_or_default();
    let own = criteria(provision, consent);
    let number = rules.len();
    // The period of the root bounds the whole Consent and is checked once, in `is_in_force`.
    let kept = inherited.into_iter().filter(|criterion| {
        let is_replaced = own.iter().any(|own| own.kind() == criterion.kind());
        let is_of_root = parent == Some(0) && matches!(criterion, Criterion::Period(_));
        !is_replaced && !is_of_root
    });
    let criteria = kept.chain(own.iter().cloned()).collect();
    rules.push(rule(effect, criteria, parent, path.clone()));
    for (child, index) in provision.items_at("provision").zip(0_usize..) {
        let effect = child.str_at("type").and_then(Effect::of).unwrap_or(effect.opposite());
        walk((child, consent), effect, Some(number), format!("{path}.provision[{index}]"), depth + 1, rules)?;
    }
    Ok(())
}

/// The reading in which the root's criteria are themselves an exception to the policy rule.
fn exception(provision: Node<'_>, base: Effect, consent: Node<'_>) -> Result<Vec<Rule>, &'static str> {
    let mut rules = vec![rule(base, Vec::new(), None, "policyRule".to_owned())];
    let own = criteria(provision, consent);
    rules.push(rule(base.opposite(), own.clone(), Some(0), "provision".to_owned()));
    for (child, index) in provision.items_at("provision").zip(0_usize..) {
        let stated = criteria(child, consent);
        let kept =
            own.iter().filter(|criterion| !stated.iter().any(|other| other.kind() == criterion.kind()));
        let criteria = kept.chain(&stated).cloned().collect();
        let effect = child.str_at("type").and_then(Effect::of).unwrap_or(base.opposite());
        rules.push(rule(effect, criteria, Some(0), format!("provision.provision[{index}]")));
    }
    Ok(rules)
}

/// The roles of actors who describe the data (custodians and authors) and are not recipients.
const DATA_ROLES: [&str; 4] = ["CST", "AUT", "AUTHEN", "LA"];

/// The criteria that a provision itself states. An element without a single computable value still becomes a criterion: ignoring
/// it would widen a permit, or make a denial miss what it is meant for.
fn criteria(provision: Node<'_>, consent: Node<'_>) -> Vec<Criterion> {
    let mut out = Vec::new();
    let actors = provision.items_at("actor").map(|node| actor(node, consent));
    let (data, others): (Vec<Actor>, Vec<Actor>) =
        actors.partition(|actor| DATA_ROLES.contains(&actor.role.as_str()));
    let (disclosers, recipients): (Vec<Actor>, Vec<Actor>) =
        others.into_iter().partition(Actor::is_discloser);
    let mut push = |present: bool, is_whole: bool, criterion: Criterion| match (present, is_whole) {
        (false, _) => {}
        (true, true) => out.push(criterion),
        (true, false) => out.push(Criterion::Partly(Box::new(criterion))),
    };
    push(!recipients.is_empty(), recipients.iter().all(Actor::is_somebody), Criterion::Actor(recipients));
    push(!data.is_empty(), data.iter().all(Actor::is_somebody), Criterion::DataActor(data));
    let is_whole = disclosers.iter().all(Actor::is_somebody);
    push(!disclosers.is_empty(), is_whole, Criterion::Discloser(disclosers));
    let codings = |name: &str| -> (bool, Vec<Code>) {
        let codes: Vec<Option<Code>> = provision.items_at(name).map(Code::of_coding).collect();
        (codes.iter().all(Option::is_some), codes.into_iter().flatten().collect())
    };
    let concepts = |name: &str| -> (bool, Vec<Code>) {
        let each = |concept: Node<'_>| -> Vec<Code> {
            concept.items_at("coding").filter_map(Code::of_coding).collect()
        };
        let codes: Vec<Vec<Code>> = provision.items_at(name).map(each).collect();
        (codes.iter().all(|codes| !codes.is_empty()), codes.into_iter().flatten().collect())
    };
    let has = |name: &str| provision.get(name).is_some();
    let (is_whole, purposes) = codings("purpose");
    push(has("purpose"), is_whole, Criterion::Purpose(purposes));
    let (is_whole, labels) = codings("securityLabel");
    push(has("securityLabel"), is_whole, Criterion::Label(labels));
    let (is_whole, classes) = codings("class");
    push(has("class"), is_whole, Criterion::Class(classes));
    let (is_whole, actions) = concepts("action");
    push(has("action"), is_whole, Criterion::Action(actions));
    let (is_whole, codes) = concepts("code");
    push(has("code"), is_whole, Criterion::Code(codes));
    if let Some(node) = provision.get("period") {
        push(true, true, Criterion::Period(period(node)));
    }
    if let Some(node) = provision.get("dataPeriod") {
        push(true, true, Criterion::DataPeriod(period(node)));
    }
    let instances: Vec<Option<(String, String)>> = provision
        .items_at("data")
        .map(|data| {
            let reference = data.get("reference")?.str_at("reference")?;
            Some((data.str_at("meaning")?.to_owned(), plain(reference)))
        })
        .collect();
    let is_whole = instances.iter().all(Option::is_some);
    push(has("data"), is_whole, Criterion::Data(instances.into_iter().flatten().collect()));
    extensions(provision, &mut out);
    out
}

/// The extensions of published consent systems that narrow a provision.
fn extensions(provision: Node<'_>, out: &mut Vec<Criterion>) {
    let text = |node: Node<'_>, name: &str| node.str_at(name).unwrap_or_default().to_owned();
    let pair = |coding: Node<'_>| (text(coding, "system"), text(coding, "code"));
    let (mut environments, mut sources, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    for extension in provision.items_at("extension") {
        let url = extension.str_at("url").unwrap_or_default();
        match url.rsplit('/').next() {
            Some("Environment") => {
                let codings = extension
                    .get("valueCodeableConcept")
                    .into_iter()
                    .flat_map(|value| value.items_at("coding"));
                environments.extend(
                    codings.map(|coding| format!("{}/{}", text(coding, "system"), text(coding, "code"))),
                );
            }
            Some("DataSource") => sources.extend(extension.str_at("valueUri").map(str::to_owned)),
            Some("DataTag") => match extension.get("valueCoding") {
                Some(coding) => tags.push(vec![pair(coding)]),
                None => tags.push(
                    extension
                        .items_at("extension")
                        .filter_map(|inner| inner.get("valueCoding"))
                        .map(pair)
                        .collect(),
                ),
            },
            _ => {}
        }
    }
    if !environments.is_empty() {
        out.push(Criterion::Environment(environments));
    }
    if !sources.is_empty() {
        out.push(Criterion::DataSource(sources));
    }
    if !tags.is_empty() {
        out.push(Criterion::DataTag(tags));
    }
}

/// An actor. One that the Consent contains gets its identifiers, and the practitioner or organization that it refers to.
fn actor(node: Node<'_>, consent: Node<'_>) -> Actor {
    let role = node
        .get("role")
        .and_then(|role| role.items_at("coding").find_map(|coding| coding.str_at("code")))
        .unwrap_or("_default");
    let reference = node.get("reference");
    let mut identifiers: Vec<(String, String)> = reference
        .and_then(|reference| reference.get("identifier"))
        .into_iter()
        .filter_map(identifier)
        .collect();
    let mut literal = reference.and_then(|reference| reference.str_at("reference")).map(plain);
    if let Some(id) =
        literal.as_deref().and_then(|literal| literal.strip_prefix('#')).filter(|id| !id.is_empty())
    {
        let contained = consent.items_at("contained").find(|inner| inner.str_at("id") == Some(id));
        identifiers.extend(
            contained.into_iter().flat_map(|inner| inner.items_at("identifier")).filter_map(identifier),
        );
        // A contained PractitionerRole names the practitioner or organization that has the role.
        let named = |name: &str| contained?.get(name)?.str_at("reference").map(plain);
        literal = named("practitioner").or_else(|| named("organization"));
    }
    Actor { role: role.to_owned(), reference: literal, identifiers }
}

/// System and value of an identifier that has a value.
pub(super) fn identifier(node: Node<'_>) -> Option<(String, String)> {
    let value = node.str_at("value").filter(|value| !value.trim().is_empty())?;
    Some((node.str_at("system").unwrap_or_default().to_owned(), value.to_owned()))
}

/// From the first instant of its start to the last instant of its end.
fn period(node: Node<'_>) -> Interval {
    let bound = |name: &str| node.str_at(name).and_then(Temporal::parse).map(|date| date.interval());
    Interval {
        start: bound("start").map_or(Interval::ALWAYS.start, |start| start.start),
        end: bound("end").map_or(Interval::ALWAYS.end, |end| end.end),
    }
}
