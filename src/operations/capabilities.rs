//! capabilities (R4 http.html#capabilities): the CapabilityStatement, computed from the tables that everything else reads.
use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::Temporal;
use crate::search::{COMMON_FILTERS, CONTROLS, SearchParams, modifiers};
use crate::store::At;

use super::answer::{Answer, Body, Kind, Public, Refusal};
use super::engine::Engine;
use super::operation::{Operation, operations_of};
use super::table::{INTERACTIONS, Level};

/// A CapabilityStatement. Nobody else can make one, so that no other text becomes public by its name.
pub(super) struct Statement(Value);

impl Statement {
    pub(super) fn json(&self) -> String {
        self.0.to_string()
    }
}

pub(super) fn capabilities(engine: &Engine) -> Result<Answer, Refusal> {
    let snapshot = engine.kv.snapshot(At::Latest)?;
    let params = engine.index.params(&*snapshot)?;
    let mut kept = engine.statement.lock().unwrap_or_else(PoisonError::into_inner);
    // It is the same until other search parameters are in force, and large; anybody may ask for it.
    if let Some((of, statement)) = &*kept
        && Arc::ptr_eq(of, &params)
    {
        return Ok(Answer::new(Kind::Ok, Body::Public(statement.clone())));
    }
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": Temporal::from_millis(engine.now()).to_text(),
        "kind": "instance",
        "software": {"name": "Chartward", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Chartward", "url": engine.options.base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json", "application/fhir+xml"],
        "rest": [{
            "mode": "server",
            "security": security(engine),
            "resource": served().map(|def| resource(&params, def)).collect::<Vec<Value>>(),
            "interaction": system_interactions(),
            "searchParam": CONTROLS.iter().filter(|(name, ..)| *name != "_cursor").map(|(name, _, says)| {
                json!({"name": name, "type": "special", "documentation": says})
            }).collect::<Vec<Value>>(),
        }],
    });
    let statement = Public::capabilities(&Statement(statement));
    *kept = Some((params, statement.clone()));
    Ok(Answer::new(Kind::Ok, Body::Public(statement)))
}

/// The types that are stored: Parameters is for operations.
fn served() -> impl Iterator<Item = &'static TypeDef> {
    r4().resources().filter(|def| &*def.name != "Parameters")
}

/// How clients get access (SMART App Launch 2.2, "Conformance": the older form beside the well-known one).
fn security(engine: &Engine) -> Value {
    let desk = engine.desk();
    let uris = [
        ("token", "/auth/token"),
        ("authorize", "/auth/authorize"),
        ("introspect", "/auth/introspect"),
        ("revoke", "/auth/revoke"),
    ];
    let uris: Vec<Value> =
        uris.iter().map(|(name, path)| json!({"url": name, "valueUri": desk.address(path)})).collect();
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

/// The codes of a level, each once, in the order of the table.
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
    // The row of Bundles stands for both.
    found.push(json!({"code": "batch"}));
    found
}

/// CHOICE: the operations are Chartward's own; their definitions are named by where they would be read.
fn operation(operation: &'static Operation) -> Value {
    let name = operation.name().trim_start_matches('$');
    if operation.on == "Resource" {
        return json!({"name": name, "definition": format!("http://hl7.org/fhir/OperationDefinition/Resource-{name}")});
    }
    json!({"name": name, "definition": format!("https://chartward.org/fhir/OperationDefinition/{}-{name}", operation.on)})
}

fn resource(params: &SearchParams, def: &'static TypeDef) -> Value {
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
    // What is in the record of accesses is never changed.
    let is_read_only = &*def.name == "AuditEvent";
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
        let mut operations: Vec<Value> = operations_of(def).map(operation).collect();
        // One that is on the type and on its instances is listed once.
        operations.dedup();
        if !operations.is_empty() {
            object.insert("operation".to_owned(), Value::Array(operations));
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
                ("updateCreate", json!(true)),
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
