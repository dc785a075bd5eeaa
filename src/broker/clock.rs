//! The one place where time is read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
}

impl Clock {
    /// Reads the machine's clock, once.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_wall = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self { started: Instant::now(), started_wall }
    }

    /// This moment.
    pub fn now(&self) -> Now {
        let instant = Instant::now();
        let elapsed = instant.saturating_duration_since(self.started).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        Now { instant, wall: WallMillis(self.started_wall.saturating_add(elapsed)) }
    }

    /// When the process started.
    pub fn started(&self) -> Instant {
        self.started
    }
}
