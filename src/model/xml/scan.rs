//! The pass over an XML resource before fhirbolt reads it. It checks that the whole document is well-formed, and its nesting,
//! names and attributes against the definitions, reports every finding with path, line and column, and takes the narratives out.
use std::collections::HashMap;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::{NamespaceResolver, QName, ResolveResult};
use quick_xml::{NsReader, XmlVersion};

use crate::definitions::{Kind, TypeDef, r4};
use crate::model::json::parse;
use crate::model::outcome::{Findings, Issue, IssueCode, Outcome};
use crate::model::primitive::check_primitive;
use crate::model::tree::{JsonKind, position};

use super::Unreadable;
use super::unreadable::stand_in;

const FHIR: &str = "http://hl7.org/fhir";
const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Attributes of this namespace, such as `xsi:schemaLocation`, say nothing about the resource.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Each XML level becomes at most two JSON levels (array and object), so this keeps within the depth limit of JSON.
const XML_DEPTH_MAX: usize = 58;

/// A scanned document: without namespace prefixes, as fhirbolt needs it, and the narratives that were taken out of it.
pub(super) struct Scanned {
    pub(super) text: String,
    pub(super) divs: Vec<String>,
}

/// An open element: its name and its type. `None` for an unknown element and everything below it.
struct Open {
    name: String,
    def: Option<&'static TypeDef>,
    /// Its step in a path of the simple FHIRPath subset.
    step: String,
    /// How often each repeating child has occurred so far.
    counts: HashMap<String, usize>,
}

/// The name of an element, and whether its namespace is FHIR's, XHTML's, or another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Fhir(String),
    Xhtml(String),
    /// The name as written, with its prefix.
    Other(String),
}

impl Name {
    fn of_element(resolver: &NamespaceResolver, name: QName<'_>) -> Self {
        let (namespace, local) = resolver.resolve_element(name);
        let local = local.as_ref().to_owned();
        match namespace {
            ResolveResult::Bound(bound) if bound.as_ref() == FHIR => Self::Fhir(local),
            ResolveResult::Bound(bound) if bound.as_ref() == XHTML => Self::Xhtml(local),
            _ => Self::Other(name.as_ref().to_owned()),
        }
    }
}

struct Scan<'x> {
    input: &'x str,
    out: Scanned,
    open: Vec<Open>,
    findings: Findings,
    /// Whether any finding concerns the XML itself rather than the names and values of a resource.
    is_malformed: bool,
    roots: usize,
}

/// Scans a document.
///
/// # Errors
/// All findings.
pub(super) fn scan(input: &str) -> Result<Scanned, Unreadable> {
    let out = Scanned { text: String::with_capacity(input.len()), divs: Vec::new() };
    let mut scan =
        Scan { input, out, open: Vec::new(), findings: Findings::default(), is_malformed: false, roots: 0 };
    scan.document();
    if scan.findings.is_empty() {
        return Ok(scan.out);
    }
    let (mut findings, more) = scan.findings.into_parts();
    if more > 0 {
        let said = format!("{more} further findings are not listed");
        findings.push(Issue::information(IssueCode::TooLong, said));
    }
    Err(Unreadable { outcome: Outcome::from(findings), is_malformed: scan.is_malformed })
}

/// The name of the root element: `None` if the document is not XML up to there, `Some(None)` if the root is not in FHIR's
/// namespace.
#[must_use]
pub fn root(input: &[u8]) -> Option<Option<String>> {
    let mut reader = NsReader::from_str(std::str::from_utf8(input).ok()?.trim_start_matches('\u{feff}'));
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) | Event::Empty(start) => {
                return Some(match Name::of_element(reader.resolver(), start.name()) {
                    Name::Fhir(name) => Some(name),
                    Name::Xhtml(_) | Name::Other(_) => None,
                });
            }
            Event::Eof => return None,
            Event::Text(text) if !text.trim().is_empty() => return None,
            _ => {}
        }
    }
}

impl Scan<'_> {
    /// Reports a finding with its position and path.
    fn report(&mut self, code: IssueCode, at: usize, name: Option<&str>, diagnostics: impl Into<String>) {
        let (input, open) = (self.input, &self.open);
        // Computing the position scans the input from its beginning, so it is done only for findings that are kept.
        self.findings.push(|| {
            let issue = Issue::error(code, diagnostics).on(position(input.as_bytes(), at));
            let path: Vec<&str> = open.iter().map(|open| open.step.as_str()).chain(name).collect();
            if path.is_empty() { issue } else { issue.at(path.join(".")) }
        });
    }

    /// Reports a finding that makes the document malformed FHIR XML.
    fn malformed(&mut self, at: usize, name: Option<&str>, diagnostics: impl Into<String>) {
        self.is_malformed = true;
        self.report(IssueCode::Structure, at, name, diagnostics);
    }

    fn document(&mut self) {
        let mut reader = NsReader::from_str(self.input);
        loop {
            let from = offset(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let at = offset(reader.error_position());
                    self.open.clear();
                    return self.malformed(at, None, error.to_string());
                }
            };
            match event {
                Event::Eof => break,
                Event::Start(start) => {
                    let name = Name::of_element(reader.resolver(), start.name());
                    if self.is_narrative(&name) {
                        if !self.narrative(&mut reader, &start, from) {
                            return;
                        }
                    } else if !self.start(reader.resolver(), &start, name, from) {
                        return;
                    }
                }
                Event::Empty(start) => {
                    let name = Name::of_element(reader.resolver(), start.name());
                    if self.is_narrative(&name) {
                        let div = self.input.get(from..offset(reader.buffer_position())).unwrap_or_default();
                        self.lift(div.to_owned());
                    } else if self.start(reader.resolver(), &start, name, from) {
                        self.close();
                    } else {
                        return;
                    }
                }
                Event::End(_) => self.close(),
                Event::Text(text) if text.trim().is_empty() => {}
                // An unknown element is reported once, not again for its content.
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_)
                    if self.open.last().is_some_and(|open| open.def.is_none()) => {}
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    self.malformed(from, None, "text stands outside of an attribute");
                }
                Event::DocType(_) => {
                    return self.malformed(from, None, "a document type declaration is refused");
                }
                Event::Decl(declaration) => self.declaration(&declaration, from),
                Event::Comment(_) | Event::PI(_) => {}
            }
        }
        self.end();
    }

    /// R4 xml.html: FHIR XML is UTF-8. Encoding names ignore case (XML 1.0, 4.3.3); `standalone` has no effect without a
    /// document type declaration.
    fn declaration(&mut self, declaration: &BytesDecl<'_>, from: usize) {
        let is_utf_8 = match declaration.encoding() {
            None => true,
            Some(Ok(name)) => {
                ["utf-8", "utf8", "us-ascii", "ascii"].contains(&name.to_ascii_lowercase().as_str())
            }
            Some(Err(_)) => false,
        };
        if !is_utf_8 {
            self.malformed(from, None, "the encoding that is declared is not UTF-8");
        }
    }

    fn end(&mut self) {
        let at = self.input.len();
        if let Some(open) = self.open.pop() {
            self.open.clear();
            self.malformed(at, None, format!("the document ends inside `{}`", open.name));
        } else if self.roots != 1 {
            let message =
                if self.roots == 0 { "the document has no element" } else { "the document has two roots" };
            self.malformed(at, None, message);
        }
    }

    /// Opens an element. `false` if the scan cannot go on.
    fn start(
        &mut self,
        resolver: &NamespaceResolver,
        start: &BytesStart<'_>,
        name: Name,
        from: usize,
    ) -> bool {
        let (name, is_of_fhir) = match name {
            Name::Fhir(name) => (name, true),
            Name::Xhtml(name) | Name::Other(name) => (name, false),
        };
        if self.open.len() >= XML_DEPTH_MAX {
            self.open.clear();
            let message = format!("nested deeper than the limit of {XML_DEPTH_MAX} levels");
            self.is_malformed = true;
            self.report(IssueCode::TooCostly, from, None, message);
            return false;
        }
        let def = match self.open.last() {
            None => self.root(&name, is_of_fhir, from),
            Some(Open { def: None, .. }) => None,
            Some(Open { def: Some(_), .. }) if !is_of_fhir => {
                let message = format!("unknown element `{name}`: it is not in the namespace {FHIR}");
                self.report(IssueCode::Structure, from, Some(&name), message);
                None
            }
            Some(Open { def: Some(parent), .. }) if is_slot(parent) => self.resource(&name, from),
            Some(Open { def: Some(parent), .. }) if &*parent.name == "Narrative" && name == "div" => {
                let message = format!("the text of a narrative is in the namespace {XHTML}");
                self.report(IssueCode::Structure, from, Some(&name), message);
                None
            }
            Some(Open { def: Some(parent), .. }) => {
                let of = child_type(parent, &name);
                if of.is_none() {
                    self.report(IssueCode::Structure, from, Some(&name), format!("unknown element `{name}`"));
                }
                of
            }
        };
        let step = self.step(&name, def);
        self.out.text.push('<');
        self.out.text.push_str(&name);
        if self.open.is_empty() {
            self.out.text.push_str(" xmlns=\"");
            self.out.text.push_str(FHIR);
            self.out.text.push('"');
        }
        self.attributes(resolver, start, &step, def, from);
        self.out.text.push('>');
        self.open.push(Open { name, def, step, counts: HashMap::new() });
        true
    }

    /// The step in FHIRPath from the open element to its child of that name (R4 fhirpath.html#simple).
    fn step(&mut self, name: &str, def: Option<&TypeDef>) -> String {
        let Some(Open { def: Some(parent), counts, .. }) = self.open.last_mut() else {
            return name.to_owned();
        };
        if is_slot(parent) {
            return format!("ofType({name})");
        }
        let element = element_type(parent)
            .property(name)
            .and_then(|property| element_type(parent).element_at(property.element));
        let Some((element, of)) = element.zip(def) else { return name.to_owned() };
        if element.choice {
            return format!("{}.ofType({})", element.name, of.name);
        }
        if !element.max.is_list() {
            return name.to_owned();
        }
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        format!("{name}[{}]", *count - 1)
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.out.text.push_str("</");
            self.out.text.push_str(&open.name);
            self.out.text.push('>');
        }
    }

    fn root(&mut self, name: &str, is_of_fhir: bool, from: usize) -> Option<&'static TypeDef> {
        self.roots += 1;
        if !is_of_fhir {
            self.malformed(from, Some(name), format!("the root is not in the namespace {FHIR}"));
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

    /// R4 xml.html: values are in the attribute `value`, element ids in `id`, the URL of an extension in `url`.
    fn attributes(
        &mut self,
        resolver: &NamespaceResolver,
        start: &BytesStart<'_>,
        name: &str,
        def: Option<&TypeDef>,
        from: usize,
    ) {
        for attribute in start.attributes() {
            let value =
                attribute.as_ref().map(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0));
            let (Ok(attribute), Ok(Ok(value))) = (&attribute, &value) else {
                self.malformed(from, Some(name), "an attribute is not well-formed");
                continue;
            };
            let key = attribute.key.as_ref();
            let is_known = match (key, def) {
                (_, None) => true,
                ("value", Some(def)) => def.kind == Kind::Primitive,
                ("id", Some(def)) => def.kind != Kind::Resource,
                ("url", Some(def)) => &*def.name == "Extension",
                _ => is_of_xml(resolver, attribute),
            };
            if !is_known {
                self.report(IssueCode::Structure, from, Some(name), format!("unknown attribute `{key}`"));
            }
            if let ("value", Some(def)) = (key, def)
                && !has_form(&def.name, value)
            {
                let message = format!("the value does not follow the grammar of type {}", def.name);
                self.report(IssueCode::Value, from, Some(name), message);
            }
            if matches!(key, "value" | "id" | "url") {
                self.out.text.push(' ');
                self.out.text.push_str(key);
                self.out.text.push_str("=\"");
                escape_attribute(value, &mut self.out.text);
                self.out.text.push('"');
            }
        }
    }

    fn is_narrative(&self, name: &Name) -> bool {
        *name == Name::Xhtml("div".to_owned())
            && self.open.last().is_some_and(|open| open.def.is_some_and(|def| &*def.name == "Narrative"))
    }

    /// Takes a narrative out and writes its stand-in.
    fn lift(&mut self, div: String) {
        self.out.text.push_str(&stand_in(self.out.divs.len()));
        self.out.divs.push(div);
    }

    /// Takes a narrative out, from its start tag to its end tag: unchanged if it declares its namespace itself and uses no
    /// prefixes, otherwise rewritten without prefixes. `false` if the document ends within it or is not well-formed.
    fn narrative(&mut self, reader: &mut NsReader<&[u8]>, start: &BytesStart<'_>, from: usize) -> bool {
        let mut div = String::from("<div");
        div.push_str(&format!(" xmlns=\"{XHTML}\""));
        let mut is_plain = start.attributes().flatten().any(|attribute| attribute.key.as_ref() == "xmlns");
        push_attributes(start, &mut div);
        div.push('>');
        let mut depth = 1_usize;
        while depth > 0 {
            let at = offset(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(Event::Eof) => {
                    self.open.clear();
                    self.malformed(at, None, "the document ends inside a narrative");
                    return false;
                }
                Ok(event) => event,
                Err(error) => {
                    let at = offset(reader.error_position());
                    self.open.clear();
                    self.malformed(at, None, format!("the narrative is not well-formed: {error}"));
                    return false;
                }
            };
            let raw = self.input.get(at..offset(reader.buffer_position())).unwrap_or_default();
            match &event {
                Event::Start(start) | Event::Empty(start) => {
                    let is_empty = matches!(event, Event::Empty(_));
                    let Name::Xhtml(name) = Name::of_element(reader.resolver(), start.name()) else {
                        let other = start.name().as_ref().to_owned();
                        let message = format!("`{other}` in a narrative is not in the namespace {XHTML}");
                        self.report(IssueCode::Structure, at, Some("div"), message);
                        depth += usize::from(!is_empty);
                        continue;
                    };
                    is_plain = is_plain && name == start.name().as_ref();
                    div.push('<');
                    div.push_str(&name);
                    push_attributes(start, &mut div);
                    div.push_str(if is_empty { "/>" } else { ">" });
                    depth += usize::from(!is_empty);
                }
                Event::End(end) => {
                    depth -= 1;
                    div.push_str("</");
                    div.push_str(end.local_name().as_ref());
                    div.push('>');
                }
                _ => div.push_str(raw),
            }
        }
        let whole = self.input.get(from..offset(reader.buffer_position())).unwrap_or_default();
        self.lift(if is_plain && start.name().as_ref() == "div" { whole.to_owned() } else { div });
        true
    }
}

/// Copies the attributes of a narrative's element as written, without namespace declarations.
fn push_attributes(start: &BytesStart<'_>, out: &mut String) {
    for attribute in start.attributes().flatten() {
        let key = attribute.key.as_ref();
        if key == "xmlns" || key.starts_with("xmlns:") {
            continue;
        }
        out.push(' ');
        out.push_str(key);
        out.push_str("=\"");
        out.push_str(&attribute.value.replace('"', "&quot;"));
        out.push('"');
    }
}

/// Whether an attribute belongs to XML itself: a namespace declaration, or one for schema validators.
fn is_of_xml(resolver: &NamespaceResolver, attribute: &Attribute<'_>) -> bool {
    let key = attribute.key.as_ref();
    key == "xmlns"
        || key.starts_with("xmlns:")
        || matches!(resolver.resolve_attribute(attribute.key).0, ResolveResult::Bound(bound) if bound.as_ref() == XSI)
}

/// Whether a value can be written in JSON without quotes where its type needs that; other types are validated later, as JSON.
fn has_form(type_name: &str, value: &str) -> bool {
    match type_name {
        "boolean" => matches!(value, "true" | "false"),
        // R4 datatypes.html#decimal: the grammar is that of JSON numbers.
        "decimal" => parse(value.as_bytes().to_vec())
            .is_ok_and(|tree| tree.root().kind() == JsonKind::Number && tree.root().raw() == value),
        "integer" | "unsignedInt" | "positiveInt" => {
            check_primitive(type_name, JsonKind::Number, value).is_ok()
        }
        _ => true,
    }
}

/// Escapes an attribute value; line breaks and tabs too, because a reader would normalize them to spaces (XML 1.0, 3.3.3).
fn escape_attribute(value: &str, out: &mut String) {
    for letter in value.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            letter => out.push(letter),
        }
    }
}

/// Whether the element, like `contained`, holds one resource as a child element named after its type.
fn is_slot(parent: &TypeDef) -> bool {
    parent.kind == Kind::Resource && parent.is_abstract
}

/// The type of a child. A primitive has no children but those of every element: extensions.
fn child_type(parent: &'static TypeDef, name: &str) -> Option<&'static TypeDef> {
    element_type(parent).property(name).and_then(|property| r4().get(property.type_id))
}

/// The type that defines the children of elements of a type.
fn element_type(of: &'static TypeDef) -> &'static TypeDef {
    match of.kind {
        Kind::Primitive => r4().find("Element").unwrap_or(of),
        Kind::Complex | Kind::Backbone | Kind::Resource => of,
    }
}

fn offset(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
