//! The decision: every data subject must permit. The right of access comes first, then the subject's Consents, then the default
//! policy. The law's own conditions on some labels apply to both of the latter.

use super::codes::{Code, CodeSystem};
use super::compiled_consent::{CompiledConsent, Criterion, Effect, Rule};
use super::data::DataFacts;
use super::decision::{Basis, Decision};
use super::matching::{CriterionMatch, is_narrower_or_equal, matches};
use super::policy::{BreakGlassMode, Combining, DefaultPolicy, Settings};
use super::requester::Requester;

/// Decides on a resource. `consents` may include Consents of other patients, which are ignored.
#[must_use]
pub fn decide(
    consents: &[CompiledConsent],
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> Decision {
    let mut permit = Decision { permit: true, basis: Basis::NotGoverned };
    for owner in &data.owners {
        let decision = decide_for(owner, consents, data, requester, settings);
        if !decision.permit {
            return decision;
        }
        permit = decision;
    }
    permit
}

/// The verdict of one Consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict<'p> {
    Deny(&'p Rule),
    /// The resource lies outside what the Consent permits. A permit of another Consent overrides this.
    ImplicitDeny(&'p Rule),
    /// The Consent cannot be enforced, and the deployment treats that as a denial.
    Unenforceable,
    Permit(&'p Rule),
    NotApplicable,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Rule {}

impl Verdict<'_> {
    fn severity(self) -> u8 {
        match self {
            Self::Permit(_) => 0,
            Self::NotApplicable => 1,
            Self::ImplicitDeny(_) => 2,
            Self::Deny(_) | Self::Unenforceable => 3,
        }
    }
}

/// Decides for one data subject (`Patient/id`).
pub(super) fn decide_for(
    owner: &str,
    consents: &[CompiledConsent],
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> Decision {
    let excluded = |label: &Code| {
        let is_taboo = label.system == CodeSystem::Confidentiality && label.code == "T";
        (label.system == CodeSystem::ActCode || is_taboo) && settings.no_self_labels.contains(&label.code)
    };
    if requester.self_patient.as_deref() == Some(owner) && !data.labels.iter().any(excluded) {
        return Decision { permit: true, basis: Basis::RightOfAccess };
    }
    let mut verdicts: Vec<(&CompiledConsent, Verdict<'_>)> = consents
        .iter()
        .filter(|compiled| compiled.patient.as_deref().is_none_or(|patient| patient == owner))
        .map(|compiled| (compiled, verdict(compiled, data, requester, settings)))
        .filter(|(_, verdict)| *verdict != Verdict::NotApplicable)
        .collect();
    let names_somebody =
        |rule: &Rule| rule.criteria.iter().any(|criterion| matches!(criterion, Criterion::Actor(_)));
    let is_denied_by_name =
        verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Deny(rule) if names_somebody(rule)));
    if requester.represents.contains(owner) && !is_denied_by_name && !data.labels.iter().any(excluded) {
        return Decision { permit: true, basis: Basis::RightOfAccess };
    }
    if settings.combining == Combining::MostRecent {
        let newest = verdicts.iter().map(|(compiled, _)| compiled.date_time).max().flatten();
        verdicts.retain(|(compiled, _)| compiled.date_time == newest);
    }
    let rank = |verdict: &Verdict<'_>| match (verdict, settings.combining) {
        (Verdict::Permit(_), Combining::PermitOverrides) => 0,
        (Verdict::Deny(_) | Verdict::Unenforceable, _) => 1,
        (Verdict::Permit(_), _) => 2,
        (Verdict::ImplicitDeny(_) | Verdict::NotApplicable, _) => 3,
    };
    verdicts.sort_by_key(|(_, verdict)| rank(verdict));
    let decision = match verdicts.first() {
        None => by_default(data, requester, settings),
        Some((compiled, Verdict::Permit(rule))) => by_permit(compiled, rule, data, requester, settings),
        Some((compiled, Verdict::Deny(rule) | Verdict::ImplicitDeny(rule))) => Decision {
            permit: false,
            basis: Basis::Consent { id: compiled.id.clone(), rule: rule.path.clone() },
        },
        Some((compiled, _)) => {
            Decision { permit: false, basis: Basis::Consent { id: compiled.id.clone(), rule: String::new() } }
        }
    };
    if decision.permit || !may_break_glass(owner, &verdicts, data, requester, settings) {
        return decision;
    }
    Decision { permit: true, basis: Basis::BreakGlass }
}

/// Break-glass overrides a denial for the emergency's one patient only, never for psychotherapy notes, and not where the denying
/// rule names emergencies.
fn may_break_glass(
    owner: &str,
    verdicts: &[(&CompiledConsent, Verdict<'_>)],
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> bool {
    let names_emergency = |rule: &Rule| {
        rule.criteria.iter().any(|criterion| {
            matches!(criterion, Criterion::Purpose(codes) if codes.iter().any(|code| matches!(code.code.as_str(), "BTG" | "ETREAT")))
        })
    };
    settings.break_glass == BreakGlassMode::Override
        && requester.break_glass.as_deref() == Some(owner)
        && !data.has_label_of(&["PSYTHPN"])
        && !verdicts
            .iter()
            .any(|(_, verdict)| matches!(verdict, Verdict::Deny(rule) if names_emergency(rule)))
}

fn by_permit(
    compiled: &CompiledConsent,
    rule: &Rule,
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> Decision {
    let names = |label: &str| {
        let label = Code::new(CodeSystem::ActCode, label);
        rule.criteria.iter().any(|criterion| {
            matches!(criterion, Criterion::Label(labels)
                if labels.iter().any(|named| named.system != CodeSystem::Confidentiality && label.is_within(named)))
        })
    };
    let has = |kind: fn(&Criterion) -> bool| rule.criteria.iter().any(kind);
    let discloses = !requester.collects;
    if discloses
        && data.has_label_of(&["PSYTHPN"])
        && !names("PSYTHPN")
        && !is_treating_author(data, requester)
    {
        return Decision { permit: false, basis: Basis::Law("45 CFR 164.508(a)(2)") };
    }
    let by_name = (names("42CFRPart2") || settings.part2_general)
        && has(|criterion| matches!(criterion, Criterion::Purpose(_)))
        && has(|criterion| matches!(criterion, Criterion::Actor(_)));
    if discloses && data.has_label_of(&["42CFRPart2"]) && !is_part2_staff(requester, settings) && !by_name {
        return Decision { permit: false, basis: Basis::Law("42 CFR 2.31") };
    }
    Decision { permit: true, basis: Basis::Consent { id: compiled.id.clone(), rule: rule.path.clone() } }
}

/// Whether the requester is an author of the resource and asks for treatment.
fn is_treating_author(data: &DataFacts, requester: &Requester) -> bool {
    requester.purposes.contains(&Code::purpose("TREAT"))
        && requester
            .actors
            .iter()
            .any(|actor| actor.starts_with("Practitioner") && data.authors.contains(actor))
}

fn is_part2_staff(requester: &Requester, settings: &Settings) -> bool {
    !requester.actors.is_disjoint(&settings.part2_programs)
}

fn by_default(data: &DataFacts, requester: &Requester, settings: &Settings) -> Decision {
    let discloses = !requester.collects;
    if discloses && data.has_label_of(&["PSYTHPN"]) && !is_treating_author(data, requester) {
        return Decision { permit: false, basis: Basis::Law("45 CFR 164.508(a)(2)") };
    }
    if discloses && data.has_label_of(&["42CFRPart2"]) && !is_part2_staff(requester, settings) {
        return Decision { permit: false, basis: Basis::Law("42 CFR 2.31") };
    }
    let all_within = |codes: &[&str]| {
        let break_glass = Code::purpose("BTG");
        !requester.purposes.is_empty()
            && requester.purposes.iter().all(|asserted| {
                *asserted != break_glass && codes.iter().any(|code| asserted.is_within(&Code::purpose(code)))
            })
    };
    let is_own = requester.reads_files && !requester.actors.is_disjoint(&settings.own);
    let permit = match settings.default_policy {
        DefaultPolicy::Deny => false,
        DefaultPolicy::PermitAll => true,
        DefaultPolicy::TreatmentOnly => all_within(&["TREAT"]),
        DefaultPolicy::OwnTreatment => is_own && all_within(&["TREAT"]),
        DefaultPolicy::Tpo => all_within(&["TREAT", "HPAYMT", "HOPERAT"]),
        DefaultPolicy::OwnTpo => is_own && all_within(&["TREAT", "HPAYMT", "HOPERAT"]),
    };
    Decision { permit, basis: Basis::DefaultPolicy }
}

/// Whether a denial in force names the requester as an actor, whatever data it denies.
pub(super) fn denies_by_name(
    consents: &[CompiledConsent],
    requester: &Requester,
    settings: &Settings,
) -> bool {
    let names = |criterion: &Criterion| match criterion {
        Criterion::Actor(_) => {
            matches(criterion, Effect::Deny, &DataFacts::default(), requester, settings)
                == CriterionMatch::Yes
        }
        _ => false,
    };
    consents.iter().filter(|compiled| is_in_force(compiled, requester, settings)).any(|compiled| {
        let mut rules = compiled.readings.iter().flatten().filter(|rule| rule.effect == Effect::Deny);
        rules.any(|rule| rule.criteria.iter().any(names))
    })
}

/// Whether a denial in force may apply to the requester, whatever data it denies.
pub(super) fn may_be_denied(
    consents: &[CompiledConsent],
    requester: &Requester,
    settings: &Settings,
) -> bool {
    let nothing = DataFacts::default();
    let is_meant = |rule: &Rule| {
        let mut of_requester = rule.criteria.iter().filter(|criterion| criterion.is_of_requester());
        rule.effect == Effect::Deny
            && of_requester.all(|criterion| {
                matches(criterion, rule.effect, &nothing, requester, settings) != CriterionMatch::No
            })
    };
    let mut in_force = consents.iter().filter(|compiled| is_in_force(compiled, requester, settings));
    in_force.any(|compiled| compiled.readings.iter().flatten().any(is_meant))
}

/// Whether the Consent is active, of an enforced scope, and in its period.
fn is_in_force(compiled: &CompiledConsent, requester: &Requester, settings: &Settings) -> bool {
    let governed =
        compiled.scopes.is_empty() || compiled.scopes.iter().any(|scope| settings.scopes.contains(scope));
    compiled.active
        && governed
        && compiled.period.start <= requester.now
        && requester.now < compiled.period.end
}

fn verdict<'p>(
    compiled: &'p CompiledConsent,
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> Verdict<'p> {
    if !is_in_force(compiled, requester, settings) {
        return Verdict::NotApplicable;
    }
    let readings = compiled.readings.iter().map(|rules| of_rules(rules, data, requester, settings));
    match readings.max_by_key(|verdict| verdict.severity()) {
        // Of a Consent in another file of the same person only denials count, not permits.
        Some(Verdict::Permit(_) | Verdict::ImplicitDeny(_)) if compiled.denies_only => Verdict::NotApplicable,
        Some(verdict) => verdict,
        None if settings.unsupported_denies => Verdict::Unenforceable,
        None => Verdict::NotApplicable,
    }
}

/// Among the matching rules the narrowest ones decide. If one of those denies, the verdict is a denial.
fn of_rules<'p>(
    rules: &'p [Rule],
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> Verdict<'p> {
    let answer = |rule: &Rule| {
        if !requester.counting.counts(rule) || names_disclosers_alone(rule) {
            return CriterionMatch::No;
        }
        let of = |criterion| matches(criterion, rule.effect, data, requester, settings);
        rule.criteria.iter().map(of).min().unwrap_or(CriterionMatch::Yes)
    };
    let matched: Vec<usize> = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| match answer(rule) {
            CriterionMatch::Yes => true,
            CriterionMatch::Maybe => rule.effect == Effect::Deny,
            CriterionMatch::No => false,
        })
        .map(|(number, _)| number)
        .collect();
    if matched.is_empty() {
        return outside(rules, data, requester, settings);
    }
    let is_above = |above: usize, below: usize| {
        let mut at = rules.get(below).and_then(|rule| rule.parent);
        while let Some(number) = at {
            if number == above {
                return true;
            }
            at = rules.get(number).and_then(|rule| rule.parent);
        }
        false
    };
    let live: Vec<&Rule> = matched
        .iter()
        .filter(|number| !matched.iter().any(|other| is_above(**number, *other)))
        .filter_map(|number| rules.get(*number))
        .collect();
    let narrower = |a: &Rule, b: &Rule| admits_no_more(a, b) && !admits_no_more(b, a);
    let decisive: Vec<&Rule> =
        live.iter().copied().filter(|rule| !live.iter().any(|other| narrower(other, rule))).collect();
    let denial = decisive.iter().find(|rule| rule.effect == Effect::Deny);
    match (denial, decisive.first()) {
        (Some(rule), _) => Verdict::Deny(rule),
        (None, Some(rule)) => Verdict::Permit(rule),
        (None, None) => Verdict::NotApplicable,
    }
}

/// Whether a permit names disclosers (`performer`) and no recipient. Such a permit lets nobody receive data.
fn names_disclosers_alone(rule: &Rule) -> bool {
    let has = |is: fn(&Criterion) -> bool| rule.criteria.iter().any(|criterion| is(criterion.known()));
    rule.effect == Effect::Permit
        && has(|criterion| matches!(criterion, Criterion::Discloser(_)))
        && !has(|criterion| matches!(criterion, Criterion::Actor(_)))
}

/// No rule matched. If the root permits certain data to recipients who include the requester, it denies them all other data.
fn outside<'p>(
    rules: &'p [Rule],
    data: &DataFacts,
    requester: &Requester,
    settings: &Settings,
) -> Verdict<'p> {
    let counts = |root: &&Rule| requester.counting.counts(root) && !names_disclosers_alone(root);
    let Some(root) = rules.first().filter(counts) else {
        return Verdict::NotApplicable;
    };
    let bounds_data = root.criteria.iter().any(|criterion| !criterion.is_of_requester());
    let names_requester =
        root.criteria.iter().filter(|criterion| criterion.is_of_requester()).all(|criterion| {
            matches(criterion, root.effect, data, requester, settings) == CriterionMatch::Yes
        });
    if root.effect == Effect::Permit && bounds_data && names_requester {
        Verdict::ImplicitDeny(root)
    } else {
        Verdict::NotApplicable
    }
}

/// Whether rule `a` has every kind of criterion that rule `b` has, each no broader.
fn admits_no_more(a: &Rule, b: &Rule) -> bool {
    b.criteria.iter().all(|theirs| {
        a.criteria.iter().any(|ours| ours.kind() == theirs.kind() && is_narrower_or_equal(ours, theirs))
    })
}
