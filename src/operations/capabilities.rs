//! capabilities (R4 http.html#capabilities): the CapabilityStatement, computed from the tables that everything else reads.
use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use crate::auth::Party;
use crate::definitions::{ElementDef, ParamType, TypeDef, r4};
use crate::model::{IssueCode, parse};
use crate::search::{COMMON_FILTERS, CONTROLS, SearchParams, modifiers};
use crate::store::{At, Repository};

use super::answer::{Answer, Body, Kind, Refusal};
use super::context::Context;
use super::operation::{Operation, operations_of, operations_of_system};
use super::operation_definitions::definition_url;
use super::request::Request;
use super::statement_cache::{Made, Mode, Variant};
use super::table::{INTERACTIONS, Level};
use super::validators::names_version;

pub(super) fn capabilities(context: &Context, party: &Party, request: &Request) -> Result<Answer, Refusal> {
    let value_of = |wanted: &str| {
        let given = request.query.iter().find(|(name, value)| name == wanted && !value.is_empty());
        given.map(|(_, value)| value.as_str())
    };
    let mode = match value_of("mode") {
        None | Some("full") => Mode::Full,
        Some("normative") => Mode::Normative,
        Some("terminology") => Mode::Terminology,
        Some(other) => {
            let message = format!("`mode` is full, normative or terminology, not `{other}`");
            return Err(Refusal::bad_request(IssueCode::Value, message));
        }
    };
    let variant = Variant { mode, assigns_ids: party.assign_ids };
    let mut made = statement(context, variant)?;
    if let Some(reduced) = reduced(&made.statement, value_of("_summary"), value_of("_elements"))? {
        made = Made::of(reduced);
    }
    let names = |tags: &String| names_version(tags, &made.tag);
    let is_unchanged = request.headers.if_none_match.as_ref().is_some_and(names);
    let mut answer = if is_unchanged {
        Answer::new(Kind::NotModified, Body::None)
    } else {
        Answer::new(Kind::Ok, Body::Public(made.text))
    };
    answer.version_id = Some(made.tag);
    Ok(answer)
}

/// The statement is cached, since it is large and anybody may ask for it. It stays valid until other search parameters are in
/// force or a definition is written. CHOICE: URLs of stored definitions are public, as they concern no patient.
fn statement(context: &Context, variant: Variant) -> Result<Made, Refusal> {
    let snapshot = context.kv.snapshot(At::Latest)?;
    let params = context.index.params(&*snapshot)?;
    let mut kept = context.statements.0.lock().unwrap_or_else(PoisonError::into_inner);
    let repository = Repository::new(&*snapshot);
    let written: Result<Vec<_>, _> = DEFINING
        .iter()
        .filter_map(|name| r4().resource(name))
        .map(|def| repository.last_commit(def))
        .collect();
    let written = written?;
    if let Some((of, then, made)) = kept.get(&variant)
        && Arc::ptr_eq(of, &params)
        && *then == written
    {
        return Ok(made.clone());
    }
    let made = Made::of(match variant.mode {
        Mode::Terminology => terminology(context),
        Mode::Full | Mode::Normative => of_rest(context, &params, variant, &Definitions::of(&repository)?),
    });
    kept.insert(variant, (params, written, made.clone()));
    Ok(made)
}

/// The types whose content was normative in R4 (R4 versions.html#std-process).
const NORMATIVE: [&str; 10] = [
    "Binary",
    "Bundle",
    "CapabilityStatement",
    "CodeSystem",
    "Observation",
    "OperationDefinition",
    "OperationOutcome",
    "Patient",
    "StructureDefinition",
    "ValueSet",
];

/// The elements that both kinds of statement begin with.
fn about(context: &Context, kind: &str, name: &str, title: &str) -> Value {
    json!({
        "resourceType": kind,
        "url": format!("{}/metadata", context.options.base_url),
        "version": env!("CARGO_PKG_VERSION"),
        "name": name,
        "title": title,
        "status": "active",
        "date": env!("BUILD_DATE"),
        "publisher": "Chartward",
        "kind": "instance",
        "software": {
            "name": "Chartward", "version": env!("CARGO_PKG_VERSION"), "releaseDate": env!("BUILD_DATE")
        },
        "implementation": {"description": "Chartward", "url": context.options.base_url},
    })
}

fn of_rest(context: &Context, params: &SearchParams, variant: Variant, stored: &Definitions) -> Value {
    let about_resources = About {
        base_url: &context.options.base_url,
        params,
        assigns_ids: variant.assigns_ids,
        profiles: &stored.profiles,
    };
    let is_meant = |def: &&'static TypeDef| variant.mode == Mode::Full || NORMATIVE.contains(&&*def.name);
    let resources = served().filter(is_meant).map(|def| resource(&about_resources, def));
    let rest = json!({
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json", "application/fhir+xml"],
        "rest": [{
            "mode": "server",
            "security": security(context),
            "resource": resources.collect::<Vec<Value>>(),
            "interaction": system_interactions(),
            "operation": operations_of_system().map(|one| operation(&context.options.base_url, one)).collect::<Vec<Value>>(),
            "searchParam": CONTROLS.iter().filter(|(name, ..)| *name != "_cursor").map(|(name, _, says)| {
                json!({"name": name, "type": "special", "documentation": says})
            }).collect::<Vec<Value>>(),
        }],
    });
    let mut statement =
        with(about(context, "CapabilityStatement", "Chartward", "Chartward FHIR server"), rest);
    if let (Some(members), false) = (statement.as_object_mut(), stored.instantiates.is_empty()) {
        members.insert("instantiates".to_owned(), json!(stored.instantiates));
    }
    statement
}

/// Of stored guides: profiles as pairs of type and URL, and the URLs of CapabilityStatements of kind `requirements`.
#[derive(Debug, Default)]
struct Definitions {
    profiles: Vec<(String, String)>,
    instantiates: Vec<String>,
}

/// At most so many definitions of each type are read.
const DEFINITIONS_MAX: usize = 5_000;

impl Definitions {
    fn of(repository: &Repository<'_>) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for name in DEFINING {
            let Some(def) = r4().resource(name) else { continue };
            for row in repository.rows_of_type(def, None, DEFINITIONS_MAX)? {
                let Some(current) = repository.current_of_row(row)?.filter(|current| !current.deleted) else {
                    continue;
                };
                let stored = repository.newest(&current)?;
                let Ok(tree) = parse(stored.text.into_bytes()) else { continue };
                let root = tree.root();
                let text = |name: &str| root.str_at(name).map(str::to_owned);
                let is_retired = root.str_at("status") == Some("retired");
                match (name, text("url")) {
                    _ if is_retired => {}
                    ("StructureDefinition", Some(url)) if root.str_at("derivation") == Some("constraint") => {
                        found.profiles.extend(text("type").map(|of| (of, url)));
                    }
                    ("CapabilityStatement", Some(url)) if root.str_at("kind") == Some("requirements") => {
                        found.instantiates.push(url);
                    }
                    _ => {}
                }
            }
        }
        found.profiles.sort();
        found.instantiates.sort();
        Ok(found)
    }
}

/// The resource types of these definitions.
const DEFINING: [&str; 2] = ["StructureDefinition", "CapabilityStatement"];

/// What the server knows of code systems (R4 terminologycapabilities.html): hierarchies for `:below` and `:above`. It has no
/// operations of a terminology service.
fn terminology(context: &Context) -> Value {
    let systems: Vec<Value> =
        r4().hierarchical_systems().into_iter().map(|url| json!({"uri": url, "subsumption": true})).collect();
    let about = about(context, "TerminologyCapabilities", "ChartwardTerminology", "Chartward: terminology");
    with(about, json!({"codeSystem": systems, "codeSearch": "explicit"}))
}

fn with(mut one: Value, other: Value) -> Value {
    if let (Some(members), Value::Object(others)) = (one.as_object_mut(), other) {
        members.extend(others);
    }
    one
}

/// The statement reduced by `_summary` and `_elements`; `None` if it stays whole.
fn reduced(
    statement: &Value,
    summary: Option<&str>,
    elements: Option<&str>,
) -> Result<Option<Value>, Refusal> {
    let def = statement.get("resourceType").and_then(Value::as_str).and_then(|name| r4().resource(name));
    let (Some(members), Some(def)) = (statement.as_object(), def) else { return Ok(None) };
    let named: Vec<&str> = elements.unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect();
    let keeps: Box<dyn Fn(&ElementDef) -> bool> = match (summary, named.is_empty()) {
        (_, false) => Box::new(|element| named.contains(&&*element.name)),
        (Some("true"), true) => Box::new(|element| element.summary),
        (Some("text"), true) => Box::new(|element| &*element.name == "text"),
        (None | Some("false" | "data"), true) => return Ok(None),
        (Some(other), true) => {
            let message = format!("`_summary` is true, false, text or data here, not `{other}`");
            return Err(Refusal::bad_request(IssueCode::Value, message));
        }
    };
    let is_kept = |name: &str| {
        name == "resourceType" || def.element(name).is_some_and(|element| element.min > 0 || keeps(element))
    };
    let mut kept: serde_json::Map<String, Value> = members
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let subsetted = json!({"tag": [{
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"
    }]});
    kept.insert("meta".to_owned(), subsetted);
    Ok(Some(Value::Object(kept)))
}

/// The resource types that can be stored: all but Parameters, which is for operations only.
fn served() -> impl Iterator<Item = &'static TypeDef> {
    r4().resources().filter(|def| !def.rules.is_never_stored)
}

/// How clients get access (SMART App Launch 2.2, "Conformance": the older form beside the well-known one).
fn security(context: &Context) -> Value {
    let authorization = context.authorization();
    let uris = [
        ("token", "/auth/token"),
        ("authorize", "/auth/authorize"),
        ("introspect", "/auth/introspect"),
        ("revoke", "/auth/revoke"),
    ];
    let uris: Vec<Value> = uris
        .iter()
        .map(|(name, path)| json!({"url": name, "valueUri": authorization.address(path)}))
        .collect();
    json!({
        "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": uris
        }],
        "cors": true,
        "service": [{
            "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                "code": "SMART-on-FHIR"
            }],
            "text": "OAuth2 using the SMART-on-FHIR profile (see http://docs.smarthealthit.org)"
        }],
        "description": "bearer access tokens; disclosure is governed by Consent resources",
    })
}

/// The interaction codes of a level, each once, in the order of the table.
fn codes(fits: impl Fn(Level) -> bool) -> Vec<&'static str> {
    let mut codes: Vec<&'static str> = Vec::new();
    for row in INTERACTIONS.iter().filter(|row| fits(row.level) && row.name != "capabilities") {
        if !codes.contains(&row.name) {
            codes.push(row.name);
        }
    }
    codes
}

fn system_interactions() -> Vec<Value> {
    let mut found: Vec<Value> =
        codes(|level| level == Level::System).into_iter().map(|code| json!({"code": code})).collect();
    // The table has one row for both kinds of Bundle, named `transaction`.
    found.push(json!({"code": "batch"}));
    found
}

fn operation(base_url: &str, operation: &'static Operation) -> Value {
    let name = operation.name().trim_start_matches('$');
    json!({"name": name, "definition": definition_url(base_url, operation)})
}

/// What the description of a resource type depends on.
struct About<'a> {
    base_url: &'a str,
    params: &'a SearchParams,
    assigns_ids: bool,
    /// The stored profiles, as pairs of resource type and URL.
    profiles: &'a [(String, String)],
}

fn resource(about: &About<'_>, def: &'static TypeDef) -> Value {
    let params = about.params;
    let listed: Vec<Value> = params
        .of(def)
        .iter()
        .filter(|param| param.is_ready)
        .map(|param| {
            let modifiers = modifiers(param.kind).collect::<Vec<_>>().join(", ");
            json!({
                "name": param.code,
                "definition": param.url,
                "type": serde_json::to_value(param.kind).unwrap_or_default(),
                "documentation": format!("modifiers: {modifiers}"),
            })
        })
        .chain(
            COMMON_FILTERS
                .iter()
                .map(|(name, kind, url)| json!({"name": name, "definition": url, "type": kind})),
        )
        .collect();
    // Events in the record of accesses never change.
    let is_read_only = def.rules.is_access_record;
    let reads = ["read", "search-type", "create"];
    let interactions: Vec<Value> = codes(|level| level != Level::System)
        .into_iter()
        .filter(|code| !is_read_only || reads.contains(code))
        .map(|code| json!({"code": code}))
        .collect();
    let references = |of: &'static TypeDef, to: Option<&TypeDef>| -> Vec<String> {
        let found = params.of(of).iter().filter(|param| {
            let leads_there = to.is_none_or(|to| param.targets.contains(&&*to.name));
            param.kind == ParamType::Reference && param.is_ready && leads_there
        });
        found.map(|param| format!("{}:{}", of.name, param.code)).collect()
    };
    let includes = references(def, None);
    let rev_includes: Vec<String> = r4().resources().flat_map(|of| references(of, Some(def))).collect();
    let mut resource = json!({
        "type": def.name,
        "interaction": interactions,
        "searchParam": listed,
    });
    if let Some(object) = resource.as_object_mut() {
        let mut operations: Vec<Value> =
            operations_of(def).map(|one| operation(about.base_url, one)).collect();
        // An operation on a type and on its instances is listed once.
        operations.dedup();
        if !operations.is_empty() {
            object.insert("operation".to_owned(), Value::Array(operations));
        }
        let profiles: Vec<&str> =
            about.profiles.iter().filter(|(of, _)| *of == *def.name).map(|(_, url)| url.as_str()).collect();
        if !profiles.is_empty() {
            object.insert("supportedProfile".to_owned(), json!(profiles));
        }
        for (name, found) in [("searchInclude", includes), ("searchRevInclude", rev_includes)] {
            if !found.is_empty() {
                object.insert(name.to_owned(), json!(found));
            }
        }
        if !is_read_only {
            for (name, value) in [
                ("versioning", json!("versioned-update")),
                ("readHistory", json!(true)),
                ("updateCreate", json!(about.assigns_ids)),
                ("conditionalCreate", json!(true)),
                ("conditionalRead", json!("full-support")),
                ("conditionalUpdate", json!(true)),
                ("conditionalDelete", json!("single")),
            ] {
                object.insert(name.to_owned(), value);
            }
        }
    }
    resource
}
