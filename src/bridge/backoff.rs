//! How long a bridge waits before it connects again: exponential back-off with jitter, so that
//! many bridges that have lost the same broker do not return at the same moment.

use std::time::Duration;

/// The least time between two CONNECTs to the same broker.
pub const LEAST: Duration = Duration::from_secs(1);

/// A connection that was up for as long as this starts the back-off anew. One that is closed
/// earlier may be closed again for the same reason.
pub const LASTING: Duration = Duration::from_secs(10);

/// How an attempt to connect has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The remote broker was not reached, or has refused.
    Failed,
    /// The connection was up for this time, from CONNACK to its end.
    Connected(Duration),
    /// As [`Attempt::Connected`], and messages have passed: one that the other end does not take
    /// holds up those behind it for a second or two only.
    Progressed(Duration),
}

/// The back-off of one bridge.
#[derive(Debug, Clone)]
pub struct Backoff {
    longest: Duration,
    /// Attempts since the last connection that lasted.
    attempts: u32,
}

impl Backoff {
    /// Waits at most `longest`, or [`LEAST`] if that is more.
    pub fn new(longest: Duration) -> Self {
        Self { longest, attempts: 0 }
    }

    /// Replaces the longest wait, after a reload.
    pub fn set_longest(&mut self, longest: Duration) {
        self.longest = longest;
    }

    /// The wait after an attempt that has just ended. `random` is drawn evenly from all
    /// numbers.
    pub fn after(&mut self, ended: Attempt, random: u64) -> Duration {
        self.attempts = match ended {
            Attempt::Connected(up) | Attempt::Progressed(up) if up >= LASTING => 0,
            Attempt::Progressed(_) => 1,
            _ => self.attempts.saturating_add(1),
        };
        wait(self.attempts, self.longest, random)
    }

    /// Forgets the failures, because an operator wants a connection now.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// The wait after `attempts` attempts without a connection that lasted.
///
/// After none it is below a second, since the last CONNECT is longer ago than that. Otherwise it
/// lies between half of 2^`attempts` seconds, at most of `longest`, and the whole, and is never
/// below [`LEAST`].
pub fn wait(attempts: u32, longest: Duration, random: u64) -> Duration {
    if attempts == 0 {
        return share(LEAST, random);
    }
    let doubled = 2_u64.checked_pow(attempts).map_or(Duration::MAX, Duration::from_secs);
    let most = doubled.min(longest).max(LEAST);
    let least = (most / 2).max(LEAST);
    least + share(most.saturating_sub(least), random)
}

/// An even share of a span: none of it for 0, almost all for the largest number.
fn share(span: Duration, random: u64) -> Duration {
    let nanos = (span.as_nanos() * u128::from(random)) >> u64::BITS;
    // A span that overflows is 584 years long.
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Shortest and longest wait after some attempts, in whole seconds, rounded up.
    fn bounds(attempts: u32) -> (u64, u64) {
        let drawn = |random| wait(attempts, MINUTE, random).as_nanos().div_ceil(1_000_000_000);
        (drawn(0).try_into().unwrap(), drawn(u64::MAX).try_into().unwrap())
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let all: Vec<_> = (0..9).map(bounds).collect();
        let expected =
            [(0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (30, 60), (30, 60), (30, 60)];
        assert_eq!(all, expected);
        assert_eq!(bounds(u32::MAX), (30, 60));
    }

    #[test]
    fn a_connection_that_lasted_starts_anew_and_one_that_was_closed_at_once_does_not() {
        let mut backoff = Backoff::new(MINUTE);
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(backoff.after(Attempt::Failed, 0), seconds(expected));
        }
        assert_eq!(backoff.after(Attempt::Connected(seconds(9)), 0), seconds(30));
        assert!(backoff.after(Attempt::Connected(LASTING), u64::MAX) < LEAST);
        assert_eq!(backoff.after(Attempt::Failed, 0), seconds(1));
        assert_eq!(backoff.after(Attempt::Connected(Duration::ZERO), 0), seconds(2));
        // One over which messages have passed waits a second or two, however often.
        for _ in 0..9 {
            assert_eq!(backoff.after(Attempt::Progressed(Duration::ZERO), 0), seconds(1));
        }
        backoff.reset();
        assert_eq!(backoff.after(Attempt::Failed, 0), seconds(1));
        backoff.set_longest(LEAST);
        assert_eq!(backoff.after(Attempt::Failed, u64::MAX), LEAST);
    }

    #[test]
    fn bridges_that_lose_a_broker_together_return_apart() {
        let draws = (0..64_u64).map(|bridge| wait(0, MINUTE, bridge << 58));
        let mut waits: Vec<_> = draws.collect();
        waits.dedup();
        assert_eq!(waits.len(), 64);
    }

    proptest! {
        #[test]
        fn two_connects_are_at_least_a_second_apart(
            attempts in any::<Option<u8>>(),
            longest in 0_u64..100_000,
            random in any::<u64>(),
            up in 0_u64..100_000,
        ) {
            let longest = Duration::from_millis(longest);
            let mut backoff = Backoff::new(longest);
            backoff.attempts = attempts.map_or(u32::MAX, u32::from);
            let failed = backoff.clone().after(Attempt::Failed, random);
            prop_assert!(failed >= LEAST && failed <= longest.max(LEAST));
            let up = Duration::from_millis(up);
            let ended = backoff.after(Attempt::Connected(up), random);
            prop_assert!(up + ended >= LEAST && ended <= longest.max(LEAST));
        }
    }
}
