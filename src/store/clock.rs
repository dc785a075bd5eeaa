//! The clock across restarts.
//!
//! What expires is counted in the broker's own time, which is the wall clock of its start
//! and runs on by itself (`broker/clock.rs`). The next start goes on with the wall clock,
//! and counts the time that the broker was down: unless the file shows that one of the
//! two was wrong. Then no time has passed, and every time in the file is moved to the new
//! time scale; a session or a message lives too long rather than not long enough.
//!
//! What the file shows is in `meta`: `clock`, the broker's time, and `clock_uptime`, the
//! machine's, both at one moment; `clock_boot`, the boot that the second belongs to;
//! `clock_stepped`, that the wall clock was stepped and the broker's time is not it any
//! more. They are written along with a commit, at most every ten seconds, when the clock
//! is stepped, and by an orderly stop.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::message::WallMillis;

/// 2026-11-01, in milliseconds since 1970: before this release was built, and to be
/// raised with each. A clock that shows an earlier time is wrong.
pub(super) const RELEASED: i64 = 1_793_491_200_000;

/// Two clocks that differ by this much agree, in milliseconds: NTP slews smaller errors,
/// and expiry is counted in seconds.
pub const TOLERANCE: i64 = 2_000;

/// What the machine's clocks show at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// The wall clock: milliseconds since 1970.
    pub wall: WallMillis,
    /// `CLOCK_BOOTTIME` in milliseconds: it goes on while the machine is suspended.
    pub uptime: u64,
    /// `CLOCK_MONOTONIC`, which does not.
    pub instant: Instant,
}

impl ClockReading {
    /// Reads them.
    pub fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
        let millis = u64::try_from(boot.tv_nsec / 1_000_000).unwrap_or(0);
        Self {
            wall: WallMillis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
            uptime: seconds.saturating_mul(1000).saturating_add(millis),
            instant: Instant::now(),
        }
    }
}

/// The broker's time at one moment, for the next start to compare with its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockMark {
    /// The broker's time.
    pub wall: WallMillis,
    /// The machine's, as in [`ClockReading::uptime`].
    pub uptime: u64,
    /// The wall clock shows something else, or was in doubt at the start.
    pub stepped: bool,
    /// The orderly stop has begun.
    pub stopping: bool,
}

/// What the file says of the run before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) clock: i64,
    pub(super) uptime: i64,
    pub(super) boot: i64,
    pub(super) stepped: bool,
    pub(super) stopped_at: i64,
    /// The latest time that anything in the file bears.
    pub(super) newest: i64,
}

/// What a start makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    /// To be added to all times in the file, in milliseconds.
    pub(super) shift: i64,
    pub(super) why: Why,
    /// The clock of this run is, or may be, the wrong one.
    pub(super) doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The clocks agree.
    Agreed,
    /// The machine has not been restarted: its uptime tells how much time has passed.
    Uptime,
    /// The file comes from the future.
    RolledBack,
    /// The clock of the run before was stepped, or earlier than [`RELEASED`].
    Distrusted,
}

pub(super) fn judge(before: &Before, wall: i64, uptime: i64, boot: i64) -> Judgement {
    let doubtful = wall < RELEASED;
    let last = before.clock.max(before.newest);
    let judgement = |shift: i64, why| Judgement { shift, why, doubtful };
    if last == 0 {
        return judgement(0, Why::Agreed);
    }
    let same_boot = before.boot != 0 && before.boot == boot && before.uptime <= uptime;
    if same_boot && before.clock != 0 {
        let step = wall - (before.clock + (uptime - before.uptime));
        let shift = if step.abs() > TOLERANCE { step } else { 0 };
        return judgement(shift, if shift == 0 { Why::Agreed } else { Why::Uptime });
    }
    if wall < last {
        // One of the two is wrong; which, the next start will not know either.
        let doubtful = doubtful || last - wall > TOLERANCE;
        return Judgement { shift: wall - last, why: Why::RolledBack, doubtful };
    }
    if before.stepped || last < RELEASED {
        return judgement(wall - last, Why::Distrusted);
    }
    judgement(0, Why::Agreed)
}

impl Why {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Agreed => "they agree",
            Self::Uptime => "the clock was set while the machine went on",
            Self::RolledBack => "the database comes from the future",
            Self::Distrusted => "the clock of the run before was wrong",
        }
    }
}

#[cfg(test)]
mod tests;
