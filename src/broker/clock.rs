//! The one place where time is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::message::WallMillis;

/// A moment, read once per turn and handed down to the pure parts.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For durations.
    pub instant: Instant,
    /// For what must mean the same after a restart.
    pub wall: WallMillis,
}

/// Wall time that runs on monotonically from the start of the process, so that a
/// clock that is set neither expires nor revives anything while the broker runs.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    started_wall: u64,
    /// Milliseconds since then, if they only pass when a simulation says so.
    hand: Option<Arc<AtomicU64>>,
}

/// Turns a clock that was made by [`Clock::by_hand`].
#[derive(Debug, Clone)]
pub struct Hand(Arc<AtomicU64>);

impl Hand {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock {
    /// Reads the machine's clock, once.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_wall = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self { started: Instant::now(), started_wall, hand: None }
    }

    /// A clock that stands at `wall` until it is turned. For simulations.
    pub fn by_hand(wall: WallMillis) -> (Self, Hand) {
        let hand = Arc::new(AtomicU64::new(0));
        let clock =
            Self { started: Instant::now(), started_wall: wall.0, hand: Some(Arc::clone(&hand)) };
        (clock, Hand(hand))
    }

    /// This moment.
    pub fn now(&self) -> Now {
        let instant = match &self.hand {
            Some(hand) => self.started + Duration::from_millis(hand.load(Ordering::Relaxed)),
            None => Instant::now(),
        };
        let elapsed = instant.saturating_duration_since(self.started).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        Now { instant, wall: WallMillis(self.started_wall.saturating_add(elapsed)) }
    }

    /// When the process started.
    pub fn started(&self) -> Instant {
        self.started
    }
}
