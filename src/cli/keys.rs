//! The keys of a data directory, in files that their owner alone may read, and `chartward keys rotate`: new keys sign, and
//! tokens signed with old ones are good until they expire.
//!
//! | file below `keys/` | what |
//! |---|---|
//! | `issuer.p8` | the key of access tokens, PKCS#8 |
//! | `identity.der` | the key of id tokens, PKCS#1; made when it is first needed |
//! | `audit.p8` | the key that signs the record of accesses, PKCS#8 |
//! | `audit.pub` | the public halves of all that have, in hexadecimal digits |
//! | `retired/ID.json` | a public key that has signed: `jwk`, and when it was `retired`, in milliseconds |
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::{IdentityKeys, Issuer};
use crate::http::Task;
use crate::model::Millis;
use crate::operations::Engine;
use crate::store::make_private_folder;

use super::clock::now;
use super::config::Config;

/// How long a retired key is trusted, in days: no token of the server lives longer than an hour, and those that are minted
/// by hand should not live longer than this.
const RETIRED_DAYS: Millis = 30;

const DAY_MS: Millis = 24 * 3_600 * 1_000;

/// The keys of a data directory.
pub(super) fn folder(config: &Config) -> PathBuf {
    config.data.join("keys")
}

/// The key of access tokens, made on first use.
pub(super) fn issuer_key(folder: &Path) -> Result<Vec<u8>, String> {
    owned_file(&folder.join("issuer.p8"), Issuer::generate_key)
}

/// The keys of id tokens, read or made when they are first needed.
pub(super) fn identity_keys(folder: PathBuf) -> IdentityKeys {
    IdentityKeys::new(Box::new(move || {
        let key = owned_file(&folder.join("identity.der"), IdentityKeys::generate_key)?;
        Ok((key, retired(&folder)?))
    }))
}

#[derive(Serialize, Deserialize)]
struct Retired {
    jwk: Value,
    retired: Millis,
}

/// The public keys that have signed and are still trusted.
pub(super) fn retired(folder: &Path) -> Result<Vec<Value>, String> {
    let trusted = retired_files(folder)?.into_iter().filter(|(_, key)| is_trusted(key));
    Ok(trusted.map(|(_, key)| key.jwk).collect())
}

fn is_trusted(key: &Retired) -> bool {
    now() - key.retired < RETIRED_DAYS * DAY_MS
}

fn retired_files(folder: &Path) -> Result<Vec<(PathBuf, Retired)>, String> {
    let mut found = Vec::new();
    let Ok(files) = fs::read_dir(folder.join("retired")) else { return Ok(found) };
    for file in files {
        let path = file.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = fs::read(&path).map_err(|error| failed(&error))?;
            let key = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
            found.push((path, key));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Retires the keys and makes new ones. The public half of an old key is on disk before the new key is.
pub(super) fn rotate(folder: &Path) -> Result<(), String> {
    let issuer = Issuer::new("", &issuer_key(folder)?)?;
    retire(folder, issuer.jwks().into_iter().next())?;
    replace(&folder.join("issuer.p8"), &Issuer::generate_key()?)?;
    if folder.join("identity.der").exists() {
        let identity = identity_keys(folder.to_owned());
        retire(folder, identity.jwks()?.into_iter().next())?;
        replace(&folder.join("identity.der"), &IdentityKeys::generate_key()?)?;
    }
    if folder.join("audit.p8").exists() {
        // Its public half is in `audit.pub` since it was first used, and so will the new one's be.
        replace(&folder.join("audit.p8"), &Issuer::generate_key()?)?;
    }
    for (path, _) in retired_files(folder)?.iter().filter(|(_, key)| !is_trusted(key)) {
        fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn retire(folder: &Path, jwk: Option<Value>) -> Result<(), String> {
    let jwk = jwk.ok_or("the key has no public half")?;
    let id = jwk.get("kid").and_then(Value::as_str).ok_or("the key has no id")?.to_owned();
    let folder = folder.join("retired");
    make_private_folder(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let text = serde_json::to_vec(&Retired { jwk, retired: now() }).map_err(|error| error.to_string())?;
    replace(&folder.join(format!("{id}.json")), &text)
}

/// What a running server does for `keys rotate`.
pub(super) fn task(engine: Arc<Engine>, folder: PathBuf) -> Task {
    Arc::new(move || {
        rotate(&folder)?;
        engine.issuer().change_keys(&issuer_key(&folder)?, &retired(&folder)?)?;
        engine.authorization.identity.forget();
        Ok(String::new())
    })
}

/// A file of secrets, made on first use, readable by its owner alone.
pub(super) fn owned_file(path: &Path, make: impl Fn() -> Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
    match fs::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{}: {error}", path.display())),
    }
    if let Some(folder) = path.parent() {
        make_private_folder(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let bytes = make()?;
    write_owned(path, &bytes)?;
    Ok(bytes)
}

/// Adds a public key to those that a copy of the directory is examined with, unless it is among them.
pub(super) fn note_public_key(path: &Path, public: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let known = if path.exists() { fs::read_to_string(path).map_err(failed)? } else { String::new() };
    if known.lines().any(|line| line.trim() == public) {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all(format!("{public}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Writes a file of secrets in the place of another, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let part = path.with_extension("part");
    // One that is left of an attempt that failed is of no use.
    let _ = fs::remove_file(&part);
    write_owned(&part, bytes)?;
    fs::rename(&part, path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write_owned(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{identity_keys, issuer_key, replace, retired, rotate};
    use crate::auth::Issuer;

    #[test]
    fn a_rotation_keeps_public_keys_and_only_those() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let old = Issuer::new("u", &issuer_key(path).unwrap()).unwrap().jwks();
        let old_identity = identity_keys(path.to_owned()).jwks().unwrap();
        rotate(path).unwrap();
        let issuer = Issuer::with_retired("u", &issuer_key(path).unwrap(), &retired(path).unwrap()).unwrap();
        assert_eq!(issuer.jwks().len(), 2);
        assert_eq!(issuer.jwks()[1], old[0]);
        let identity = identity_keys(path.to_owned()).jwks().unwrap();
        assert_eq!((identity.len(), &identity[1]), (2, &old_identity[0]));
        // What was retired too long ago is trusted no more, and gone with the next rotation.
        let name = format!("retired/{}.json", old[0]["kid"].as_str().unwrap());
        let stale = serde_json::json!({"jwk": old[0], "retired": 0}).to_string();
        replace(&path.join(&name), stale.as_bytes()).unwrap();
        assert!(!retired(path).unwrap().contains(&old[0]));
        rotate(path).unwrap();
        assert!(!path.join(&name).exists());
        #[cfg(unix)]
        for file in ["issuer.p8", "identity.der"] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(path.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
