//! The broker's clock. Nothing else in the broker reads time.
//!
//! The broker's time is the wall clock at its start, advanced by the monotonic clock. A step
//! of the wall clock therefore neither expires nor revives anything. Time in suspend counts.
//! [`Broker::check_clock`] compares the machine's clocks once a second. It detects suspends,
//! and whether the wall clock differs from the broker's time, which the next start needs to
//! know (`store/clock.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Broker;
use crate::message::WallMillis;
use crate::store::{CLOCK_TOLERANCE, ClockMark, ClockReading, Recovered};

/// A moment, read once per step and passed to the pure modules.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For durations.
    pub instant: Instant,
    /// For wall times that stay valid after a restart.
    pub wall: WallMillis,
}

/// Wall time that advances independently from the start of the process.
#[derive(Debug)]
pub struct Clock {
    start: ClockReading,
    /// The wall clock may have been wrong at the start.
    doubtful: bool,
    /// Milliseconds that the machine was suspended since the start: `CLOCK_BOOTTIME` has
    /// advanced and [`Instant`] has not.
    suspended: AtomicU64,
    /// True if the wall clock differs from the broker's time.
    stepped: AtomicBool,
    /// Milliseconds since the start, in a simulation, which advances them itself.
    hand: Option<Arc<AtomicU64>>,
}

/// Advances a clock that was made by [`Clock::by_hand`].
#[derive(Debug, Clone)]
pub struct Hand(Arc<AtomicU64>);

impl Hand {
    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

/// The result of a comparison of the machine's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    /// The broker's time, to be stored for the next start.
    mark: ClockMark,
    /// How long the machine was suspended since the last comparison.
    suspended: Duration,
    /// If the wall clock has begun to differ from the broker's time, by how many milliseconds
    /// it is ahead; 0 if it has ceased to differ.
    stepped: Option<i64>,
}

impl Clock {
    /// Reads the machine's clock, once.
    pub fn start() -> Self {
        Self::since(ClockReading::now())
    }

    fn since(start: ClockReading) -> Self {
        let (suspended, stepped) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { start, doubtful: false, suspended, stepped, hand: None }
    }

    /// Starts at the time to which the store has moved the times in the file.
    pub(super) fn of(recovered: &Recovered) -> Self {
        let start = recovered.clock.unwrap_or_else(ClockReading::now);
        Self { doubtful: recovered.clock_is_doubtful, ..Self::since(start) }
    }

    /// A clock that starts at `wall` and advances only by its [`Hand`]. For simulations.
    pub fn by_hand(wall: WallMillis) -> (Self, Hand) {
        let hand = Arc::new(AtomicU64::new(0));
        // If tokio's time is paused too, deadlines of the broker are the same moments in its
        // timers, not later by the time that has passed so far.
        let instant = tokio::time::Instant::now().into_std();
        let start = ClockReading { wall, instant, ..ClockReading::now() };
        let clock = Self { hand: Some(Arc::clone(&hand)), ..Self::since(start) };
        (clock, Hand(hand))
    }

    /// This moment.
    pub fn now(&self) -> Now {
        let instant = match &self.hand {
            Some(hand) => self.start.instant + Duration::from_millis(hand.load(Ordering::Relaxed)),
            None => Instant::now(),
        };
        Now { instant, wall: self.wall_at(instant) }
    }

    fn wall_at(&self, instant: Instant) -> WallMillis {
        let elapsed = millis(instant.saturating_duration_since(self.start.instant));
        let elapsed = elapsed.saturating_add(self.suspended.load(Ordering::Relaxed));
        WallMillis(self.start.wall.0.saturating_add(elapsed))
    }

    /// When the process started.
    pub fn started(&self) -> Instant {
        self.start.instant
    }

    /// Compares the broker's time with a reading of the machine's clocks.
    pub(super) fn check(&self, reading: &ClockReading) -> Checked {
        let awake = millis(reading.instant.saturating_duration_since(self.start.instant));
        let up = reading.uptime.saturating_sub(self.start.uptime);
        // The clocks are read one after the other, so a short difference is not a suspend. A
        // counted suspend is never subtracted again.
        let before = self.suspended.load(Ordering::Relaxed);
        let asleep = up.saturating_sub(awake);
        let more = asleep.saturating_sub(before);
        let more = if more >= LEAST_SUSPENSION { more } else { 0 };
        self.suspended.store(before + more, Ordering::Relaxed);
        let wall = self.wall_at(reading.instant);
        let ahead = signed(reading.wall.0) - signed(wall.0);
        let stepped = ahead.abs() > CLOCK_TOLERANCE;
        let changed = self.stepped.swap(stepped, Ordering::Relaxed) != stepped;
        let told = stepped || self.doubtful;
        Checked {
            mark: ClockMark { wall, uptime: reading.uptime, stepped: told, stopping: false },
            suspended: Duration::from_millis(more),
            stepped: changed.then_some(if stepped { ahead } else { 0 }),
        }
    }
}

/// Milliseconds. A shorter difference is the time between two readings.
const LEAST_SUSPENSION: u64 = 100;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

impl Broker {
    /// Compares the machine's clocks. To be called once a second.
    pub(super) async fn check_clock(self: &Arc<Self>) {
        let checked = self.clock.check(&ClockReading::now());
        // Before the line in the log: what is committed after it was read contains the mark.
        if let Some(store) = self.persistence.store() {
            store.mark_clock(checked.mark, checked.stepped.is_some());
        }
        match checked.stepped {
            None => {}
            Some(0) => tracing::info!("the wall clock agrees with the broker's clock again"),
            Some(ahead) => tracing::warn!(
                seconds = ahead / 1000,
                "the wall clock was stepped: expiry continues on the monotonic clock; the time until \
                 the next start is counted only if the machine is not rebooted"
            ),
        }
        if !checked.suspended.is_zero() {
            tracing::info!(
                seconds = checked.suspended.as_secs(),
                "the machine was suspended: that time counts for expiry"
            );
            self.run_due().await;
        }
    }

    /// The orderly stop begins. Sessions that are still connected were not disconnected by
    /// clients.
    pub fn note_stop(&self) {
        let checked = self.clock.check(&ClockReading::now());
        if let Some(store) = self.persistence.store() {
            store.mark_clock(ClockMark { stopping: true, ..checked.mark }, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;

    fn later(start: &ClockReading, awake: u64, asleep: u64, step: i64) -> ClockReading {
        ClockReading {
            wall: WallMillis((start.wall.0 + awake + asleep).saturating_add_signed(step)),
            uptime: start.uptime + awake + asleep,
            instant: start.instant + Duration::from_millis(awake),
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_noticed_once_and_does_not_move_the_brokers_time() {
        let start = ClockReading::now();
        for step in [3_600_000, -3_600_000] {
            let clock = Clock::since(start);
            assert_eq!(clock.check(&later(&start, SECOND, 0, 0)).stepped, None);
            let checked = clock.check(&later(&start, 2 * SECOND, 0, step));
            assert_eq!(checked.stepped, Some(step));
            assert!(checked.mark.stepped);
            assert_eq!(checked.mark.wall.0, start.wall.0 + 2 * SECOND);
            let checked = clock.check(&later(&start, 3 * SECOND, 0, step));
            assert_eq!((checked.stepped, checked.mark.stepped), (None, true));
            let checked = clock.check(&later(&start, 4 * SECOND, 0, 0));
            assert_eq!((checked.stepped, checked.mark.stepped), (Some(0), false));
        }
    }

    #[test]
    fn time_spent_suspended_counts_and_is_no_step() {
        let start = ClockReading::now();
        let clock = Clock::since(start);
        let checked = clock.check(&later(&start, 5 * SECOND, 3600 * SECOND, 0));
        assert_eq!(checked.suspended, Duration::from_hours(1));
        assert_eq!((checked.stepped, checked.mark.stepped), (None, false));
        assert_eq!(checked.mark.wall.0, start.wall.0 + 3605 * SECOND);
        // From now on this is the broker's time, and the suspend is reported only once.
        assert!(clock.now().wall.0 >= start.wall.0 + 3600 * SECOND);
        let checked = clock.check(&later(&start, 6 * SECOND, 3600 * SECOND, 0));
        assert_eq!(checked.suspended, Duration::ZERO);
    }

    #[test]
    fn a_virtual_machine_that_stood_still_has_a_clock_that_was_stepped() {
        let start = ClockReading::now();
        let clock = Clock::since(start);
        // Both clocks stood still. Then the wall clock was corrected.
        let checked = clock.check(&later(&start, SECOND, 0, 600_000));
        assert_eq!((checked.stepped, checked.suspended), (Some(600_000), Duration::ZERO));
    }
}
