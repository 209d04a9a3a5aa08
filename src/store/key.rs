//! The layout of every key of the store, the builder of keys, and the functions that read parts of keys back.
//!
//! | space | byte | key after it | value |
//! |---|---|---|---|
//! | record | 01 | row, sequence | one version of a resource, compressed |
//! | id | 02 | type (2), id, 00 00 | row |
//! | current | 03 | row | the state of the newest version ([`super::Current`]) |
//! | history | 04 | type (2), sequence, row | time of the commit in ms (8) |
//! | posting | 05 | type (2), parameter (4), value, 00 00, row | empty |
//! | entries | 06 | row | the index entries of the newest version, to compute which postings the next version changes |
//! | audit | 07 | sequence, number (4) | one access record |
//! | meta | 08 | name, 00 00 | single values: keys, settings, format |
//! | meta | 08 | `erased`, 00 00, row | empty: the row was erased |
//! | meta | 08 | `packing`, 00 00 | number of the dictionary in use (4), number of rows when it was made (8) |
//! | meta | 08 | `packing-dictionary`, 00 00, number (4) | a compression dictionary |
//! | meta | 08 | `belongs`, 00 00, type/id, 00 00, patient id, 00 00 | whether the patient is a subject of the resource |
//! | meta | 08 | `writer`, 00 00, row, sequence | who wrote the version |
//! | meta | 08 | `audit-due`, 00 00, sequence, number (4) | lookups still to be made for that access record, as JSON |
//! | meta | 08 | `page-query`, 00 00, when (8), who (8), hash (16) | a long query of page links, compressed and encrypted |
//! | registry | 09 | kind, 00 00, id, 00 00 | a client, a user, or what was issued to one (grants, tokens), as JSON |
//! | registry | 09 | `expiry`, 00 00, time, kind, 00 00, id, 00 00 | empty: the record of that kind and id expires then |
//! | audit by patient | 0a | patient id, 00 00, sequence, number (4) | empty: the access record concerns the patient |
//! | index of accesses | 0b | sort (1), then by the sort | segments of the AuditEvent index; `audit` defines their layout |
//!
//! `belongs`: empty if any version, current or former, of any resource has made the patient a subject of this one; 01 if a
//! correction has since taken the patient off. `writer`, kept where references may be masked for the party that wrote the
//! version: the party's fingerprint (16); 01 if it may see every Binary that the version refers to, else 00; for a Binary
//! that only one organization may see, the fingerprint of that organization (16). Audit by patient: under the id `*` stand
//! the access records that concern many patients; such a record lists its patients by their rows.
//!
//! A row is the number that the store gives a resource. Rows and sequences are 8 bytes. All numbers are big-endian, so that
//! keys sort as their numbers do. In texts, zero bytes are escaped as `00 ff`; a text ends with `00 00`, so that it sorts
//! before every longer text that begins with it.

/// The first byte of a key: which kind of data the key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Record,
    Id,
    Current,
    History,
    Posting,
    Entries,
    Audit,
    Meta,
    Registry,
    AuditPatient,
    AuditIndex,
}

impl Space {
    /// All spaces in the order of their bytes.
    pub const ALL: [Self; 11] = [
        Self::Record,
        Self::Id,
        Self::Current,
        Self::History,
        Self::Posting,
        Self::Entries,
        Self::Audit,
        Self::Meta,
        Self::Registry,
        Self::AuditPatient,
        Self::AuditIndex,
    ];

    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::Id => 2,
            Self::Current => 3,
            Self::History => 4,
            Self::Posting => 5,
            Self::Entries => 6,
            Self::Audit => 7,
            Self::Meta => 8,
            Self::Registry => 9,
            Self::AuditPatient => 10,
            Self::AuditIndex => 11,
        }
    }

    /// The space that a key belongs to.
    #[must_use]
    pub fn of(key: &[u8]) -> Option<Self> {
        // Asked for every key that is read or written, so it is no search of `ALL`.
        Some(match *key.first()? {
            1 => Self::Record,
            2 => Self::Id,
            3 => Self::Current,
            4 => Self::History,
            5 => Self::Posting,
            6 => Self::Entries,
            7 => Self::Audit,
            8 => Self::Meta,
            9 => Self::Registry,
            10 => Self::AuditPatient,
            11 => Self::AuditIndex,
            _ => return None,
        })
    }
}

/// Builds a key part by part.
#[derive(Clone, Debug, Default)]
pub struct Key {
    bytes: Vec<u8>,
}

impl Key {
    #[must_use]
    pub fn new(space: Space) -> Self {
        Self::with_capacity(space, 32)
    }

    /// A key with room for `len` bytes.
    #[must_use]
    pub fn with_capacity(space: Space, len: usize) -> Self {
        let mut bytes = Vec::with_capacity(len);
        bytes.push(space.byte());
        Self { bytes }
    }

    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    #[must_use]
    pub fn short(mut self, number: u16) -> Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    #[must_use]
    pub fn word(mut self, number: u32) -> Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends a text (or any bytes), escaped and terminated.
    #[must_use]
    pub fn text(mut self, text: &[u8]) -> Self {
        self.bytes.extend(text_prefix(text));
        self.bytes.extend_from_slice(&[0, 0]);
        self
    }

    /// Appends the beginning of a text: escaped, not terminated.
    #[must_use]
    pub fn open_text(mut self, text: &[u8]) -> Self {
        self.bytes.extend(text_prefix(text));
        self
    }

    /// Appends bytes that need no escaping.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Wraps a complete key.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Appends eight zero bytes that the writer fills in at commit, and returns their offset.
    #[must_use]
    pub fn stamped(mut self) -> (Self, usize) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 8]);
        (self, offset)
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Every change of a SearchParameter writes this key. Index entries that were derived before may be out of date.
#[must_use]
pub fn definitions_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"search-parameters").into_bytes()
}

/// Every change of a Consent writes this key. Caches of Consents that were filled before are out of date.
#[must_use]
pub fn consents_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"consents").into_bytes()
}

/// Every change that may revoke a token writes this key. Tokens that were verified before must be verified again.
#[must_use]
pub fn registrations_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"registrations").into_bytes()
}

/// Every change of the links between Patients that are one person writes this key. Which Consents apply to which Patient
/// may have changed.
#[must_use]
pub fn persons_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"persons").into_bytes()
}

/// Every change that may change a decision, other than of the requested data, writes this key: of a Consent, of the links
/// between Patients, of an Organization or a Practitioner. Caches stay valid while this key's sequence is unchanged.
#[must_use]
pub fn governing_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"governing").into_bytes()
}

/// The prefix of the keys of stored page queries. They sort by the time at which they were stored, so that expired ones come
/// first.
#[must_use]
pub fn page_queries() -> Key {
    Key::new(Space::Meta).text(b"page-query")
}

/// The key of the list of search parameters that are completely indexed.
#[must_use]
pub fn indexed_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"indexed").into_bytes()
}

/// The key that says which dictionary compresses new versions.
#[must_use]
pub fn packing_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"packing").into_bytes()
}

/// The key of a compression dictionary.
#[must_use]
pub fn packing_dictionary_key(number: u32) -> Vec<u8> {
    Key::new(Space::Meta).text(b"packing-dictionary").word(number).into_bytes()
}

/// The prefix of the keys that mark rows as erased.
#[must_use]
pub fn erased_prefix() -> Vec<u8> {
    Key::new(Space::Meta).text(b"erased").into_bytes()
}

/// The key that marks a row as erased. The commit that writes it must also remove every key of the row; the backend then
/// discards all their earlier versions.
#[must_use]
pub fn erased_key(row: u64) -> Vec<u8> {
    Key::from_bytes(erased_prefix()).number(row).into_bytes()
}

/// The row that this key marks as erased; `None` for any other key.
#[must_use]
pub fn erased_row(key: &[u8]) -> Option<u64> {
    if key.first() != Some(&Space::Meta.byte()) {
        return None;
    }
    let row = row_of(key)?;
    (key == erased_key(row)).then_some(row)
}

/// The prefix of the keys that name the subjects of a resource (`Type/id`), as given by all that has ever referred to it.
#[must_use]
pub fn belongs_prefix(reference: &str) -> Key {
    Key::new(Space::Meta).text(b"belongs").text(reference.as_bytes())
}

/// The prefix of the keys that say who wrote a version.
#[must_use]
pub fn writers() -> Key {
    Key::new(Space::Meta).text(b"writer")
}

/// The prefix of the keys that say who wrote the versions of this row.
#[must_use]
pub fn writers_of_row(row: u64) -> Key {
    writers().number(row)
}

/// The row of the resource that a key belongs to; `None` for keys of no resource. Keys of ids count as such, because an id
/// stays taken after an erasure.
#[must_use]
pub fn resource_row(key: &[u8]) -> Option<u64> {
    match Space::of(key)? {
        Space::Record | Space::Current | Space::Entries => number_at(key, 1),
        Space::History | Space::Posting => row_of(key),
        Space::Meta => {
            let prefix = writers().into_bytes();
            key.starts_with(&prefix).then(|| number_at(key, prefix.len())).flatten()
        }
        Space::Id | Space::Audit | Space::Registry | Space::AuditPatient | Space::AuditIndex => None,
    }
}

/// The escaped text without its terminator: the prefix of all texts that begin with it.
#[must_use]
pub fn text_prefix(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    for byte in text {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out
}

/// The number in the last eight bytes of a key, which in keys of several spaces is the row.
#[must_use]
pub fn row_of(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The number in the eight bytes that begin at `at`.
#[must_use]
pub fn number_at(key: &[u8], at: usize) -> Option<u64> {
    key.get(at..at + 8)?.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The part of a key that goes into the bloom filter. Of a posting it ends with the first text of the value (a code without
/// its system, a name, an id), because searches look that up; every other key goes in whole.
#[must_use]
pub fn filter_part(key: &[u8]) -> &[u8] {
    if Space::of(key) != Some(Space::Posting) {
        return key;
    }
    let end = first_text_end(key).unwrap_or_else(|| key.len().saturating_sub(8));
    key.get(..end).unwrap_or(key)
}

/// Where the first text of a posting's value ends, if the value contains one.
fn first_text_end(key: &[u8]) -> Option<usize> {
    /// Space, type and parameter.
    const BEFORE_VALUE: usize = 1 + 2 + 4;
    let value = key.get(BEFORE_VALUE..)?;
    value.windows(2).position(|pair| pair == [0, 0]).map(|at| BEFORE_VALUE + at + 2)
}

/// The filter part that all keys of a range share; `None` if they do not share one.
#[must_use]
pub fn shared_filter_part<'k>(start: &'k [u8], end: &[u8]) -> Option<&'k [u8]> {
    if Space::of(start) != Some(Space::Posting) {
        return None;
    }
    let part = start.get(..first_text_end(start)?)?;
    (end.starts_with(part.get(..part.len() - 1)?) && is_within(part, end)).then_some(part)
}

/// Whether all keys before `end` that are not before `part` begin with `part`.
fn is_within(part: &[u8], end: &[u8]) -> bool {
    let mut after = part.to_vec();
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    end <= after.as_slice()
}

#[cfg(test)]
mod tests {
    use super::{
        Key, Space, erased_key, erased_row, filter_part, number_at, resource_row, row_of, shared_filter_part,
    };

    #[test]
    fn a_key_tells_its_space_by_its_first_byte() {
        for byte in 0..=u8::MAX {
            let expected = Space::ALL.into_iter().find(|space| space.byte() == byte);
            assert_eq!(Space::of(&[byte, 7]), expected);
        }
        assert_eq!(Space::of(&[]), None);
    }

    #[test]
    fn layouts_are_these_bytes() {
        let hex = |key: Key| key.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(Key::new(Space::Record).number(1).number(2)), "0100000000000000010000000000000002");
        assert_eq!(hex(Key::new(Space::Id).short(7).text(b"a")), "020007610000");
        assert_eq!(
            hex(Key::new(Space::Posting).short(7).word(9).text(b"a\0b").number(3)),
            "050007000000096100ff6200000000000000000003"
        );
        assert_eq!(hex(Key::new(Space::Meta).text(b"format")), "08666f726d61740000");
        assert_eq!(hex(Key::new(Space::Registry).text(b"user").text(b"a")), "09757365720000610000");
    }

    #[test]
    fn texts_sort_before_those_that_they_begin() {
        let key = |text: &str| Key::new(Space::Id).short(1).text(text.as_bytes()).into_bytes();
        let mut sorted = ["a", "a\0", "a\u{1}", "aa", "ab", "b"].map(key);
        let before = sorted.clone();
        sorted.sort();
        assert_eq!(before, sorted);
    }

    #[test]
    fn numbers_are_read_back() {
        let key = Key::new(Space::Posting).short(1).word(2).text(b"x").number(77).into_bytes();
        assert_eq!(row_of(&key), Some(77));
        assert_eq!(filter_part(&key), &key[..key.len() - 8]);
        let prefix = Key::new(Space::Posting).short(1).word(2).text(b"x").into_bytes();
        let range = crate::store::KeyRange::prefix(prefix.clone());
        assert_eq!(shared_filter_part(&range.start, &range.end), Some(prefix.as_slice()));
        let open = crate::store::KeyRange::prefix(
            Key::new(Space::Posting).short(1).word(2).open_text(b"x").into_bytes(),
        );
        assert_eq!(shared_filter_part(&open.start, &open.end), None);
        // Zero bytes in the number of the type do not terminate a text.
        let zero = Key::new(Space::Posting).short(0).word(2).open_text(b"abc").into_bytes();
        let range = crate::store::KeyRange::prefix(zero);
        assert_eq!(shared_filter_part(&range.start, &range.end), None);
        assert_eq!(number_at(&Key::new(Space::Record).number(5).number(6).into_bytes(), 9), Some(6));
    }

    #[test]
    fn keys_say_which_row_they_are_of() {
        for key in [
            Key::new(Space::Record).number(5).number(6),
            Key::new(Space::History).short(1).number(6).number(5),
            Key::new(Space::Posting).short(1).word(2).text(b"x").number(5),
            Key::new(Space::Entries).number(5),
            Key::new(Space::Current).number(5),
        ] {
            assert_eq!(resource_row(&key.into_bytes()), Some(5));
        }
        for key in [Key::new(Space::Id).short(1).text(b"12345678"), Key::new(Space::Audit).number(5).word(0)]
        {
            assert_eq!(resource_row(&key.into_bytes()), None);
        }
        assert_eq!(erased_row(&erased_key(77)), Some(77));
        assert_eq!(erased_row(&Key::new(Space::Meta).text(b"indexed").into_bytes()), None);
    }
}
