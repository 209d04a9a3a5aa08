//! The home of patients and of those who act for them: the records that are theirs.
use maud::html;

use super::handled::Handled;
use super::parts::{name_of, sentence};
use super::shown::{Reply, Shown};
use super::visit::Visit;

pub(super) fn mine(visit: Visit) -> Handled {
    Box::pin(async move {
        let asking = visit.asking()?;
        let query = vec![("_count".to_owned(), "50".to_owned())];
        let tree = asking.resource(&["Patient"], query).await?;
        let own = asking.party.fhir_user.clone().unwrap_or_default();
        // A Bundle may bring an outcome besides the matches.
        let found = tree.root().items_at("entry").filter_map(|entry| entry.get("resource"));
        let people: Vec<_> = found.filter(|found| found.str_at("resourceType") == Some("Patient")).collect();
        let body = html! {
            @if people.is_empty() { (sentence("No record is open to you here.")) }
            ul.places {
                @for person in &people {
                    @let id = person.str_at("id").unwrap_or_default();
                    @let name = name_of(*person).unwrap_or_else(|| "Name not recorded".to_owned());
                    li {
                        @if own == format!("Patient/{id}") {
                            a href={ "/p/" (id) } { "My record" } " What is written about my health." br;
                            a href={ "/p/" (id) "/consents" } { "Who may see my record" } " Permissions and restrictions: give one, or take one back." br;
                            a href={ "/p/" (id) "/seen" } { "Who saw my record" } " Who, when, what and why."
                        } @else {
                            a href={ "/p/" (id) } { "The record of " (name) } br;
                            a href={ "/p/" (id) "/consents" } { "Who may see the record of " (name) } br;
                            a href={ "/p/" (id) "/seen" } { "Who saw the record of " (name) }
                        }
                    }
                }
            }
        };
        Ok(Reply::Shown(Shown::new("What would you like to see?", body)))
    })
}
