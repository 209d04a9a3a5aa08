//! A compression dictionary ready for use, and zstd with it.
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

/// With a dictionary this saves five percent over the lowest level.
const LEVEL: i32 = 3;

/// The kind of data to compress; each kind has a zstd dictionary of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::resource) enum Sort {
    Text,
    Entries,
}

struct Words {
    encoder: EncoderDictionary<'static>,
    decoder: DecoderDictionary<'static>,
}

impl Words {
    fn new(words: &[u8]) -> Option<Self> {
        let encoder = EncoderDictionary::try_copy(words, LEVEL).ok()?;
        Some(Self { encoder, decoder: DecoderDictionary::try_copy(words).ok()? })
    }
}

/// The zstd dictionaries for texts and for entries. Stored as `length of the first (4) | the first | the second`.
pub(in crate::store::resource) struct Dictionary {
    pub(in crate::store::resource) number: u32,
    text: Words,
    entries: Words,
}

/// All dictionaries that this process has loaded. They are never freed: a store makes another one only each time it has
/// grown several times over.
static KNOWN: RwLock<Option<HashMap<u32, &'static Dictionary>>> = RwLock::new(None);

impl Dictionary {
    /// The stored form.
    pub(super) fn encode(text: &[u8], entries: &[u8]) -> Vec<u8> {
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&len[..], text, entries].concat()
    }

    /// The number of a stored dictionary: a hash of its content, so that two stores never use one number for different ones.
    pub(super) fn number_of(stored: &[u8]) -> u32 {
        Sha256::digest(stored).first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    pub(super) fn known(number: u32) -> Option<&'static Self> {
        KNOWN.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&number).copied()
    }

    /// Loads a stored dictionary; `None` if its content does not match the number.
    pub(super) fn learn(number: u32, stored: &[u8]) -> Option<&'static Self> {
        if Self::number_of(stored) != number {
            return None;
        }
        let (len, rest) = stored.split_first_chunk::<4>()?;
        let (text, entries) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        let (text, entries) = (Words::new(text)?, Words::new(entries)?);
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(HashMap::new);
        Some(known.entry(number).or_insert_with(|| Box::leak(Box::new(Self { number, text, entries }))))
    }

    fn words(&self, sort: Sort) -> &Words {
        match sort {
            Sort::Text => &self.text,
            Sort::Entries => &self.entries,
        }
    }

    pub(in crate::store::resource) fn pack(&'static self, sort: Sort, bytes: &[u8]) -> Option<Vec<u8>> {
        PACKER.with_borrow_mut(|packer| {
            let packer = packer.as_mut()?;
            let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(bytes.len()));
            packer.ref_cdict(self.words(sort).encoder.as_cdict()).ok()?;
            packer.compress2(&mut out, bytes).ok()?;
            Some(out)
        })
    }

    pub(in crate::store::resource) fn unpack(
        &self,
        sort: Sort,
        packed: &[u8],
        len: usize,
    ) -> Option<Vec<u8>> {
        UNPACKER.with_borrow_mut(|unpacker| {
            let mut out = Vec::with_capacity(len);
            let words = self.words(sort).decoder.as_ddict();
            unpacker.as_mut()?.decompress_using_ddict(&mut out, packed, words).ok()?;
            Some(out)
        })
    }
}

thread_local! {
    // A zstd context is large, and creating one takes longer than compressing most texts. So each thread keeps one.
    static PACKER: RefCell<Option<CCtx<'static>>> = RefCell::new(packer());
    static UNPACKER: RefCell<Option<DCtx<'static>>> = RefCell::new(DCtx::try_create());
}

/// A context that omits from its output what the record stores anyway: the length, and the dictionary's number.
fn packer() -> Option<CCtx<'static>> {
    let mut packer = CCtx::try_create()?;
    packer.set_parameter(CParameter::ContentSizeFlag(false)).ok()?;
    packer.set_parameter(CParameter::DictIdFlag(false)).ok()?;
    Some(packer)
}
