//! Values of FHIR's datatypes in words: the text or display first, the code only where there is nothing else.
use maud::{Markup, html};

use crate::model::Node;

use super::moment::{moment, read};

/// A CodeableConcept or Coding in words.
pub(in super::super) fn concept(node: Node<'_>) -> Option<String> {
    let of_coding =
        |coding: Node<'_>| coding.str_at("display").or_else(|| coding.str_at("code")).map(str::to_owned);
    let text = node.str_at("text").map(str::to_owned);
    let codings = || node.items_at("coding");
    let displayed = || codings().find_map(|coding| coding.str_at("display")).map(str::to_owned);
    text.or_else(displayed).or_else(|| codings().find_map(of_coding)).or_else(|| of_coding(node))
}

/// The first value of an element that is a CodeableConcept or Coding, in words.
pub(in super::super) fn concept_at(node: Node<'_>, name: &str) -> Option<String> {
    node.items_at(name).find_map(concept)
}

/// The first code of an element that is a CodeableConcept.
pub(in super::super) fn code_at<'t>(node: Node<'t>, name: &str) -> Option<&'t str> {
    node.items_at(name)
        .find_map(|concept| concept.items_at("coding").find_map(|coding| coding.str_at("code")))
}

/// A Quantity: number and unit.
pub(in super::super) fn quantity(node: Node<'_>) -> Option<String> {
    let value = node.get("value")?.raw();
    let comparator = node.str_at("comparator").map(|sign| format!("{sign} ")).unwrap_or_default();
    let unit = node.str_at("unit").or_else(|| node.str_at("code")).unwrap_or_default();
    Some(format!("{comparator}{value} {}", unit_as_read(unit)).trim_end().to_owned())
}

/// Units whose code is not how people write them (UCUM, section 4.3).
const UNITS: [(&str, &str); 8] = [
    ("Cel", "°C"),
    ("[degF]", "°F"),
    ("mm[Hg]", "mmHg"),
    ("[lb_av]", "lb"),
    ("[in_i]", "in"),
    ("{score}", "points"),
    ("umol/L", "µmol/L"),
    ("ug/L", "µg/L"),
];

fn unit_as_read(unit: &str) -> &str {
    UNITS.iter().find(|(code, _)| *code == unit).map_or(unit, |(_, read)| read)
}

/// The value of an Observation or one of its components.
pub(in super::super) fn value(node: Node<'_>) -> Option<String> {
    if let Some(found) = node.get("valueQuantity").and_then(quantity) {
        return Some(found);
    }
    if let Some(found) = concept_at(node, "valueCodeableConcept") {
        return Some(found);
    }
    let plain = ["valueString", "valueInteger", "valueBoolean", "valueTime"];
    if let Some(found) = plain.iter().find_map(|name| node.get(name)) {
        return Some(found.as_str().map_or_else(|| found.raw().to_owned(), str::to_owned));
    }
    node.str_at("valueDateTime").and_then(read)
}

/// What a Reference calls its target.
pub(in super::super) fn called(reference: Node<'_>) -> Option<String> {
    let identifier = || reference.get("identifier").and_then(|identifier| identifier.str_at("value"));
    reference.str_at("display").or_else(identifier).map(str::to_owned)
}

/// A Period, or the moment that stands in its place.
pub(in super::super) fn period(node: Node<'_>) -> Markup {
    let (start, end) = (node.str_at("start"), node.str_at("end"));
    match (start, end) {
        (Some(start), Some(end)) if start.get(..10) == end.get(..10) => moment(start),
        (Some(start), Some(end)) => html! { (moment(start)) " to " (moment(end)) },
        (Some(start), None) => html! { "since " (moment(start)) },
        (None, Some(end)) => html! { "until " (moment(end)) },
        (None, None) => html! {},
    }
}

/// When something was: the first of these elements that is there, a date or a Period.
pub(in super::super) fn when(node: Node<'_>, names: &[&str]) -> Markup {
    let found = names.iter().find_map(|name| node.get(name));
    match found {
        Some(found) => found.as_str().map_or_else(|| period(found), moment),
        None => html! {},
    }
}

/// A code of a status as a word: `in-progress` is "in progress".
pub(in super::super) fn word(code: &str) -> String {
    code.replace('-', " ")
}

/// The record number: an identifier of type MR, or the first one.
pub(in super::super) fn record_number(patient: Node<'_>) -> Option<&str> {
    let is_record_number = |identifier: &Node<'_>| {
        let kind = identifier.get("type");
        kind.is_some_and(|kind| kind.items_at("coding").any(|coding| coding.str_at("code") == Some("MR")))
    };
    let numbers = || patient.items_at("identifier");
    let found = numbers().find(is_record_number).or_else(|| numbers().next());
    found.and_then(|identifier| identifier.str_at("value"))
}
