//! Consents in plain sentences: one for each rule, in the words of people who do not know FHIR. They are made of the rules that
//! decide, so what is not enforced is in no sentence.
use std::collections::BTreeMap;

use crate::audit::{day_in_words, kind_in_words, listed, purpose_in_words};
use crate::consent::{Actor, Code, CodeSystem, Criterion, Effect, Rule, Status, compile};
use crate::model::{Interval, Millis, Node};

/// The sentence of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSentence {
    /// The path of the rule's provision in the Consent, as decisions name it. It is empty for what is said of the whole Consent.
    pub rule: String,
    pub text: String,
}

/// The sensitive matters of which security labels tell (v3-ActCode, `_InformationSensitivityPolicy`).
pub const MATTERS: [(&str, &str); 13] = [
    ("PSY", "mental health"),
    ("SUD", "alcohol and drug use"),
    ("HIV", "HIV"),
    ("STD", "sexually transmitted disease"),
    ("SEX", "sexual and reproductive health"),
    ("SDV", "violence and abuse"),
    ("GDIS", "genetic disease"),
    ("PSYTHPN", "notes of a psychotherapist"),
    ("ETH", "alcohol and drug use"),
    ("ETHUD", "alcohol use"),
    ("OPIOIDUD", "opioid use"),
    ("SPI", "specially protected matters"),
    ("42CFRPart2", "treatment of addiction, which federal law protects"),
];

/// The degrees of confidentiality (v3-Confidentiality).
const DEGREES: [(&str, &str); 6] = [
    ("U", "none"),
    ("L", "low"),
    ("M", "moderate"),
    ("N", "normal"),
    ("R", "restricted"),
    ("V", "very restricted"),
];

/// Stands where a Consent names something that has no code.
const UNKNOWN: &str = "something that is not known here";

/// The sentences of a Consent. `name` gives the name of somebody by a reference (`Type/id`), where the reader may know it; where
/// it gives none, the Consent's own words stand.
#[must_use]
pub fn sentences(consent: Node<'_>, name: &dyn Fn(&str) -> Option<String>) -> Vec<RuleSentence> {
    let compiled = compile(consent);
    let whole = |text: String| RuleSentence { rule: String::new(), text };
    if let Status::Unsupported(reason) = &compiled.status {
        return vec![whole(format!("This consent cannot be enforced, because {reason}."))];
    }
    let words = Words { name, consent, displays: displays(consent) };
    match compiled.readings.as_slice() {
        [one] => {
            let mut all = words.of_reading(one);
            if compiled.status == Status::Ambiguous {
                all.push(whole("Its wording is not clear; it is read in the stricter way.".to_owned()));
            }
            all
        }
        several => {
            let open = "It can be read in two ways; where they differ, what shows less holds.".to_owned();
            let mut all = vec![whole(open)];
            for (reading, which) in several.iter().zip(["One way", "The other way"]) {
                for sentence in words.of_reading(reading) {
                    all.push(RuleSentence { text: format!("{which}: {}", sentence.text), ..sentence });
                }
            }
            all
        }
    }
}

/// The displays that a Consent gives its codes, by code.
fn displays(consent: Node<'_>) -> BTreeMap<String, String> {
    let coding = |node: Node<'_>| Some((node.str_at("code")?.to_owned(), node.str_at("display")?.to_owned()));
    let provision = consent.get("provision");
    provision.into_iter().flat_map(Node::subtree).filter_map(coding).collect()
}

struct Words<'w> {
    name: &'w dyn Fn(&str) -> Option<String>,
    consent: Node<'w>,
    displays: BTreeMap<String, String>,
}

impl Words<'_> {
    fn of_reading(&self, reading: &[Rule]) -> Vec<RuleSentence> {
        let parent_of = |rule: &Rule| rule.parent.and_then(|parent| reading.get(parent));
        let is_exception =
            |rule: &Rule| parent_of(rule).is_some_and(|parent| is_plain_exception(rule, parent));
        // "But not ..." is understood of the sentence before it. So it stands only right behind what the rule takes away from, or
        // behind another such exception from the same rule.
        let follows_parent = |rule: &Rule, number: usize| {
            let between =
                reading.get(rule.parent.map_or(number, |parent| parent + 1)..number).unwrap_or_default();
            between.iter().all(|other| other.parent == rule.parent && is_exception(other))
        };
        let sentence = |(rule, number): (&Rule, usize)| {
            let taken_from = parent_of(rule).filter(|_| is_exception(rule) && follows_parent(rule, number));
            RuleSentence { rule: rule.path.clone(), text: self.of_rule(rule, taken_from) }
        };
        reading.iter().zip(0_usize..).map(sentence).collect()
    }

    /// The sentence of a rule; of one that is understood as an exception from the rule `taken_from`, only what differs from that.
    fn of_rule(&self, rule: &Rule, taken_from: Option<&Rule>) -> String {
        let is_permit = rule.effect == Effect::Permit;
        let (mut who, mut verbs) = (None, None);
        let (mut kinds, mut marks) = (Vec::new(), Vec::new());
        let (mut ends, mut is_partly) = (String::new(), false);
        let is_new =
            |criterion: &&Criterion| taken_from.is_none_or(|whole| !whole.criteria.contains(criterion));
        for criterion in rule.criteria.iter().filter(is_new) {
            is_partly |= matches!(criterion, Criterion::Partly(_));
            match criterion.known() {
                Criterion::Actor(actors) => who = Some(self.actors(actors)),
                Criterion::Payer => who = Some(who.unwrap_or_else(|| "the insurer".to_owned())),
                Criterion::Action(codes) => verbs = Some(verbs_of(codes)),
                Criterion::Class(codes) => kinds = each_once(codes.iter().map(|code| self.class(code))),
                Criterion::Label(codes) => marks.push(self.labels(codes, is_permit)),
                Criterion::Code(codes) => marks.push(format!("about {}", self.either(codes))),
                Criterion::DataPeriod(period) => marks.push(format!("dated{}", span(*period))),
                Criterion::DataActor(actors) => {
                    marks.push(format!("written or kept by {}", self.actors(actors)));
                }
                Criterion::Data(data) => marks.push(self.data(data)),
                Criterion::DataSource(sources) => marks.push(format!("from {}", any_of(sources))),
                Criterion::DataTag(tags) => {
                    let codes: Vec<String> = tags.iter().flatten().map(|(_, code)| code.clone()).collect();
                    marks.push(format!("tagged {}", any_of(&codes)));
                }
                Criterion::Purpose(codes) => {
                    let purposes = codes.iter().map(|code| purpose_in_words(&code.code).to_owned());
                    // Before the dates, wherever the purposes stand among the criteria.
                    ends.insert_str(0, &format!(" for {}", listed(&each_once(purposes))));
                }
                Criterion::Period(period) => ends.push_str(&span(*period)),
                Criterion::Environment(places) => {
                    ends.push_str(&format!(", when asking from {}", any_of(places)))
                }
                Criterion::Discloser(actors) => {
                    ends.push_str(&format!(", as far as {} tells it", self.actors(actors)));
                }
                Criterion::Partly(_) => {}
            }
        }
        let is_narrowed = rule.criteria.iter().any(|criterion| !criterion.is_of_requester());
        let may = match (&who, is_permit) {
            (Some(who), true) => format!("{who} may"),
            (Some(who), false) => format!("{who} may not"),
            (None, true) => "anybody may".to_owned(),
            (None, false) => "nobody may".to_owned(),
        };
        let what = match (kinds.is_empty(), is_narrowed) {
            (true, false) if is_permit => "the whole record".to_owned(),
            (true, false) => "anything of the record".to_owned(),
            (true, true) => "whatever is".to_owned(),
            (false, _) if marks.is_empty() => listed(&kinds),
            (false, _) => format!("those of the {} that are", listed(&kinds)),
        };
        let marks = marks.join(" and ");
        let space = if marks.is_empty() { "" } else { " " };
        let verbs = verbs.unwrap_or_else(|| "see".to_owned());
        let mut text = format!("{may} {verbs} {what}{space}{marks}{ends}");
        if is_permit && is_narrowed && rule.parent.is_none() {
            text.push_str(", and by this consent nothing else");
        }
        if is_partly {
            text.push_str("; some of what it names is not known here, and is treated with caution");
        }
        text.push('.');
        if taken_from.is_some() {
            return format!("But not {what}{space}{marks}{ends}.");
        }
        if rule.parent.is_some() { format!("But {text}") } else { capitalized(&text) }
    }

    fn actors(&self, actors: &[Actor]) -> String {
        let names: Vec<String> = actors.iter().map(|actor| self.actor(actor)).collect();
        listed(&names)
    }

    fn actor(&self, actor: &Actor) -> String {
        let known = actor.reference.as_deref().and_then(self.name);
        let own_words = || self.display_of(actor);
        let identifier =
            || actor.identifiers.first().map(|(_, value)| format!("whoever has the number {value}"));
        let reference = || actor.reference.clone();
        known
            .or_else(own_words)
            .or_else(identifier)
            .or_else(reference)
            .unwrap_or_else(|| "somebody who is not identified".to_owned())
    }

    /// What the Consent itself calls an actor.
    fn display_of(&self, actor: &Actor) -> Option<String> {
        let nodes = self.consent.get("provision").into_iter().flat_map(Node::subtree);
        let mut references = nodes.into_iter().filter(|node| node.str_at("display").is_some());
        let is_of = |node: &Node<'_>| {
            let value = node.get("identifier").and_then(|identifier| identifier.str_at("value"));
            let is_named =
                value.is_some() && actor.identifiers.iter().any(|(_, own)| Some(own.as_str()) == value);
            is_named
                || (node.str_at("reference").is_some()
                    && node.str_at("reference") == actor.reference.as_deref())
        };
        references.find(is_of)?.str_at("display").map(str::to_owned)
    }

    fn class(&self, code: &Code) -> String {
        match &code.system {
            CodeSystem::ResourceType => kind_in_words(&code.code),
            CodeSystem::Mime => format!("files of the type {}", code.code),
            _ => self.code(code),
        }
    }

    fn code(&self, code: &Code) -> String {
        self.displays.get(&code.code).cloned().unwrap_or_else(|| code.code.clone())
    }

    fn either(&self, codes: &[Code]) -> String {
        any_of(&codes.iter().map(|code| self.code(code)).collect::<Vec<_>>())
    }

    fn labels(&self, codes: &[Code], is_permit: bool) -> String {
        let (degrees, matters): (Vec<&Code>, Vec<&Code>) =
            codes.iter().partition(|code| code.system == CodeSystem::Confidentiality);
        let mut parts = Vec::new();
        for code in degrees {
            let degree = word(&DEGREES, &code.code).unwrap_or(&code.code).to_owned();
            parts.push(match is_permit {
                true => format!("of at most {degree} confidentiality"),
                false => format!("of {degree} or higher confidentiality"),
            });
        }
        let matter = |code: &&Code| word(&MATTERS, &code.code).map_or_else(|| self.code(code), str::to_owned);
        let matters: Vec<String> = matters.iter().map(matter).collect();
        if !matters.is_empty() {
            parts.push(format!("marked as {}", any_of(&matters)));
        }
        if parts.is_empty() { format!("marked as {UNKNOWN}") } else { parts.join(" or ") }
    }

    fn data(&self, data: &[(String, String)]) -> String {
        let part = |(meaning, reference): &(String, String)| {
            let name = (self.name)(reference).unwrap_or_else(|| reference.clone());
            match meaning.as_str() {
                "instance" => format!("the item {name}"),
                "dependents" => format!("the item {name} or depends on it"),
                "authoredby" => format!("written by {name}"),
                _ => format!("related to {name}"),
            }
        };
        any_of(&data.iter().map(part).collect::<Vec<_>>())
    }
}

/// Whether a denial takes something away from what its parent permits, and differs from it by the data alone.
fn is_plain_exception(rule: &Rule, parent: &Rule) -> bool {
    let is_narrower = |criterion: &Criterion| !parent.criteria.contains(criterion);
    let is_root_period =
        |criterion: &Criterion| parent.parent.is_none() && matches!(criterion, Criterion::Period(_));
    let mut own = rule.criteria.iter().filter(|criterion| is_narrower(criterion)).peekable();
    rule.effect == Effect::Deny
        && parent.effect == Effect::Permit
        && own.peek().is_some()
        && own.all(|criterion| !criterion.is_of_requester() && !matches!(criterion, Criterion::Partly(_)))
        && parent
            .criteria
            .iter()
            .all(|criterion| rule.criteria.contains(criterion) || is_root_period(criterion))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn word<'w>(words: &[(&str, &'w str)], code: &str) -> Option<&'w str> {
    words.iter().find(|(known, _)| *known == code).map(|(_, word)| *word)
}

fn any_of(words: &[String]) -> String {
    match words.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => words.first().cloned().unwrap_or_else(|| UNKNOWN.to_owned()),
    }
}

/// What an action permits (consentaction).
fn verbs_of(codes: &[Code]) -> String {
    let verb = |code: &Code| match code.code.as_str() {
        "access" | "use" | "disclose" => "see".to_owned(),
        "collect" => "add to".to_owned(),
        "correct" => "change".to_owned(),
        other => other.to_owned(),
    };
    listed(&each_once(codes.iter().map(verb)))
}

/// Words without repetitions, in their order; where there are none, what the Consent names cannot be told.
fn each_once(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = Vec::new();
    for word in words {
        if !known.contains(&word) {
            known.push(word);
        }
    }
    if known.is_empty() { vec![UNKNOWN.to_owned()] } else { known }
}

/// An interval as ` from 1 May 2026 until 31 May 2026`, both days included.
fn span(period: Interval) -> String {
    let mut text = String::new();
    if period.start != Millis::MIN {
        text.push_str(&format!(" from {}", day_in_words(period.start)));
    }
    if period.end != Millis::MAX {
        text.push_str(&format!(" until {}", day_in_words(period.end.saturating_sub(1))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::sentences;
    use crate::model::parse;

    fn of(consent: &str) -> Vec<String> {
        let text = format!(r#"{{"resourceType":"Consent","status":"active",{consent}}}"#);
        let tree = parse(text.into_bytes()).unwrap();
        let name = |reference: &str| match reference {
            "Organization/mutual" => Some("Harbour Mutual".to_owned()),
            "Practitioner/lee" => Some("Dr. Ann Lee".to_owned()),
            _ => None,
        };
        sentences(tree.root(), &name).into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn every_rule_is_a_sentence() {
        let purpose =
            r#""purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"HPAYMT"}]"#;
        let label = |system: &str, code: &str| {
            format!(
                r#""securityLabel":[{{"system":"http://terminology.hl7.org/CodeSystem/{system}","code":"{code}"}}]"#
            )
        };
        let actor =
            |who: &str| format!(r#""actor":[{{"role":{{"coding":[{{"code":"IRCP"}}]}},"reference":{who}}}]"#);
        let mutual = actor(r#"{"reference":"Organization/mutual"}"#);
        let class = r#""class":[{"system":"http://hl7.org/fhir/resource-types","code":"Claim"},{"system":"http://hl7.org/fhir/resource-types","code":"Coverage"}]"#;
        let check = |provision: String, expected: &[&str]| {
            assert_eq!(of(&format!(r#""provision":{{{provision}}}"#)), expected, "{provision}");
        };
        check(
            format!(r#""type":"permit","period":{{"end":"2027-12-31"}},{mutual},{purpose},{class}"#),
            &[
                "Harbour Mutual may see bills to the insurer and insurance for payment until 31 December 2027, and by this consent nothing else.",
            ],
        );
        check(
            format!(
                r#""type":"permit",{mutual},"provision":[{{"type":"deny",{}}}]"#,
                label("v3-ActCode", "PSY")
            ),
            &["Harbour Mutual may see the whole record.", "But not whatever is marked as mental health."],
        );
        check(
            format!(r#""type":"deny",{}"#, label("v3-Confidentiality", "R")),
            &["Nobody may see whatever is of restricted or higher confidentiality."],
        );
        check(
            format!(r#""type":"permit",{}"#, label("v3-Confidentiality", "N")),
            &[
                "Anybody may see whatever is of at most normal confidentiality, and by this consent nothing else.",
            ],
        );
        check(
            format!(
                r#""type":"deny","provision":[{{"type":"permit",{},"code":[{{"coding":[{{"code":"38341003","display":"Hypertension"}}]}}],"dataPeriod":{{"start":"2020","end":"2021-05"}}}}]"#,
                actor(r#"{"reference":"Practitioner/lee"}"#)
            ),
            &[
                "Nobody may see anything of the record.",
                "But Dr. Ann Lee may see whatever is about Hypertension and dated from 1 January 2020 until 31 May 2021.",
            ],
        );
        check(
            format!(
                r#""type":"deny",{},{class},{}"#,
                actor(r#"{"display":"Clinic by the Sea","identifier":{"value":"77"}}"#),
                label("v3-ActCode", "HIV")
            ),
            &[
                "Clinic by the Sea may not see those of the bills to the insurer and insurance that are marked as HIV.",
            ],
        );
        check(
            format!(r#""type":"deny",{}"#, actor(r#"{"display":"my neighbour"}"#)),
            &[
                "Somebody who is not identified may not see anything of the record; some of what it names is not known here, and is treated with caution.",
            ],
        );
        check(
            r#""type":"permit","action":[{"coding":[{"code":"collect"}]},{"coding":[{"code":"correct"}]}]"#
                .to_owned(),
            &["Anybody may add to and change the whole record."],
        );
    }

    #[test]
    fn an_exception_stands_behind_what_it_is_taken_from() {
        let actor = |id: &str| {
            format!(
                r#""actor":[{{"role":{{"coding":[{{"code":"IRCP"}}]}},"reference":{{"reference":"{id}"}}}}]"#
            )
        };
        let label = |code: &str| {
            format!(
                r#"{{"type":"deny","securityLabel":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"{code}"}}]}}"#
            )
        };
        let lee = format!(r#"{{"type":"permit",{}}}"#, actor("Practitioner/lee"));
        let said = |children: &[&str]| {
            of(&format!(
                r#""provision":{{"type":"permit",{},"provision":[{}]}}"#,
                actor("Organization/mutual"),
                children.join(",")
            ))
        };
        let (psy, hiv) = (label("PSY"), label("HIV"));
        assert_eq!(
            said(&[&psy, &hiv, &lee]),
            [
                "Harbour Mutual may see the whole record.",
                "But not whatever is marked as mental health.",
                "But not whatever is marked as HIV.",
                "But Dr. Ann Lee may see the whole record.",
            ]
        );
        // Behind the sentence about somebody else "but not" would be understood of that one.
        assert_eq!(
            said(&[&lee, &psy]),
            [
                "Harbour Mutual may see the whole record.",
                "But Dr. Ann Lee may see the whole record.",
                "But Harbour Mutual may not see whatever is marked as mental health.",
            ]
        );
    }

    #[test]
    fn what_cannot_be_told_is_said_to_be_unknown_and_nothing_is_said_twice() {
        let act = |code: &str| {
            format!(r#"{{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"{code}"}}"#)
        };
        let purposes = [act("TREAT"), act("HPAYMT"), act("CAREMGT")].join(",");
        let action = r#""action":[{"coding":[{"code":"access"}]},{"coding":[{"code":"collect"}]},{"coding":[{"code":"use"}]}]"#;
        assert_eq!(
            of(&format!(r#""provision":{{"type":"permit","purpose":[{purposes}],{action}}}"#)),
            ["Anybody may see and add to the whole record for treatment and payment.",]
        );
        for element in [
            r#""purpose":[{"display":"x"}]"#,
            r#""securityLabel":[{"display":"x"}]"#,
            r#""class":[{"display":"x"}]"#,
            r#""code":[{"text":"x"}]"#,
            r#""action":[{"text":"x"}]"#,
            r#""data":[{"meaning":"instance"}]"#,
        ] {
            let said = of(&format!(r#""provision":{{"type":"deny",{element}}}"#));
            assert!(said[0].contains("something that is not known here"), "{element}: {said:?}");
            assert!(!said[0].contains("  ") && said[0].contains("treated with caution"), "{said:?}");
        }
    }

    #[test]
    fn what_has_no_rule_is_said_as_well() {
        assert_eq!(
            of(r#""scope":{}"#),
            [
                "This consent cannot be enforced, because it has neither a provision nor a policy rule that can be computed.",
            ]
        );
        assert_eq!(
            of(r#""policyRule":{"coding":[{"code":"EMRGONLY"}]}"#),
            [
                "Nobody may see anything of the record.",
                "But anybody may see the whole record for emergency treatment.",
            ]
        );
        assert_eq!(
            of(
                r#""policyRule":{"coding":[{"code":"OPTOUT"}]},"provision":{"actor":[{"reference":{"reference":"Practitioner/lee"}}]}"#
            ),
            [
                "It can be read in two ways; where they differ, what shows less holds.",
                "One way: Dr. Ann Lee may not see anything of the record.",
                "The other way: Nobody may see anything of the record.",
                "The other way: But Dr. Ann Lee may see the whole record.",
            ]
        );
        assert_eq!(
            of(r#""policyRule":{"coding":[{"code":"hipaa-self-pay"}]}"#),
            ["The insurer may not see anything of the record for payment and the running of the hospital.",]
        );
    }
}
