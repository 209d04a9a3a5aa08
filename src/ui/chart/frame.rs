//! The head of every page of the chart: who the patient is, and which allergies there are; and the chart's parts.
use maud::{Markup, html};

use crate::model::Node;

use super::super::parts::{concept_at, moment, record_number, word, years_between};
use super::super::shown::{Reply, Shown};
use super::super::visit::Visit;
use super::record::Record;

/// The parts of the chart: the end of the address and the name.
const PARTS: [(&str, &str); 9] = [
    ("", "Summary"),
    ("timeline", "Timeline"),
    ("results", "Results"),
    ("medications", "Medications"),
    ("problems", "Problems"),
    ("documents", "Documents"),
    ("insurance", "Insurance"),
    ("consents", "Permissions"),
    ("everything", "Everything"),
];

/// A page of the chart, which belongs to one of its parts.
pub(in super::super) fn chart_page(visit: &Visit, record: &Record, part: &str, body: Markup) -> Reply {
    Reply::Shown(Shown::new(record.name(), framed(record, part, &visit.today(), body)))
}

fn framed(record: &Record, part: &str, today: &str, body: Markup) -> Markup {
    html! {
        (banner(record, today))
        nav.tabs aria-label="Parts of the chart" {
            @for (path, name) in PARTS {
                a href=(record.path(path)) aria-current=[(path == part).then_some("page")] { (name) }
            }
            @if record.is_told_who_saw() { a href=(record.path("seen")) { "Who saw it" } }
        }
        (body)
        p.fixed { "Parts of a record may be withheld at the patient's wish: ask." }
    }
}

fn banner(record: &Record, today: &str) -> Markup {
    let patient = record.patient.root();
    let born = patient.str_at("birthDate");
    let died = patient.str_at("deceasedDateTime");
    let age = born.and_then(|born| years_between(born, died.unwrap_or(today)));
    html! {
        section.banner aria-label="Patient" {
            dl {
                div { dt { "Born" } dd {
                    @match born {
                        Some(born) => { (moment(born)) @if let Some(age) = age { " (" (age) @if died.is_some() { " at death" } @else { " years" } ")" } },
                        None => "not recorded",
                    }
                } }
                @if let Some(died) = died { div { dt { "Died" } dd { (moment(died)) } } }
                div { dt { "Sex" } dd { (patient.str_at("gender").map_or_else(|| "not recorded".to_owned(), word)) } }
                div { dt { "Record number" } dd { (record_number(patient).unwrap_or("not recorded")) } }
                div { dt { "Allergies" } dd { (allergies_in_short(record)) } }
            }
        }
    }
}

/// The allergies in a line, with the grave ones first and at full contrast.
fn allergies_in_short(record: &Record) -> Markup {
    let mut all: Vec<Node<'_>> = record.allergies.resources().filter(|allergy| counts(*allergy)).collect();
    all.sort_by_key(|allergy| allergy.str_at("criticality") != Some("high"));
    html! {
        @if all.is_empty() { (none_of(record)) }
        @for (number, allergy) in all.iter().enumerate() {
            @if number > 0 { ", " }
            @if allergy.str_at("criticality") == Some("high") {
                strong.grave { "▲ " (name_of_allergy(*allergy)) " (high risk)" }
            } @else {
                (name_of_allergy(*allergy))
            }
        }
    }
}

/// "No known allergy" is recorded as one, with a code of its own.
pub(super) fn says_none(allergy: Node<'_>) -> bool {
    const NONE_KNOWN: [&str; 4] = ["716186003", "409137002", "428607008", "no-known-allergies"];
    allergy.items_at("code").any(|code| {
        code.items_at("coding")
            .filter_map(|coding| coding.str_at("code"))
            .any(|code| NONE_KNOWN.contains(&code))
    })
}

/// Whether an allergy counts: it is neither refuted nor entered in error, and it is one.
pub(super) fn counts(allergy: Node<'_>) -> bool {
    let status = super::super::parts::code_at(allergy, "verificationStatus");
    !matches!(status, Some("refuted" | "entered-in-error")) && !says_none(allergy)
}

/// What is said where no allergy is shown.
pub(super) fn none_of(record: &Record) -> &'static str {
    if record.allergies.resources().any(says_none) { "none known" } else { "none recorded that you may see" }
}

pub(super) fn name_of_allergy(allergy: Node<'_>) -> String {
    let substance = || allergy.items_at("reaction").find_map(|reaction| concept_at(reaction, "substance"));
    concept_at(allergy, "code").or_else(substance).unwrap_or_else(|| "substance not recorded".to_owned())
}
