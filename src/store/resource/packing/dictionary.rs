//! A dictionary ready for use, and zstd with one.
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

/// With a dictionary this gains a twentieth over the lowest level.
const LEVEL: i32 = 3;

/// What is packed: each sort has words of its own.
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

/// The words of texts and of entries. Stored as `length of the first (4) | the first | the second`.
pub(in crate::store::resource) struct Dictionary {
    pub(in crate::store::resource) number: u32,
    text: Words,
    entries: Words,
}

/// All that this process has met. There is one more of them each time a store has grown many times over, so they are never
/// let go.
static KNOWN: RwLock<Option<HashMap<u32, &'static Dictionary>>> = RwLock::new(None);

impl Dictionary {
    /// How it is stored.
    pub(super) fn encode(text: &[u8], entries: &[u8]) -> Vec<u8> {
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&len[..], text, entries].concat()
    }

    /// The number of what is stored: by its content, so that two stores never mean different words by the same number.
    pub(super) fn number_of(stored: &[u8]) -> u32 {
        Sha256::digest(stored).first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    pub(super) fn known(number: u32) -> Option<&'static Self> {
        KNOWN.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&number).copied()
    }

    /// Makes what is stored ready for use; `None` if it is not what its number says.
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
    // What zstd needs for its work is large, and takes longer to make than most texts to pack.
    static PACKER: RefCell<Option<CCtx<'static>>> = RefCell::new(packer());
    static UNPACKER: RefCell<Option<DCtx<'static>>> = RefCell::new(DCtx::try_create());
}

/// Without what the record says already: the length, and which dictionary.
fn packer() -> Option<CCtx<'static>> {
    let mut packer = CCtx::try_create()?;
    packer.set_parameter(CParameter::ContentSizeFlag(false)).ok()?;
    packer.set_parameter(CParameter::DictIdFlag(false)).ok()?;
    Some(packer)
}
