//! Tests of the parameter types on small resources: which values find them and which do not.
use crate::definitions::r4;
use crate::model::parse;
use crate::search::{Reading, ValueContext, entries, fulfils, parse_query, search_params};

const BASE: &str = "http://here/fhir";

/// Whether a search parameter finds the resource, evaluated on its entries and texts in memory.
fn found(json: &str, name: &str, value: &str) -> bool {
    let tree = parse(json.as_bytes().to_vec()).unwrap();
    let def = r4().resource(tree.root().str_at("resourceType").unwrap()).unwrap();
    let reading = Reading {
        params: search_params(),
        asking: ValueContext { now: 1_600_000_000_000, base_url: BASE },
        lenient: false,
    };
    let query = parse_query(&reading, def, &[(name.to_owned(), value.to_owned())]).unwrap();
    let own = entries(search_params(), tree.root());
    query.filters.iter().all(|filter| fulfils(filter, tree.root(), &own, None).unwrap())
}

fn check(json: &str, name: &str, cases: &[(&str, bool)]) {
    for (value, expected) in cases {
        assert_eq!(found(json, name, value), *expected, "{name}={value}");
    }
}

#[test]
fn tokens_match_with_and_without_system() {
    let json = r#"{"resourceType":"Condition","code":{"coding":[{"system":"http://s","code":"a|b","display":"Bád Cold"},{"code":"plain"}],"text":"Sniffles"},"subject":{"reference":"Patient/1"}}"#;
    let values = [
        ("a\\|b", true),
        ("http://s|a\\|b", true),
        ("|a\\|b", false),
        ("http://s|", true),
        ("http://t|", false),
        ("plain", true),
        ("|plain", true),
        ("x,plain", true),
        ("x", false),
        ("plai", false),
    ];
    check(json, "code", &values);
    check(json, "code:not", &[("x", true), ("plain", false), ("x,plain", false)]);
    check(json, "code:text", &[("bad c", true), ("sniff", true), ("cold", false)]);
    check(json, "severity:missing", &[("true", true), ("false", false)]);
    let patient = r#"{"resourceType":"Patient","gender":"male","active":true,"identifier":[{"type":{"coding":[{"system":"http://t","code":"MR"}]},"system":"http://i","value":"12"}]}"#;
    check(patient, "gender", &[("http://hl7.org/fhir/administrative-gender|male", true), ("|male", false)]);
    check(patient, "active", &[("true", true)]);
    check(
        patient,
        "identifier:of-type",
        &[("http://t|MR|12", true), ("http://t|MR|1", false), ("http://t|SS|12", false)],
    );
}

#[test]
fn strings_match_folded_from_the_start() {
    let json = r#"{"resourceType":"Patient","name":[{"family":"Van der Müll","given":["Robert"]}]}"#;
    check(
        json,
        "family",
        &[
            ("van DER mull", true),
            ("mull", true),
            ("der", true),
            ("der m", true),
            ("er", false),
            ("mull van", true),
            ("van mull", true),
            ("van schmidt", false),
        ],
    );
    check(json, "name", &[("robert mull", true), ("MÜLL, x", true), ("robert smith", false)]);
    check(json, "family:contains", &[("MUL", true), ("xx", false)]);
    check(json, "family:exact", &[("Van der Müll", true), ("van der Müll", false)]);
    check(json, "name", &[("rob", true)]);
    let names = r#"{"resourceType":"Patient","name":[{"family":"O'Brien-Straße","given":["Łukasz Aage"],"text":"St. John"}]}"#;
    check(
        names,
        "family",
        &[
            ("obrien", true),
            ("O\u{2019}Brien strasse", true),
            ("o\u{b4}brien", true),
            ("STRASSE", true),
            ("brien", false),
        ],
    );
    check(names, "family:exact", &[("O'Brien-Straße", true), ("OBrien Straße", false), ("Straße", false)]);
    check(names, "family:contains", &[("brien-str", true), ("sse", true), ("x", false)]);
    check(names, "given", &[("lukasz", true), ("aage", true), ("age", false)]);
    check(names, "name", &[("st john", true), ("john", true), ("lukasz john", true)]);
    // A string that is not a name matches from its beginning only.
    let title = r#"{"resourceType":"ValueSet","status":"active","title":"Blood sugar"}"#;
    check(title, "title", &[("blood s", true), ("sugar", false)]);
    check(json, "phonetic", &[("Rupert", true), ("Rupert mul", true), ("Rupert Smith", false)]);
}

#[test]
fn references_match_by_id_type_and_url() {
    let json = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1","identifier":{"system":"s","value":"v"}},"performer":[{"reference":"http://x/Practitioner/9"}]}"#;
    check(
        json,
        "subject",
        &[
            ("Patient/1", true),
            ("Group/1", false),
            ("http://here/fhir/Patient/1", true),
            ("http://there/Patient/1", false),
        ],
    );
    check(json, "patient", &[("1", true), ("2", false)]);
    check(json, "subject:Patient", &[("1", true), ("Patient/1", true)]);
    check(json, "subject:Group", &[("1", false)]);
    check(json, "performer", &[("http://x/Practitioner/9", true)]);
    check(json, "subject:identifier", &[("s|v", true), ("t|v", false), ("v", true)]);
    let canonical = r#"{"resourceType":"CarePlan","status":"active","intent":"plan","subject":{"reference":"Patient/1"},"instantiatesCanonical":["http://q/a|1.0"]}"#;
    check(
        canonical,
        "instantiates-canonical",
        &[("http://q/a", true), ("http://q/a|1.0", true), ("http://q/a|2.0", false)],
    );
}

#[test]
fn dates_are_intervals() {
    let json = r#"{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"period":{"start":"2020-03-10","end":"2020-03-12"}}"#;
    let values = [
        ("2020", true),
        ("2020-03", true),
        ("2020-03-10", false),
        ("ge2020-03-11", true),
        ("ge2020-03-12", true),
        ("ge2020-03-13", false),
        ("le2020-03-10", true),
        ("le2020-03-11", true),
        ("ge2020-02", true),
        ("le2020-02", false),
        ("gt2020-03-12", false),
        ("gt2020-03-11", true),
        ("lt2020-03-11", true),
        ("lt2020-03-10", false),
        ("le2020-03-09", false),
        ("sa2020-03-09", true),
        ("sa2020-03-10", false),
        ("eb2020-03-13", true),
        ("eb2020-03-12", false),
        ("ne2020", false),
        ("ne2020-03-10", true),
        // The test's current time is 2020-09-13, half a year away, so a tenth is some 18 days.
        ("ap2020-03-25", true),
        ("ap2020-06", false),
    ];
    check(json, "date", &values);
    let open = r#"{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"period":{"start":"2020-03-10"}}"#;
    check(
        open,
        "date",
        &[("gt2030", true), ("ge2030", true), ("le2030", true), ("le2020-03-09", false), ("2020", false)],
    );
    let fine = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectiveDateTime":"2020-01-01T10:00:00.1234Z"}"#;
    check(
        fine,
        "date",
        &[
            ("2020-01-01T10:00:00.1234Z", true),
            ("2020-01-01T10:00:00.123Z", true),
            ("2020-01-01T10:00:00.1235Z", false),
            ("gt2020-01-01T10:00:00.1233Z", true),
            ("gt2020-01-01T10:00:00.1234Z", false),
            ("ge2020-01-01T10:00:00.1234Z", true),
            ("lt2020-01-01T10:00:00.1235Z", true),
            ("lt2020-01-01T10:00:00.1234Z", false),
            ("sa2020-01-01T10:00:00.1233Z", true),
            ("ne2020-01-01T10:00:00.1234Z", false),
        ],
    );
    let leap = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectiveDateTime":"2016-12-31T23:59:60Z"}"#;
    check(leap, "date", &[("2017-01-01T00:00:00Z", true), ("2016", false), ("2016-12-31T23:59:60Z", true)]);
}

#[test]
fn long_texts_are_compared_whole() {
    let long = |end: &str| format!("{}{end}", "A".repeat(600));
    let json = format!(
        r#"{{"resourceType":"ValueSet","status":"active","url":"http://x/{0}1","title":"{0}1","identifier":[{{"system":"urn:{0}1","value":"{0}1"}}],"useContext":[{{"code":{{"code":"focus"}},"valueCodeableConcept":{{"text":"{0}1"}}}}]}}"#,
        long("")
    );
    for (name, before) in [
        ("url", "http://x/"),
        ("url:below", "http://x/"),
        ("title", ""),
        ("title:exact", ""),
        ("title:contains", ""),
        ("identifier", ""),
        ("context:text", ""),
    ] {
        assert!(found(&json, name, &format!("{before}{}", long("1"))), "{name}");
        assert!(!found(&json, name, &format!("{before}{}", long("2"))), "{name}");
        assert!(!found(&json, name, &format!("{before}{}", long("A1"))), "{name}");
    }
    check(&json, "title:contains", &[("a1", true), ("a2", false)]);
    for (value, expected) in [("1", true), ("2", false)] {
        assert_eq!(found(&json, "identifier", &format!("urn:{}|", long(value))), expected, "{value}");
        assert_eq!(found(&json, "_filter", &format!("title ew \"{value}\"")), expected, "{value}");
        assert_eq!(found(&json, "_filter", &format!("url ew \"{value}\"")), expected, "{value}");
        assert_eq!(found(&json, "_filter", &format!("url co \"A{value}\"")), expected, "{value}");
    }
    let words = format!(r#"{{"resourceType":"Patient","name":[{{"family":"Van {}"}}]}}"#, long("1"));
    assert!(found(&words, "family", &long("1")));
    assert!(!found(&words, "family", &long("2")));
}

#[test]
fn case_does_not_count_of_strings_and_emails() {
    let set = r#"{"resourceType":"ValueSet","status":"active","version":"1.0.0-Ballot","identifier":[{"value":"Ab"}]}"#;
    check(
        set,
        "version",
        &[("1.0.0-ballot", true), ("1.0.0-BALLOT", true), ("1.0.0-Ballot", true), ("1.0.0", false)],
    );
    // Codes and identifiers keep their case.
    check(set, "identifier", &[("Ab", true), ("ab", false)]);
    check(set, "status", &[("active", true), ("ACTIVE", false)]);
    let patient = r#"{"resourceType":"Patient","telecom":[{"system":"email","value":"A@B.example"}]}"#;
    check(patient, "email", &[("a@b.example", true), ("A@b.Example", true), ("a@b", false)]);
    check(patient, "telecom", &[("a@b.example", true), ("A@B.EXAMPLE", true)]);
    check(patient, "telecom:not", &[("A@B.EXAMPLE", false)]);
}

#[test]
fn numbers_have_the_precision_they_are_asked_with() {
    let json = r#"{"resourceType":"RiskAssessment","status":"final","subject":{"reference":"Patient/1"},"prediction":[{"probabilityDecimal":0.8},{"probabilityRange":{"low":{"value":10},"high":{"value":20}}}]}"#;
    check(
        json,
        "probability",
        &[
            ("0.8", true),
            ("0.80", true),
            ("0.81", false),
            ("1", true),
            ("gt0.8", true),
            ("lt0.8", false),
            ("le0.8", true),
            ("gt20", false),
            ("ge20", true),
            ("sa9", true),
            ("sa10", false),
            ("eb21", true),
            ("ap0.75", true),
            ("ap21", true),
            ("ap23", false),
            ("ne0.8", true),
        ],
    );
}

#[test]
fn quantities_are_compared_in_canonical_units() {
    let of = |quantity: &str| {
        format!(
            r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://l","code":"c"}}]}},"valueQuantity":{quantity}}}"#
        )
    };
    let gram = of(r#"{"value":1,"unit":"gram","system":"http://unitsofmeasure.org","code":"g"}"#);
    let ucum = "http://unitsofmeasure.org";
    for (value, expected) in [
        ("1".to_owned(), true),
        ("1000".to_owned(), false),
        (format!("1000|{ucum}|mg"), true),
        (format!("1001|{ucum}|mg"), false),
        (format!("gt999|{ucum}|mg"), true),
        (format!("1|{ucum}|m"), false),
        ("1||g".to_owned(), true),
        ("1||gram".to_owned(), true),
        ("1000||mg".to_owned(), false),
        ("1|http://other|g".to_owned(), false),
    ] {
        assert_eq!(found(&gram, "value-quantity", &value), expected, "{value}");
    }
    let below = of(r#"{"value":5,"comparator":"<","system":"http://unitsofmeasure.org","code":"mg"}"#);
    check(
        &below,
        "value-quantity",
        &[("lt3", true), ("gt3", true), ("gt5", false), ("ge5", true), ("5", false)],
    );
    check(
        &gram,
        "code-value-quantity",
        &[
            ("c$1", true),
            ("http://l|c$ge1", true),
            ("http://m|c$1", false),
            ("c$gt1", false),
            ("d$1", false),
            ("http://l|$1", true),
        ],
    );
    let composite = format!("c$1000|{ucum}|mg");
    assert!(found(&gram, "code-value-quantity", &composite));
}

#[test]
fn uris_places_and_words_are_found() {
    let set = r#"{"resourceType":"ValueSet","status":"active","url":"http://a/b/c"}"#;
    check(set, "url", &[("http://a/b/c", true), ("http://a/b", false)]);
    check(set, "url:below", &[("http://a/", true), ("http://b", false)]);
    check(set, "url:above", &[("http://a/b/c/d", true), ("http://a/b/cd", false)]);
    let place = r#"{"resourceType":"Location","position":{"latitude":52.52,"longitude":13.405}}"#;
    check(
        place,
        "near",
        &[
            ("52.4|13.1|30|km", true),
            ("52.4|13.1|10|km", false),
            ("52.4|13.1", true),
            ("52.52|13.405|0|m", true),
        ],
    );
    let text = r#"{"resourceType":"Condition","text":{"status":"generated","div":"<div>Severe &amp; chronic <b>asthma</b></div>"},"code":{"text":"Short of breath"},"subject":{"reference":"Patient/1"}}"#;
    check(
        text,
        "_text",
        &[
            ("asthma severe", true),
            ("asth", false),
            ("asth*", true),
            ("NOT asthma", false),
            ("breath", false),
            ("cold OR (chronic asthma)", true),
            ("\"chronic asthma\"", true),
            ("\"severe asthma\"", false),
        ],
    );
    check(text, "_content", &[("breath", true), ("breath chronic", true), ("p*", false)]);
    check(
        text,
        "_filter",
        &[
            ("_id eq \"x\" or clinical-status pr false", true),
            ("not (code pr false)", true),
            ("not (code pr true)", false),
        ],
    );
}
