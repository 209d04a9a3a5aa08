//! Records refusals of unknown parties, and actions that are recorded once a day.
use crate::audit::{Access, Action, writes};
use crate::auth::Party;
use crate::store::Batch;

use super::super::answer::Refusal;
use super::super::context::Context;
use super::refusals::{COUNTED_MS, Refused, Unknown};

impl Context {
    /// Counts a refusal of an unknown party. The claimed name is kept only if it is registered.
    pub fn count_refusal(&self, refused: Refused, who: Unknown<'_>) {
        let registry = &self.authorization.registry;
        let is_registered = |name: &&str| match refused {
            Refused::AccessToken | Refused::NoToken | Refused::Request => false,
            Refused::Client => registry.client(name).is_ok_and(|client| client.is_some()),
            Refused::Password => registry.user(name).is_ok_and(|user| user.is_some()),
        };
        let who = Unknown { name: who.name.filter(is_registered), ..who };
        if let Some(line) = self.refusals.count(refused, who, self.now()) {
            self.record_refused(refused, line);
        }
    }

    /// Records the refusals whose minute of counting is over.
    pub(in super::super) fn record_refusals_due(&self) {
        self.refusals
            .due(self.now())
            .into_iter()
            .for_each(|(refused, line)| self.record_refused(refused, line));
    }

    /// Records all refusals that are counted and not recorded yet, before a server ends.
    pub fn record_refusals(&self) {
        let at_the_end = self.now().saturating_add(COUNTED_MS);
        self.refusals
            .due(at_the_end)
            .into_iter()
            .for_each(|(refused, line)| self.record_refused(refused, line));
    }

    /// A refusal releases nothing, so nobody waits for its record.
    fn record_refused(&self, refused: Refused, line: String) {
        let mut access = Access::of(&Party::nobody(), "operation", Action::Execute, line, self.now());
        access.status = refused.status();
        access.role = access.subject.clone();
        drop(self.kv().commit(Batch { writes: writes(&access, 0), ..Batch::default() }));
    }

    /// Records a routine action of a client, such as reading metrics, once a day.
    ///
    /// # Errors
    /// 503, if it cannot be recorded.
    pub fn record_daily(&self, party: &Party, line: &str, status: u16) -> Result<(), Refusal> {
        if !self.refusals.is_first_today(&party.client, line, self.now()) {
            return Ok(());
        }
        self.record_beside(party, line.to_owned(), status)?;
        self.refusals.is_on_record(&party.client, line, self.now());
        Ok(())
    }
}
