//! The cache of valid tokens.
use crate::store::Sequence;

/// How many tokens are cached.
pub(super) const TOKEN_STATUSES_MAX: usize = 10_000;

/// For each valid token, the sequence of the registrations key at which it was checked; a later sequence makes it stale.
pub(super) struct TokenStatusCache(pub(super) quick_cache::sync::Cache<String, Option<Sequence>>);

impl Default for TokenStatusCache {
    fn default() -> Self {
        Self(quick_cache::sync::Cache::new(TOKEN_STATUSES_MAX))
    }
}
