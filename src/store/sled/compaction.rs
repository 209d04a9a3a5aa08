//! Rewrites sled's directory. sled keeps the bytes of freed pages in its files until it reuses the room, so erased data are
//! certainly gone only when the old files are deleted.
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::store::kv::StoreError;
use crate::store::private::make_private_folder;

use super::SledOptions;
use super::disk::Disk;
use super::manifest::Manifest;

/// The folder of the copy. It replaces sled's folder only when the copy is complete.
fn fresh(data: &Path) -> PathBuf {
    data.join("sled-fresh")
}

/// Where sled's old folder is moved before the copy replaces it.
fn old(data: &Path) -> PathBuf {
    data.join("sled-old")
}

/// Completes or undoes a rewrite that a crash interrupted.
pub(super) fn recover(data: &Path) -> Result<(), StoreError> {
    let (sled, fresh, old) = (data.join("sled"), fresh(data), old(data));
    if !sled.exists() && old.exists() && fresh.exists() {
        // The old folder had been moved away, so the copy is complete.
        fs::rename(&fresh, &sled)?;
    }
    for left in [fresh, old] {
        if left.exists() {
            fs::remove_dir_all(left)?;
        }
    }
    Ok(())
}

/// Copies the data of the open directory and replaces the directory by the copy.
pub(super) fn renew(options: &SledOptions, disk: Disk, manifest: &Manifest) -> Result<(), StoreError> {
    let data = &options.path;
    make_private_folder(&fresh(data))?;
    let copy = Disk::open(&fresh(data), options.sled_cache_bytes, options.sync)?;
    disk.copy_into(&copy)?;
    let mut renewed = manifest.clone();
    renewed.renew = false;
    renewed.write(&copy)?;
    drop((copy, disk));
    fs::rename(data.join("sled"), old(data))?;
    fs::rename(fresh(data), data.join("sled"))?;
    File::open(data)?.sync_all()?;
    Ok(fs::remove_dir_all(old(data))?)
}

/// Damaged sled directories that were set aside.
pub(super) fn set_aside(data: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("sled-damaged-")) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::store::batch::Batch;
    use crate::store::batch::Write;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use crate::store::kv::{At, Kv as _};
    use crate::store::{Sled, SledOptions, SystemClock};

    fn open(folder: &Path) -> Sled {
        let options = SledOptions { sync: false, ..SledOptions::new(folder) };
        Sled::open(&options, Arc::new(SystemClock)).unwrap()
    }

    #[test]
    fn a_renewal_that_was_cut_off_is_taken_up_or_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let store = open(folder.path());
        let write = Write { key: vec![2, 1], value: Some(vec![1]), ..Write::default() };
        store.commit(Batch { writes: vec![write], ..Batch::default() }).wait().unwrap();
        drop(store);
        let holds = || {
            let store = open(folder.path());
            assert_eq!((store.opened().replayed, &store.opened().rebuilt), (0, &None));
            assert!(store.snapshot(At::Latest).unwrap().get(&[2, 1]).unwrap().is_some());
            assert!(!path("sled-old").exists() && !path("sled-fresh").exists());
        };
        // Crash during the copy.
        fs::create_dir(path("sled-fresh")).unwrap();
        fs::write(path("sled-fresh/db"), b"half").unwrap();
        holds();
        // Crash between the two renamings.
        fs::rename(path("sled"), path("sled-fresh")).unwrap();
        fs::create_dir(path("sled-old")).unwrap();
        holds();
        // Crash before the old folder was removed.
        fs::create_dir(path("sled-old")).unwrap();
        holds();
    }
}
