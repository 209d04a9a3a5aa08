//! An index entry: a parameter, and a value encoded so that its bytes sort in the order that searches need.
//!
//! A text longer than 512 bytes is stored as its beginning and a hash of the whole.
//!
//! A value consists of a key, which searches select by range, and a tail, which they may check. A composite has the keys of all
//! its components first and then their tails, so that the last component can be a range when those before it are exact.
//!
//! | form | token | string | reference | date | number | quantity | uri | near |
//! |---|---|---|---|---|---|---|---|---|
//! | Present | empty: the entry that every resource has, and that of resources set apart by their facts | | | | | | | |
//! | Value | code; system | folded; as written | id, type | start, end | number | number | text | latitude, longitude |
//! | Second | system | | URL, version | | | | | |
//! | Identifier | | | value; system | | | | | |
//! | Text | folded text | | | | | | | |
//! | OfType | value, type's code; type's system | | | | | | | |
//! | Range | | | | | low, high | low, high | | |
//! | Unit, UnitRange | | | | | | code or unit, number(s); system | | |
//! | Canonical, CanonicalRange | | | | | | canonical unit, number(s); code | | |
//! | Long | | | | start, end, again for long intervals | | | | |
//! | Word | | of a name: folded, from a later word on | | | | | | |
//! | Cut | | empty, in addition for long texts | | | | | empty, in addition for long texts | |
//! | Fragment | | | id of the contained resource, empty | | | | | |
//! | Composite | the keys of the components; their tails | | | | | | | |

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use crate::model::{Nanos, Span};

/// The form of a value in an entry; the first byte of the value.
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
    Word,
    Cut,
    Fragment,
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
            Self::Word => 0x1d,
            Self::Cut => 0x1e,
            Self::Fragment => 0x1f,
        }
    }
}

/// The tail of a `code`, `boolean` or `id`, whose system is implied by the standard: any system in a query matches it.
pub(super) const IMPLIED_SYSTEM: &[u8] = b"\x01";

/// One index entry of a resource. Resources with equal entries are found by the same searches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub param: u32,
    /// The form byte, then the parts of the value; texts are escaped and terminated.
    pub value: Vec<u8>,
    /// The number of the contained resource's type, if the entry belongs to one; `None` for the resource's own entries.
    pub contained: Option<u16>,
}

impl Entry {
    /// The entry of a parameter that has no values.
    #[must_use]
    pub fn present(param: u32) -> Self {
        Self { param, value: vec![Form::Present.byte()], contained: None }
    }

    /// Type and id, if the entry is a reference to a resource on this server.
    #[must_use]
    pub fn reference(&self) -> Option<(String, String)> {
        let rest = self.value.strip_prefix(&[Form::Value.byte()])?;
        let end = text_end(rest)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let type_name = rest.get(end..)?.strip_suffix(&[0, 0])?;
        Some((text(type_name)?, text(rest.get(..end - 2)?)?))
    }

    /// Code and system, if the entry is a token that has a code.
    #[must_use]
    pub fn token(&self) -> Option<(String, String)> {
        let rest = self.value.strip_prefix(&[Form::Value.byte()])?;
        let end = text_end(rest)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        Some((text(rest.get(..end - 2)?)?, text(rest.get(end..)?.strip_suffix(&[0, 0])?)?))
    }

    /// The id of the contained resource, if the entry is a reference to one.
    #[must_use]
    pub fn fragment(&self) -> Option<String> {
        let text = self.value.strip_prefix(&[Form::Fragment.byte()])?.strip_suffix(&[0, 0, 0, 0])?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    /// The URI, if the entry is a URI.
    #[must_use]
    pub fn uri(&self) -> Option<String> {
        let text = self.value.strip_prefix(&[Form::Value.byte()])?.strip_suffix(&[0, 0])?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    /// URL and version, if the entry is a canonical or another absolute reference.
    #[must_use]
    pub fn canonical(&self) -> Option<(String, String)> {
        let rest = self.value.strip_prefix(&[Form::Second.byte()])?;
        let end = text_end(rest)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        Some((text(rest.get(..end - 2)?)?, text(rest.get(end..)?.strip_suffix(&[0, 0])?)?))
    }
}

/// An encoded value: the key, which searches select by range, and the tail, which they check.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Encoded {
    pub(super) key: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

impl Encoded {
    pub(super) fn new(form: Form) -> Self {
        Self { key: vec![form.byte()], tail: Vec::new() }
    }

    pub(super) fn text(mut self, text: impl AsRef<[u8]>) -> Self {
        push_text(&mut self.key, text.as_ref());
        self
    }

    pub(super) fn time(mut self, nanos: Nanos) -> Self {
        push_time(&mut self.key, nanos);
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.key.extend_from_slice(bytes);
        self
    }

    pub(super) fn tail(mut self, text: impl AsRef<[u8]>) -> Self {
        push_text(&mut self.tail, text.as_ref());
        self
    }

    pub(super) fn entry(mut self, param: u32) -> Entry {
        self.key.append(&mut self.tail);
        Entry { param, value: self.key, contained: None }
    }
}

/// A longer text is indexed by its first bytes, this many, and a hash of the whole.
pub(super) const TEXT_BYTES_MAX: usize = 512;

/// Separates the beginning of a long text from its hash; UTF-8 has no such byte.
const CUT: u8 = 0xff;

/// The number of hash bytes in an entry.
const HASH_BYTES: usize = 16;

/// The indexed form of a text: the text itself, or for a long one its beginning and a hash, so that long texts with the same
/// beginning stay distinct. Entries and queries both use it.
pub(super) fn cut(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    match bytes.get(..TEXT_BYTES_MAX) {
        Some(start) if bytes.len() > TEXT_BYTES_MAX => {
            let hash = Sha256::digest(bytes);
            let hash = hash.iter().copied().take(HASH_BYTES);
            Cow::Owned(start.iter().copied().chain([CUT]).chain(hash).collect())
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// The additional entry that marks a resource with a text too long to be indexed whole.
pub(super) fn cut_mark(text: &str) -> Option<Encoded> {
    (text.len() > TEXT_BYTES_MAX).then(|| Encoded::new(Form::Cut).text(b""))
}

/// The indexed part of a text that other texts are to begin with.
pub(super) fn cut_open(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes)
}

/// The indexed beginning of a text, without the hash of the whole.
pub(super) fn without_hash(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == CUT).next().unwrap_or(text)
}

/// Appends an escaped text: a zero byte becomes `00 ff`, the end is `00 00`, so a text sorts before every longer one that begins
/// with it.
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

/// The length of an escaped text, with its terminator.
pub(super) fn text_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == [0, 0]).map(|at| at + 2)
}

/// The encoded length of a time, in bytes.
pub(super) const TIME_BYTES: usize = 9;

/// Appends nanoseconds as big-endian bytes relative to the earliest time, so that times before 1970 sort before later ones.
pub(super) fn push_time(out: &mut Vec<u8>, nanos: Nanos) {
    let Span { start: first, end: last } = Span::ALWAYS;
    let bytes = (nanos.clamp(first, last) - first).to_be_bytes();
    out.extend(bytes.iter().skip(bytes.len() - TIME_BYTES));
}

/// Decodes a time.
pub(super) fn time_of(bytes: &[u8]) -> Option<Nanos> {
    let bytes = bytes.first_chunk::<TIME_BYTES>()?;
    Some(bytes.iter().fold(0, |nanos, byte| nanos << 8 | Nanos::from(*byte)) + Span::ALWAYS.start)
}

#[cfg(test)]
mod tests {
    use super::{TEXT_BYTES_MAX, TIME_BYTES, cut, cut_open, push_time, time_of, without_hash};
    use crate::model::{Span, Temporal};

    #[test]
    fn long_texts_are_different_however_far_they_agree() {
        let of = |len: usize, end: &str| format!("{}{end}", "ä".repeat(len));
        let long = of(TEXT_BYTES_MAX / 2, "1");
        assert_ne!(cut(&long), cut(&of(TEXT_BYTES_MAX / 2, "2")));
        assert_ne!(cut(&long), cut(&of(TEXT_BYTES_MAX / 2, "")));
        assert_eq!(without_hash(&cut(&long)), cut_open(&long));
        assert!(cut(&long).starts_with(cut_open(&of(TEXT_BYTES_MAX, ""))));
        let short = of(TEXT_BYTES_MAX / 2, "");
        assert_eq!((&*cut(&short), without_hash(&cut(&short))), (short.as_bytes(), short.as_bytes()));
    }

    #[test]
    fn times_sort_as_they_are_and_come_back() {
        let of = |text: &str| Temporal::parse(text).unwrap().span();
        let times = [
            Span::ALWAYS.start,
            of("0001").start,
            of("1969-12-31T23:59:59.999999999Z").start,
            of("1970").start,
            of("1970-01-01T00:00:00.000000001Z").start,
            of("9999").end,
            Span::ALWAYS.end,
        ];
        let keys = times.map(|time| {
            let mut key = Vec::new();
            push_time(&mut key, time);
            assert_eq!((key.len(), time_of(&key)), (TIME_BYTES, Some(time)));
            key
        });
        assert!(keys.is_sorted());
    }
}
