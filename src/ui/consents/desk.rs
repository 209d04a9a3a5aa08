//! The permissions and restrictions of one patient, in sentences, and taking one back.
use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::consent::{Effect, Rule, compile};
use crate::model::Node;
use crate::operations::{Headers, Payload, RefusalKind, RuleSentence, Verb, decode_pairs, sentences};

use super::super::asking::next_query;
use super::super::chart::{Record, chart_page};
use super::super::confirm::{password_field, wrong_password};
use super::super::handled::Handled;
use super::super::parts::{alert, form, moment, sentence, word};
use super::super::problem::Problem;
use super::super::shown::{Reply, Shown};
use super::super::visit::Visit;

/// The references of those about whom a Consent is.
fn actors(consent: Node<'_>) -> Vec<String> {
    let provision = consent.get("provision").into_iter().flat_map(Node::subtree);
    let actors = provision.filter(|node| node.key() == "actor").flat_map(Node::items);
    let references = actors.filter_map(|actor| actor.get("reference")?.str_at("reference"));
    references.map(str::to_owned).collect()
}

/// The page with all permissions and restrictions, those in force first.
pub(in super::super) fn desk(visit: Visit) -> Handled {
    Box::pin(async move {
        let record = Record::open(&visit).await?;
        let more = visit.parameter("more");
        let found = if more.is_empty() {
            record.about("Consent", "patient", &[("_sort", "-date")]).await?
        } else {
            record.search("Consent", decode_pairs(more)).await?
        };
        // A Consent may call an actor as it likes, so whoever has a name here is called by that.
        let names = record.names(found.resources().flat_map(actors).collect()).await?;
        let may_record = record.asking.party.may_record_consents();
        let today = visit.today();
        let (standing, past): (Vec<Node<'_>>, Vec<Node<'_>>) =
            found.resources().partition(|consent| Standing::of(*consent, &today).is_open());
        let body = html! {
            @if visit.parameter("saved") == "yes" { p.done role="status" { "It is recorded, and holds from now on." } }
            @if visit.parameter("ended") == "yes" { p.done role="status" { "It is taken back. Nobody sees anything by it any more." } }
            h2 { "Who may see this record?" }
            @if may_record { p { a.action href=(record.path("consents/new")) { "Record a permission or a restriction" } } }
            @if standing.is_empty() {
                (sentence("No permission and no restriction is in force that you may see. The rules of the hospital and the law hold."))
            }
            @for consent in &standing { (one(&visit, &record, &names, *consent, may_record)) }
            @if !past.is_empty() {
                h2 { "No longer in force" }
                @for consent in &past { (one(&visit, &record, &names, *consent, false)) }
            }
            @if let Some(next) = found.tree().and_then(|tree| next_query(tree.root())) {
                nav.pages aria-label="Pages" { a rel="next" href={ "?more=" (crate::operations::encode(next)) } { "Earlier ones" } }
            }
        };
        Ok(chart_page(&visit, &record, "consents", body))
    })
}

/// Whether a Consent is in force, and since or until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing<'c> {
    InForce {
        until: Option<&'c str>,
    },
    Begins(&'c str),
    Ended(&'c str),
    TakenBack,
    /// Any other status.
    Other(&'c str),
}

impl<'c> Standing<'c> {
    fn of(consent: Node<'c>, today: &str) -> Self {
        match consent.str_at("status") {
            Some("active") => {}
            Some("inactive") => return Self::TakenBack,
            other => return Self::Other(other.unwrap_or_default()),
        }
        let period = consent.get("provision").and_then(|provision| provision.get("period"));
        let bound = |name: &str| period.and_then(|period| period.str_at(name));
        // Dates may be of a month or a year, so as much of today is compared as they have.
        let date = |text: &'c str| text.get(..text.len().min(10)).unwrap_or_default();
        let now = |text: &str| today.get(..text.len().min(today.len())).unwrap_or_default().to_owned();
        match (bound("start"), bound("end")) {
            (_, Some(end)) if date(end) < now(date(end)).as_str() => Self::Ended(end),
            (Some(start), _) if date(start) > now(date(start)).as_str() => Self::Begins(start),
            (_, until) => Self::InForce { until },
        }
    }

    fn is_open(self) -> bool {
        matches!(self, Self::InForce { .. } | Self::Begins(_))
    }

    fn shown(self) -> Markup {
        match self {
            Self::InForce { until: None } => html! { "In force" },
            Self::InForce { until: Some(until) } => html! { "In force until " (moment(until)) },
            Self::Begins(start) => html! { "Begins on " (moment(start)) },
            Self::Ended(end) => html! { "Ended on " (moment(end)) },
            Self::TakenBack => html! { "Taken back" },
            Self::Other(status) => html! { "Not in force: " (word(status)) },
        }
    }
}

fn one(
    visit: &Visit,
    record: &Record,
    names: &BTreeMap<String, String>,
    consent: Node<'_>,
    may_end: bool,
) -> Markup {
    let said: Vec<RuleSentence> = sentences(consent, &|reference| names.get(reference).cloned());
    let id = consent.str_at("id").unwrap_or_default();
    let version = consent.get("meta").and_then(|meta| meta.str_at("versionId")).unwrap_or_default();
    html! {
        article.permission {
            p.standing {
                strong { (Standing::of(consent, &visit.today()).shown()) }
                @if let Some(since) = consent.str_at("dateTime") { ". Agreed on " (moment(since)) }
            }
            ul.sentences { @for sentence in &said { li { (sentence.text) } } }
            @if may_end && consent.str_at("status") == Some("active") {
                (form(visit, &record.path(&format!("consents/{}/end", crate::operations::encode(id))), html! {
                    input type="hidden" name="version" value=(version);
                    @if is_restriction(consent) { (password_field(visit, &format!("password-{id}"))) }
                    button.second type="submit" { "Take it back" }
                }))
            }
            p { (record.link(consent, "All details")) }
        }
    }
}

/// Whether others see more once it is taken back.
fn is_restriction(consent: Node<'_>) -> bool {
    let denies = |rules: &Vec<Rule>| rules.first().is_some_and(|root| root.effect == Effect::Deny);
    compile(consent).readings.iter().any(denies)
}

/// Takes a Consent back: it is kept, and is no longer in force.
pub(in super::super) fn end(visit: Visit) -> Handled {
    Box::pin(async move {
        let [id, consent] = visit.path.as_slice() else { return Err(Problem::NotFound) };
        let asking = visit.asking()?;
        let stored = asking.resource(&["Consent", consent], Vec::new()).await?;
        let of = stored.root().get("patient").and_then(|patient| patient.str_at("reference"));
        let patient = format!("Patient/{id}");
        if of != Some(patient.as_str()) {
            return Err(Problem::NotFound);
        }
        let wrong = if is_restriction(stored.root()) { wrong_password(&visit).await? } else { None };
        if let Some(message) = wrong {
            let body = html! {
                (alert(message))
                p { a href={ "/p/" (crate::operations::encode(id)) "/consents" } { "Back to the permissions" } }
            };
            let shown = Shown::new("It is not taken back", body);
            return Ok(Reply::Shown(Shown { status: axum::http::StatusCode::FORBIDDEN, ..shown }));
        }
        let headers =
            Headers { if_match: Some(format!("W/\"{}\"", visit.field("version"))), ..Headers::default() };
        let patch = br#"[{"op":"replace","path":"/status","value":"inactive"}]"#.to_vec();
        let path = format!("/p/{}/consents", crate::operations::encode(id));
        match asking.send(Verb::Patch, &["Consent", consent], headers, Payload::JsonPatch(patch)).await {
            Ok(_) => Ok(Reply::GoTo { path: format!("{path}?ended=yes"), cookie: None, forgets: false }),
            Err(refusal) if refusal.kind == RefusalKind::PreconditionFailed => Err(Problem::Changed { path }),
            Err(refusal) => Err(refusal.into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::Standing;
    use crate::model::parse;

    #[test]
    fn a_consent_stands_until_its_last_day_is_over() {
        let check = |status: &str, period: &str, expected: Standing<'_>| {
            let text = format!(r#"{{"status":"{status}","provision":{{"period":{period}}}}}"#);
            let tree = parse(text.into_bytes()).unwrap();
            assert_eq!(Standing::of(tree.root(), "2026-06-15"), expected, "{status} {period}");
        };
        check("active", "{}", Standing::InForce { until: None });
        for open in ["2026-06-15", "2026-06", "2026", "2026-06-15T08:00:00Z", "2027"] {
            check("active", &format!(r#"{{"end":"{open}"}}"#), Standing::InForce { until: Some(open) });
        }
        for over in ["2026-06-14", "2026-05", "2025", "2026-06-14T23:59:59Z"] {
            check("active", &format!(r#"{{"end":"{over}"}}"#), Standing::Ended(over));
        }
        check("active", r#"{"start":"2026-06-16"}"#, Standing::Begins("2026-06-16"));
        check("active", r#"{"start":"2026-06"}"#, Standing::InForce { until: None });
        check("inactive", "{}", Standing::TakenBack);
        check("draft", "{}", Standing::Other("draft"));
    }
}
