//! Matching with three values: a denial applies on Yes or Maybe, a permit only on Yes, so that what is unknown protects the data.
use crate::model::Interval;

use super::codes::{Code, CodeSystem, confidentiality_rank};
use super::compiled_consent::{Actor, CompiledConsent, Criterion, Effect, Rule};
use super::data::DataFacts;
use super::policy::Settings;
use super::requester::Requester;

/// Whether a criterion is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CriterionMatch {
    No,
    Maybe,
    Yes,
}

/// The highest answer, because the values of one kind are alternatives.
fn any(answers: impl Iterator<Item = CriterionMatch>) -> CriterionMatch {
    answers.max().unwrap_or(CriterionMatch::No)
}

fn yes_if(truth: bool) -> CriterionMatch {
    if truth { CriterionMatch::Yes } else { CriterionMatch::No }
}

/// Whether a criterion is met. Where some of its values cannot be computed, an answer of No becomes Maybe. The computable
/// values are taken out first and matched without recursion: see docs/decisions/0011-recursion-under-max.md.
pub(super) fn matches(
    criterion: &Criterion,
    effect: Effect,
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> CriterionMatch {
    let answer = of_computable(criterion.known(), effect, data, requester, settings);
    let is_actor = matches!(criterion.known(), Criterion::Actor(_));
    match (criterion, answer) {
        // An actor who cannot be identified must not lock out the own clinicians who treat.
        (Criterion::Partly(_), CriterionMatch::No)
            if is_actor && requester.treats_here && settings.spares_treatment =>
        {
            CriterionMatch::No
        }
        (Criterion::Partly(_), CriterionMatch::No) => CriterionMatch::Maybe,
        (_, answer) => answer,
    }
}

fn of_computable(
    criterion: &Criterion,
    effect: Effect,
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> CriterionMatch {
    match criterion {
        Criterion::Actor(actors) => any(actors.iter().map(|actor| recipient(actor, requester))),
        // The discloser is always the own organization. Settings that name no own organization (as in cases) match any discloser.
        Criterion::Discloser(actors) => {
            let is_own =
                |actor: &Actor| actor.reference.as_ref().is_some_and(|named| settings.own.contains(named));
            let is_own_by_number = |actor: &Actor| {
                actor.identifiers.iter().any(|identifier| requester.house_identifiers.contains(identifier))
            };
            yes_if(
                settings.own.is_empty()
                    || actors.iter().any(|actor| is_own(actor) || is_own_by_number(actor)),
            )
        }
        Criterion::DataActor(actors) => any(actors.iter().map(|actor| data_actor(actor, data))),
        Criterion::Purpose(purposes) => purpose(purposes, effect, requester, settings),
        Criterion::Action(actions) => {
            yes_if(actions.iter().any(|action| requester.actions.contains(&action.code.as_str())))
        }
        Criterion::Label(labels) => any(labels.iter().map(|label| of_label(label, effect, data))),
        Criterion::Class(classes) => any(classes.iter().map(|class| of_class(class, data))),
        Criterion::Code(codes) => {
            if data.codes.iter().any(|code| codes.iter().any(|wanted| code.is_within(wanted))) {
                CriterionMatch::Yes
            } else if data.codes.is_empty() || data.is_uncoded {
                CriterionMatch::Maybe
            } else {
                CriterionMatch::No
            }
        }
        Criterion::Period(period) => yes_if(period.start <= requester.now && requester.now < period.end),
        Criterion::DataPeriod(period) => data_period(*period, effect, data),
        Criterion::Data(values) => {
            any(values.iter().map(|(meaning, reference)| instance(meaning, reference, data)))
        }
        Criterion::Environment(values) => {
            yes_if(values.iter().any(|value| requester.environment.contains(value)))
        }
        Criterion::DataSource(values) => {
            yes_if(data.source.as_ref().is_some_and(|source| values.contains(source)))
        }
        Criterion::DataTag(values) => {
            yes_if(values.iter().any(|tags| tags.iter().all(|tag| data.tags.contains(tag))))
        }
        Criterion::Payer => yes_if(requester.payer),
        // `known()` never returns `Partly`. If it did, the value would be unknown.
        Criterion::Partly(_) => CriterionMatch::Maybe,
    }
}

/// How much of a resource a decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// Its subjects, type and labels.
    Type,
    /// The facts stored with its row.
    Facts,
    /// The resource itself.
    Content,
}

fn needs_of(criterion: &Criterion) -> Needs {
    match criterion {
        Criterion::Actor(_)
        | Criterion::Purpose(_)
        | Criterion::Action(_)
        | Criterion::Label(_)
        | Criterion::Period(_)
        | Criterion::Environment(_)
        | Criterion::Discloser(_)
        | Criterion::Payer => Needs::Type,
        Criterion::Class(classes) if classes.iter().all(|class| class.system == CodeSystem::ResourceType) => {
            Needs::Type
        }
        Criterion::DataActor(_) | Criterion::DataPeriod(_) => Needs::Facts,
        Criterion::Data(values) if values.iter().all(|(meaning, _)| meaning == "authoredby") => Needs::Facts,
        Criterion::Partly(known) => needs_of(known),
        Criterion::Class(_)
        | Criterion::Code(_)
        | Criterion::Data(_)
        | Criterion::DataSource(_)
        | Criterion::DataTag(_) => Needs::Content,
    }
}

/// How much of a resource a decision for this requester may need. Rules for other recipients, purposes or times do not count,
/// because they cannot match this request.
pub(super) fn needs(compiled: &CompiledConsent, requester: &Requester, settings: &Settings) -> Needs {
    let nothing = DataFacts::default();
    let may_match = |rule: &Rule| {
        rule.criteria.iter().filter(|criterion| criterion.is_of_requester()).all(|criterion| {
            matches(criterion, rule.effect, &nothing, requester, settings) != CriterionMatch::No
        })
    };
    let rules = compiled.readings.iter().flatten().filter(|rule| may_match(rule));
    rules.flat_map(|rule| &rule.criteria).map(needs_of).max().unwrap_or(Needs::Type)
}

fn recipient(actor: &Actor, requester: &Requester) -> CriterionMatch {
    let named = actor.reference.as_ref();
    if named.is_some_and(|reference| requester.actors.contains(reference)) {
        return CriterionMatch::Yes;
    }
    let of_directory = named.and_then(|reference| requester.directory.get(reference)).into_iter().flatten();
    if actor
        .identifiers
        .iter()
        .chain(of_directory)
        .any(|identifier| requester.identifiers.contains(identifier))
    {
        return CriterionMatch::Yes;
    }
    if named.is_some_and(|reference| requester.unresolved.contains(reference)) {
        CriterionMatch::Maybe
    } else {
        CriterionMatch::No
    }
}

fn data_actor(actor: &Actor, data: &DataFacts) -> CriterionMatch {
    let reference = actor.reference.as_deref().unwrap_or_default();
    let is_custodian = data.custodians.contains(reference);
    let (known, empty) = if actor.role == "CST" {
        (is_custodian, data.custodians.is_empty())
    } else {
        (
            is_custodian || data.authors.contains(reference),
            data.authors.is_empty() && data.custodians.is_empty(),
        )
    };
    if known {
        CriterionMatch::Yes
    } else if empty {
        CriterionMatch::Maybe
    } else {
        CriterionMatch::No
    }
}

/// A permit covers break-glass (`BTG`) only where it names it, never through a broader purpose.
fn purpose(purposes: &[Code], effect: Effect, requester: &Requester, settings: &Settings) -> CriterionMatch {
    if requester.purposes.is_empty() {
        return CriterionMatch::Maybe;
    }
    let break_glass = Code::purpose("BTG");
    let covered = |asserted: &Code| {
        purposes.iter().any(|listed| {
            asserted.is_within(listed)
                && !(effect == Effect::Permit && *asserted == break_glass && *listed != break_glass)
        })
    };
    if effect == Effect::Deny || settings.any_purpose_is_enough {
        yes_if(requester.purposes.iter().any(covered))
    } else {
        yes_if(requester.purposes.iter().all(covered))
    }
}

fn of_label(label: &Code, effect: Effect, data: &DataFacts) -> CriterionMatch {
    if label.system == CodeSystem::Confidentiality {
        let Some(rank) = confidentiality_rank(&label.code) else { return CriterionMatch::No };
        return yes_if(match effect {
            Effect::Permit => data.confidentiality <= rank,
            Effect::Deny => data.confidentiality >= rank,
        });
    }
    if data.labels.iter().any(|own| own.is_within(label)) {
        CriterionMatch::Yes
    } else if data.labels.iter().any(|own| label.is_within(own)) {
        CriterionMatch::Maybe
    } else {
        CriterionMatch::No
    }
}

fn of_class(class: &Code, data: &DataFacts) -> CriterionMatch {
    match &class.system {
        CodeSystem::ResourceType => yes_if(class.code == data.type_name),
        CodeSystem::Mime => yes_if(data.mime_types.contains(&class.code)),
        _ if class.code.contains("/StructureDefinition/") => yes_if(data.profiles.contains(&class.code)),
        CodeSystem::Other(url) if data.profiles.contains(&format!("{url}/{}", class.code)) => {
            CriterionMatch::Yes
        }
        _ if data.profiles.contains(&class.code) => CriterionMatch::Yes,
        _ => CriterionMatch::Maybe,
    }
}

fn data_period(period: Interval, effect: Effect, data: &DataFacts) -> CriterionMatch {
    if data.type_name == "Patient" {
        // A Patient has no clinical date, so a `dataPeriod` never hides the person: permits match and denials do not.
        return yes_if(effect == Effect::Permit);
    }
    match data.when {
        None => CriterionMatch::Maybe,
        Some(when) if !period.overlaps(when) => CriterionMatch::No,
        Some(when) if period.contains(when) => CriterionMatch::Yes,
        Some(_) => CriterionMatch::Maybe,
    }
}

fn instance(meaning: &str, reference: &str, data: &DataFacts) -> CriterionMatch {
    let itself = data.reference == reference;
    match meaning {
        "instance" => yes_if(itself),
        "authoredby" if data.authors.contains(reference) => CriterionMatch::Yes,
        "authoredby" if data.authors.is_empty() => CriterionMatch::Maybe,
        "dependents" => yes_if(itself || data.outgoing.contains(reference)),
        "related" => yes_if(itself || data.outgoing.contains(reference) || data.incoming.contains(reference)),
        _ => CriterionMatch::No,
    }
}

/// Whether one criterion admits no more than another of the same kind.
pub(super) fn is_narrower_or_equal(a: &Criterion, b: &Criterion) -> bool {
    let within = |a: &[Code], b: &[Code]| a.iter().all(|a| b.iter().any(|b| a.is_within(b)));
    match (a, b) {
        (Criterion::Period(a), Criterion::Period(b))
        | (Criterion::DataPeriod(a), Criterion::DataPeriod(b)) => b.contains(*a),
        (Criterion::Purpose(a), Criterion::Purpose(b))
        | (Criterion::Label(a), Criterion::Label(b))
        | (Criterion::Class(a), Criterion::Class(b))
        | (Criterion::Code(a), Criterion::Code(b))
        | (Criterion::Action(a), Criterion::Action(b)) => within(a, b),
        (Criterion::Actor(a), Criterion::Actor(b))
        | (Criterion::DataActor(a), Criterion::DataActor(b))
        | (Criterion::Discloser(a), Criterion::Discloser(b)) => a.iter().all(|actor| b.contains(actor)),
        (Criterion::Data(a), Criterion::Data(b)) => a.iter().all(|value| b.contains(value)),
        (a, b) => a == b,
    }
}
