//! zstd for what is short and packed often: records without a dictionary, blocks of the index.
use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// A higher level makes texts and blocks of some kB a hundredth smaller.
const LEVEL: i32 = 1;

thread_local! {
    // What zstd needs for its work is large, and takes longer to make than most texts to pack.
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

pub(super) fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(bytes).ok())
}

/// Unpacks what takes so many bytes.
pub(super) fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| unpacker.as_mut()?.decompress(packed, len).ok())
}
