//! Counters of the last minutes, sampled every few seconds, for the console.
//!
//! Samples are totals, not rates: readers compute differences. They take a few kilobytes,
//! however long the broker runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Broker, Now};
use crate::message::WallMillis;
use crate::sync::Mutex;
use crate::telemetry::{Counters, Label};

/// The interval of samples: fine enough for a chart of `SPAN`.
const EVERY: Duration = Duration::from_secs(5);
/// The age of the oldest sample: the span of the console's charts and one sample.
const SPAN: Duration = Duration::from_secs(310);

/// Totals at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The time since the broker started.
    pub uptime: Duration,
    /// Messages accepted from publishers.
    pub received: u64,
    /// Messages that were sent to receivers.
    pub delivered: u64,
    /// Deliveries that were dropped.
    pub dropped: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Commits by duration, in the buckets of the store's histogram; empty without a store.
    pub commits: Vec<u64>,
}

/// The samples, oldest first.
#[derive(Debug)]
pub(super) struct Recent {
    started: Now,
    samples: Mutex<VecDeque<Arc<Sample>>>,
}

impl Recent {
    pub(super) fn new(now: Now) -> Self {
        Self { started: now, samples: Mutex::default() }
    }

    /// Takes a sample if one is due.
    fn see(&self, now: Instant, sample: impl FnOnce(Duration) -> Sample) {
        let uptime = now.saturating_duration_since(self.started.instant);
        let mut samples = self.samples.lock();
        // Ticks are not exactly on time.
        let due = EVERY.saturating_sub(Duration::from_millis(500));
        if samples.back().is_some_and(|last| uptime.saturating_sub(last.uptime) < due) {
            return;
        }
        let oldest = uptime.saturating_sub(SPAN);
        while samples.front().is_some_and(|first| first.uptime < oldest) {
            samples.pop_front();
        }
        samples.push_back(Arc::new(sample(uptime)));
    }
}

impl Broker {
    /// The samples of the last five minutes, every five seconds, oldest first.
    pub fn recent(&self) -> Vec<Arc<Sample>> {
        self.recent.samples.lock().iter().cloned().collect()
    }

    /// The time since the broker started.
    pub fn uptime(&self) -> Duration {
        self.clock.now().instant.saturating_duration_since(self.recent.started.instant)
    }

    /// The wall time at which the broker started.
    pub fn started_at(&self) -> WallMillis {
        self.recent.started.wall
    }

    /// Takes a sample if one is due.
    pub(super) fn remember(&self) {
        self.recent.see(self.clock.now().instant, |uptime| {
            let messages = &self.metrics.messages;
            let store = self.persistence.store();
            Sample {
                uptime,
                received: sum(&messages.received),
                delivered: sum(&messages.delivered),
                dropped: sum(&messages.dropped),
                refused: sum(&messages.refused),
                commits: store.map_or_else(Vec::new, |store| {
                    store.metrics().commit_duration.snapshot().counts
                }),
            }
        });
    }
}

fn sum<L: Label>(counters: &Counters<L>) -> u64 {
    counters.iter().map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(uptime: Duration) -> Sample {
        Sample { uptime, received: 0, delivered: 0, dropped: 0, refused: 0, commits: Vec::new() }
    }

    #[test]
    fn samples_are_some_seconds_apart_and_only_the_last_minutes_are_kept() {
        let started = Instant::now();
        let recent = Recent::new(Now { instant: started, wall: WallMillis(0) });
        for second in 0..1000 {
            // Two ticks are never exactly a second apart.
            let jitter = Duration::from_millis(second % 7);
            recent.see(started + Duration::from_secs(second) + jitter, sample);
        }
        let samples = recent.samples.lock();
        let times: Vec<u64> = samples.iter().map(|sample| sample.uptime.as_secs()).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 5), "{times:?}");
        assert_eq!((times.first(), times.last()), (Some(&685), Some(&995)));
    }
}
