//! The home of a signed-in person: what there is to do.
use maud::html;

use super::handled::Handled;
use super::shown::{Reply, Shown};
use super::sign_in;
use super::visit::Visit;

pub(super) fn home(visit: Visit) -> Handled {
    if visit.session.is_none() {
        return sign_in::page(visit);
    }
    let body = html! {
        ul.places {
            @for place in visit.menu.iter().filter(|place| place.path != "/") {
                li { a href=(place.path) { (place.name) } " " (place.says) }
            }
        }
    };
    let shown = Shown::new("What would you like to do?", body);
    Box::pin(async move { Ok(Reply::Shown(shown)) })
}
