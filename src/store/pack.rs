//! zstd compression of short texts: records without a dictionary, and blocks of the index.
use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// Higher levels gain only one percent on texts and blocks of a few kB.
const LEVEL: i32 = 1;

thread_local! {
    // A zstd context is large, and creating one takes longer than compressing most texts. So each thread keeps one.
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

pub(super) fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(bytes).ok())
}

/// Decompresses bytes whose decompressed length is `len`.
pub(super) fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| unpacker.as_mut()?.decompress(packed, len).ok())
}
