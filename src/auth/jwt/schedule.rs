//! When the key set of a URL is read again. No clock and no randomness of its own.

use std::time::Duration;

/// The times of a schedule.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Between two reads that succeed.
    pub refresh: Duration,
    /// Between any two reads, so that tokens with invented names of keys cost the server little.
    pub pause: Duration,
    /// After the first failure; each further one doubles it.
    pub first_retry: Duration,
    /// After any number of failures.
    pub last_retry: Duration,
}

impl Schedule {
    /// For a configured interval: retries after 1 s up to 1 min, but not less often than
    /// without failures. 10 s of pause is the shortest interval that may be configured.
    pub fn every(refresh: Duration) -> Self {
        Self {
            refresh,
            pause: Duration::from_secs(10),
            first_retry: Duration::from_secs(1),
            last_retry: refresh.min(Duration::from_mins(1)),
        }
    }

    /// The time until the next read after `failures` in a row. `random` spreads the reads of
    /// many brokers: over the last tenth of an interval, and over the second half of a retry.
    pub fn wait(&self, failures: u32, random: u64) -> Duration {
        let (whole, spread) = if failures == 0 {
            (self.refresh, self.refresh / 10)
        } else {
            let doubled = self.first_retry.saturating_mul(1 << (failures - 1).min(30));
            let retry = doubled.min(self.last_retry);
            (retry, retry / 2)
        };
        let random = u32::try_from(random % 1024).unwrap_or_default();
        whole.saturating_sub(spread * random / 1024)
    }

    /// The time until a token may ask for the next read, which else follows after `wait`: it
    /// does not shorten the retries of a server that is down.
    pub fn earliest(&self, failures: u32, wait: Duration) -> Duration {
        if failures == 0 { self.pause } else { wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_double_the_time_up_to_a_limit() {
        let schedule = Schedule::every(Duration::from_mins(5));
        let waits = |failures| schedule.wait(failures, 0).as_secs();
        assert_eq!([1, 2, 3, 6, 7, 8, 1000, u32::MAX].map(waits), [1, 2, 4, 32, 60, 60, 60, 60]);
        assert_eq!(waits(0), 300);
        assert_eq!(Schedule::every(Duration::from_secs(10)).wait(9, 0).as_secs(), 10);
    }

    #[test]
    fn a_token_does_not_shorten_retries() {
        let schedule = Schedule::every(Duration::from_mins(5));
        let earliest = |failures, wait| schedule.earliest(failures, Duration::from_secs(wait));
        assert_eq!(earliest(0, 300).as_secs(), 10);
        assert_eq!(earliest(7, 45).as_secs(), 45);
    }

    #[test]
    fn brokers_that_fail_together_do_not_come_back_together() {
        let schedule = Schedule::every(Duration::from_mins(5));
        for random in [0, 1, 1023, 1024, u64::MAX] {
            let (refresh, retry) = (schedule.wait(0, random), schedule.wait(7, random));
            assert!((270..=300).contains(&refresh.as_secs()), "{refresh:?}");
            assert!((30..=60).contains(&retry.as_secs()), "{retry:?}");
        }
        assert_ne!(schedule.wait(7, 1), schedule.wait(7, 900));
    }
}
