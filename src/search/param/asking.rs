//! The context that the meaning of a search value depends on.
use crate::model::Millis;

/// The context that the meaning of a search value depends on.
#[derive(Clone, Copy, Debug)]
pub struct ValueContext<'a> {
    /// The moment of the search, for `ap` on dates.
    pub now: Millis,
    /// The base URL of this server: references that begin with it are to local resources.
    pub base_url: &'a str,
}
