//! A write is decided on one snapshot, and its commit fails if another write has changed what the decision rests on. Then the
//! request is decided again on the newest snapshot, until its commit succeeds or the wait is over.
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use futures_timer::Delay;

use crate::store::random_bytes;

use super::answer::Refusal;

/// A request is attempted at least this many times, however long one attempt takes.
const ATTEMPTS_MIN: usize = 9;
/// The upper bound of the random pause doubles with each attempt, up to this.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// The attempts at one request. A refusal by an overtaken commit is final once the wait is over.
pub(super) struct Attempts {
    begun: Instant,
    wait: Duration,
    made: usize,
    pause_max: Duration,
}

impl Attempts {
    pub(super) fn within(wait: Duration) -> Self {
        Self { begun: Instant::now(), wait, made: 0, pause_max: Duration::from_millis(1) }
    }

    /// `Break` with the result of the last attempt if it is final; otherwise the next attempt is due.
    ///
    /// It pauses for a random time between attempts; otherwise, of two servers that commit in step, the same one would always
    /// lose. No thread waits meanwhile: many requests for one resource would hold all of them.
    pub(super) async fn settled<T>(
        &mut self,
        attempt: Result<T, Refusal>,
    ) -> ControlFlow<Result<T, Refusal>> {
        match attempt {
            Err(refusal) if refusal.is_overtaken => {
                self.made += 1;
                if self.made >= ATTEMPTS_MIN && self.begun.elapsed() >= self.wait {
                    // The attempts of an enclosing request must not start again.
                    return ControlFlow::Break(Err(Refusal { is_overtaken: false, ..refusal }));
                }
                Delay::new(random_part(self.pause_max)).await;
                self.pause_max = PAUSE_MAX.min(self.pause_max * 2);
                ControlFlow::Continue(())
            }
            settled => ControlFlow::Break(settled),
        }
    }
}

fn random_part(longest: Duration) -> Duration {
    // Without randomness the pause has its full length.
    let share = random_bytes().map_or(u32::MAX, u32::from_be_bytes);
    longest.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::store::{CommitError, Sequence};

    fn overtaken() -> Refusal {
        CommitError::Conflict { readable_at: Sequence(1) }.into()
    }

    /// Makes attempts until one is final.
    async fn attempted<T>(
        wait: Duration,
        attempt: &mut (dyn FnMut() -> Result<T, Refusal> + Send),
    ) -> Result<T, Refusal> {
        let mut attempts = Attempts::within(wait);
        loop {
            if let ControlFlow::Break(settled) = attempts.settled(attempt()).await {
                return settled;
            }
        }
    }

    #[test]
    fn what_is_overtaken_is_attempted_until_it_is_not() {
        let mut attempts = 0;
        let answer = block_on(attempted(Duration::from_secs(60), &mut || {
            attempts += 1;
            if attempts < 12 { Err(overtaken()) } else { Ok(attempts) }
        }));
        assert_eq!(answer.unwrap(), 12);
    }

    #[test]
    fn it_ends_when_the_wait_is_over_and_is_not_begun_again_by_who_called() {
        let mut attempts = 0;
        let answer = block_on(attempted(Duration::ZERO, &mut || {
            block_on(attempted(Duration::ZERO, &mut || {
                attempts += 1;
                Err::<(), _>(overtaken())
            }))
        }));
        assert_eq!(answer.unwrap_err().kind.status(), 409);
        assert_eq!(attempts, ATTEMPTS_MIN);
    }

    #[test]
    fn other_refusals_are_final() {
        let mut attempts = 0;
        let answer = block_on(attempted(Duration::from_secs(60), &mut || {
            attempts += 1;
            Err::<(), _>(Refusal::from(CommitError::Full))
        }));
        assert!(answer.is_err() && attempts == 1);
    }
}
