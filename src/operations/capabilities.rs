//! capabilities (R4 http.html#capabilities): the CapabilityStatement, computed from the tables that everything else reads.
use serde_json::{Value, json};

use crate::definitions::r4;
use crate::model::Temporal;
use crate::search::{CONTROLS, modifiers, search_params};

use super::answer::{Answer, Body, Kind, Public};
use super::engine::Engine;
use super::table::{INTERACTIONS, Level};

pub(super) fn capabilities(engine: &Engine) -> Answer {
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
            "security": {
                "cors": true,
                "description": "bearer access tokens; disclosure is governed by Consent resources",
            },
            "resource": r4().resources().map(resource).collect::<Vec<Value>>(),
            "interaction": system_interactions(),
            "searchParam": CONTROLS.iter().filter(|(name, ..)| *name != "_cursor").map(|(name, _, says)| {
                json!({"name": name, "type": "special", "documentation": says})
            }).collect::<Vec<Value>>(),
        }],
    });
    Answer::new(Kind::Ok, Body::Public(Public::capabilities(statement.to_string())))
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

fn resource(def: &crate::definitions::TypeDef) -> Value {
    let params: Vec<Value> = search_params()
        .of(def)
        .iter()
        .map(|param| {
            let modifiers = modifiers(param.kind).collect::<Vec<_>>().join(", ");
            json!({
                "name": param.code,
                "definition": param.url,
                "type": serde_json::to_value(param.kind).unwrap_or_default(),
                "documentation": format!("modifiers: {modifiers}"),
            })
        })
        .chain([
            json!({"name": "_id", "definition": "http://hl7.org/fhir/SearchParameter/Resource-id", "type": "token"}),
            json!({"name": "_lastUpdated", "definition": "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated", "type": "date"}),
        ])
        .collect();
    // Nobody but the server writes the record of accesses.
    let is_read_only = &*def.name == "AuditEvent";
    let reads = ["read", "search-type"];
    let interactions: Vec<Value> = codes(|level| level != Level::System)
        .into_iter()
        .filter(|code| !is_read_only || reads.contains(code))
        .map(|code| json!({"code": code}))
        .collect();
    let references: Vec<String> = search_params()
        .of(def)
        .iter()
        .filter(|param| param.kind == crate::definitions::ParamType::Reference)
        .map(|param| format!("{}:{}", def.name, param.code))
        .collect();
    let mut resource = json!({
        "type": def.name,
        "interaction": interactions,
        "searchParam": params,
    });
    if let Some(object) = resource.as_object_mut() {
        if !references.is_empty() {
            object.insert("searchInclude".to_owned(), json!(references));
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
