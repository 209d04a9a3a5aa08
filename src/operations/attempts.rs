//! A write is decided on one snapshot, and its commit fails if another write has changed what the decision rests on. Then the
//! request is decided again on the newest snapshot, until its commit succeeds or the wait is over.
use std::time::{Duration, Instant};

use crate::store::random_bytes;

use super::answer::Refusal;

/// A request is attempted at least this many times, however long one attempt takes.
const ATTEMPTS_MIN: usize = 9;
/// The upper bound of the random pause doubles with each attempt, up to this.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// Calls `attempt` until it answers or is refused for good. A refusal by an overtaken commit is final once `wait` is over.
///
/// It pauses for a random time between attempts; otherwise, of two servers that commit in step, the same one would always lose.
pub(super) fn attempted<T>(
    wait: Duration,
    mut attempt: impl FnMut() -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let begun = Instant::now();
    let mut longest = Duration::from_millis(1);
    let mut attempts = 0;
    loop {
        match attempt() {
            Err(refusal) if refusal.is_overtaken => {
                attempts += 1;
                if attempts >= ATTEMPTS_MIN && begun.elapsed() >= wait {
                    // An enclosing call of this function must not start again.
                    return Err(Refusal { is_overtaken: false, ..refusal });
                }
                pause(longest);
                longest = PAUSE_MAX.min(longest * 2);
            }
            settled => return settled,
        }
    }
}

fn pause(longest: Duration) {
    // Without randomness the pause has its full length.
    let share = random_bytes().map_or(u32::MAX, u32::from_be_bytes);
    std::thread::sleep(longest.mul_f64(f64::from(share) / f64::from(u32::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{CommitError, Sequence};

    fn overtaken() -> Refusal {
        CommitError::Conflict { readable_at: Sequence(1) }.into()
    }

    #[test]
    fn what_is_overtaken_is_attempted_until_it_is_not() {
        let mut attempts = 0;
        let answer = attempted(Duration::from_secs(60), || {
            attempts += 1;
            if attempts < 12 { Err(overtaken()) } else { Ok(attempts) }
        });
        assert_eq!(answer.unwrap(), 12);
    }

    #[test]
    fn it_ends_when_the_wait_is_over_and_is_not_begun_again_by_who_called() {
        let mut attempts = 0;
        let answer = attempted(Duration::ZERO, || {
            attempted(Duration::ZERO, || {
                attempts += 1;
                Err::<(), _>(overtaken())
            })
        });
        assert_eq!(answer.unwrap_err().kind.status(), 409);
        assert_eq!(attempts, ATTEMPTS_MIN);
    }

    #[test]
    fn other_refusals_are_final() {
        let mut attempts = 0;
        let answer = attempted(Duration::from_secs(60), || {
            attempts += 1;
            Err::<(), _>(Refusal::from(CommitError::Full))
        });
        assert!(answer.is_err() && attempts == 1);
    }
}
