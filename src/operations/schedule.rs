//! When an answer is sent whose timing would tell hidden from absent: at the next step of a fixed time grid, counted from the
//! start of the request, however long the work took.
use std::time::Duration;

use crate::auth::{Party, Recording};

use super::answer::{Answer, Body, Refusal};
use super::context::Context;
use super::verb::Verb;

impl Context {
    /// The grid step of an answer; `None` if it is sent at once. Answers that show no patient data (refusals, searches without
    /// matches) and all writes and Bundles wait for the grid. The own organization's systems and technicians never wait: they
    /// work on everything that is stored, hidden or not.
    #[must_use]
    pub fn grid(
        &self,
        party: &Party,
        (verb, path): (Verb, &[String]),
        handled: &Result<Answer, Refusal>,
    ) -> Option<Duration> {
        let is_own = party.organization.as_ref().is_some_and(|own| self.settings.own.contains(own));
        if is_own && party.role.row().recording == Recording::KeepsRecord {
            return None;
        }
        let is_search = path.last().is_some_and(|last| last == "_search");
        let reads = matches!(verb, Verb::Get | Verb::Head) || is_search;
        let shows = match handled {
            Ok(answer) => match &answer.body {
                Body::Disclosed(disclosed) => !disclosed.releases().is_empty(),
                // Public texts are the same for everybody.
                Body::Public(_) => reads,
                Body::None => false,
            },
            Err(_) => false,
        };
        (!reads || !shows).then_some(self.options.answer_grid)
    }
}

/// How long an answer that is ready after `took` waits for the next step of the grid.
#[must_use]
pub fn until_the_grid(grid: Duration, took: Duration) -> Duration {
    let grid_nanos = grid.as_nanos().max(1);
    let past = took.as_nanos() % grid_nanos;
    let left = if past == 0 { 0 } else { grid_nanos - past };
    Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::until_the_grid;

    #[test]
    fn an_answer_waits_for_the_next_moment_of_the_grid() {
        let wait =
            |took| until_the_grid(Duration::from_micros(4_000), Duration::from_micros(took)).as_micros();
        assert_eq!([wait(0), wait(1), wait(900), wait(4_000), wait(4_001)], [0, 3_999, 3_100, 0, 3_999]);
        assert_eq!(until_the_grid(Duration::ZERO, Duration::from_secs(1)), Duration::ZERO);
    }
}
