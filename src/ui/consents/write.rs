//! The form for a Consent; what it would change; and storing it.
use maud::{Markup, html};

use crate::audit::kind_in_words;
use crate::auth::Role;
use crate::model::{Temporal, hex, parse};
use crate::operations::{Headers, Payload, RefusalKind, Verb, encode, sentences};
use crate::store::random_bytes;

use super::super::asking::tree;
use super::super::chart::{Record, chart_page};
use super::super::confirm::{password_field, wrong_password};
use super::super::handled::Handled;
use super::super::parts::{alert, faults, form, sentence};
use super::super::problem::Problem;
use super::super::shown::Reply;
use super::super::visit::Visit;
use super::change::{parties, shown};
use super::draft::{ANYBODY, Draft, FORM_SYSTEM, KINDS, PURPOSES, matters};
use super::people::{Recipient, called, recipients};

/// The empty form.
pub(in super::super) fn begin(visit: Visit) -> Handled {
    Box::pin(async move {
        let record = Record::open(&visit).await?;
        let once =
            random_bytes::<12>().map_err(|_| Problem::Failed(axum::http::StatusCode::SERVICE_UNAVAILABLE))?;
        the_form(&visit, &record, &Draft::empty(hex(&once)), &[]).await
    })
}

/// Takes the form: looks for somebody, says what would change, or stores the Consent.
pub(in super::super) fn go_on(visit: Visit) -> Handled {
    Box::pin(async move {
        let record = Record::open(&visit).await?;
        let draft = Draft::read(&visit);
        let step = visit.field("step");
        let faults = draft.faults(&visit.today());
        if step == "look" || step == "change" {
            return the_form(&visit, &record, &draft, &[]).await;
        }
        if !faults.is_empty() {
            return the_form(&visit, &record, &draft, &faults).await;
        }
        let recipient = if draft.who == ANYBODY { None } else { called(&record.asking, &draft.who).await };
        if draft.who != ANYBODY && recipient.is_none() {
            return the_form(&visit, &record, &draft, &[("who", "Choose who it is about")]).await;
        }
        let consent = consent_of(&visit, &record, &draft, recipient.as_ref())?;
        if step != "save" {
            return preview(&visit, &record, &draft, consent, "").await;
        }
        // A restriction opens nothing to anybody, so it needs no password.
        let wrong = if draft.is_denial { None } else { wrong_password(&visit).await? };
        match wrong {
            Some(message) => preview(&visit, &record, &draft, consent, message).await,
            None => save(&record, &draft, consent).await,
        }
    })
}

/// The Consent in JSON.
fn consent_of(
    visit: &Visit,
    record: &Record,
    draft: &Draft,
    recipient: Option<&Recipient>,
) -> Result<String, Problem> {
    let patient = format!("Patient/{}", record.id);
    // Who acts for the patient agrees in the own name; staff writes down what the patient has agreed to.
    let own =
        record.asking.party.fhir_user.clone().filter(|_| record.asking.party.role == Role::Representative);
    let performer = own.unwrap_or_else(|| patient.clone());
    let now = Temporal::from_millis(visit.ui.engine.authorization().now()).to_text();
    let name = recipient.map(|recipient| recipient.name.as_str());
    Ok(draft.consent((&patient, &performer), &now, name).to_string())
}

fn payload(consent: &str) -> Result<Payload, Problem> {
    let tree = parse(consent.as_bytes().to_vec());
    tree.map(Payload::Resource).map_err(|_| Problem::Failed(axum::http::StatusCode::INTERNAL_SERVER_ERROR))
}

async fn save(record: &Record, draft: &Draft, consent: String) -> Result<Reply, Problem> {
    let once = draft.once.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let headers = Headers {
        // A form that is sent twice makes one Consent.
        if_none_exist: Some(format!("identifier={FORM_SYSTEM}%7C{once}")).filter(|_| !once.is_empty()),
        ..Headers::default()
    };
    record.asking.send(Verb::Post, &["Consent"], headers, payload(&consent)?).await?;
    Ok(Reply::GoTo { path: format!("{}?saved=yes", record.path("consents")), cookie: None, forgets: false })
}

/// What would change, before anything is stored.
async fn preview(
    visit: &Visit,
    record: &Record,
    draft: &Draft,
    consent: String,
    message: &str,
) -> Result<Reply, Problem> {
    let asked = record
        .asking
        .send(Verb::Post, &["Consent", "$preview"], Headers::default(), payload(&consent)?)
        .await;
    let told = match asked {
        Ok(answer) => {
            let answer = tree(&answer)?;
            let names = record.names(parties(answer.root())).await?;
            shown(answer.root(), &names)
        }
        // A long file cannot be compared at once; that does not keep the patient from deciding.
        Err(refusal) if refusal.kind == RefusalKind::Unprocessable => {
            sentence("The record is too long to say at once who gains and who loses.")
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let said = match parse(consent.into_bytes()) {
        Ok(tree) => sentences(tree.root(), &|_| None),
        Err(_) => Vec::new(),
    };
    let action = record.path("consents/new");
    let carried = html! {
        @for (name, value) in draft.fields() { input type="hidden" name=(name) value=(value); }
    };
    let body = html! {
        (alert(message))
        h2 { "This is what you are about to record" }
        ul.sentences { @for sentence in &said { li { (sentence.text) } } }
        (told)
        (form(visit, &action, html! {
            (carried)
            @if !draft.is_denial { (password_field(visit, "password")) }
            button type="submit" name="step" value="save" { "Record it" }
            " "
            button.second type="submit" name="step" value="change" formnovalidate { "Change it" }
        }))
        p { a href=(record.path("consents")) { "Leave everything as it is" } }
    };
    Ok(chart_page(visit, record, "consents", body))
}

async fn the_form(
    visit: &Visit,
    record: &Record,
    draft: &Draft,
    wrong: &[(&'static str, &'static str)],
) -> Result<Reply, Problem> {
    let mut people = recipients(&record.asking, &draft.sought).await?;
    let is_known =
        draft.who.is_empty() || draft.who == ANYBODY || people.iter().any(|one| one.reference == draft.who);
    if !is_known {
        people.extend(called(&record.asking, &draft.who).await);
    }
    let fault = |field: &str| wrong.iter().find(|(name, _)| *name == field).map(|(_, message)| *message);
    let body = html! {
        (faults(wrong))
        h2 { "Record a permission or a restriction" }
        (form(visit, &record.path("consents/new"), html! {
            input type="hidden" name="once" value=(draft.once);
            fieldset #who {
                legend { "Who?" }
                @if let Some(message) = fault("who") { p.fault { (message) } }
                (radio("who", ANYBODY, "Everybody", draft.who == ANYBODY))
                @for person in &people { (radio("who", &person.reference, &person.name, draft.who == person.reference)) }
                @if people.is_empty() { p { "Nobody of that name is found." } }
                label for="sought" { "Somebody else: an organization or a professional, by name" }
                input #sought type="search" name="sought" value=(draft.sought) maxlength="100";
                button.second type="submit" name="step" value="look" formnovalidate { "Look" }
            }
            fieldset {
                legend { "May, or may not?" }
                (radio("may", "permit", "May see", !draft.is_denial))
                (radio("may", "deny", "May not see", draft.is_denial))
            }
            fieldset {
                legend { "What? Choose nothing for the whole record." }
                div.choices {
                    @for kind in KINDS { (check("kind", kind, &kind_in_words(kind), draft.kinds.iter().any(|chosen| chosen == kind))) }
                }
            }
            fieldset {
                legend { "Sensitive matters: left out of what may be seen, or the only ones that may not be seen" }
                div.choices {
                    @for (code, words) in matters() { (check("matter", code, words, draft.matters.iter().any(|chosen| chosen == code))) }
                }
            }
            fieldset {
                legend { "What for? Choose nothing for any purpose." }
                div.choices {
                    @for (code, words) in PURPOSES { (check("why", code, words, draft.purposes.iter().any(|chosen| chosen == code))) }
                }
            }
            label for="until" { "Until when, that day included? Leave it empty if it has no end." }
            @if let Some(message) = fault("until") { p.fault #until-fault { (message) } }
            input #until type="date" name="until" value=(draft.until)
                aria-describedby=[fault("until").map(|_| "until-fault")] aria-invalid=[fault("until").map(|_| "true")];
            button type="submit" name="step" value="preview" { "See who gains and who loses" }
        }))
        p { a href=(record.path("consents")) { "Leave everything as it is" } }
    };
    Ok(chart_page(visit, record, "consents", body))
}

fn radio(name: &str, value: &str, words: &str, is_chosen: bool) -> Markup {
    choice("radio", (name, value), words, is_chosen)
}

fn check(name: &str, value: &str, words: &str, is_chosen: bool) -> Markup {
    choice("checkbox", (name, value), words, is_chosen)
}

fn choice(kind: &str, (name, value): (&str, &str), words: &str, is_chosen: bool) -> Markup {
    let id = format!("{name}-{}", encode(value));
    html! {
        div.choice {
            input type=(kind) id=(id) name=(name) value=(value) checked[is_chosen];
            label for=(id) { (words) }
        }
    }
}
