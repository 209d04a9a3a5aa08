//! Bytes that a standby receives, and a journal file that is read: no content causes a panic.
#![no_main]
use std::sync::{Arc, OnceLock};

use chartward::store::{Sled, SledOptions, SystemClock, read_chain};
use libfuzzer_sys::fuzz_target;

struct Place {
    store: Sled,
    folder: tempfile::TempDir,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SledOptions { sync: false, ..SledOptions::new(folder.path().join("data")) };
        let store = Sled::open(&options, Arc::new(SystemClock)).expect("a store");
        std::fs::create_dir_all(folder.path().join("other/journal")).expect("a folder");
        Place { store, folder }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let place = place();
    let _ = place.store.follow(bytes);
    let other = place.folder.path().join("other");
    std::fs::write(other.join("journal/00000000000000000001.journal"), bytes).expect("a file");
    let _ = read_chain(&other, &mut |_, _, _| {});
});
