//! A record as the index takes it in: with the postings of its events.
use crate::audit::outside::events_of;
use crate::audit::record::Access;
use crate::model::Millis;
use crate::store::{Repository, StoreError};

use super::super::making::{Making, Reader};
use super::super::place::RecordPlace;
use super::entries::entries_of;
use super::postings::EventPostings;
use super::shapes::Shapes;

/// A record with the postings of its events.
pub(super) struct Described {
    pub(super) place: RecordPlace,
    pub(super) time: Millis,
    /// Whether it stands for many patients, whom it does not list.
    pub(super) of_many: bool,
    pub(super) events: Vec<EventPostings>,
    /// How many of the events are made of the record; the others came from outside.
    pub(super) made: usize,
}

impl Described {
    /// Determines the postings of the events of a record.
    pub(super) fn of(
        repository: &Repository<'_>,
        place: RecordPlace,
        access: &Access,
        (making, shapes): (&Making<'_>, &mut Shapes),
    ) -> Result<Self, StoreError> {
        let making = Making { reader: Reader::Auditor, ..*making };
        let (events, made) = match shapes.postings(place, access, &making)? {
            Some(events) => {
                let made = events.len();
                (events, made)
            }
            None => {
                let (events, made) = events_of(repository, place, access, &making)?;
                (entries_of(&events, made)?.into_iter().map(EventPostings::of).collect(), made)
            }
        };
        Ok(Self { place, time: access.time, of_many: access.is_of_many(), events, made })
    }
}
