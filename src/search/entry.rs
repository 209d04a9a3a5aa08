//! An index entry: a parameter, and a value in a form that sorts as searches ask for it.
//!
//! A value is its key, which searches give ranges of, and a tail, which they may check. A composite is the keys of its parts
//! and then their tails, so that the last part can be a range where those before it are given whole.
//!
//! | form | token | string | reference | date | number | quantity | uri | near |
//! |---|---|---|---|---|---|---|---|---|
//! | Present | nothing: of the entry that every resource has | | | | | | | |
//! | Value | code; system | folded; as written | id, type | start, end | number | number | text | latitude, longitude |
//! | Second | system | | URL, version | | | | | |
//! | Identifier | | | value; system | | | | | |
//! | Text | folded text | | | | | | | |
//! | OfType | value, type's code; type's system | | | | | | | |
//! | Range | | | | | low, high | low, high | | |
//! | Unit, UnitRange | | | | | | code or unit, number(s); system | | |
//! | Canonical, CanonicalRange | | | | | | canonical unit, number(s); code | | |
//! | Long | | | | start, end of a long interval, too | | | | |
//! | Composite | the keys of the parts; their tails | | | | | | | |

/// In which form a value stands in an entry; the first byte of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Present,
    Value,
    Second,
    Identifier,
    Text,
    OfType,
    Unit,
    Canonical,
    Composite,
    Range,
    UnitRange,
    CanonicalRange,
    Long,
}

impl Form {
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Present => 0x10,
            Self::Value => 0x11,
            Self::Second => 0x12,
            Self::Identifier => 0x13,
            Self::Text => 0x14,
            Self::OfType => 0x15,
            Self::Unit => 0x16,
            Self::Canonical => 0x17,
            Self::Composite => 0x18,
            Self::Range => 0x19,
            Self::UnitRange => 0x1a,
            Self::CanonicalRange => 0x1b,
            Self::Long => 0x1c,
        }
    }
}

/// The system of a `code`, `boolean` or id, which the standard says is implied: any system asked for fits.
pub(super) const IMPLIED_SYSTEM: &[u8] = b"\x01";

/// One entry of a resource. Two resources with the same entry are found by the same search.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub param: u32,
    /// The form, then the parts of the value, texts escaped and ended.
    pub value: Vec<u8>,
    /// The number of the type of the contained resource whose entry it is; `None` for the resource's own.
    pub contained: Option<u16>,
}

impl Entry {
    /// Of a parameter that has no values but is there.
    #[must_use]
    pub fn present(param: u32) -> Self {
        Self { param, value: vec![Form::Present.byte()], contained: None }
    }

    /// Type and id, if the entry is a reference to a resource here.
    #[must_use]
    pub fn reference(&self) -> Option<(String, String)> {
        let rest = self.value.strip_prefix(&[Form::Value.byte()])?;
        let end = text_end(rest)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let type_name = rest.get(end..)?.strip_suffix(&[0, 0])?;
        Some((text(type_name)?, text(rest.get(..end - 2)?)?))
    }

    /// The text, if the entry is a URI.
    #[must_use]
    pub fn uri(&self) -> Option<String> {
        let text = self.value.strip_prefix(&[Form::Value.byte()])?.strip_suffix(&[0, 0])?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    /// URL and version, if the entry is a canonical reference or another absolute one.
    #[must_use]
    pub fn canonical(&self) -> Option<(String, String)> {
        let rest = self.value.strip_prefix(&[Form::Second.byte()])?;
        let end = text_end(rest)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        Some((text(rest.get(..end - 2)?)?, text(rest.get(end..)?.strip_suffix(&[0, 0])?)?))
    }
}

/// A value of a parameter: what is searched for, and what is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Encoded {
    pub(super) key: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

impl Encoded {
    pub(super) fn new(form: Form) -> Self {
        Self { key: vec![form.byte()], tail: Vec::new() }
    }

    pub(super) fn text(mut self, text: &[u8]) -> Self {
        push_text(&mut self.key, text);
        self
    }

    pub(super) fn time(mut self, millis: i64) -> Self {
        push_time(&mut self.key, millis);
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.key.extend_from_slice(bytes);
        self
    }

    pub(super) fn tail(mut self, text: &[u8]) -> Self {
        push_text(&mut self.tail, text);
        self
    }

    pub(super) fn entry(mut self, param: u32) -> Entry {
        self.key.append(&mut self.tail);
        Entry { param, value: self.key, contained: None }
    }
}

/// A text in an index is cut at this many bytes; what is longer is found by its beginning.
pub(super) const TEXT_BYTES_MAX: usize = 512;

/// The part of a text that is indexed. Entries and queries are cut alike.
pub(super) fn cut(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes)
}

/// Zero bytes become `00 ff`, the end is `00 00`: a text sorts before every longer one that begins with it.
pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_open_text(out, text);
    out.extend_from_slice(&[0, 0]);
}

pub(super) fn push_open_text(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
}

/// Where an escaped text ends, its end included.
pub(super) fn text_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == [0, 0]).map(|at| at + 2)
}

/// Big-endian with the sign turned round, so that times before 1970 sort before those after.
pub(super) fn push_time(out: &mut Vec<u8>, millis: i64) {
    out.extend_from_slice(&(millis ^ i64::MIN).to_be_bytes());
}

/// The time that such bytes stand for.
pub(super) fn time_of(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes) ^ i64::MIN)
}
