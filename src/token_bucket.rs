//! A token bucket: an average rate, with a burst. Pure: the caller passes the time, as the
//! duration since a moment of its choice.

use std::time::Duration;

/// Billionths of a token in a token: a rate of one token a second fills one billionth in each
/// nanosecond, so that filling is exact.
const SCALE: i64 = 1_000_000_000;
/// Tokens a second. Faster rates are this one: 4 GiB a second is no limit to a client, and its
/// capacity in billionths fits 64 bits.
const FASTEST: u64 = 1 << 32;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: i64,
    burst: i64,
}

impl Rate {
    /// `count` tokens a second on average, and as many at once. `None` for 0, which means no
    /// limit.
    pub fn per_second(count: u64) -> Option<Self> {
        let count = i64::try_from(count.min(FASTEST)).unwrap_or(i64::MAX);
        (count > 0).then_some(Self { per_second: count, burst: count })
    }

    /// At most `count` tokens in any second, for those who cut off whoever exceeds it; so a
    /// little less on average. One token a second may be two in a second that begins with one.
    /// `None` for 0.
    pub fn never_above(count: u64) -> Option<Self> {
        let Self { per_second: count, .. } = Self::per_second(count)?;
        let burst = (count / 20).max(1);
        Some(Self { per_second: (count - burst).max(1), burst })
    }

    fn capacity(self) -> i64 {
        self.burst.saturating_mul(SCALE)
    }
}

/// The tokens of one client or address. The rate is passed to each call, so that it can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    /// In billionths. Negative after an item that was larger than the bucket.
    tokens: i64,
    /// When they were counted, in nanoseconds.
    counted: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn full(rate: Rate, now: Duration) -> Self {
        Self { tokens: rate.capacity(), counted: nanos(now) }
    }

    /// How long an item of `cost` tokens has to wait. An item larger than the bucket passes
    /// when the bucket is full; those behind it wait until its whole cost has been filled in.
    pub fn wait(&mut self, rate: Rate, cost: u64, now: Duration) -> Duration {
        self.fill(rate, now);
        let missing = scaled(cost).min(rate.capacity()).saturating_sub(self.tokens);
        if missing <= 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(missing.unsigned_abs().div_ceil(rate.per_second.unsigned_abs()))
    }

    /// Takes the tokens of an item that has passed.
    pub fn spend(&mut self, cost: u64) {
        self.tokens = self.tokens.saturating_sub(scaled(cost));
    }

    /// Takes one token. False: there is none.
    pub fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let passes = self.wait(rate, 1, now).is_zero();
        if passes {
            self.spend(1);
        }
        passes
    }

    fn fill(&mut self, rate: Rate, now: Duration) {
        let now = nanos(now);
        let passed = i64::try_from(now.saturating_sub(self.counted)).unwrap_or(i64::MAX);
        let filled = self.tokens.saturating_add(passed.saturating_mul(rate.per_second));
        self.tokens = filled.min(rate.capacity());
        self.counted = self.counted.max(now);
    }
}

fn scaled(cost: u64) -> i64 {
    i64::try_from(cost).unwrap_or(i64::MAX).saturating_mul(SCALE)
}

/// Wraps after 584 years.
fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What has passed: times in nanoseconds, costs in tokens.
    #[derive(Default)]
    struct Naive(Vec<(i128, i128)>);

    impl Naive {
        /// An item passes if, since each item before it, no more has passed than a burst and
        /// what was filled in since. An item larger than the burst counts as the burst here.
        fn admits(&self, rate: i128, cost: i128, now: i128) -> bool {
            let scale = i128::from(SCALE);
            let mut sum = cost.min(rate);
            self.0.iter().rev().all(|(at, cost)| {
                sum += cost;
                (sum - rate) * scale <= rate * (now - at)
            })
        }
    }

    proptest! {
        #[test]
        fn an_item_passes_exactly_when_the_rate_allows_it(
            rate in prop_oneof![1_u64..5, 1_u64..1_000_000, Just(FASTEST)],
            items in prop::collection::vec((0_u64..2_000_000_000, 0_u64..3_000), 1..60),
        ) {
            let limit = Rate::per_second(rate).unwrap();
            let mut bucket = TokenBucket::full(limit, Duration::ZERO);
            let (mut naive, mut now) = (Naive::default(), 0);
            for (pause, cost) in items {
                now += pause;
                let wait = bucket.wait(limit, cost, Duration::from_nanos(now));
                let admits =
                    |at: u64| naive.admits(i128::from(rate), i128::from(cost), i128::from(at));
                prop_assert_eq!(admits(now), wait.is_zero());
                let wait = u64::try_from(wait.as_nanos()).unwrap();
                // It waits no nanosecond too long.
                prop_assert!(admits(now + wait) && (wait == 0 || !admits(now + wait - 1)));
                if cost % 3 > 0 {
                    now += wait;
                    let again = bucket.wait(limit, cost, Duration::from_nanos(now));
                    prop_assert_eq!(again, Duration::ZERO, "it waits once");
                }
                if bucket.wait(limit, cost, Duration::from_nanos(now)).is_zero() {
                    bucket.spend(cost);
                    naive.0.push((i128::from(now), i128::from(cost)));
                }
            }
        }
    }

    #[test]
    fn no_rate_is_no_limit_and_the_largest_does_not_overflow() {
        assert_eq!(Rate::per_second(0), None);
        let rate = Rate::per_second(u64::MAX).unwrap();
        let mut bucket = TokenBucket::full(rate, Duration::ZERO);
        bucket.spend(u64::MAX);
        assert!(bucket.wait(rate, u64::MAX, Duration::ZERO) > Duration::from_secs(1));
        assert_eq!(bucket.wait(rate, u64::MAX, Duration::MAX), Duration::ZERO);
    }

    #[test]
    fn a_rate_that_is_never_exceeded_is_not_exceeded_in_any_second() {
        const STEP: Duration = Duration::from_millis(1);
        for count in [2, 3, 19, 20, 90, 1000] {
            let rate = Rate::never_above(count).unwrap();
            let mut bucket = TokenBucket::full(rate, Duration::ZERO);
            let mut passed: Vec<Duration> = Vec::new();
            for at in (0..10_000).map(|step| STEP * step) {
                while bucket.take(rate, at) {
                    passed.push(at);
                }
            }
            let within = |from: Duration| {
                let until = from + Duration::from_secs(1);
                passed.iter().filter(|at| (from..until).contains(*at)).count()
            };
            let most = passed.iter().map(|from| within(*from)).max().unwrap();
            assert!(most as u64 <= count, "{most} of {count}");
            assert!(passed.len() as u64 >= count * 10 / 3, "{} of {count}", passed.len());
        }
    }

    #[test]
    fn a_lower_rate_holds_at_once() {
        let (fast, slow) = (Rate::per_second(1000).unwrap(), Rate::per_second(2).unwrap());
        let mut bucket = TokenBucket::full(fast, Duration::ZERO);
        let passed = (0..100).filter(|_| bucket.take(slow, Duration::ZERO)).count();
        assert_eq!(passed, 2);
    }
}
