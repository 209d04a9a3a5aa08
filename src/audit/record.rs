//! Access records: who did what to which versions, about which patients, and on which basis. They are never changed or dropped;
//! the hash chain of the journal seals them.
use std::collections::HashMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::auth::Party;
use crate::consent::{Basis, Release, Withheld};
use crate::model::Millis;

use super::concern::Addition;
use super::entered::Entered;

/// What was done (R4 valueset-audit-event-action.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    #[serde(rename = "C")]
    Create,
    #[serde(rename = "R")]
    Read,
    #[serde(rename = "U")]
    Update,
    #[serde(rename = "D")]
    Delete,
    #[serde(rename = "E")]
    Execute,
}

impl Action {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Create => "C",
            Self::Read => "R",
            Self::Update => "U",
            Self::Delete => "D",
            Self::Execute => "E",
        }
    }
}

/// The interaction that breaks the glass.
pub const BREAK_GLASS: &str = "$break-glass";
/// The interaction that erases a patient's file.
pub const ERASE: &str = "$erase";

/// How much an erasure removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    pub resources: usize,
    pub versions: usize,
}

/// The relation of the party to the own organization and to the patient, at the time of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequesterKind {
    /// Staff or a system of the own organization.
    Own,
    /// The patient or a representative.
    Subject,
    /// Everybody else: what they receive is a disclosure.
    Outside,
}

/// The basis of a decision, as a record stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// No patient is a subject, or the role, scopes and launch context decided.
    #[default]
    None,
    RightOfAccess,
    /// `Consent/id`, and the path of its rule.
    Consent(String, String),
    Policy,
    /// The law that protects the data, as it is cited.
    Law(String),
    BreakGlass,
}

impl From<&Basis> for Ground {
    fn from(basis: &Basis) -> Self {
        match basis {
            Basis::RightOfAccess => Self::RightOfAccess,
            Basis::Consent { id, rule } => Self::Consent(format!("Consent/{id}"), rule.clone()),
            Basis::DefaultPolicy => Self::Policy,
            Basis::Law(law) => Self::Law((*law).to_owned()),
            Basis::BreakGlass => Self::BreakGlass,
            Basis::NotGoverned => Self::None,
        }
    }
}

/// A security label: its system and code.
pub type Label = (String, String);

/// A version that was released, written or withheld.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `Type/id`, with `/_history/version` where the version is known.
    #[serde(rename = "w")]
    pub what: String,
    /// The indexes of the record's patients that it is about; `None` means all of them.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub about: Option<Vec<usize>>,
    #[serde(rename = "l", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    #[serde(rename = "g", skip_serializing_if = "is_none")]
    pub ground: Ground,
    /// What a write did to it; `None` if it was not written.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub done: Option<Action>,
}

fn is_none(ground: &Ground) -> bool {
    *ground == Ground::None
}

/// Reads items of both formats in which they are stored: a record of the first format has only the texts of `what`.
struct ItemVisitor;

#[derive(Deserialize)]
struct Whole {
    w: String,
    #[serde(default)]
    p: Option<Vec<usize>>,
    #[serde(default)]
    l: Vec<Label>,
    #[serde(default)]
    g: Ground,
    #[serde(default)]
    d: Option<Action>,
}

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an item of an access record")
    }

    fn visit_str<E>(self, what: &str) -> Result<Item, E> {
        Ok(Item { what: what.to_owned(), ..Item::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        let Whole { w, p, l, g, d } = Whole::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Item { what: w, about: p, labels: l, ground: g, done: d })
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

impl Item {
    /// Whether it is about the record's patient with this index.
    #[must_use]
    pub fn is_about(&self, patient: usize) -> bool {
        self.about.as_ref().is_none_or(|about| about.contains(&patient))
    }

    /// The type of the resource.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.what.split('/').next().unwrap_or_default()
    }
}

/// One request and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Milliseconds since 1970.
    pub time: Millis,
    /// The code of the interaction.
    pub interaction: String,
    pub action: Action,
    pub subject: String,
    pub client: String,
    pub role: String,
    /// Who issued the token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    #[serde(default, rename = "standing", skip_serializing_if = "Option::is_none")]
    pub requester_kind: Option<RequesterKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fhir_user: Option<String>,
    pub purposes: Vec<String>,
    pub token_id: String,
    /// Why the glass was broken or the file was erased, if that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The method, and the path with its query, as requested.
    pub request: String,
    /// Other criteria of the request, as `Type?criteria`: the conditions of writes, and conditional references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<String>,
    /// Set if this record adds patients to the records of earlier requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addition: Option<Addition>,
    /// `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The network address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What was released or written.
    pub released: Vec<Item>,
    /// What was asked for by its id and not shown. The client is not told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Item>,
    /// `Patient/id` of every patient whom the request concerned.
    pub patients: Vec<String>,
    /// The Consents that decided (`Consent/id`), where the items do not name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    /// How much was erased, if the request erased the patient's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Erased>,
    /// The disclosure that was entered for the accounting, if the request entered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered: Option<Entered>,
    /// The status code of the answer.
    pub status: u16,
}

impl Access {
    /// The record of a party's request, without released items so far.
    #[must_use]
    pub fn of(party: &Party, interaction: &str, action: Action, request: String, time: Millis) -> Self {
        Self {
            time,
            interaction: interaction.to_owned(),
            action,
            subject: party.subject.clone(),
            client: party.client.clone(),
            role: party.role.code().to_owned(),
            issuer: String::new(),
            requester_kind: None,
            organization: party.organization.clone(),
            fhir_user: party.fhir_user.clone(),
            purposes: party.purposes.clone(),
            token_id: party.token_id.clone(),
            reason: party.break_glass.as_ref().map(|glass| glass.reason.clone()),
            request,
            criteria: Vec::new(),
            addition: None,
            request_id: None,
            peer: None,
            released: Vec::new(),
            withheld: Vec::new(),
            patients: Vec::new(),
            consents: Vec::new(),
            erased: None,
            entered: None,
            status: 200,
        }
    }

    /// Whether the request was refused or failed. The deletion of a withheld resource is answered as if the resource had never
    /// existed, but counts as failed here.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.status >= 400 || (!self.withheld.is_empty() && self.released.is_empty())
    }

    /// Adds patients (`Patient/id`) whom the request concerned, although it released no version about them.
    pub fn concern<'p>(&mut self, patients: impl IntoIterator<Item = &'p String>) {
        self.numbers(patients);
    }

    /// Adds versions that were shown.
    pub fn release<'r>(&mut self, releases: impl IntoIterator<Item = &'r Release>) {
        let mut numbered = Numbered::new(&self.patients);
        for release in releases {
            let about = numbered.all(&release.patients, &mut self.patients);
            self.released.push(Item {
                what: format!("{}/_history/{}", release.reference, release.version_id),
                about: Some(about),
                labels: release
                    .labels
                    .iter()
                    .map(|label| (label.system.url().to_owned(), label.code.clone()))
                    .collect(),
                ground: Ground::from(&release.basis),
                done: None,
            });
        }
    }

    /// Adds resources that were asked for and withheld.
    pub fn withhold<'w>(&mut self, withheld: impl IntoIterator<Item = &'w Withheld>) {
        for withheld in withheld {
            let about = self.numbers(&withheld.patients);
            let (what, ground) = (withheld.reference.clone(), Ground::from(&withheld.basis));
            self.withheld.push(Item { what, about: Some(about), ground, ..Item::default() });
        }
    }

    /// Adds a resource (`Type/id`) that was written. Its version follows from the commit that contains the record.
    pub fn write<'p>(
        &mut self,
        what: String,
        patients: impl IntoIterator<Item = &'p String>,
        labels: Vec<Label>,
        done: Action,
    ) {
        let about = Some(self.numbers(patients));
        self.released.push(Item { what, about, labels, ground: Ground::None, done: Some(done) });
    }

    fn numbers<'p>(&mut self, patients: impl IntoIterator<Item = &'p String>) -> Vec<usize> {
        Numbered::new(&self.patients).all(patients, &mut self.patients)
    }
}

/// The indexes of a record's patients.
struct Numbered {
    known: HashMap<String, usize>,
}

impl Numbered {
    fn new(patients: &[String]) -> Self {
        Self { known: patients.iter().cloned().zip(0_usize..).collect() }
    }

    fn all<'p>(
        &mut self,
        patients: impl IntoIterator<Item = &'p String>,
        list: &mut Vec<String>,
    ) -> Vec<usize> {
        let number = |patient: &String| {
            *self.known.entry(patient.clone()).or_insert_with(|| {
                list.push(patient.clone());
                list.len() - 1
            })
        };
        patients.into_iter().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Action, Ground, Item};
    use crate::auth::Party;

    #[test]
    fn records_are_read_back_and_those_of_the_first_format_too() {
        let mut access = Access::of(&Party::nobody(), "read", Action::Read, "GET /".to_owned(), 1);
        let patients = ["Patient/b".to_owned(), "Patient/a".to_owned()];
        access.write("Observation/o".to_owned(), &patients, Vec::new(), Action::Create);
        access.write("Observation/n".to_owned(), patients.get(1), Vec::new(), Action::Update);
        assert_eq!(access.patients, patients);
        assert_eq!(access.released[1].about, Some(vec![1]));
        assert!(access.released[0].is_about(0) && !access.released[1].is_about(0));
        access.released[0].ground = Ground::Consent("Consent/c".to_owned(), "provision".to_owned());
        let text = serde_json::to_vec(&access).unwrap();
        assert_eq!(serde_json::from_slice::<Access>(&text).unwrap(), access);
        let first = r#"{"time":1,"interaction":"read","action":"R","subject":"s","client":"c","role":"insurer","purposes":[],"token_id":"t","request":"GET /","released":["Patient/a/_history/1"],"patients":["Patient/a"],"consents":["Consent/x"],"status":200}"#;
        let first: Access = serde_json::from_str(first).unwrap();
        assert_eq!(first.released, [Item { what: "Patient/a/_history/1".to_owned(), ..Item::default() }]);
        assert!(first.released[0].is_about(0));
    }
}
