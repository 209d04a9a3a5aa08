//! Reads and writes XML (R4 xml.html). fhirbolt converts between XML and the JSON form of a resource. Before it runs, a scan
//! collects every finding with its position; narratives bypass fhirbolt unchanged. docs/decisions/0002-fhirbolt.md gives the
//! reasons.

mod scan;
mod unreadable;
mod write;

use fhirbolt::element::{Primitive, Value};

use super::json::parse;
use super::outcome::{Issue, IssueCode, Outcome};
use super::tree::Tree;
use scan::scan;

pub use scan::root as xml_root;
pub use unreadable::Unreadable;
use unreadable::{DIV_CLOSE, DIV_OPEN, R4Element};
pub use write::to_xml;

/// Reads an XML resource into the same tree as its JSON form.
///
/// # Errors
/// [`Unreadable`] if the document is not a resource.
pub fn from_xml(input: &[u8]) -> Result<Tree, Unreadable> {
    let text = std::str::from_utf8(input).map_err(|error| {
        let position = super::tree::position(input, error.valid_up_to());
        Unreadable::malformed(Issue::error(IssueCode::Structure, "invalid UTF-8").on(position))
    })?;
    let scanned = scan(text.trim_start_matches('\u{feff}'))?;
    let of_structure = |message: String| Unreadable {
        outcome: Outcome::error(IssueCode::Structure, message),
        is_malformed: false,
    };
    let mut element: R4Element =
        fhirbolt::xml::from_str(&scanned.text, None).map_err(|error| of_structure(error.to_string()))?;
    restore(&mut element, &scanned.divs);
    let json = fhirbolt::json::to_vec(&element, None).map_err(|error| of_structure(error.to_string()))?;
    parse(json).map_err(|error| of_structure(error.to_string()))
}

/// Puts the narratives in the places of their stand-ins.
fn restore(element: &mut R4Element, divs: &[String]) {
    for (name, value) in element.iter_mut() {
        match value {
            Value::Element(child) if name == "div" => {
                if let Some(Value::Primitive(Primitive::String(text))) = child.get_mut("value") {
                    restore_text(text, divs);
                }
            }
            Value::Element(child) => restore(child, divs),
            Value::Sequence(children) => children.iter_mut().for_each(|child| restore(child, divs)),
            Value::Primitive(_) => {}
        }
    }
}

fn restore_text(text: &mut String, divs: &[String]) {
    let number = text
        .strip_prefix(DIV_OPEN)
        .and_then(|rest| rest.strip_prefix("narrative-"))
        .and_then(|rest| rest.strip_suffix(DIV_CLOSE))
        .and_then(|number| number.parse::<usize>().ok());
    if let Some(div) = number.and_then(|number| divs.get(number)) {
        text.clone_from(div);
    }
}

#[cfg(test)]
mod tests {
    use super::{from_xml, to_xml};
    use crate::model::{Outcome, minify, parse};

    fn json_of(xml: &str) -> Result<String, Outcome> {
        let tree = from_xml(xml.as_bytes()).map_err(|unreadable| unreadable.outcome)?;
        let mut out = String::new();
        minify(tree.root(), &mut out);
        Ok(out)
    }

    fn findings(xml: &str) -> Vec<String> {
        json_of(xml)
            .unwrap_err()
            .issues
            .into_iter()
            .map(|issue| {
                let (line, column) = issue.position.unwrap_or_default();
                format!("{} {line}:{column} {}", issue.expression.unwrap_or_default(), issue.diagnostics)
            })
            .collect()
    }

    #[test]
    fn narrative_and_primitive_extensions_survive() {
        let div = r#"<div xmlns="http://www.w3.org/1999/xhtml"><p>a &amp;  b <b>c</b> </p>

  <div>x</div></div>"#;
        let xml = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><?pi x?><!-- c -->
<Patient xmlns="http://hl7.org/fhir"><id value="x"/><text><status value="generated"/>{div}</text>
<active value="true"/><name><given value="A &lt; B"/><given id="g"><extension url="u"><valueDecimal value="1.00"/></extension></given></name></Patient>"#
        );
        let json = json_of(&xml).unwrap();
        let tree = parse(json.clone().into_bytes()).unwrap();
        assert_eq!(tree.root().get("text").unwrap().str_at("div").unwrap(), div);
        assert!(json.contains(r#""given":["A < B",null]"#), "{json}");
        assert!(json.contains(r#""valueDecimal":1.00"#), "{json}");
        let again = to_xml(tree.root()).unwrap();
        assert!(again.contains(div), "{again}");
        assert_eq!(json_of(&again).unwrap(), json);
    }

    #[test]
    fn findings_are_all_collected_with_their_places() {
        let xml = "<Patient xmlns=\"http://hl7.org/fhir\">\n <nam value=\"a\"/>\n <name>\n  <family valu=\"x\"/>x\n </name>\n</Patient>";
        assert_eq!(
            findings(xml),
            [
                "Patient.nam 2:2 unknown element `nam`",
                "Patient.name[0].family 4:3 unknown attribute `valu`",
                "Patient.name[0] 4:21 text stands outside of an attribute",
            ]
        );
        assert_eq!(
            findings("<Patient xmlns=\"http://hl7.org/fhir\"><name>")[0].trim(),
            "1:44 the document ends inside `name`"
        );
        assert_eq!(
            findings("<Nothing xmlns=\"http://hl7.org/fhir\"/>")[0],
            "Nothing 1:1 unknown resource type `Nothing`"
        );
        assert!(
            findings("<!DOCTYPE x [<!ENTITY a \"b\">]><Patient xmlns=\"http://hl7.org/fhir\"/>")[0]
                .contains("declaration")
        );
        assert!(findings("<Patient/>")[0].contains("namespace"));
        assert!(findings("<Patient xmlns=\"http://hl7.org/fhir\"><a></b></Patient>")[0].contains("1:"));
        assert!(findings("")[0].contains("no element"));
        assert!(!findings("<Patient xmlns=\"http://hl7.org/fhir\"><multipleBirthInteger value=\"10000000000\"/></Patient>").is_empty());
    }

    #[test]
    fn names_are_of_their_namespace_whatever_their_prefix() {
        let plain = json_of(r#"<Patient xmlns="http://hl7.org/fhir"><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p class="x">a &amp; b</p><br/></div></text><active value="true"/></Patient>"#).unwrap();
        for xml in [
            r#"<?xml version="1.0" encoding="utf-8" standalone="yes"?><f:Patient xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir ../patient.xsd"><f:text><f:status value="generated"/><h:div><h:p class="x">a &amp; b</h:p><h:br/></h:div></f:text><f:active value="true"/></f:Patient>"#,
            r#"<?xml version='1.0'?><Patient xmlns="http://hl7.org/fhir"><text><status value="generated"/><h:div xmlns:h="http://www.w3.org/1999/xhtml"><h:p class='x'>a &amp; b</h:p><h:br/></h:div></text><active value='true'></active></Patient>"#,
        ] {
            assert_eq!(json_of(xml).unwrap(), plain);
        }
        let other = |inner: &str| {
            findings(&format!("<Patient xmlns=\"http://hl7.org/fhir\" xmlns:o=\"urn:o\">{inner}</Patient>"))
        };
        assert!(other("<o:active value=\"true\"/>")[0].contains("unknown element `o:active`"));
        assert!(other("<active o:value=\"true\"/>")[0].contains("unknown attribute `o:value`"));
        assert!(other("<q:active value=\"true\"/>")[0].contains("q:active"));
        let narrative = |div: &str| other(&format!("<text><status value=\"generated\"/>{div}</text>"));
        assert!(narrative("<div>a</div>")[0].contains("namespace"));
        assert!(
            narrative("<h:div xmlns:h=\"http://www.w3.org/1999/xhtml\"><p/></h:div>")[0]
                .contains("namespace")
        );
        assert!(
            findings(
                "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><Patient xmlns=\"http://hl7.org/fhir\"/>"
            )[0]
            .contains("UTF-8")
        );
        assert!(findings("<Patient xmlns=\"http://hl7.org/fhir/STU3\"/>")[0].contains("namespace"));
    }

    #[test]
    fn values_are_named_that_json_could_not_hold() {
        for (inner, at) in [
            ("<active value=\"maybe\"/>", "Patient.active"),
            (
                "<contained><Observation><component/><component><valueBoolean value=\"1\"/></component></Observation></contained>",
                "Patient.contained[0].ofType(Observation).component[1].value.ofType(boolean)",
            ),
            ("<multipleBirthInteger value=\"1.5\"/>", "Patient.multipleBirth.ofType(integer)"),
            (
                "<extension url=\"u\"><valueDecimal value=\"01\"/></extension>",
                "Patient.extension[0].value.ofType(decimal)",
            ),
            (
                "<extension url=\"u\"><valueDecimal value=\" 1\"/></extension>",
                "Patient.extension[0].value.ofType(decimal)",
            ),
        ] {
            let found = findings(&format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>"));
            assert!(found[0].starts_with(at), "{found:?}");
        }
    }

    #[test]
    fn line_breaks_survive_in_values() {
        let json =
            r#"{"resourceType":"Observation","status":"final","code":{"text":"a\n\n* b\tc\r\nd \" < &"}}"#;
        let xml = to_xml(parse(json.as_bytes().to_vec()).unwrap().root()).unwrap();
        assert!(xml.contains("a&#10;&#10;* b&#9;c&#13;&#10;d"), "{xml}");
        assert_eq!(json_of(&xml).unwrap(), json);
        // An unescaped line break in an attribute is read as a space.
        let spaced = xml.replace("&#10;", "\n");
        assert!(json_of(&spaced).unwrap().contains("a  * b"), "{spaced}");
    }

    #[test]
    fn nesting_has_a_limit() {
        let open = "<extension url=\"u\">".repeat(100_000);
        let xml = format!("<Patient xmlns=\"http://hl7.org/fhir\">{open}");
        assert!(findings(&xml)[0].contains("deeper"));
        let (open, close) = ("<extension url=\"u\">".repeat(50), "</extension>".repeat(50));
        let xml = format!(
            "<Patient xmlns=\"http://hl7.org/fhir\">{open}<valueString value=\"x\"/>{close}</Patient>"
        );
        assert!(json_of(&xml).is_ok());
    }
}
