//! The people whom a demonstration offers.
use std::sync::Arc;

use crate::auth::Persona;

/// The people of a demonstration, each with what there is for it to do. A real server has none.
#[derive(Clone, Default)]
pub struct Demonstration {
    pub people: Arc<[(Persona, &'static str)]>,
}

impl Demonstration {
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.people.is_empty()
    }
}
