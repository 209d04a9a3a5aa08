//! `$everything` (R4 patient-operation-everything.html, encounter-operation-everything.html): the members of a compartment, and the
//! people, places and things to which they refer, each once, page by page like a search.
use std::sync::Arc;

use crate::auth::Permission;
use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{IssueCode, ResourceId};
use crate::search::{Filter, Link, Param, compartment};

use super::super::answer::{Answer, Refusal};
use super::super::parameters::Call;
use super::super::place::Place;
use super::super::request::encode;
use super::super::session::{Seen, Session};
use super::page::Page;
use super::target::{part_of, read};

/// Types outside the compartment whose resources belong to the answer if a member refers to them. A visit's answer also has the
/// patient.
const REFERRED: [&str; 7] =
    ["Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "Device"];

/// The search parameter for the time of care, of types whose parameter `date` is missing or means something else.
const TIMES: [(&str, &str); 13] = [
    ("Condition", "onset-date"),
    ("MedicationRequest", "authoredon"),
    ("MedicationDispense", "whenhandedover"),
    ("MedicationAdministration", "effective-time"),
    ("MedicationStatement", "effective"),
    ("ServiceRequest", "occurrence"),
    ("DeviceRequest", "event-date"),
    ("Goal", "start-date"),
    ("Communication", "sent"),
    ("CommunicationRequest", "occurrence"),
    ("Claim", "created"),
    ("ExplanationOfBenefit", "created"),
    ("NutritionOrder", "datetime"),
];

/// What is asked for besides the compartment.
struct Narrowed {
    types: Vec<&'static TypeDef>,
    /// Conditions on the time of care, as values of a date parameter: `ge2026-01-01`.
    dates: Vec<String>,
    /// Conditions for all types, as of a search.
    common: Vec<(String, String)>,
    /// The parameters of the call, for the links.
    text: String,
}

impl Narrowed {
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        let mut text = Vec::new();
        let mut one = |name: &str| -> Result<Option<String>, Refusal> {
            let value = call.text(name)?;
            text.extend(value.clone().map(|value| (name.to_owned(), value)));
            Ok(value)
        };
        let dates = [one("start")?.map(|day| format!("ge{day}")), one("end")?.map(|day| format!("le{day}"))];
        let since = one("_since")?.map(|since| ("_lastUpdated".to_owned(), format!("ge{since}")));
        let count = one("_count")?.map(|count| ("_count".to_owned(), count));
        let names = call.texts("_type");
        text.extend((!names.is_empty()).then(|| ("_type".to_owned(), names.join(","))));
        let type_of = |name: &String| {
            let unknown = || Refusal::bad_request(IssueCode::Value, format!("there is no type `{name}`"));
            r4().resource(name).ok_or_else(unknown)
        };
        let cursor = call.request.query.iter().find(|(name, _)| name == "_cursor").cloned();
        Ok(Self {
            types: names.iter().map(type_of).collect::<Result<_, _>>()?,
            dates: dates.into_iter().flatten().collect(),
            common: since.into_iter().chain(count).chain(cursor).collect(),
            text: text
                .iter()
                .map(|(name, value)| format!("{name}={}", encode(value)))
                .collect::<Vec<_>>()
                .join("&"),
        })
    }

    fn is_asked(&self, def: &TypeDef) -> bool {
        self.types.is_empty() || self.types.iter().any(|asked| asked.id == def.id)
    }
}

/// Answers the operation.
pub(in super::super) fn everything(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    call.is_within_reach(session)?;
    let (of, id, path) = match call.place {
        Place::Instance(def, id) => (*def, id.clone(), format!("{}/{id}/$everything", def.name)),
        Place::Type(def) => (*def, own(session)?, format!("{}/$everything", def.name)),
        Place::System | Place::Version(..) | Place::Compartment(..) => return Err(Refusal::not_found()),
    };
    if !matches!(session.look_to(&Permission::SEEING, of, &id)?, Seen::Resource { .. }) {
        return Err(Refusal::not_found());
    }
    let narrowed = Narrowed::read(call)?;
    let (mut parts, mut first) = (Vec::new(), None);
    for def in r4().resources() {
        let is_permitted = session.lens.party().scopes.permit(Permission::Search, Some(&def.name));
        if def.rules.is_access_record || !is_permitted || !narrowed.is_asked(def) {
            continue;
        }
        let ways: Vec<Filter> = [member(session, (of, &id), def, &narrowed, call)?]
            .into_iter()
            .flatten()
            .chain(referred(session, (of, &id), def, &narrowed, call)?)
            .collect();
        if ways.is_empty() {
            continue;
        }
        let query = read(session, def, &path, &narrowed.common, call.request)?;
        let mut part = part_of(session, def, &query);
        part.filters.insert(0, Filter::any(ways));
        parts.push(part);
        first.get_or_insert(query);
    }
    let Some(query) = first else {
        return Err(Refusal::forbidden("the token's scopes do not permit this"));
    };
    Page::new(session, path, parts, query)?.with_text(narrowed.text).answer()
}

/// On the type: the patient of the token.
fn own(session: &Session<'_>) -> Result<ResourceId, Refusal> {
    let party = session.lens.party();
    let id = party.own_patient().or(party.confined_to.as_deref()).or(party.patient_context.as_deref());
    id.and_then(ResourceId::parse).ok_or_else(|| {
        Refusal::not_supported("`$everything` of the type is for the token of one patient; name the patient")
    })
}

/// Members of the compartment within the time that is asked for. What has no time of care always belongs to it.
fn member(
    session: &Session<'_>,
    (of, id): (&'static TypeDef, &ResourceId),
    def: &'static TypeDef,
    narrowed: &Narrowed,
    call: &Call<'_>,
) -> Result<Option<Filter>, Refusal> {
    let Some(inside) = compartment(&session.params, of, id, def) else { return Ok(None) };
    let code = TIMES.iter().find(|(name, _)| *name == &*def.name).map_or("date", |(_, code)| code);
    let time = session.params.find(def, code).filter(|param| param.kind == ParamType::Date);
    let (Some(time), false) = (time, narrowed.dates.is_empty()) else { return Ok(Some(inside)) };
    let pairs: Vec<(String, String)> =
        narrowed.dates.iter().map(|value| (code.to_owned(), value.clone())).collect();
    let within = read(session, def, "", &pairs, call.request)?.filters;
    Ok(Some(Filter::all(vec![inside, Filter::any(vec![Filter::all(within), Filter::missing(time)])])))
}

/// Resources of a type outside the compartment to which members refer.
fn referred(
    session: &Session<'_>,
    (of, id): (&'static TypeDef, &ResourceId),
    def: &'static TypeDef,
    narrowed: &Narrowed,
    call: &Call<'_>,
) -> Result<Vec<Filter>, Refusal> {
    let mut ways = Vec::new();
    if !REFERRED.contains(&&*def.name) || def.id == of.id {
        return Ok(ways);
    }
    for source in r4().resources().filter(|source| !source.rules.is_access_record) {
        let refers =
            |param: &&Arc<Param>| param.kind == ParamType::Reference && param.targets.contains(&&*def.name);
        let params: Vec<&Arc<Param>> = session.params.of(source).iter().filter(refers).collect();
        if params.is_empty() {
            continue;
        }
        let Some(filter) = member(session, (of, id), source, narrowed, call)? else { continue };
        ways.extend(
            params.into_iter().map(|param| {
                Filter::Has(param.clone(), Link { def: source, filter: Box::new(filter.clone()) })
            }),
        );
    }
    Ok(ways)
}
