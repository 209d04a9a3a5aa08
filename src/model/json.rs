//! Parses JSON in one pass over the bytes into the arena of a [`Tree`]. No parser crate keeps the digits of decimals, the order
//! of members and the position of every value at once.
use std::collections::HashSet;

use super::tree::{JsonKind, Slot, Span, Tree, position};

/// The maximum nesting of arrays and objects. FHIR resources in practice stay below 30; the XML conversion and all recursive
/// readers of the tree rely on this limit.
pub const JSON_DEPTH_MAX: usize = 120;

/// Why a text is not JSON, and where; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line} column {column}")]
pub struct SyntaxError {
    pub message: &'static str,
    pub line: usize,
    pub column: usize,
}

/// Parses one JSON document (RFC 8259). A byte order mark before it is accepted.
///
/// # Errors
/// [`SyntaxError`] for anything the grammar forbids, invalid UTF-8, trailing text, nesting deeper than
/// [`JSON_DEPTH_MAX`], or a document of 4 GiB and more.
pub fn parse(input: Vec<u8>) -> Result<Tree, SyntaxError> {
    let fail = |bytes: &[u8], at: usize, message| {
        let (line, column) = position(bytes, at);
        SyntaxError { message, line, column }
    };
    if u32::try_from(input.len()).is_err() {
        return Err(fail(&[], 0, "the document is larger than 4 GiB"));
    }
    let mut input = String::from_utf8(input).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        fail(error.as_bytes(), at, "invalid UTF-8")
    })?;
    if input.starts_with('\u{feff}') {
        input.drain(..'\u{feff}'.len_utf8());
    }
    let mut parser = Parser {
        bytes: input.as_bytes(),
        at: 0,
        slots: Vec::with_capacity(input.len() / 24 + 8),
        unescaped: Vec::new(),
    };
    match parser.document() {
        Ok(()) => {
            let Parser { slots, unescaped, .. } = parser;
            Ok(Tree { input, slots, unescaped })
        }
        Err((at, message)) => Err(fail(input.as_bytes(), at, message)),
    }
}

/// The offset of a syntax error, and its message.
type Fault = (usize, &'static str);

struct Parser<'i> {
    bytes: &'i [u8],
    at: usize,
    slots: Vec<Slot>,
    unescaped: Vec<Box<str>>,
}

/// Up to this many members, a name is compared with the earlier ones one by one; beyond, the names are kept in a set.
const MEMBERS_COMPARED_MAX: usize = 32;

/// The member names of an object so far, to detect duplicates.
#[derive(Default)]
struct Names {
    count: usize,
    /// A Bloom filter of the names: one bit per name, from its length and its first and last byte.
    sorts: u64,
    /// All names, once there are more than `MEMBERS_COMPARED_MAX`.
    all: HashSet<Vec<u8>>,
}

/// A name or string: its span in the input, and the index of its unescaped form if it has escapes.
type Text = (Span, Option<u32>);

impl Parser<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        self.space();
        self.value((Span::default(), None), 0)?;
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err((self.at, "text after the end of the document")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, key: Text, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{') => self.nested(key, JsonKind::Object, depth),
            Some(b'[') => self.nested(key, JsonKind::Array, depth),
            Some(b'"') => {
                let text = self.string()?;
                self.leaf(key, JsonKind::String, text);
                Ok(())
            }
            Some(b't') => self.word(key, b"true", JsonKind::Bool),
            Some(b'f') => self.word(key, b"false", JsonKind::Bool),
            Some(b'n') => self.word(key, b"null", JsonKind::Null),
            Some(b'-' | b'0'..=b'9') => self.number(key),
            Some(_) => Err((self.at, "expected a value")),
            None => Err((self.at, "the document ends where a value is expected")),
        }
    }

    fn push(&mut self, key: Text, kind: JsonKind, text: Text) -> usize {
        let number = self.slots.len();
        self.slots.push(Slot {
            kind,
            key: key.0,
            key_unescaped: key.1,
            text: text.0,
            text_unescaped: text.1,
            end: offset(number + 1),
        });
        number
    }

    fn leaf(&mut self, key: Text, kind: JsonKind, text: Text) {
        self.push(key, kind, text);
    }

    fn nested(&mut self, key: Text, kind: JsonKind, depth: usize) -> Result<(), Fault> {
        if depth >= JSON_DEPTH_MAX {
            return Err((self.at, "nested deeper than the limit of 120 levels"));
        }
        let start = self.at;
        let number = self.push(key, kind, (span(start, start), None));
        self.at += 1;
        let close = if kind == JsonKind::Object { b'}' } else { b']' };
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
        } else {
            let mut seen = Names::default();
            loop {
                self.item(kind, depth, number, &mut seen)?;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == close => break self.at += 1,
                    Some(_) if kind == JsonKind::Object => return Err((self.at, "expected `,` or `}`")),
                    Some(_) => return Err((self.at, "expected `,` or `]`")),
                    None => return Err((self.at, "the document ends inside an array or object")),
                }
            }
        }
        let end = offset(self.slots.len());
        let text = span(start, self.at);
        if let Some(slot) = self.slots.get_mut(number) {
            slot.end = end;
            slot.text = text;
        }
        Ok(())
    }

    /// Parses one member or item of the node with the index `of`.
    fn item(&mut self, kind: JsonKind, depth: usize, of: usize, seen: &mut Names) -> Result<(), Fault> {
        self.space();
        let mut key = (Span::default(), None);
        if kind == JsonKind::Object {
            if self.peek() != Some(b'"') {
                return Err((self.at, "expected a member name in quotes"));
            }
            let start = self.at;
            key = self.string()?;
            if self.stands_twice(of, key, seen) {
                // R4 json.html: property names are unique.
                return Err((start, "the member stands twice"));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err((self.at, "expected `:` after a member name"));
            }
            self.at += 1;
            self.space();
        }
        self.value(key, depth + 1)
    }

    fn name(&self, (span, unescaped): Text) -> &[u8] {
        if let Some(text) = unescaped.and_then(|number| self.unescaped.get(usize::try_from(number).ok()?)) {
            return text.as_bytes();
        }
        let start = usize::try_from(span.start).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(span.len).unwrap_or(usize::MAX));
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Whether the object with the index `of`, which is being parsed, already has a member with that name.
    fn stands_twice(&self, of: usize, key: Text, seen: &mut Names) -> bool {
        let name = self.name(key);
        seen.count += 1;
        if seen.count > MEMBERS_COMPARED_MAX {
            if seen.all.is_empty() {
                seen.all = self.members(of).map(<[u8]>::to_vec).collect();
            }
            return !seen.all.insert(name.to_vec());
        }
        let byte = |byte: Option<&u8>| byte.map_or(0, |byte| usize::from(*byte));
        let bit = 1 << ((name.len() * 5 + byte(name.first()) + byte(name.last()) * 3) % 64);
        let may_be = seen.sorts & bit != 0;
        seen.sorts |= bit;
        may_be && self.members(of).any(|member| member == name)
    }

    /// The names of the members that the object with the index `of` has so far.
    fn members(&self, of: usize) -> impl Iterator<Item = &[u8]> {
        let after = |slot: &Slot| usize::try_from(slot.end).unwrap_or(usize::MAX);
        let slots = std::iter::successors(self.slots.get(of + 1), move |slot| self.slots.get(after(slot)));
        slots.map(|slot| self.name((slot.key, slot.key_unescaped)))
    }

    fn word(&mut self, key: Text, word: &'static [u8], kind: JsonKind) -> Result<(), Fault> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word) {
            return Err((self.at, "expected true, false or null"));
        }
        self.leaf(key, kind, (span(self.at, end), None));
        self.at = end;
        Ok(())
    }

    fn number(&mut self, key: Text) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err((self.at, "expected a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.leaf(key, JsonKind::Number, (span(start, self.at), None));
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err((self.at, "expected a digit")) } else { Ok(()) }
    }

    /// Parses a string from its opening quote to past its closing one.
    fn string(&mut self) -> Result<Text, Fault> {
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..=0x1f) => return Err((self.at, "control character in a string")),
                Some(_) => self.at += 1,
                None => return Err((self.at.min(self.bytes.len()), "the document ends inside a string")),
            }
        }
        let text = span(start, self.at);
        self.at += 1;
        if !escaped {
            return Ok((text, None));
        }
        let unescaped = unescape(self.bytes.get(start..self.at - 1).unwrap_or_default())
            .map_err(|(at, message)| (start + at, message))?;
        self.unescaped.push(unescaped.into_boxed_str());
        Ok((text, Some(offset(self.unescaped.len() - 1))))
    }
}

/// INVARIANT: the input is shorter than 4 GiB, so every offset and node index fits.
fn offset(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok());
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn span(start: usize, end: usize) -> Span {
    Span { start: offset(start), len: offset(end - start) }
}

/// Resolves the escapes of a string (RFC 8259 section 7).
fn unescape(raw: &[u8]) -> Result<String, Fault> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let plain = match raw.get(at) {
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'/') => b'/',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let (letter, next) = unicode(raw, at + 1)?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                at = next;
                continue;
            }
            _ => return Err((at, "unknown escape in a string")),
        };
        out.push(plain);
        at += 1;
    }
    String::from_utf8(out).map_err(|_| (0, "invalid UTF-8"))
}

/// The character of the `\u` escape (or surrogate pair of them) whose digits begin at `at`, and the offset after it.
fn unicode(raw: &[u8], at: usize) -> Result<(char, usize), Fault> {
    let high = hex(raw, at)?;
    if !(0xd800..0xdc00).contains(&high) {
        let letter = char::from_u32(high).ok_or((at, "unpaired surrogate in a string"))?;
        return Ok((letter, at + 4));
    }
    if raw.get(at + 4..at + 6) != Some(b"\\u") {
        return Err((at, "unpaired surrogate in a string"));
    }
    let low = hex(raw, at + 6)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Err((at, "unpaired surrogate in a string"));
    }
    let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    let letter = char::from_u32(code).ok_or((at, "unpaired surrogate in a string"))?;
    Ok((letter, at + 10))
}

fn hex(raw: &[u8], at: usize) -> Result<u32, Fault> {
    let digits = raw.get(at..at + 4).unwrap_or_default();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    if text.len() != 4 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err((at, "expected four hexadecimal digits"));
    }
    u32::from_str_radix(text, 16).map_err(|_| (at, "expected four hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::{JSON_DEPTH_MAX, parse};
    use crate::model::JsonKind;

    fn fault(input: &[u8]) -> (String, usize, usize) {
        let error = parse(input.to_vec()).unwrap_err();
        (error.message.to_owned(), error.line, error.column)
    }

    #[test]
    fn keeps_digits_order_and_escapes() {
        let tree =
            parse(br#" {"b":1.00,"a":[true,null,"x\u00e9\n\ud83d\ude00"],"\u0061b":{}} "#.to_vec()).unwrap();
        let root = tree.root();
        assert_eq!(root.children().map(|child| child.key()).collect::<Vec<_>>(), ["b", "a", "ab"]);
        assert_eq!(root.get("b").unwrap().text(), "1.00");
        let items: Vec<_> = root.items_at("a").collect();
        assert_eq!(items[1].kind(), JsonKind::Null);
        assert_eq!(items[2].text(), "x\u{e9}\n\u{1f600}");
        assert_eq!(root.get("ab").unwrap().children().count(), 0);
        assert_eq!(root.subtree().count(), 7);
    }

    #[test]
    fn faults_name_line_and_column() {
        assert_eq!(fault(b"{\n \"a\": }"), ("expected a value".into(), 2, 7));
        assert_eq!(fault(b"{\"a\":1,}").1, 1);
        assert_eq!(fault(b"{} x").2, 4);
        assert_eq!(fault("{\"é\": 01}".as_bytes()).2, 8);
        assert_eq!(fault(b"{\"a\xff\":1}").0, "invalid UTF-8");
        assert_eq!(fault(b"\"\\ud800\"").0, "unpaired surrogate in a string");
        assert_eq!(fault(b"[1, 2").0, "the document ends inside an array or object");
        assert_eq!(fault(b"\"ab").0, "the document ends inside a string");
        assert_eq!(fault(b"\"ab\\").0, "the document ends inside a string");
        assert_eq!(fault(b"").0, "the document ends where a value is expected");
    }

    #[test]
    fn a_name_stands_once_in_an_object() {
        for text in [r#"{"a":1,"b":{"a":2},"a":3}"#, r#"{"a":1,"\u0061":1}"#, r#"[{"x":{"":0,"":0}}]"#] {
            assert_eq!(fault(text.as_bytes()).0, "the member stands twice", "{text}");
        }
        assert_eq!(fault(br#"{"a":1, "a":2}"#).2, 9);
        assert!(parse(br#"{"a":{"a":[{"a":1},{"a":1}]},"b":{"a":1}}"#.to_vec()).is_ok());
        let many = |last: &str| {
            let members: Vec<String> = (0..200).map(|number| format!("\"m{number}\":{{\"m0\":0}}")).collect();
            parse(format!("{{{},\"{last}\":0}}", members.join(",")).into_bytes())
        };
        assert!(many("m200").is_ok());
        for last in ["m0", "m31", "m32", "m33", "m199"] {
            assert!(many(last).is_err(), "{last}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let deep = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        assert!(parse(deep(JSON_DEPTH_MAX)).is_ok());
        assert!(parse(deep(JSON_DEPTH_MAX + 1)).is_err());
        assert!(parse(deep(1_000_000)).is_err());
    }
}
