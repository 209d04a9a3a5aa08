//! Which tokens are known to stand.
use crate::store::Sequence;

/// How many tokens are remembered.
pub(super) const TOKEN_STATUSES_MAX: usize = 10_000;

/// The state of the registrations in which a token was found to stand.
pub(super) struct TokenStatusCache(pub(super) quick_cache::sync::Cache<String, Option<Sequence>>);

impl Default for TokenStatusCache {
    fn default() -> Self {
        Self(quick_cache::sync::Cache::new(TOKEN_STATUSES_MAX))
    }
}
