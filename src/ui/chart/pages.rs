//! The parts of the chart, each a page of its own.
use futures_util::try_join;
use maud::{Markup, html};

use crate::model::Node;
use crate::operations::decode_pairs;

use super::super::handled::Handled;
use super::super::parts::{code_at, concept_at, sentence};
use super::super::problem::Problem;
use super::super::visit::Visit;
use super::frame::{chart_page, counts};
use super::lists::{
    ALLERGIES, COVERAGES, DOCUMENTS, List, MEDICATIONS, PROBLEMS, RESULTS, VISITS, no_allergy, table,
};
use super::precautions::precaution_of;
use super::record::{Found, Record};

/// A part that is one list; `by` leads to the patient, and the last pairs narrow and sort.
struct Part {
    path: &'static str,
    title: &'static str,
    type_name: &'static str,
    by: &'static str,
    also: &'static [(&'static str, &'static str)],
    list: &'static List,
}

/// A part whose items are found by `patient`, the latest first by this sort key.
const fn latest_first(
    (path, title): (&'static str, &'static str),
    type_name: &'static str,
    also: &'static [(&'static str, &'static str)],
    list: &'static List,
) -> Part {
    Part { path, title, type_name, by: "patient", also, list }
}

const TIMELINE: Part =
    latest_first(("timeline", "Visits, the latest first"), "Encounter", &[("_sort", "-date")], &VISITS);
const RESULTS_PART: Part =
    latest_first(("results", "Results, the latest first"), "Observation", &[("_sort", "-date")], &RESULTS);
const MEDICATIONS_PART: Part = latest_first(
    ("medications", "Medications, the latest first"),
    "MedicationRequest",
    &[("_sort", "-authoredon")],
    &MEDICATIONS,
);
const PROBLEMS_PART: Part = latest_first(
    ("problems", "Problems and diagnoses, the latest first"),
    "Condition",
    &[("_sort", "-recorded-date")],
    &PROBLEMS,
);
const DOCUMENTS_PART: Part = latest_first(
    ("documents", "Documents, the latest first"),
    "DocumentReference",
    &[("_sort", "-date")],
    &DOCUMENTS,
);
const INSURANCE: Part =
    Part { by: "beneficiary", ..latest_first(("insurance", "Insurance"), "Coverage", &[], &COVERAGES) };

fn part(visit: Visit, part: &'static Part) -> Handled {
    Box::pin(async move {
        let record = Record::open(&visit).await?;
        let more = visit.parameter("more");
        let found = if more.is_empty() {
            record.about(part.type_name, part.by, part.also).await?
        } else {
            record.search(part.type_name, decode_pairs(more)).await?
        };
        let body = html! { h2 { (part.title) } (table(&record, part.list, &found, part.path)) };
        Ok(chart_page(&visit, &record, part.path, body))
    })
}

pub(in super::super) fn timeline(visit: Visit) -> Handled {
    part(visit, &TIMELINE)
}

pub(in super::super) fn results(visit: Visit) -> Handled {
    part(visit, &RESULTS_PART)
}

pub(in super::super) fn medications(visit: Visit) -> Handled {
    part(visit, &MEDICATIONS_PART)
}

pub(in super::super) fn problems(visit: Visit) -> Handled {
    part(visit, &PROBLEMS_PART)
}

pub(in super::super) fn documents(visit: Visit) -> Handled {
    part(visit, &DOCUMENTS_PART)
}

pub(in super::super) fn insurance(visit: Visit) -> Handled {
    part(visit, &INSURANCE)
}

/// The kinds of items that a record may have besides those with a part of their own, with the parameter that leads to the patient.
const KINDS: [(&str, &str, &str); 16] = [
    ("Patient", "_id", "Who the patient is"),
    ("Encounter", "patient", "Visits"),
    ("Condition", "patient", "Problems and diagnoses"),
    ("AllergyIntolerance", "patient", "Allergies and intolerances"),
    ("MedicationRequest", "patient", "Medications"),
    ("Observation", "patient", "Results and vital signs"),
    ("DiagnosticReport", "patient", "Reports"),
    ("Procedure", "patient", "Treatments"),
    ("Immunization", "patient", "Vaccinations"),
    ("CarePlan", "patient", "Care plans"),
    ("DocumentReference", "patient", "Documents"),
    ("Consent", "patient", "Permissions"),
    ("Coverage", "beneficiary", "Insurance"),
    ("Claim", "patient", "Claims"),
    ("ExplanationOfBenefit", "patient", "Explanations of benefit"),
    ("Flag", "patient", "Alerts"),
];

pub(in super::super) fn everything(visit: Visit) -> Handled {
    Box::pin(async move {
        let record = Record::open(&visit).await?;
        let counts = KINDS.iter().map(|(type_name, by, _)| count(&record, type_name, by));
        let counts = futures_util::future::try_join_all(counts).await?;
        let body = html! {
            h2 { "Everything in this record that you may see" }
            table.list {
                caption { "Kinds of items" }
                thead { tr { th scope="col" { "Kind" } th scope="col" { "How many" } } }
                tbody {
                    @for ((type_name, by, name), count) in KINDS.iter().zip(&counts) {
                        @if count != "0" {
                            tr {
                                td data-label="Kind" { a href={ "/fhir/" (type_name) "?" (by) "=" (record.id) } { (name) } " " small { (type_name) } }
                                td data-label="How many" { (count) }
                            }
                        }
                    }
                }
            }
        };
        Ok(chart_page(&visit, &record, "everything", body))
    })
}

async fn count(record: &Record, type_name: &str, by: &str) -> Result<String, Problem> {
    let pairs = [(by, record.id.as_str()), ("_summary", "count")];
    let query = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let found = record.search(type_name, query).await?;
    Ok(found.total().unwrap_or("0").to_owned())
}

/// Problems that are not over.
const STANDING: (&str, &str) = ("clinical-status:not", "resolved,inactive,remission");

/// The summary: what must be known before one treats comes first.
pub(in super::super) fn summary(visit: Visit) -> Handled {
    Box::pin(async move {
        let record = Record::open(&visit).await?;
        let (problems, medications, alerts, visits, consents) = try_join!(
            record.about("Condition", "patient", &[STANDING, ("_sort", "-recorded-date")]),
            record.about("MedicationRequest", "patient", &[("status", "active"), ("_sort", "-authoredon")]),
            record.about("Flag", "patient", &[]),
            record.about("Encounter", "patient", &[("_sort", "-date"), ("_count", "5")]),
            record.about("Consent", "patient", &[("status", "active")]),
        )?;
        let body = html! {
            section.before aria-labelledby="before" {
                h2 #before { "Before you treat" }
                (before(&record, &problems, &alerts, &consents))
            }
            h2 { "Current medications" }
            (table(&record, &MEDICATIONS, &medications, "medications"))
            h2 { "Current problems" }
            (table(&record, &PROBLEMS, &problems, "problems"))
            h2 { "Latest visits" }
            (table(&record, &VISITS, &visits, "timeline"))
        };
        Ok(chart_page(&visit, &record, "", body))
    })
}

fn before(record: &Record, problems: &Found, alerts: &Found, consents: &Found) -> Markup {
    // A problem may be recorded at each visit; its precaution is told once.
    let mut precautions: Vec<(Node<'_>, &str)> = Vec::new();
    for problem in problems.resources() {
        let heed = precaution_of(problem).filter(|heed| precautions.iter().all(|(_, known)| known != heed));
        precautions.extend(heed.map(|heed| (problem, heed)));
    }
    // R4 has no search parameter for the status of a Flag.
    let alerts: Vec<Node<'_>> =
        alerts.resources().filter(|alert| alert.str_at("status") == Some("active")).collect();
    let directives = consents.resources().filter(|consent| code_at(*consent, "category") == Some("acd"));
    let directives: Vec<Node<'_>> = directives.collect();
    html! {
        @if record.allergies.resources().any(counts) {
            (table(record, &ALLERGIES, &record.allergies, "everything"))
        } @else {
            (no_allergy(record))
        }
        @if precautions.is_empty() && alerts.is_empty() {
            (sentence("No condition that asks for precautions, and no alert, is recorded that you may see."))
        } @else {
            ul.precautions {
                @for alert in &alerts {
                    li { strong { "Alert: " } (record.link(*alert, &concept_at(*alert, "code").unwrap_or_default())) }
                }
                @for (problem, precaution) in &precautions {
                    li { strong { (precaution) ": " } (record.link(*problem, &concept_at(*problem, "code").unwrap_or_default())) }
                }
            }
        }
        @if !directives.is_empty() {
            ul { @for directive in &directives { li { (record.link(*directive, "Advance directive")) } } }
        }
        p {
            @match consents.resources().count() {
                0 => "No permission or restriction by the patient is recorded that you may see.",
                1 => { "One " a href=(record.path("consents")) { "permission or restriction" } " by the patient is in force." },
                many => { (many) " " a href=(record.path("consents")) { "permissions or restrictions" } " by the patient are in force." },
            }
        }
    }
}
