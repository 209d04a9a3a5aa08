//! Who saw the record: the accesses in sentences, grouped by day.
use maud::{Markup, html};

use crate::model::Node;
use crate::operations::decode_pairs;

use super::super::handled::Handled;
use super::super::parts::{moment, sentence};
use super::super::shown::{Reply, Shown};
use super::super::visit::Visit;

/// How many accesses a page shows.
const PAGE_LEN: &str = "50";

pub(in super::super) fn who_saw(visit: Visit) -> Handled {
    Box::pin(async move {
        let id = visit.path.first().map(String::as_str).unwrap_or_default();
        let more = visit.parameter("more");
        let query = if more.is_empty() {
            vec![("_count".to_owned(), PAGE_LEN.to_owned())]
        } else {
            decode_pairs(more)
        };
        let tree = visit.asking()?.resource(&["Patient", id, "$who-saw"], query).await?;
        let all = || tree.root().items_at("parameter");
        let accesses: Vec<Node<'_>> =
            all().filter(|parameter| parameter.str_at("name") == Some("access")).collect();
        let next = all().find(|parameter| parameter.str_at("name") == Some("next"));
        let next = next.and_then(|next| next.str_at("valueUrl").or_else(|| next.str_at("valueUri")));
        let body = html! {
            p { a href={ "/p/" (crate::operations::encode(id)) } { "Back to the record" } }
            @if accesses.is_empty() { (sentence("Nobody has seen this record yet.")) } @else { (days(&accesses)) }
            @if let Some((_, query)) = next.and_then(|url| url.split_once('?')) {
                nav.pages aria-label="Pages" {
                    a rel="next" href={ "?more=" (crate::operations::encode(query)) } { "Earlier accesses" }
                }
            }
        };
        Ok(Reply::Shown(Shown::new("Who saw this record?", body)))
    })
}

fn text<'t>(access: Node<'t>, name: &str) -> Option<&'t str> {
    let part = access.items_at("part").find(|part| part.str_at("name") == Some(name))?;
    ["valueString", "valueInstant", "valueCode"].iter().find_map(|value| part.str_at(value))
}

/// The accesses, with a heading for each day.
fn days(accesses: &[Node<'_>]) -> Markup {
    let day = |access: Node<'_>| {
        text(access, "last").and_then(|last| last.get(..10)).unwrap_or_default().to_owned()
    };
    let mut groups: Vec<(String, Vec<Node<'_>>)> = Vec::new();
    for access in accesses {
        let of = day(*access);
        match groups.last_mut().filter(|(known, _)| *known == of) {
            Some((_, group)) => group.push(*access),
            None => groups.push((of, vec![*access])),
        }
    }
    html! {
        @for (day, group) in &groups {
            h2 { (moment(day)) }
            ul.accesses { @for access in group { li { (sentence_of(*access)) "." } } }
        }
    }
}

/// The sentence without its date, which the heading has.
fn sentence_of(access: Node<'_>) -> String {
    let whole = text(access, "text").unwrap_or_default();
    match whole.split_once(", ") {
        Some((date, rest)) if date.ends_with(char::is_numeric) => rest.to_owned(),
        _ => whole.to_owned(),
    }
}
