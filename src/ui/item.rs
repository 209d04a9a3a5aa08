//! What the API answers at an address, as a page: a resource, a list of resources, or what the server can do.
use maud::{Markup, html};

use crate::model::{Node, Tree, to_xml};
use crate::operations::{Answer, decode, query_text};

use super::asking::tree;
use super::handled::Handled;
use super::parts::{json, moment, name_of, sentence, xml};
use super::problem::Problem;
use super::shown::{Reply, Shown};
use super::sign_in;
use super::visit::Visit;

/// The parameter that chooses XML; the API does not see it.
const VIEW: &str = "_view";
/// Longer texts are not shown on a page, in bytes.
const SHOWN_BYTES_MAX: usize = 1024 * 1024;

/// The base URL: where to begin.
pub(super) fn root(visit: Visit) -> Handled {
    let asks = !visit.query.iter().all(|(name, _)| name == VIEW);
    if !asks && visit.party().is_err() {
        return sign_in::page(visit);
    }
    Box::pin(async move {
        if asks {
            return show(&visit, Vec::new()).await;
        }
        let place = |path: &str, what: &str, term: &str| {
            html! { li { a href={ "/fhir/" (path) } { (what) } " " small { (term) } } }
        };
        let body = html! {
            (sentence("Below this address the FHIR API answers. Opened in a browser, its addresses show what they would answer to a program, as far as you may see it."))
            ul {
                (place("metadata", "What the server can do", "CapabilityStatement"))
                (place("Patient", "People", "Patient"))
                (place("Encounter", "Visits", "Encounter"))
                (place("Condition", "Problems and diagnoses", "Condition"))
                (place("AllergyIntolerance", "Allergies", "AllergyIntolerance"))
                (place("Consent", "Permissions", "Consent"))
            }
        };
        Ok(Reply::Shown(Shown::new("The FHIR API", body)))
    })
}

/// Any other address.
pub(super) fn answer(visit: Visit) -> Handled {
    Box::pin(async move {
        let path = visit.path.first().map(String::as_str).unwrap_or_default();
        let path = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
        show(&visit, path).await
    })
}

async fn show(visit: &Visit, path: Vec<String>) -> Result<Reply, Problem> {
    let query: Vec<(String, String)> = visit.query.iter().filter(|(name, _)| name != VIEW).cloned().collect();
    let address = address(&path, &query);
    let answer = visit.asking()?.get(path.clone(), query).await?;
    let tree = tree(&answer)?;
    let root = tree.root();
    let what = root.str_at("resourceType").unwrap_or_default().to_owned();
    let is_list = what == "Bundle";
    let title = if is_list { title_of_list(root, &path) } else { title_of(root, &what) };
    let body = html! {
        @if is_list { (list(root, visit.ui.base_url())) } @else { (facts(&answer, root, &path)) }
        section.quiet {
            h2 { "As programs see it" }
            (views(visit, &address))
            (source(visit, &tree))
        }
    };
    Ok(Reply::Shown(Shown::new(title, body)))
}

/// The address of the page, below this server.
fn address(path: &[String], query: &[(String, String)]) -> String {
    let path: String = path.iter().map(|part| format!("/{}", crate::operations::encode(part))).collect();
    if query.is_empty() { format!("/fhir{path}") } else { format!("/fhir{path}?{}", query_text(query)) }
}

fn title_of(root: Node<'_>, what: &str) -> String {
    name_of(root).unwrap_or_else(|| what.to_owned())
}

fn title_of_list(root: Node<'_>, path: &[String]) -> String {
    let what = path.first().map_or("Everything", String::as_str);
    match root.get("total").map(Node::raw) {
        Some(total) => format!("{what}: {total} found"),
        None => what.to_owned(),
    }
}

/// What is told of a single resource before its text.
fn facts(answer: &Answer, root: Node<'_>, path: &[String]) -> Markup {
    let (what, id) = (root.str_at("resourceType").unwrap_or_default(), root.str_at("id"));
    let stored = id.filter(|_| answer.version_id.is_some());
    let updated = root.get("meta").and_then(|meta| meta.str_at("lastUpdated"));
    html! {
        dl {
            dt { "Kind" } dd { (what) }
            @if let Some(id) = stored {
                dt { "Id" } dd { code { (id) } }
                @if let Some(updated) = updated { dt { "Changed" } dd { (moment(updated)) } }
                @if path.len() < 3 {
                    dt { "Versions" } dd { a href={ "/fhir/" (what) "/" (id) "/_history" } { "All versions" } }
                } @else {
                    dt { "Newest version" } dd { a href={ "/fhir/" (what) "/" (id) } { "Show it" } }
                }
            }
        }
    }
}

/// The entries of a Bundle with links, and the ways to its other pages.
fn list(root: Node<'_>, base_url: &str) -> Markup {
    let page = |relation: &str| {
        let links = root.items_at("link").filter(|link| link.str_at("relation") == Some(relation));
        let url = links.filter_map(|link| link.str_at("url")).next()?;
        url.strip_prefix(base_url).map(|rest| format!("/fhir{rest}"))
    };
    let all = root.items_at("entry").filter(|entry| entry.get("resource").is_some());
    let (outcomes, entries): (Vec<Node<'_>>, Vec<Node<'_>>) = all
        .partition(|entry| entry.get("search").and_then(|search| search.str_at("mode")) == Some("outcome"));
    let notes: Vec<&str> = outcomes
        .into_iter()
        .flat_map(|entry| entry.get("resource").into_iter().flat_map(|outcome| outcome.items_at("issue")))
        .filter_map(|issue| issue.str_at("diagnostics"))
        .collect();
    html! {
        @if entries.is_empty() {
            (sentence("Nothing is found here that you may see."))
        } @else {
            table.list {
                caption { (entries.len()) " on this page" }
                thead { tr { th scope="col" { "What" } th scope="col" { "Kind" } th scope="col" { "Id" } } }
                tbody {
                    @for entry in &entries {
                        @if let Some(resource) = entry.get("resource") {
                            (row(resource, entry.get("search").and_then(|search| search.str_at("mode"))))
                        }
                    }
                }
            }
        }
        @for note in &notes { p.text { "Note: " (note) "." } }
        nav.pages aria-label="Pages" {
            @for (relation, text) in [("first", "First page"), ("previous", "Previous page"), ("next", "Next page")] {
                @if let Some(path) = page(relation) { a rel=(relation) href=(path) { (text) } " " }
            }
        }
    }
}

fn row(resource: Node<'_>, mode: Option<&str>) -> Markup {
    let what = resource.str_at("resourceType").unwrap_or_default();
    let id = resource.str_at("id");
    let name = name_of(resource).unwrap_or_else(|| what.to_owned());
    let version = resource.get("meta").and_then(|meta| meta.str_at("versionId")).filter(|_| mode.is_none());
    html! {
        tr {
            td data-label="What" {
                @match (id, version) {
                    (Some(id), Some(version)) => a href={ "/fhir/" (what) "/" (id) "/_history/" (version) } { (name) },
                    (Some(id), None) => a href={ "/fhir/" (what) "/" (id) } { (name) },
                    (None, _) => (name),
                }
                @if mode == Some("include") { " " small { "included" } }
            }
            td data-label="Kind" { (what) }
            td data-label="Id" { @if let Some(id) = id { code { (id) } } }
        }
    }
}

/// The choice between JSON and XML.
fn views(visit: &Visit, address: &str) -> Markup {
    let is_xml = visit.parameter(VIEW) == "xml";
    let glue = if address.contains('?') { '&' } else { '?' };
    html! {
        p.views {
            @if is_xml {
                a href=(address) { "JSON" } " " strong { "XML" }
            } @else {
                strong { "JSON" } " " a href={ (address) (glue) (VIEW) "=xml" } { "XML" }
            }
        }
    }
}

fn source(visit: &Visit, tree: &Tree) -> Markup {
    let len = tree.text().len();
    if len > SHOWN_BYTES_MAX {
        let kilobytes = len / 1024;
        return html! { p { "It has " (kilobytes) " kB, more than a page shows. Programs get it whole." } };
    }
    if visit.parameter(VIEW) == "xml" {
        return match to_xml(tree.root()) {
            Ok(text) => xml(&text),
            Err(_) => sentence("This resource has no XML form."),
        };
    }
    json(tree.root(), visit.ui.base_url())
}
