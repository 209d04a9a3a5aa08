//! The lists of the chart: for each kind of item what stands in its row.
use maud::{Markup, html};

use crate::model::Node;

use super::super::parts::{concept_at, name_of, sentence, value, when, word};
use super::frame::{name_of_allergy, none_of, says_none};
use super::record::{Found, Record};

/// A list of items: its headings, and the cells of a row.
pub(super) struct List {
    /// What is counted, in the plural.
    pub(super) of: &'static str,
    /// The caption of a list of one item.
    pub(super) one: &'static str,
    /// What is said where there is none.
    pub(super) none: &'static str,
    pub(super) headings: &'static [&'static str],
    pub(super) cells: fn(&Row<'_>) -> Vec<Markup>,
}

/// An item of a list.
pub(super) struct Row<'r> {
    record: &'r Record,
    found: &'r Found,
    item: Node<'r>,
}

impl Row<'_> {
    fn link(&self, text: &str) -> Markup {
        self.record.link(self.item, text)
    }

    /// Who did it.
    fn by(&self, names: &[&str]) -> Markup {
        let who = |name: &&str| self.item.items_at(name).find_map(|reference| self.found.called(reference));
        text(names.iter().find_map(who))
    }
}

/// A list as a table, with how many there are and the way to the others.
pub(super) fn table(record: &Record, list: &List, found: &Found, part: &str) -> Markup {
    if found.is_empty() {
        return sentence(list.none);
    }
    let rows: Vec<Vec<Markup>> =
        found.resources().map(|item| (list.cells)(&Row { record, found, item })).collect();
    // A column in which nothing stands tells nothing.
    let is_told =
        |column: &usize| rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.0.is_empty()));
    let columns: Vec<(usize, &str)> =
        list.headings.iter().copied().enumerate().filter(|(column, _)| is_told(column)).collect();
    html! {
        table.list {
            caption {
                @match found.total() {
                    Some(total) if total != rows.len().to_string() => { (rows.len()) " of " (total) " " (list.of) },
                    _ if rows.len() == 1 => (list.one),
                    _ => { (rows.len()) " " (list.of) },
                }
            }
            thead { tr { @for (_, heading) in &columns { th scope="col" { (heading) } } } }
            tbody {
                @for row in &rows {
                    tr {
                        @for (column, heading) in &columns {
                            @if let Some(cell) = row.get(*column) {
                                @if cell.0.is_empty() { td.empty {} } @else { td data-label=(heading) { (cell) } }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(next) = found.next() {
            nav.pages aria-label="Pages" {
                a rel="next" href={ (record.path(part)) "?more=" (crate::operations::encode(next)) } { "More " (list.of) }
            }
        }
    }
}

fn text(found: Option<String>) -> Markup {
    html! { (found.unwrap_or_default()) }
}

fn status(resource: Node<'_>) -> Markup {
    text(resource.str_at("status").map(word))
}

pub(super) const ALLERGIES: List = List {
    of: "allergies and intolerances",
    one: "1 allergy or intolerance",
    none: "None recorded that you may see.",
    headings: &["Substance", "Risk", "Reaction", "Certainty", "Recorded"],
    cells: |row| {
        let allergy = row.item;
        let reactions = allergy.items_at("reaction").map(|reaction| {
            let what: Vec<String> =
                reaction.items_at("manifestation").filter_map(super::super::parts::concept).collect();
            let severity =
                reaction.str_at("severity").map(|severity| format!(" ({severity})")).unwrap_or_default();
            format!("{}{severity}", what.join(", "))
        });
        let risk = match allergy.str_at("criticality") {
            Some("high") => html! { strong.grave { "▲ high" } },
            Some(other) => html! { (word(other)) },
            None => html! {},
        };
        vec![
            row.link(&name_of_allergy(allergy)),
            risk,
            html! { (reactions.collect::<Vec<_>>().join("; ")) },
            text(super::super::parts::code_at(allergy, "verificationStatus").map(word)),
            when(allergy, &["recordedDate", "onsetDateTime"]),
        ]
    },
};

pub(super) const PROBLEMS: List = List {
    of: "problems and diagnoses",
    one: "1 problem or diagnosis",
    none: "No problem or diagnosis is recorded that you may see.",
    headings: &["Problem", "State", "Since", "Recorded by"],
    cells: |row| {
        let condition = row.item;
        vec![
            row.link(&name_of(condition).unwrap_or_else(|| "not named".to_owned())),
            text(super::super::parts::code_at(condition, "clinicalStatus").map(word)),
            when(condition, &["onsetDateTime", "onsetPeriod", "recordedDate"]),
            row.by(&["recorder", "asserter"]),
        ]
    },
};

pub(super) const MEDICATIONS: List = List {
    of: "medications",
    one: "1 medication",
    none: "No medication is recorded that you may see.",
    headings: &["Medication", "How", "State", "Ordered", "By"],
    cells: |row| {
        let order = row.item;
        let name = concept_at(order, "medicationCodeableConcept")
            .or_else(|| order.get("medicationReference").and_then(|medication| row.found.called(medication)))
            .unwrap_or_else(|| "medication not named".to_owned());
        let how: Vec<&str> =
            order.items_at("dosageInstruction").filter_map(|dosage| dosage.str_at("text")).collect();
        vec![
            row.link(&name),
            html! { (how.join("; ")) },
            status(order),
            when(order, &["authoredOn"]),
            row.by(&["requester", "recorder"]),
        ]
    },
};

pub(super) const VISITS: List = List {
    of: "visits",
    one: "1 visit",
    none: "No visit is recorded that you may see.",
    headings: &["When", "What", "Why", "State", "With"],
    cells: |row| {
        let visit = row.item;
        let kind = concept_at(visit, "type").or_else(|| concept_at(visit, "class"));
        let reasons: Vec<String> =
            visit.items_at("reasonCode").filter_map(super::super::parts::concept).collect();
        let with: Vec<String> = visit
            .items_at("participant")
            .filter_map(|participant| row.found.called(participant.get("individual")?))
            .collect();
        vec![
            when(visit, &["period"]),
            row.link(&kind.unwrap_or_else(|| "visit".to_owned())),
            html! { (reasons.join(", ")) },
            status(visit),
            html! { (with.join(", ")) },
        ]
    },
};

pub(super) const RESULTS: List = List {
    of: "results",
    one: "1 result",
    none: "No result is recorded that you may see.",
    headings: &["What", "Value", "Range", "When", "State", "Trend"],
    cells: |row| {
        let result = row.item;
        let name = name_of(result).unwrap_or_else(|| "not named".to_owned());
        vec![
            row.link(&name),
            values(result),
            range(result),
            when(result, &["effectiveDateTime", "effectivePeriod", "issued"]),
            status(result),
            trend(row, &name),
        ]
    },
};

pub(super) const DOCUMENTS: List = List {
    of: "documents",
    one: "1 document",
    none: "No document is recorded that you may see.",
    headings: &["Document", "Kind", "When", "State", "By"],
    cells: |row| {
        let document = row.item;
        let attachment = || document.items_at("content").find_map(|content| content.get("attachment"));
        let title = document.str_at("description").or_else(|| attachment().and_then(|a| a.str_at("title")));
        let kind = concept_at(document, "type");
        let name = title.map(str::to_owned).or_else(|| kind.clone()).unwrap_or_else(|| "document".to_owned());
        vec![
            row.link(&name),
            text(kind),
            when(document, &["date"]),
            text(document.str_at("docStatus").or_else(|| document.str_at("status")).map(word)),
            row.by(&["author"]),
        ]
    },
};

pub(super) const COVERAGES: List = List {
    of: "insurances",
    one: "1 insurance",
    none: "No insurance is recorded that you may see.",
    headings: &["Insurer", "Number", "Kind", "When", "State"],
    cells: |row| {
        let coverage = row.item;
        let payor = coverage
            .items_at("payor")
            .find_map(|payor| row.found.called(payor))
            .unwrap_or_else(|| "insurer not named".to_owned());
        vec![
            row.link(&payor),
            html! { (coverage.str_at("subscriberId").unwrap_or_default()) },
            text(concept_at(coverage, "type")),
            when(coverage, &["period"]),
            status(coverage),
        ]
    },
};

/// The way to the results of the same code, if they are numbers.
fn trend(row: &Row<'_>, name: &str) -> Markup {
    let coding = row.item.items_at("code").flat_map(|code| code.items_at("coding")).next();
    let coding = coding.filter(|_| row.item.get("valueQuantity").is_some());
    let Some((system, code)) = coding.and_then(|coding| coding.str_at("system").zip(coding.str_at("code")))
    else {
        return html! {};
    };
    let path = row.record.path(&Record::trend_of(&format!("{system}|{code}")));
    html! { a href=(path) aria-label={ "Trend of " (name) } { "Trend" } }
}

/// The value of a result with its mark; of a panel the values of its parts.
fn values(result: Node<'_>) -> Markup {
    let parts: Vec<Node<'_>> = result.items_at("component").collect();
    html! {
        @if let Some(own) = value(result) { (own) (mark(result)) }
        @if value(result).is_none() && parts.is_empty() {
            @match concept_at(result, "dataAbsentReason") {
                Some(reason) => { "no value: " (reason) },
                None => "no value",
            }
        }
        @for (number, part) in parts.iter().enumerate() {
            @if number > 0 || value(result).is_some() { br; }
            (name_of(*part).unwrap_or_default()) ": " (value(*part).unwrap_or_else(|| "no value".to_owned())) (mark(*part))
        }
    }
}

/// Above or below what is usual, by letter and shape: as the laboratory has said, or by the range beside the value.
fn mark(result: Node<'_>) -> Markup {
    let said = super::super::parts::code_at(result, "interpretation");
    let sign = match said {
        Some("H" | "HH" | "HU") => Some(("▲", "H", "high")),
        Some("L" | "LL" | "LU") => Some(("▼", "L", "low")),
        Some("A" | "AA") => Some(("◆", "A", "abnormal")),
        Some(_) => None,
        None => by_range(result),
    };
    html! {
        @if let Some((shape, letter, meaning)) = sign {
            " " abbr.abnormal title=(meaning) { (shape) " " (letter) }
        }
    }
}

fn by_range(result: Node<'_>) -> Option<(&'static str, &'static str, &'static str)> {
    let number = |node: Node<'_>| node.get("value")?.raw().parse::<f64>().ok();
    let own = number(result.get("valueQuantity")?)?;
    let range = result.items_at("referenceRange").next()?;
    if range.get("high").and_then(number).is_some_and(|high| own > high) {
        return Some(("▲", "H", "high"));
    }
    range.get("low").and_then(number).is_some_and(|low| own < low).then_some(("▼", "L", "low"))
}

fn range(result: Node<'_>) -> Markup {
    let range = result.items_at("referenceRange").next();
    let end =
        |name: &str| range.and_then(|range| range.get(name)).and_then(|end| end.get("value")).map(Node::raw);
    let said = range.and_then(|range| range.str_at("text"));
    html! {
        @match (said, end("low"), end("high")) {
            (Some(said), ..) => (said),
            (None, Some(low), Some(high)) => { (low) " to " (high) },
            (None, Some(low), None) => { "from " (low) },
            (None, None, Some(high)) => { "up to " (high) },
            (None, None, None) => {},
        }
    }
}

/// What is said of the allergies where none is listed.
pub(super) fn no_allergy(record: &Record) -> Markup {
    let recorded = record.allergies.resources().find(|allergy| says_none(*allergy));
    html! { p { strong { "Allergies: " } @match recorded { Some(said) => (record.link(said, "none known")), None => (none_of(record)) } } }
}
