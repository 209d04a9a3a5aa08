//! The source of all randomness: of ids, salts, nonces, secrets and pauses.

/// The operating system has given no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the machine has no randomness")]
pub struct NoRandomness;

/// Random bytes that nobody can guess.
///
/// # Errors
/// [`NoRandomness`] if the operating system fails.
pub fn random_bytes<const LEN: usize>() -> Result<[u8; LEN], NoRandomness> {
    let mut bytes = [0; LEN];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// Fills a slice with such bytes.
///
/// # Errors
/// [`NoRandomness`] if the operating system fails.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(bytes).map_err(|_| NoRandomness)
}
