//! The sled store after damage: a torn journal, a flipped byte, a missing file, a removed or corrupted sled directory.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chartward::store::{At, Batch, Kv as _, Sled, SledOptions, StoreError, SystemClock, Write};

/// Small tables, so that a few hundred commits already cause checkpoints and new journal files.
fn options(path: &Path) -> SledOptions {
    SledOptions { table_bytes_max: 30_000, sync: false, ..SledOptions::new(path.to_owned()) }
}

fn open(path: &Path) -> Result<Sled, StoreError> {
    Sled::open(&options(path), Arc::new(SystemClock))
}

fn key(number: usize) -> Vec<u8> {
    // Half of the keys are records, half postings.
    let mut key = vec![if number.is_multiple_of(2) { 1 } else { 5 }];
    key.extend_from_slice(&(number as u64).to_be_bytes());
    key.extend_from_slice(&1_u64.to_be_bytes());
    key
}

fn fill(path: &Path, count: usize) {
    let store = open(path).unwrap();
    for number in 0..count {
        let write = Write { key: key(number), value: Some(vec![7; 300]), ..Write::default() };
        store.commit(Batch { writes: vec![write], ..Batch::default() }).wait().unwrap();
    }
    store.close().unwrap();
}

fn holds(store: &Sled, count: usize) {
    let snapshot = store.snapshot(At::Latest).unwrap();
    for number in 0..count {
        assert_eq!(snapshot.get(&key(number)).unwrap().unwrap().0, vec![7; 300], "{number}");
    }
}

fn journals(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(path.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_torn_tail_is_cut_and_all_before_it_kept() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 10);
    let last = journals(folder.path()).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    for cut in [1, 40, 200, 400] {
        fs::write(&last, &bytes[..bytes.len() - cut]).unwrap();
        fs::remove_dir_all(folder.path().join("sled")).ok();
        let store = open(folder.path()).unwrap();
        assert!(store.opened().torn_bytes > 0, "{cut}");
        holds(&store, 8);
    }
}

#[test]
fn a_flipped_byte_before_the_end_is_damage_and_nothing_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 10);
    let last = journals(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes[500] ^= 1;
    fs::write(&last, &bytes).unwrap();
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(&error, StoreError::Corrupt(what) if what.contains("damaged record")), "{error}");
    assert_eq!(fs::read(&last).unwrap(), bytes);
}

#[test]
fn a_missing_journal_file_is_noticed_when_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 600);
    let files = journals(folder.path());
    assert!(files.len() > 3, "{files:?}");
    holds(&open(folder.path()).unwrap(), 600);
    fs::remove_file(&files[1]).unwrap();
    holds(&open(folder.path()).unwrap(), 600);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(&error, StoreError::Corrupt(what) if what.contains("missing")), "{error}");
}

#[test]
fn sled_destroyed_is_rebuilt_from_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 600);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.opened().replayed, 600);
    holds(&store, 600);
    drop(store);
    // Bytes of sled's own file are corrupted, as by a failing disk.
    let file = folder.path().join("sled/db");
    let mut bytes = fs::read(&file).unwrap();
    for at in (0..bytes.len()).step_by(997) {
        bytes[at] ^= 0x55;
    }
    fs::write(&file, bytes).unwrap();
    let store = open(folder.path()).unwrap();
    assert!(store.opened().rebuilt.is_some());
    holds(&store, 600);
    drop(store);
    // sled cannot open a directory with an invalid configuration file.
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    fs::create_dir(folder.path().join("sled")).unwrap();
    fs::write(folder.path().join("sled/conf"), b"nonsense").unwrap();
    let store = open(folder.path()).unwrap();
    assert!(store.opened().rebuilt.is_some());
    holds(&store, 600);
}

#[test]
fn a_file_that_is_there_twice_is_taken_once_or_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 600);
    let files = journals(folder.path());
    // A compressed file beside the plain one, as a crash may leave them: either alone is complete.
    let packed = files.iter().find(|file| file.extension().unwrap() == "zst").unwrap();
    fs::write(packed.with_extension(""), zstd::decode_all(fs::read(packed).unwrap().as_slice()).unwrap())
        .unwrap();
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    holds(&open(folder.path()).unwrap(), 600);
    // The same records under another file name are refused.
    let last = files.last().unwrap();
    let other = last.with_file_name(format!("{:020}.journal", 601));
    fs::copy(last, &other).unwrap();
    for _ in 0..2 {
        let error = open(folder.path()).err().unwrap();
        assert!(matches!(&error, StoreError::Corrupt(what) if what.contains("no valid header")), "{error}");
        fs::remove_dir_all(folder.path().join("sled")).ok();
    }
    fs::remove_file(&other).unwrap();
    holds(&open(folder.path()).unwrap(), 600);
}

#[test]
fn sled_cut_short_is_rebuilt_from_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 600);
    let file = folder.path().join("sled/db");
    let len = fs::metadata(&file).unwrap().len();
    for kept in [len / 2, 100_000, 1, 0] {
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(kept).unwrap();
        let store = open(folder.path()).unwrap();
        // sled may recover an older state of the file, and the journal is replayed over it.
        assert!(store.opened().rebuilt.is_some() || store.opened().replayed > 0, "{kept}");
        holds(&store, 600);
        store.close().unwrap();
    }
}

#[test]
fn sled_from_before_an_erasure_is_rebuilt_so_that_nothing_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (sled, kept) = (folder.path().join("sled"), folder.path().join("kept"));
    fill(folder.path(), 100);
    fs::create_dir(&kept).unwrap();
    for entry in fs::read_dir(&sled).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), kept.join(entry.file_name())).unwrap();
        }
    }
    let store = open(folder.path()).unwrap();
    let row = 7_u64;
    let posting = [&[5][..], &[0; 6], b"x\0\0", &row.to_be_bytes()].concat();
    let put = |key, value| Write { key, value, ..Write::default() };
    let commit = |writes| store.commit(Batch { writes, ..Batch::default() }).wait().unwrap();
    commit(vec![put(posting.clone(), Some(Vec::new()))]);
    let erased = [&b"\x08erased\0\0"[..], &row.to_be_bytes()].concat();
    commit(vec![put(posting.clone(), None), put(erased, Some(Vec::new()))]);
    let since = std::time::Instant::now();
    while store.is_erasing() {
        assert!(since.elapsed().as_secs() < 20);
        std::thread::yield_now();
    }
    store.close().unwrap();
    drop(store);
    fs::remove_dir_all(&sled).unwrap();
    fs::rename(&kept, &sled).unwrap();
    let store = open(folder.path()).unwrap();
    assert!(store.opened().rebuilt.as_ref().is_some_and(|reason| reason.contains("erasure")));
    assert_eq!(store.snapshot(At::Latest).unwrap().get(&posting).unwrap(), None);
    holds_all_but(&store, 100, row as usize);
}

fn holds_all_but(store: &Sled, count: usize, row: usize) {
    let snapshot = store.snapshot(At::Latest).unwrap();
    for number in (0..count).filter(|number| number.is_multiple_of(2) && *number != row) {
        assert!(snapshot.get(&key(number)).unwrap().is_some(), "{number}");
    }
}

#[test]
fn one_that_follows_too_late_does_not_keep_what_was_erased() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (open(here.path()).unwrap(), open(there.path()).unwrap());
    let row = 7_u64;
    let current = [&[3][..], &row.to_be_bytes()].concat();
    let put = |key, value| Write { key, value, ..Write::default() };
    let commit = |writes| first.commit(Batch { writes, ..Batch::default() }).wait().unwrap().sequence;
    let last = commit(vec![put(current.clone(), Some(vec![1]))]);
    let follow = |after| {
        let handed_out = first.committed_after(after).unwrap().unwrap();
        second.follow(&handed_out)
    };
    assert_eq!(follow(chartward::store::Sequence(0)).unwrap(), last);
    let erased = [&b"\x08erased\0\0"[..], &row.to_be_bytes()].concat();
    commit(vec![put(current, None), put(erased, Some(Vec::new()))]);
    let since = std::time::Instant::now();
    while first.is_erasing() {
        assert!(since.elapsed().as_secs() < 20);
        std::thread::yield_now();
    }
    let refused = follow(last).err().unwrap();
    assert!(matches!(&refused, StoreError::Corrupt(what) if what.contains("anew")), "{refused}");
}
