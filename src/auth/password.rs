//! Passwords and client secrets. They are stored as argon2id hashes (RFC 9106) in PHC string format, and never logged.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::store::{NoRandomness, random_bytes};

/// The cost of a hash: memory in KiB, passes, lanes (the minimum of OWASP's password storage cheat sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// The shortest password, in characters (NIST SP 800-63B section 3.1.1.2 requires at least 8).
pub const PASSWORD_LEN_MIN: usize = 12;
/// The longest password, in bytes: a longer one would only cost time.
const PASSWORD_BYTES_MAX: usize = 1_024;
/// How many checks may wait for their turn. More are refused, so that guessing does not occupy all threads.
const WAITING_MAX: usize = 16;
/// How many verified client secrets are cached.
const PROVEN_MAX: usize = 1_000;

/// Why no hash of a password is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has {PASSWORD_LEN_MIN} characters or more, and at most {PASSWORD_BYTES_MAX} bytes")]
    Length,
    #[error("{0}")]
    Randomness(#[from] NoRandomness),
    #[error("the machine has no memory for the hash")]
    Memory,
}

/// The argon2id hash of a password, as a string in the PHC format.
///
/// # Errors
/// [`PasswordError`].
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < PASSWORD_LEN_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::Length);
    }
    let salt = random_bytes::<SALT_LEN>()?;
    let hashed = || {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_LEN)).ok()?;
        let hash = digest(password, &salt, params.clone())?;
        Some(phc_string(&salt, &hash, &params)?.to_string())
    };
    hashed().ok_or(PasswordError::Memory)
}

/// The memory in which hashes are computed, one at a time. It is not given back after a hash, because the allocator would keep
/// the freed memory for each thread.
static MEMORY: Mutex<Vec<Block>> = Mutex::new(Vec::new());

fn digest(password: &str, salt: &[u8], params: Params) -> Option<Output> {
    let mut blocks = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    if blocks.len() < params.block_count() {
        blocks.resize(params.block_count(), Block::default());
    }
    let length = params.output_len().unwrap_or(HASH_LEN);
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = vec![0; length];
    hasher
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, blocks.as_mut_slice())
        .ok()?;
    Output::new(&hash).ok()
}

fn phc_string(salt: &[u8], hash: &Output, params: &Params) -> Option<PasswordHash> {
    Some(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(*hash),
    })
}

/// Whether a password has that hash. The hashes are compared in constant time.
fn is_right(password: &str, hash: &str) -> bool {
    let checked = || {
        let hash = PasswordHash::new(hash).ok()?;
        let is_ours =
            hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(Version::V0x13.into());
        let params = Params::try_from(&hash).ok().filter(|_| is_ours)?;
        let (salt, expected) = hash.salt.zip(hash.hash)?;
        Some(digest(password, &salt, params)?.as_bytes().ct_eq(expected.as_bytes()).into())
    };
    checked().unwrap_or(false)
}

/// Checks passwords one at a time, with a bounded number of waiting checks. Caches verified client secrets.
pub(super) struct Passwords {
    waiting: AtomicUsize,
    proven: quick_cache::sync::Cache<[u8; 32], ()>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { waiting: AtomicUsize::new(0), proven: quick_cache::sync::Cache::new(PROVEN_MAX) }
    }
}

/// A slot for one check, released when dropped.
pub(super) struct PasswordSlot<'p>(&'p Passwords);

impl Drop for PasswordSlot<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// A slot, if one is free.
    pub(super) fn turn(&self) -> Option<PasswordSlot<'_>> {
        let turn = PasswordSlot(self);
        (self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(turn)
    }

    /// Whether a client secret, which comes with every token request, was verified before.
    pub(super) fn is_proven(&self, secret: &str, hash: &str) -> bool {
        self.proven.get(&name_of(secret, hash)).is_some()
    }
}

impl PasswordSlot<'_> {
    /// Whether a password matches a hash. Without a hash the answer is no, after the same time.
    pub(super) fn check(&self, password: &str, hash: Option<&str>) -> bool {
        // Refused after the same time whether or not the user exists.
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let Some(hash) = hash else {
            // A user who does not exist is refused after the same time as one who does.
            let _ = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_LEN))
                .map(|params| digest(password, &[0; SALT_LEN], params));
            return false;
        };
        is_right(password, hash)
    }

    /// Like [`PasswordSlot::check`], for a client secret; a match is cached.
    pub(super) fn check_secret(&self, secret: &str, hash: Option<&str>) -> bool {
        let is_right = self.check(secret, hash);
        if let (true, Some(hash)) = (is_right, hash) {
            self.0.proven.insert(name_of(secret, hash), ());
        }
        is_right
    }
}

fn name_of(secret: &str, hash: &str) -> [u8; 32] {
    Sha256::new().chain_update(hash).chain_update([0]).chain_update(secret).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::{Passwords, WAITING_MAX, hash_password};

    #[test]
    fn a_password_is_its_own_and_no_other() {
        let passwords = Passwords::default();
        let turn = passwords.turn().unwrap();
        let hash = hash_password("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(hash, hash_password("correct horse battery").unwrap(), "the salt differs");
        assert!(turn.check("correct horse battery", Some(&hash)));
        assert!(!passwords.is_proven("correct horse battery", &hash));
        assert!(turn.check_secret("correct horse battery", Some(&hash)));
        assert!(!turn.check_secret("correct horse batterx", Some(&hash)));
        assert!(passwords.is_proven("correct horse battery", &hash));
        assert!(!passwords.is_proven("correct horse batterx", &hash));
        for (password, hash) in
            [("correct horse batterx", hash.as_str()), ("", &hash), ("x", ""), ("x", "$argon2id$v=19$$$")]
        {
            assert!(!turn.check(password, Some(hash)), "{password} {hash}");
        }
        assert!(!turn.check("nobody's password", None));
        assert!(hash_password("short").is_err());
        assert!(hash_password(&"x".repeat(2_000)).is_err());
    }

    #[test]
    fn no_more_than_a_few_wait() {
        let passwords = Passwords::default();
        let mut turns: Vec<_> = (0..WAITING_MAX).map(|_| passwords.turn().unwrap()).collect();
        assert!(passwords.turn().is_none() && passwords.turn().is_none());
        turns.pop();
        turns.push(passwords.turn().unwrap());
        assert!(passwords.turn().is_none());
    }
}
