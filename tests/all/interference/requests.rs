//! Random requests: every interaction, on visible, hidden and absent resources.
use std::collections::{BTreeMap, BTreeSet};

use chartward::model::parse;
use chartward::operations::{Preference, Verb, encode};
use serde_json::{Value, json};

use super::data::{Filling, START, STEP, Seen, Taken};
use super::made::{self, Links};
use super::world::{Asked, BASE, Sent, Told};
use crate::oracle::{Oracle, Random, queries};

pub struct Requests {
    pub random: Random,
    steps: i64,
    shown: Vec<String>,
    hidden: Vec<String>,
    /// The resources that the requests created, and the version ids that answers contained: resource, version.
    made: Vec<String>,
    versions: Vec<(String, String)>,
    hidden_versions: Vec<(String, String)>,
    texts: BTreeMap<String, Value>,
    queries: Vec<(String, Vec<(String, String)>)>,
}

/// Operations for which the party may lack the right, with their queries.
const OPERATIONS: [(&str, &str); 11] = [
    ("$everything", "?_count=5"),
    ("$everything", "?start=2020-01-01&_type=Observation,Practitioner,Condition"),
    ("$explain-access", ""),
    ("$consent-enforcement-status", ""),
    ("$who-saw", "?_count=1"),
    ("$accounting-of-disclosures", ""),
    ("$break-glass", ""),
    ("$hold", ""),
    ("$release-hold", ""),
    ("$suspend-accounting", "?agency=Organization/fbi&until=2027-01-01&statement=written"),
    ("$nothing-such", ""),
];

/// Operations on the patient's own file that are not compared: `$explain-access` counts what is on file, and `$who-saw` and
/// `$accounting-of-disclosures` list accesses, which include the test's own requests.
const TOLD_TO_THE_SUBJECT: [&str; 3] = ["$explain-access", "$who-saw", "$accounting-of-disclosures"];

impl Requests {
    pub fn new(seed: u64, steps: &Taken, seen: &Seen, versions: &[Option<String>]) -> Self {
        let mut texts = BTreeMap::new();
        let mut all = BTreeSet::new();
        let mut hidden_versions = Vec::new();
        for ((step, is_seen), version) in steps.iter().zip(&seen.steps).zip(versions) {
            let Some(step) = step else { continue };
            all.insert(step.reference());
            if let Filling::Put(resource) = step {
                texts.insert(step.reference(), resource.clone());
            }
            hidden_versions.extend(version.clone().filter(|_| !is_seen).map(|id| (step.reference(), id)));
        }
        let tree = |text: &Value| (parse(text.to_string().into_bytes()).unwrap(), START);
        let oracle = Oracle::new(texts.values().map(tree).collect(), START);
        Self {
            random: Random::new(seed),
            steps: i64::try_from(steps.len()).unwrap(),
            queries: queries(&oracle, seed, 200),
            shown: seen.shown.iter().cloned().collect(),
            hidden: all.difference(&seen.shown).cloned().collect(),
            made: Vec::new(),
            versions: Vec::new(),
            hidden_versions,
            texts,
        }
    }

    /// Notes the ids in an answer for later requests.
    pub fn learn(&mut self, asked: &Asked, told: &Told) {
        let Some(version) = &told.version else { return };
        let located = told.location.as_deref().and_then(|location| {
            Some(location.strip_prefix(BASE)?.trim_start_matches('/').split_once("/_history/")?.0.to_owned())
        });
        if let (Some(reference), 201) = (&located, told.status) {
            self.made.push(reference.clone());
        }
        let read = asked.url.split('?').next().unwrap_or_default();
        let reference = located.or_else(|| {
            (asked.verb == Verb::Get).then(|| read.split("/_history").next().unwrap().to_owned())
        });
        self.versions.extend(reference.map(|reference| (reference, version.clone())));
    }

    pub fn hidden(&self) -> &[String] {
        &self.hidden
    }

    /// A visible, hidden, created or absent resource.
    fn any(&mut self) -> String {
        let nowhere = format!("Observation/nowhere-{}", self.random.below(3));
        let pool = match self.random.below(100) {
            0..45 => &self.shown,
            45..75 => &self.hidden,
            75..88 => &self.made,
            _ => return nowhere,
        };
        self.random.pick(pool).cloned().unwrap_or(nowhere)
    }

    fn of_type(&mut self, name: &str) -> String {
        for _ in 0..40 {
            let any = self.any();
            if any.starts_with(name) && any[name.len()..].starts_with('/') {
                return any;
            }
        }
        format!("{name}/nowhere-1")
    }

    fn resource(&mut self, name: Option<&str>, id: Option<&str>) -> Value {
        let patients: Vec<String> = (0..3).map(|_| self.of_type("Patient")).collect();
        let others: Vec<String> = (0..6).map(|_| self.any()).collect();
        let links = Links {
            patient: &|random| random.pick(&patients).unwrap().clone(),
            any: &|random| random.pick(&others).unwrap().clone(),
        };
        match name {
            Some(name) => made::of_type(&mut self.random, &links, name, id),
            None => made::resource(&mut self.random, &links, id),
        }
    }

    fn http_date(&mut self) -> String {
        self.random
            .word(&[
                "Wed, 01 Jul 2026 00:02:00 GMT",
                "Thu, 02 Jul 2026 00:00:00 GMT",
                "Mon, 01 Jun 2026 00:00:00 GMT",
            ])
            .to_owned()
    }

    fn version(&mut self) -> (String, String) {
        let pool = if self.random.chance(70) { &self.versions } else { &self.hidden_versions };
        let found = self.random.pick(pool).cloned();
        found.unwrap_or(("Patient/p1".to_owned(), "0123456789abcdef".to_owned()))
    }

    fn preferred(&mut self, asked: Asked) -> Asked {
        let preference = match self.random.below(4) {
            0 => Preference::Minimal,
            1 => Preference::OperationOutcome,
            _ => Preference::Representation,
        };
        Asked { preference, ..asked }
    }

    pub fn next(&mut self) -> Asked {
        match self.random.below(100) {
            0..10 => self.read(),
            10..16 => self.vread(),
            16..25 => self.history(),
            25..48 => self.search(),
            48..58 => self.create(),
            58..67 => self.update(),
            67..73 => self.patch(),
            73..77 => Asked::new(Verb::Delete, self.any()),
            77..84 => self.conditional(),
            84..92 => self.bundle(),
            92..97 => self.operation(),
            _ => self.malformed(),
        }
    }

    fn read(&mut self) -> Asked {
        let reference = self.any();
        let more = self.random.word(&[
            "",
            "",
            "?_summary=true",
            "?_elements=status,subject",
            "?_summary=text",
            "?nothing=1",
        ]);
        let verb = if self.random.chance(25) { Verb::Head } else { Verb::Get };
        let asked = Asked::new(verb, format!("{reference}{more}"));
        let (_, version) = self.version();
        match self.random.below(6) {
            0 => Asked { if_none_match: Some("*".to_owned()), ..asked },
            1 => Asked { if_none_match: Some(format!("W/\"{version}\"")), ..asked },
            2 => Asked { if_modified_since: Some(self.http_date()), ..asked },
            _ => asked,
        }
    }

    fn vread(&mut self) -> Asked {
        let (mut reference, version) = self.version();
        if self.random.chance(20) {
            reference = self.any();
        }
        Asked::new(Verb::Get, format!("{reference}/_history/{version}"))
    }

    /// A moment within the time in which the server was filled.
    fn moment(&mut self) -> String {
        let at = START
            + i64::try_from(self.random.below(usize::try_from(self.steps * 2).unwrap())).unwrap() * STEP;
        encode(&chartward::model::Temporal::from_millis(at).to_text())
    }

    fn history(&mut self) -> Asked {
        let place = match self.random.below(6) {
            0..3 => self.any(),
            3 | 4 => self.random.word(&["Observation", "Patient", "Consent", "Task", "Condition"]).to_owned(),
            _ => String::new(),
        };
        let moment = self.moment();
        let more = match self.random.below(4) {
            0 => format!("?_since={moment}"),
            1 => format!("?_at={moment}&_count=50"),
            2 => "?_count=3".to_owned(),
            _ => "?_count=100".to_owned(),
        };
        Asked::new(Verb::Get, format!("{place}/_history{more}"))
    }

    fn drawn_query(&mut self) -> (String, String) {
        let (name, pairs) = self.random.pick(&self.queries).unwrap().clone();
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        (name, pairs.join("&"))
    }

    fn own_query(&mut self) -> (String, String) {
        let (patient, any, moment) = (self.of_type("Patient"), self.any(), self.moment());
        let (other, name) =
            (self.any(), self.random.word(&["Observation", "Task", "Condition", "List", "Provenance"]));
        let other_id = other.split('/').nth(1).unwrap().to_owned();
        match self.random.below(16) {
            0 => ("Observation".to_owned(), format!("subject={patient}&_sort=-_lastUpdated")),
            1 => (
                "Observation".to_owned(),
                "has-member:identifier=urn:example:act|psy-2,urn:example:act|restricted-3".to_owned(),
            ),
            2 => ("Observation".to_owned(), "_content=psy,restricted,nowhere".to_owned()),
            3 => ("Observation".to_owned(), "_text=psychotherapy".to_owned()),
            4 => ("Observation".to_owned(), format!("focus={any}")),
            5 => (name.to_owned(), format!("_lastUpdated=gt{moment}&_total=accurate")),
            6 => (name.to_owned(), format!("_id={other_id}")),
            7 => ("Patient".to_owned(), "_has:Observation:subject:value-quantity=lt100".to_owned()),
            8 => ("Task".to_owned(), format!("focus={any}&_include=Task:focus")),
            9 => ("List".to_owned(), "item:text=about".to_owned()),
            10 => ("Observation".to_owned(), "_list=p2-list".to_owned()),
            11 => ("Observation".to_owned(), "has-member.value-quantity=lt100".to_owned()),
            12 => (
                "Observation".to_owned(),
                "_filter=has-member.status eq final and subject.family co \"e\""
                    .replace(' ', "%20")
                    .replace('"', "%22"),
            ),
            13 => ("Provenance".to_owned(), format!("target={any}")),
            14 => (String::new(), "_type=Observation,Task,List&_sort=-_lastUpdated".to_owned()),
            _ => (format!("{patient}/{}", self.random.word(&["*", "Observation", "Task"])), String::new()),
        }
    }

    fn search(&mut self) -> Asked {
        let (path, query) = if self.random.chance(50) { self.drawn_query() } else { self.own_query() };
        let more = self.random.word(&[
            "",
            "_count=3",
            "_count=2&_total=accurate",
            "_summary=count",
            "_count=5&_include=*",
            "_count=4&_revinclude=Observation:has-member&_revinclude=Provenance:target",
            "_count=6&_elements=subject",
            "_count=5&_total=none&_include=*&_include:iterate=*",
        ]);
        let query = [query.as_str(), more]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("&");
        if self.random.chance(15) {
            return Asked { body: Sent::Form(query), ..Asked::new(Verb::Post, format!("{path}/_search")) };
        }
        let asked = Asked::new(Verb::Get, format!("{path}?{query}"));
        Asked { lenient: self.random.chance(10), ..asked }
    }

    fn criteria(&mut self) -> String {
        let any = self.any();
        let id = any.split('/').nth(1).unwrap().to_owned();
        match self.random.below(6) {
            0 => format!("_id={id}"),
            1 => format!("identifier=urn:example:new|{}", self.random.below(50)),
            2 => format!("subject={}", self.of_type("Patient")),
            3 => format!("subject={}&status=final&value-quantity=114", self.of_type("Patient")),
            4 => format!("identifier=urn:example:mrn|{}", self.random.below(8)),
            _ => format!("subject={}&code=8462-4", self.of_type("Patient")),
        }
    }

    fn create(&mut self) -> Asked {
        let resource = self.resource(None, None);
        let name = resource["resourceType"].as_str().unwrap().to_owned();
        let asked = Asked::new(Verb::Post, name).with(&resource);
        let if_none_exist = if self.random.chance(30) { Some(self.criteria()) } else { None };
        self.preferred(Asked { if_none_exist, ..asked })
    }

    /// The stored resource with a change, or another one, under the same id.
    fn body_for(&mut self, reference: &str) -> Value {
        let (name, id) = reference.split_once('/').unwrap();
        match self.texts.get(reference).cloned().filter(|_| self.random.chance(60)) {
            Some(mut text) => {
                text["language"] = json!(self.random.word(&["de", "fr"]));
                text
            }
            None => {
                let mut made = self.resource(Some(name), Some(id));
                if self.random.chance(80) && made["resourceType"] != name {
                    made = json!({"resourceType": name, "id": id, "status": "active"});
                }
                made
            }
        }
    }

    fn update(&mut self) -> Asked {
        let reference = self.any();
        let body = self.body_for(&reference);
        let (_, version) = self.version();
        let if_match = self.random.chance(20).then(|| format!("W/\"{version}\""));
        let asked = Asked::new(Verb::Put, reference).with(&body);
        self.preferred(Asked { if_match, ..asked })
    }

    fn json_patch(&mut self) -> String {
        let any = self.any();
        match self.random.below(4) {
            0 => r#"[{"op":"add","path":"/language","value":"de"}]"#.to_owned(),
            1 => r#"[{"op":"test","path":"/status","value":"final"},{"op":"add","path":"/language","value":"fr"}]"#.to_owned(),
            2 => format!(r#"[{{"op":"add","path":"/subject","value":{{"reference":"{any}"}}}}]"#),
            _ => r#"[{"op":"remove","path":"/hasMember"}]"#.to_owned(),
        }
    }

    fn patch(&mut self) -> Asked {
        let (reference, patch) = (self.any(), self.json_patch());
        let asked = Asked { body: Sent::JsonPatch(patch), ..Asked::new(Verb::Patch, reference) };
        self.preferred(asked)
    }

    fn conditional(&mut self) -> Asked {
        let criteria = self.criteria();
        let name = self.random.word(&["Observation", "Observation", "Condition", "Patient", "Task"]);
        let url = format!("{name}?{criteria}");
        let asked = match self.random.below(4) {
            0 => Asked::new(Verb::Delete, url),
            1 => Asked { body: Sent::JsonPatch(self.json_patch()), ..Asked::new(Verb::Patch, url) },
            _ => {
                let body = self.resource(Some(name), None);
                Asked::new(Verb::Put, url).with(&body)
            }
        };
        self.preferred(asked)
    }

    /// A batch or transaction of other requests, with references between entries and conditional references.
    fn bundle(&mut self) -> Asked {
        let mut entries = Vec::new();
        for number in 0..=self.random.below(4) {
            let asked = match self.random.below(8) {
                0 => self.read(),
                1 => self.search(),
                2 | 3 => self.create(),
                4 => self.update(),
                5 => Asked::new(Verb::Delete, self.any()),
                6 => self.conditional(),
                _ => {
                    let mut body = self.resource(Some("Observation"), None);
                    let criteria = self.criteria();
                    let target = if self.random.chance(50) {
                        format!("Observation?{criteria}")
                    } else {
                        "urn:uuid:0".to_owned()
                    };
                    body["hasMember"] = json!([{"reference": target}]);
                    Asked::new(Verb::Post, "Observation").with(&body)
                }
            };
            let mut entry = json!({"fullUrl": format!("urn:uuid:{number}"),
                "request": {"method": asked.verb.name(), "url": asked.url}});
            for (name, value) in [
                ("ifMatch", &asked.if_match),
                ("ifNoneMatch", &asked.if_none_match),
                ("ifNoneExist", &asked.if_none_exist),
            ] {
                if let Some(value) = value {
                    entry["request"][name] = json!(value);
                }
            }
            if let Sent::Resource(text) = &asked.body {
                entry["resource"] = serde_json::from_str(text).unwrap();
            }
            entries.push(entry);
        }
        // A patient who may exist, together with a resource about that patient.
        if self.random.chance(25) {
            let patient = self.of_type("Patient");
            let id = patient.split('/').nth(1).unwrap().to_owned();
            let body = self.resource(Some("Patient"), Some(&id));
            entries.push(json!({"resource": body, "request": {"method": "PUT", "url": patient}}));
            let about = json!({"resourceType": "Observation", "status": "final", "code": {"text": "referred"},
                "subject": {"reference": patient}});
            entries.push(json!({"resource": about, "request": {"method": "POST", "url": "Observation"}}));
        }
        let kind = self.random.word(&["batch", "transaction", "transaction"]);
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": entries});
        let asked = Asked::new(Verb::Post, "").with(&bundle);
        self.preferred(asked)
    }

    fn operation(&mut self) -> Asked {
        let (patient, any) = (self.of_type("Patient"), self.any());
        match self.random.below(5) {
            0 => Asked::new(
                Verb::Get,
                format!("Consent/$decide?actor=Organization/acme&purpose=TREAT&resource={any}"),
            ),
            1 => {
                let consent = self.resource(Some("Consent"), None);
                Asked::new(Verb::Post, "Consent/$preview").with(&consent)
            }
            2 => {
                let member = json!({"resourceType": "Parameters", "parameter": [
                    {"name": "MemberPatient", "resource": {"resourceType": "Patient"}},
                    {"name": "CoverageToMatch", "resource": {"resourceType": "Coverage"}},
                    {"name": "CoverageToLink", "resource": {"resourceType": "Coverage"}},
                    {"name": "Consent", "resource": self.resource(Some("Consent"), None)}]});
                Asked::new(Verb::Post, "Patient/$member-match").with(&member)
            }
            _ => {
                let (name, more) = OPERATIONS[self.random.below(OPERATIONS.len())];
                let more = if TOLD_TO_THE_SUBJECT.contains(&name) { "?nothing=1" } else { more };
                let more = if self.random.chance(50) { more } else { "?nothing=1" };
                Asked::new(Verb::Post, format!("{patient}/{name}{more}"))
            }
        }
    }

    fn malformed(&mut self) -> Asked {
        let any = self.any();
        let name = any.split('/').next().unwrap().to_owned();
        match self.random.below(7) {
            0 => Asked::new(Verb::Get, format!("{name}?nothing-such=1")),
            1 => Asked::new(Verb::Get, format!("{any}/_history/not!a!version")),
            2 => Asked::new(Verb::Put, any).with(&json!({"resourceType": "Observation", "id": "x"})),
            3 => Asked::new(Verb::Put, any).with(&json!({"resourceType": name, "nothing": 1})),
            4 => Asked { if_match: Some("nonsense".to_owned()), ..Asked::new(Verb::Delete, any) },
            5 => Asked { body: Sent::JsonPatch("{".to_owned()), ..Asked::new(Verb::Patch, any) },
            _ => Asked::new(Verb::Get, format!("{any}/{name}")),
        }
    }
}
