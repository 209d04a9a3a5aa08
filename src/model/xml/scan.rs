//! The pass over an XML resource before fhirbolt sees it: well-formedness to the end, nesting, names and attributes
//! against the definitions, and every finding with path, line and column. It also lifts the narratives out.
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::definitions::{Kind, TypeDef, r4};
use crate::model::outcome::{Findings, Issue, IssueCode, Outcome};
use crate::model::tree::position;

use super::stand_in;

const FHIR: &str = "http://hl7.org/fhir";
const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Two JSON levels (array and object) for each level of XML keep within the depth of the JSON form.
const XML_DEPTH_MAX: usize = 58;

/// A scanned document: fit for fhirbolt, with its narratives aside.
pub(super) struct Scanned {
    pub(super) text: String,
    pub(super) divs: Vec<String>,
}

/// An open element: its name and what the standard knows of it. `None` below an unknown element.
struct Open {
    name: String,
    def: Option<&'static TypeDef>,
}

struct Scan<'x> {
    input: &'x str,
    out: Scanned,
    open: Vec<Open>,
    findings: Findings,
    roots: usize,
}

/// Scans a document.
///
/// # Errors
/// All findings.
pub(super) fn scan(input: &str) -> Result<Scanned, Outcome> {
    let out = Scanned { text: String::with_capacity(input.len()), divs: Vec::new() };
    let mut scan = Scan { input, out, open: Vec::new(), findings: Findings::default(), roots: 0 };
    scan.document();
    if scan.findings.is_empty() {
        return Ok(scan.out);
    }
    let (mut findings, more) = scan.findings.into_parts();
    if more > 0 {
        let said = format!("{more} further findings are not listed");
        findings.push(Issue::information(IssueCode::TooLong, said));
    }
    Err(findings.into())
}

impl Scan<'_> {
    fn report(&mut self, code: IssueCode, at: usize, name: Option<&str>, diagnostics: impl Into<String>) {
        let (input, open) = (self.input, &self.open);
        // Where it is is counted from the beginning, so only for what is kept.
        self.findings.push(|| {
            let issue = Issue::error(code, diagnostics).on(position(input.as_bytes(), at));
            let path: Vec<&str> = open.iter().map(|open| open.name.as_str()).chain(name).collect();
            if path.is_empty() { issue } else { issue.at(path.join(".")) }
        });
    }

    fn document(&mut self) {
        let mut reader = Reader::from_str(self.input);
        loop {
            let from = offset(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let at = offset(reader.error_position());
                    self.open.clear();
                    return self.report(IssueCode::Structure, at, None, error.to_string());
                }
            };
            let to = offset(reader.buffer_position());
            match event {
                Event::Eof => break,
                Event::Start(start) if self.is_narrative(&start) => {
                    if !self.narrative(&mut reader, &start, from) {
                        return;
                    }
                }
                Event::Start(start) => {
                    if !self.start(&start, from) {
                        return;
                    }
                    self.copy(from, to);
                }
                Event::Empty(start) => {
                    if self.start(&start, from) {
                        self.open.pop();
                    }
                    self.copy(from, to);
                }
                Event::End(_) => {
                    self.open.pop();
                    self.copy(from, to);
                }
                Event::Text(text) if text.trim().is_empty() => self.copy(from, to),
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    self.report(IssueCode::Structure, from, None, "text stands outside of an attribute");
                }
                Event::DocType(_) => {
                    return self.report(
                        IssueCode::Structure,
                        from,
                        None,
                        "a document type declaration is refused",
                    );
                }
                Event::Decl(_) => self.copy(from, to),
                Event::Comment(_) | Event::PI(_) => {}
            }
        }
        self.end();
    }

    fn end(&mut self) {
        let at = self.input.len();
        if let Some(open) = self.open.pop() {
            self.open.clear();
            self.report(IssueCode::Structure, at, None, format!("the document ends inside `{}`", open.name));
        } else if self.roots != 1 {
            let message =
                if self.roots == 0 { "the document has no element" } else { "the document has two roots" };
            self.report(IssueCode::Structure, at, None, message);
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.out.text.push_str(self.input.get(from..to).unwrap_or_default());
    }

    /// Opens an element. `false` if there is no point in going on.
    fn start(&mut self, start: &BytesStart<'_>, from: usize) -> bool {
        let name = start.name().as_ref().to_owned();
        if self.open.len() >= XML_DEPTH_MAX {
            self.open.clear();
            let message = format!("nested deeper than the limit of {XML_DEPTH_MAX} levels");
            self.report(IssueCode::TooCostly, from, None, message);
            return false;
        }
        let def = match self.open.last() {
            None => self.root(start, &name, from),
            Some(Open { def: None, .. }) => None,
            Some(Open { def: Some(parent), .. }) if is_slot(parent) => self.resource(&name, from),
            Some(Open { def: Some(parent), .. }) => {
                let of = child_type(parent, &name);
                if of.is_none() {
                    self.report(IssueCode::Structure, from, Some(&name), format!("unknown element `{name}`"));
                }
                of
            }
        };
        self.attributes(start, &name, def, from);
        self.open.push(Open { name, def });
        true
    }

    fn root(&mut self, start: &BytesStart<'_>, name: &str, from: usize) -> Option<&'static TypeDef> {
        self.roots += 1;
        if namespace(start).as_deref() != Some(FHIR) {
            self.report(
                IssueCode::Structure,
                from,
                Some(name),
                format!("the root is not in the namespace {FHIR}"),
            );
        }
        self.resource(name, from)
    }

    fn resource(&mut self, name: &str, from: usize) -> Option<&'static TypeDef> {
        let def = r4().resource(name);
        if def.is_none() {
            self.report(IssueCode::Structure, from, Some(name), format!("unknown resource type `{name}`"));
        }
        def
    }

    /// R4 xml.html: values stand in `value`, ids of elements in `id`, the URL of an extension in `url`.
    fn attributes(&mut self, start: &BytesStart<'_>, name: &str, def: Option<&TypeDef>, from: usize) {
        for attribute in start.attributes() {
            let Ok(attribute) = attribute else {
                self.report(IssueCode::Structure, from, Some(name), "an attribute is not well-formed");
                continue;
            };
            let key = attribute.key.as_ref();
            let known = match (key, def) {
                ("xmlns", _) => true,
                (_, None) => true,
                ("value", Some(def)) => def.kind == Kind::Primitive,
                ("id", Some(def)) => def.kind != Kind::Resource,
                ("url", Some(def)) => &*def.name == "Extension",
                _ => key.starts_with("xmlns:") || key.starts_with("xsi:"),
            };
            if !known {
                self.report(IssueCode::Structure, from, Some(name), format!("unknown attribute `{key}`"));
            }
        }
    }

    fn is_narrative(&self, start: &BytesStart<'_>) -> bool {
        start.name().as_ref() == "div"
            && self.open.last().is_some_and(|open| open.def.is_some_and(|def| &*def.name == "Narrative"))
    }

    /// Lifts a narrative out, from its start tag to its end tag. `false` if the document ends in it.
    fn narrative(&mut self, reader: &mut Reader<&[u8]>, start: &BytesStart<'_>, from: usize) -> bool {
        let end = start.to_end().into_owned();
        if let Err(error) = reader.read_to_end(end.name()) {
            let at = offset(reader.error_position());
            self.open.clear();
            self.report(IssueCode::Structure, at, None, format!("the narrative is not well-formed: {error}"));
            return false;
        }
        let text = self.input.get(from..offset(reader.buffer_position())).unwrap_or_default();
        let div = if namespace(start).is_some() {
            text.to_owned()
        } else {
            // A namespace declared further up must be said where the narrative stands alone, in JSON.
            text.replacen("<div", &format!("<div xmlns=\"{XHTML}\""), 1)
        };
        self.out.text.push_str(&stand_in(self.out.divs.len()));
        self.out.divs.push(div);
        true
    }
}

/// `contained` and the like hold one resource, whose element is its type.
fn is_slot(parent: &TypeDef) -> bool {
    parent.kind == Kind::Resource && parent.is_abstract
}

/// A primitive holds nothing but extensions, as every element does.
fn child_type(parent: &TypeDef, name: &str) -> Option<&'static TypeDef> {
    let property = match parent.kind {
        Kind::Primitive => r4().find("Element").and_then(|element| element.property(name)),
        Kind::Complex | Kind::Backbone | Kind::Resource => parent.property(name),
    };
    property.and_then(|property| r4().get(property.type_id))
}

fn namespace(start: &BytesStart<'_>) -> Option<String> {
    let attribute = start.attributes().flatten().find(|attribute| attribute.key.as_ref() == "xmlns")?;
    Some(attribute.value.into_owned())
}

fn offset(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
