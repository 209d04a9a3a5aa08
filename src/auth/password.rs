//! Passwords and secrets of clients: kept as argon2id hashes (RFC 9106) in the usual text form, never logged.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest as _, Sha256};

use crate::model::{decode_base64, encode_base64};

/// The cost of a hash: memory in KiB, passes, lanes (the least that OWASP's password storage cheat sheet names).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// The shortest password, in characters (NIST SP 800-63B section 3.1.1.2 asks for 8 at least).
pub const PASSWORD_LEN_MIN: usize = 12;
/// The longest, in bytes: what is longer only costs time.
const PASSWORD_BYTES_MAX: usize = 1_024;
/// How many checks may be waiting for their turn; more are turned away, so that guessing takes no threads from others.
const WAITING_MAX: usize = 16;
/// How many secrets that were proven are remembered.
const PROVEN_MAX: usize = 1_000;

/// The hash of a password.
///
/// # Errors
/// If it is too short or too long, or the machine has no randomness or memory.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.chars().count() < PASSWORD_LEN_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(format!(
            "a password has {PASSWORD_LEN_MIN} characters or more, and at most {PASSWORD_BYTES_MAX} bytes"
        ));
    }
    let mut salt = [0; SALT_LEN];
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    let hash = digest(password, &salt, (MEMORY_KIB, PASSES, LANES)).ok_or("no hash could be made")?;
    Ok(as_text(&salt, &hash))
}

/// The memory that hashes are made in, one at a time. It is kept: what threads give back stays with the allocator, thread
/// by thread.
static MEMORY: Mutex<Vec<Block>> = Mutex::new(Vec::new());

fn digest(password: &str, salt: &[u8], (memory, passes, lanes): (u32, u32, u32)) -> Option<[u8; HASH_LEN]> {
    let params = Params::new(memory, passes, lanes, Some(HASH_LEN)).ok()?;
    let mut blocks = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    if blocks.len() < params.block_count() {
        blocks.resize(params.block_count(), Block::default());
    }
    let mut hash = [0; HASH_LEN];
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    hasher
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, blocks.as_mut_slice())
        .ok()?;
    Some(hash)
}

fn text(bytes: &[u8]) -> String {
    encode_base64(bytes).trim_end_matches('=').to_owned()
}

fn as_text(salt: &[u8], hash: &[u8]) -> String {
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}", text(salt), text(hash))
}

fn is_right(password: &str, hash: &str) -> bool {
    let mut parts = hash.split('$').skip(1);
    let mut next = || parts.next().unwrap_or_default();
    if (next(), next()) != ("argon2id", "v=19") || password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    let mut costs = next().split(',').filter_map(|cost| cost.split_once('=')?.1.parse::<u32>().ok());
    let (Some(memory), Some(passes), Some(lanes)) = (costs.next(), costs.next(), costs.next()) else {
        return false;
    };
    let bytes = |text: &str| decode_base64(&format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4)));
    let (Some(salt), Some(expected)) = (bytes(next()), bytes(next())) else { return false };
    digest(password, &salt, (memory, passes, lanes)).is_some_and(|found| is_same(&found, &expected))
}

/// Compares in a time that does not tell where two texts differ.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

/// Checks passwords, one at a time, and lets a bounded number of checks wait.
pub(super) struct Passwords {
    waiting: AtomicUsize,
    proven: quick_cache::sync::Cache<[u8; 32], ()>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { waiting: AtomicUsize::new(0), proven: quick_cache::sync::Cache::new(PROVEN_MAX) }
    }
}

/// A place among those whose passwords are checked; given back when it is dropped.
pub(super) struct PasswordSlot<'p>(&'p Passwords);

impl Drop for PasswordSlot<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// A place, if there is one.
    pub(super) fn turn(&self) -> Option<PasswordSlot<'_>> {
        let turn = PasswordSlot(self);
        (self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(turn)
    }

    /// Whether the secret of a client, which comes with every request for a token, has been proven before.
    pub(super) fn is_proven(&self, secret: &str, hash: &str) -> bool {
        self.proven.get(&name_of(secret, hash)).is_some()
    }
}

impl PasswordSlot<'_> {
    /// Whether a password is that of a hash; without one it is not, and finding out takes as long.
    pub(super) fn check(&self, password: &str, hash: Option<&str>) -> bool {
        let Some(hash) = hash else {
            let hash = as_text(&[0; SALT_LEN], &[0; HASH_LEN]);
            let _ = is_right(password, &hash); // Only the time that it takes is wanted.
            return false;
        };
        is_right(password, hash)
    }

    /// The same for the secret of a client: a right one is remembered.
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
