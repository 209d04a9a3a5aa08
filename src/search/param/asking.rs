//! What the meaning of a value depends on beside the value.
use crate::model::Millis;

/// What the meaning of a value depends on beside the value.
#[derive(Clone, Copy, Debug)]
pub struct ValueContext<'a> {
    /// The moment of the search, for `ap` on dates.
    pub now: Millis,
    /// URLs that begin with this are of this server.
    pub base_url: &'a str,
}
