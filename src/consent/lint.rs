//! Warnings about a Consent when it is written: what in it will not have the effect that its writer may expect.
use crate::definitions::r4;
use crate::model::{Issue, IssueCode, Millis, Node, Reference, ReferenceTarget};

use super::codes::{Code, CodeSystem, confidentiality_rank};
use super::compiled_consent::{CompiledConsent, Criterion, Effect, Rule, Status};
use super::matching::is_narrower_or_equal;
use super::policy::Settings;

/// The warnings. `is_known` tells whether the target of a local reference (`Type/id`) is stored.
pub fn lint(
    consent: Node<'_>,
    compiled: &CompiledConsent,
    settings: &Settings,
    now: Millis,
    is_known: &dyn Fn(&str) -> bool,
) -> Vec<Issue> {
    let mut found = Vec::new();
    let mut warn = |code: IssueCode, message: String, at: &str| {
        found.push(Issue::warning(code, message).at(format!("Consent.{at}")));
    };
    match &compiled.status {
        Status::Enforceable => {}
        Status::Ambiguous => warn(
            IssueCode::BusinessRule,
            "the consent can be read in two ways and the more restrictive one is enforced; say which with `provision.type`"
                .to_owned(),
            "provision.type",
        ),
        Status::Unsupported(reason) => {
            warn(IssueCode::NotSupported, format!("the consent is not enforced: {reason}"), "provision");
        }
    }
    let is_governed = |scope: &String| settings.scopes.contains(scope);
    if !compiled.scopes.is_empty() && !compiled.scopes.iter().any(is_governed) {
        let message = format!("consents of the scope {} are not enforced", compiled.scopes.join(", "));
        warn(IssueCode::NotSupported, message, "scope");
    }
    if compiled.period.end <= now {
        let message = "the consent has expired already; for the dates of data there is `dataPeriod`";
        warn(IssueCode::BusinessRule, message.to_owned(), "provision.period");
    }
    let performers = consent.items_at("performer").filter_map(|performer| performer.str_at("reference"));
    for performer in performers.filter(|performer| performer.starts_with("Patient/")) {
        if compiled.patient.as_deref() != Some(performer) {
            let message = "another patient is named as who agreed".to_owned();
            warn(IssueCode::BusinessRule, message, "performer");
        }
    }
    for rule in compiled.readings.first().into_iter().flatten() {
        of_rule(rule, &mut warn, is_known);
        if let Some(parent) =
            rule.parent.and_then(|parent| compiled.readings.first().and_then(|rules| rules.get(parent)))
            && is_shadowed(rule, parent)
        {
            let message = "the provision changes nothing: the one around it says the same of more".to_owned();
            warn(IssueCode::BusinessRule, message, &rule.path);
        }
    }
    leaves_patient_out(compiled, &mut warn);
    opens_to_everybody(compiled, &mut warn);
    found
}

/// Takes the code of a warning, its text, and its path below `Consent`.
type Warn<'w> = dyn FnMut(IssueCode, String, &str) + 'w;

fn of_rule(rule: &Rule, warn: &mut Warn<'_>, is_known: &dyn Fn(&str) -> bool) {
    for criterion in &rule.criteria {
        match criterion {
            Criterion::Actor(actors) | Criterion::DataActor(actors) => {
                for actor in actors {
                    let target =
                        actor.reference.as_deref().map(|reference| Reference::parse(reference).target);
                    let message = match target {
                        None if actor.identifiers.is_empty() => {
                            "an actor has neither a reference nor an identifier: it is nobody".to_owned()
                        }
                        Some(ReferenceTarget::Relative(key)) if !is_known(&key.to_string()) => {
                            format!("the actor {key} is not known here")
                        }
                        _ => continue,
                    };
                    warn(IssueCode::NotFound, message, &format!("{}.actor", rule.path));
                }
            }
            Criterion::Label(labels) => {
                for label in labels.iter().filter(|label| !is_known_label(label)) {
                    let message =
                        format!("the security label `{}` is not known: nothing carries it", label.code);
                    warn(IssueCode::CodeInvalid, message, &format!("{}.securityLabel", rule.path));
                }
            }
            Criterion::Partly(_) => {
                let message = "a value has no code and no reference that can be computed: it counts where that protects";
                warn(IssueCode::NotSupported, message.to_owned(), &rule.path);
            }
            _ => {}
        }
    }
}

fn is_known_label(label: &Code) -> bool {
    match &label.system {
        CodeSystem::Confidentiality => confidentiality_rank(&label.code).is_some(),
        CodeSystem::ActCode => {
            r4().hierarchy("http://terminology.hl7.org/CodeSystem/v3-ActCode")
                .any(|(code, broader)| code == label.code || broader.contains(&label.code))
                || label.code == "42CFRPart2"
        }
        _ => true,
    }
}

/// Whether a rule has the effect of its parent and admits no more, so that it changes nothing.
fn is_shadowed(rule: &Rule, parent: &Rule) -> bool {
    rule.effect == parent.effect
        && parent.criteria.iter().all(|theirs| {
            rule.criteria
                .iter()
                .any(|ours| ours.kind() == theirs.kind() && is_narrower_or_equal(ours, theirs))
        })
}

/// Warns of a permit that names nobody, which is a permit for everybody.
fn opens_to_everybody(compiled: &CompiledConsent, warn: &mut Warn<'_>) {
    for rule in compiled.readings.iter().flatten().filter(|rule| rule.effect == Effect::Permit) {
        let names_somebody = |criterion: &Criterion| {
            matches!(criterion.known(), Criterion::Actor(_) | Criterion::Payer | Criterion::Environment(_))
        };
        if rule.criteria.iter().any(names_somebody) {
            continue;
        }
        let is_whole = rule.criteria.iter().all(|criterion| {
            matches!(criterion.known(), Criterion::Period(_) | Criterion::Purpose(_) | Criterion::Action(_))
        });
        let message = match is_whole {
            true => "opens the whole file to everybody: no actor is named",
            false => "opens a part of the file to everybody: no actor is named",
        };
        warn(IssueCode::BusinessRule, message.to_owned(), &rule.path);
        return;
    }
}

/// Warns of permitted classes without Patient: recipients of the data could not find whose they are.
fn leaves_patient_out(compiled: &CompiledConsent, warn: &mut Warn<'_>) {
    let Some(root) = compiled.readings.first().and_then(|rules| rules.first()) else { return };
    let classes = root.criteria.iter().find_map(|criterion| match criterion {
        Criterion::Class(classes) if root.effect == Effect::Permit => Some(classes),
        _ => None,
    });
    let Some(classes) = classes else { return };
    let is_type = |class: &&Code| class.system == CodeSystem::ResourceType;
    if classes.iter().any(|class| is_type(&class)) && !classes.iter().any(|class| class.code == "Patient") {
        let message = "the classes leave Patient out: searches by the patient's number, name or identifier find nothing";
        warn(IssueCode::BusinessRule, message.to_owned(), "provision.class");
    }
}
