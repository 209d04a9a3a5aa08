//! sled's directory written anew after an erasure: its files keep the bytes of pages that it has given up until it needs the
//! room, so what was erased is gone for certain only with the old files.
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::store::kv::StoreError;

use super::SledOptions;
use super::disk::Disk;
use super::manifest::Manifest;

/// The copy in the making. It gets sled's place only once it is whole.
fn fresh(data: &Path) -> PathBuf {
    data.join("sled-fresh")
}

/// What was in sled's place before.
fn old(data: &Path) -> PathBuf {
    data.join("sled-old")
}

/// Takes up or takes back what a crash has left of a renewal.
pub(super) fn recover(data: &Path) -> Result<(), StoreError> {
    let (sled, fresh, old) = (data.join("sled"), fresh(data), old(data));
    if !sled.exists() && old.exists() && fresh.exists() {
        // The old one gave up its place, so the copy was whole.
        fs::rename(&fresh, &sled)?;
    }
    for left in [fresh, old] {
        if left.exists() {
            fs::remove_dir_all(left)?;
        }
    }
    Ok(())
}

/// Copies what the open directory holds and puts the copy in its place.
pub(super) fn renew(options: &SledOptions, disk: Disk, manifest: &Manifest) -> Result<(), StoreError> {
    let data = &options.path;
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

/// Directories that were damaged and set aside.
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
