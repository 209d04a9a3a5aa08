//! An index entry: a parameter, and a value in a form that sorts as searches ask for it.

/// In which form a value stands in an entry; the first byte of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The parameter has some value. No bytes follow.
    Present,
    /// Token: code, then system. String: folded, then as written. Reference: id, then type. URI: the text. Date: start,
    /// then end.
    Value,
    /// Token: system alone. Reference: URL. Date: end, then start.
    Second,
    /// Reference: the identifier that it names, as a token: value, then system.
    Identifier,
}

impl Form {
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Present => 0x10,
            Self::Value => 0x11,
            Self::Second => 0x12,
            Self::Identifier => 0x13,
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
}

impl Entry {
    #[must_use]
    pub fn new(param: u32, form: Form) -> Self {
        Self { param, value: vec![form.byte()] }
    }

    /// With a text, escaped and ended.
    #[must_use]
    pub fn text(mut self, text: &[u8]) -> Self {
        push_text(&mut self.value, text);
        self
    }

    /// With a point of time.
    #[must_use]
    pub fn time(mut self, millis: i64) -> Self {
        push_time(&mut self.value, millis);
        self
    }
}

impl Entry {
    /// Type and id, if the entry is a reference to a resource here.
    #[must_use]
    pub fn reference(&self) -> Option<(String, String)> {
        let rest = self.value.strip_prefix(&[Form::Value.byte()])?;
        let end = rest.windows(2).position(|pair| pair == [0, 0])?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let type_name = rest.get(end + 2..)?.strip_suffix(&[0, 0])?;
        Some((text(type_name)?, text(rest.get(..end)?)?))
    }
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

/// Big-endian with the sign turned round, so that times before 1970 sort before those after.
pub(super) fn push_time(out: &mut Vec<u8>, millis: i64) {
    out.extend_from_slice(&(millis ^ i64::MIN).to_be_bytes());
}

/// The time that such bytes stand for.
pub(super) fn time_of(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes) ^ i64::MIN)
}
