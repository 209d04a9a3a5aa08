//! The keys of a data directory, in files that only their owner can read, and `chartward keys rotate`: new keys sign, while
//! tokens signed with old keys stay valid until they expire.
//!
//! | file below `keys/` | what |
//! |---|---|
//! | `issuer.p8` | the key that signs access tokens, PKCS#8 |
//! | `identity.der` | the key that signs id tokens, PKCS#1; made on first use |
//! | `audit.p8` | the key that signs the record of accesses, PKCS#8 |
//! | `audit.pub` | the public halves of all audit keys so far, in hexadecimal digits, one per line |
//! | `retired/ID.json` | a former public key: `jwk`, and when it was `retired`, in milliseconds since 1970 |
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::{IdentityKeys, Issuer, SigningKeyError};
use crate::http::Task;
use crate::model::Millis;
use crate::operations::Engine;
use crate::store::make_private_folder;

use super::clock::now;
use super::config::Config;

/// How long a retired key is trusted, in days. The server's own tokens live for an hour at most; tokens issued by `chartward
/// token` should not live longer than this.
const RETIRED_DAYS: Millis = 30;

const DAY_MS: Millis = 24 * 3_600 * 1_000;

/// The folder of a data directory's keys.
pub(super) fn folder(config: &Config) -> PathBuf {
    config.data.join("keys")
}

/// The key that signs access tokens, made on first use.
pub(super) fn issuer_key(folder: &Path) -> Result<Vec<u8>, String> {
    owned_file(&folder.join("issuer.p8"), Issuer::generate_key)
}

/// The keys of id tokens, read or made on first use.
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

/// The retired public keys that are still trusted.
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

/// Retires the keys and makes new ones. The old public key is on disk before the new key replaces the old one.
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
        // The old public key is in `audit.pub` since the key was first used; the new one is added at its first use.
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

/// The server's side of `keys rotate`.
pub(super) fn task(engine: Arc<Engine>, folder: PathBuf) -> Task {
    Arc::new(move || {
        rotate(&folder)?;
        engine
            .issuer()
            .change_keys(&issuer_key(&folder)?, &retired(&folder)?)
            .map_err(|error| error.to_string())?;
        engine.authorization.identity.forget();
        Ok(String::new())
    })
}

/// Reads a secret file that only its owner can read; makes it on first use.
pub(super) fn owned_file(
    path: &Path,
    make: impl Fn() -> Result<Vec<u8>, SigningKeyError>,
) -> Result<Vec<u8>, String> {
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

/// Adds a public audit key to the file, unless it is there already. Copies of the directory are verified with the keys in this
/// file.
pub(super) fn note_public_key(path: &Path, public: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let known = if path.exists() { fs::read_to_string(path).map_err(failed)? } else { String::new() };
    if known.lines().any(|line| line.trim() == public) {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all(format!("{public}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Replaces a secret file completely or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let part = path.with_extension("part");
    // A file left from a failed attempt is useless.
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
        // A key that was retired too long ago is not trusted, and the next rotation removes it.
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
