//! Who gains and who loses by a Consent, from the answer of `Consent/$preview`.
use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::audit::{kind_in_words, listed, purpose_in_words, role_in_words};
use crate::model::Node;

/// Somebody who gains or loses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Somebody {
    /// `Type/id`; empty for anybody.
    reference: String,
    organization: String,
}

/// Types with how many resources of each.
type Counts = Vec<(String, String)>;

/// The changes of one kind: by who and what, the purposes and the roles.
type Changes = BTreeMap<(Somebody, Counts), (BTreeSet<String>, BTreeSet<String>)>;

fn part<'t>(parameter: Node<'t>, name: &str) -> Option<Node<'t>> {
    parameter.items_at("part").find(|part| part.str_at("name") == Some(name))
}

fn changes(answer: Node<'_>, change: &str) -> Changes {
    let mut each: BTreeMap<(Somebody, String, String), Counts> = BTreeMap::new();
    for parameter in answer.items_at("parameter").filter(|parameter| parameter.str_at("name") == Some(change))
    {
        let code = |name: &str| {
            part(parameter, name).and_then(|part| part.str_at("valueCode")).unwrap_or_default().to_owned()
        };
        let reference = |name: &str| {
            let value = part(parameter, name).and_then(|part| part.get("valueReference"));
            value.and_then(|value| value.str_at("reference")).unwrap_or_default().to_owned()
        };
        let who = Somebody { reference: reference("actor"), organization: reference("organization") };
        let count = part(parameter, "count").and_then(|part| part.get("valueInteger"));
        let count = count.map(|count| count.raw().to_owned()).unwrap_or_default();
        each.entry((who, code("role"), code("purpose"))).or_default().push((code("type"), count));
    }
    let mut changes = Changes::new();
    for ((who, role, purpose), what) in each {
        let (purposes, roles) = changes.entry((who, what)).or_default();
        purposes.insert(purpose);
        roles.insert(role);
    }
    changes
}

/// The references of all who gain or lose.
pub(super) fn parties(answer: Node<'_>) -> BTreeSet<String> {
    let all = ["gains", "loses"].into_iter().flat_map(|change| changes(answer, change).into_keys());
    let references = all.flat_map(|(who, _)| [who.reference, who.organization]);
    references.filter(|reference| !reference.is_empty()).collect()
}

/// Tables of who gains and who loses; `names` has the names that may be known.
pub(super) fn shown(answer: Node<'_>, names: &BTreeMap<String, String>) -> Markup {
    let remarks = answer.items_at("parameter").filter(|parameter| parameter.str_at("name") == Some("remark"));
    let remarks: Vec<&str> = remarks.filter_map(|remark| remark.str_at("valueString")).collect();
    html! {
        (table("Who gains", "Nobody gains access to what is stored now.", &changes(answer, "gains"), names))
        (table("Who loses", "Nobody loses access to what is stored now.", &changes(answer, "loses"), names))
        @if !remarks.is_empty() {
            h2 { "Please note" }
            ul { @for remark in remarks { li { (remark) } } }
        }
    }
}

fn table(title: &str, none: &str, changes: &Changes, names: &BTreeMap<String, String>) -> Markup {
    html! {
        h2 { (title) }
        @if changes.is_empty() { p { (none) } } @else {
            table.list {
                caption { "By what is in the record today" }
                thead { tr { th scope="col" { "Who" } th scope="col" { "For" } th scope="col" { "What" } } }
                tbody {
                    @for ((who, what), (purposes, roles)) in changes {
                        tr {
                            td data-label="Who" { (who.in_words(roles, names)) }
                            td data-label="For" { (listed(&purposes.iter().map(|code| purpose_in_words(code).to_owned()).collect::<Vec<_>>())) }
                            td data-label="What" { (listed(&what.iter().map(counted).collect::<Vec<_>>())) }
                        }
                    }
                }
            }
        }
    }
}

fn counted((type_name, count): &(String, String)) -> String {
    if type_name == "Patient" {
        kind_in_words(type_name)
    } else {
        format!("{} ({count})", kind_in_words(type_name))
    }
}

impl Somebody {
    fn in_words(&self, roles: &BTreeSet<String>, names: &BTreeMap<String, String>) -> String {
        let name = |reference: &str| names.get(reference).cloned().unwrap_or_else(|| reference.to_owned());
        let roles = roles.iter().map(|role| role_in_words(role)).collect::<Vec<_>>().join(" or ");
        match (self.reference.is_empty(), self.organization.is_empty()) {
            (true, _) => format!("Anybody who is {roles}"),
            (false, true) => format!("{}, as {roles}", name(&self.reference)),
            (false, false) => {
                format!("{} of {}, as {roles}", name(&self.reference), name(&self.organization))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{parties, shown};
    use crate::model::parse;

    #[test]
    fn what_is_alike_is_told_once() {
        let row = |change: &str, purpose: &str, kind: &str, count: u8| {
            format!(
                r#"{{"name":"{change}","part":[{{"name":"actor","valueReference":{{"reference":"Organization/m"}}}},{{"name":"role","valueCode":"insurer"}},{{"name":"purpose","valueCode":"{purpose}"}},{{"name":"type","valueCode":"{kind}"}},{{"name":"count","valueInteger":{count}}}]}}"#
            )
        };
        let rows = [
            row("gains", "HPAYMT", "Claim", 2),
            row("gains", "HPAYMT", "Patient", 1),
            row("gains", "HOPERAT", "Claim", 2),
            row("gains", "HOPERAT", "Patient", 1),
        ];
        let text =
            format!(r#"{{"parameter":[{},{{"name":"remark","valueString":"<b>so</b>"}}]}}"#, rows.join(","));
        let tree = parse(text.into_bytes()).unwrap();
        assert_eq!(parties(tree.root()).into_iter().collect::<Vec<_>>(), ["Organization/m"]);
        let names = BTreeMap::from([("Organization/m".to_owned(), "Mutual".to_owned())]);
        let page = shown(tree.root(), &names).into_string();
        assert!(page.contains("Mutual, as an insurer"), "{page}");
        assert!(page.contains("the running of the hospital and payment"), "{page}");
        assert!(page.contains("bills to the insurer (2) and name and contact details"), "{page}");
        assert_eq!(page.matches("<tr>").count(), 2, "{page}");
        assert!(page.contains("Nobody loses access") && page.contains("&lt;b&gt;so"), "{page}");
    }
}
