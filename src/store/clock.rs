//! The clock across restarts.
//!
//! Expiry is counted in the broker's own time: the wall clock at the start, advanced by
//! elapsed time (`broker/clock.rs`). The next start continues with the wall clock and counts
//! the time that the broker was down, unless the file shows that one of the two clocks was
//! wrong. In that case no time counts as passed, and every time in the file is shifted to the
//! new time scale: a session or message may live too long, but never ends too early.
//!
//! The record is in `meta`: `clock` (the broker's time) and `clock_uptime` (the machine's
//! uptime), both taken at one moment; `clock_boot`, the boot that the uptime belongs to; and
//! `clock_stepped`, which says that the wall clock was stepped and no longer equals the
//! broker's time. They are written with a commit at most every ten seconds, when the clock is
//! stepped, and at an orderly stop.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::message::WallMillis;

/// 2026-11-01 in milliseconds since 1970: a date before this release was built, to be raised
/// with each release. A clock that shows an earlier time is wrong.
pub(super) const RELEASED: i64 = 1_793_491_200_000;

/// Two clocks whose difference is at most this, in milliseconds, agree: NTP slews smaller
/// errors, and expiry is counted in seconds.
pub const TOLERANCE: i64 = 2_000;

/// Readings of the machine's clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// The wall clock: milliseconds since 1970.
    pub wall: WallMillis,
    /// `CLOCK_BOOTTIME` in milliseconds: it advances while the machine is suspended.
    pub uptime: u64,
    /// `CLOCK_MONOTONIC`: it stops while the machine is suspended.
    pub instant: Instant,
}

impl ClockReading {
    /// Reads the clocks.
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

/// The broker's time at one moment, which the next start compares with its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockMark {
    /// The broker's time.
    pub wall: WallMillis,
    /// The machine's uptime, as in [`ClockReading::uptime`].
    pub uptime: u64,
    /// The wall clock differs from the broker's time, or was doubtful at the start.
    pub stepped: bool,
    /// The orderly stop has begun.
    pub stopping: bool,
}

/// What the file says about the previous run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) clock: i64,
    pub(super) uptime: i64,
    pub(super) boot: i64,
    pub(super) stepped: bool,
    pub(super) stopped_at: i64,
    /// The latest time stored in any row of the file.
    pub(super) newest: i64,
}

/// The verdict of a start on [`Before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Milliseconds to add to every time in the file.
    pub(super) shift: i64,
    pub(super) why: Why,
    /// The clock of this run is wrong, or may be.
    pub(super) doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The clocks agree.
    Agreed,
    /// The machine was not restarted, so its uptime shows how much time has passed.
    Uptime,
    /// The file contains times later than the wall clock.
    RolledBack,
    /// The clock of the previous run was stepped, or showed a time before [`RELEASED`].
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
        // Either this clock or the previous one is wrong, and the next start cannot tell
        // which.
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
            Self::Uptime => "the wall clock was changed while the machine was running",
            Self::RolledBack => {
                "the wall clock is earlier than the last time recorded in the database"
            }
            Self::Distrusted => "the wall clock of the previous run was wrong",
        }
    }
}

#[cfg(test)]
mod tests;
