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

use rusqlite::{Connection, OptionalExtension as _, Transaction};

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
struct Before {
    clock: i64,
    uptime: i64,
    boot: i64,
    stepped: bool,
    stopped_at: i64,
    /// The latest time that anything in the file bears.
    newest: i64,
}

/// What a start makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Judgement {
    /// To be added to all times in the file, in milliseconds.
    shift: i64,
    why: Why,
    /// The clock of this run is, or may be, the wrong one.
    doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The clocks agree.
    Agreed,
    /// The machine has not been restarted: its uptime tells how much time has passed.
    Uptime,
    /// The file comes from the future.
    SetBack,
    /// The clock of the run before was stepped, or earlier than [`RELEASED`].
    Distrusted,
}

/// How much of the file a full disk lets a start move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of it.
    Everything,
    /// Not the messages that never expire.
    WhatExpires,
    /// Sessions: no message.
    Sessions,
}

/// Compares the clocks, moves what has to be moved, and notes the time scale of this
/// run: in one transaction, so that times of two scales never stand beside each other.
/// True if the clock of this run is in doubt, which every mark of it has to say.
pub(super) fn at_start(
    transaction: &Transaction<'_>,
    now: &ClockReading,
    reach: Reach,
) -> rusqlite::Result<bool> {
    let before = Before::read(transaction)?;
    let (wall, uptime, boot) = (now.wall.to_sql(), to_sql(now.uptime), this_boot());
    let Judgement { shift, why, doubtful } = judge(&before, wall, uptime, boot);
    let moved = shift_all(transaction, shift, wall, reach)?;
    let connected = begin_now(transaction, &before, shift, wall)?;
    write_keys(transaction, wall, uptime, boot, doubtful, 0)?;
    if shift.abs() > TOLERANCE {
        tracing::warn!(
            seconds = shift / 1000,
            reason = why.words(),
            rows = moved,
            "the clock and the database do not agree: expiry goes on from where it stood"
        );
    }
    if doubtful {
        tracing::warn!("the clock may be wrong: the time until the next start will not count");
    }
    tracing::debug!(connected, "sessions that were connected at the stop expire from now on");
    Ok(doubtful)
}

impl Before {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let key = |name: &str| -> rusqlite::Result<i64> {
            let value = connection
                .query_row("SELECT value FROM meta WHERE key = ?1", [name], |row| row.get(0))
                .optional()?;
            Ok(value.unwrap_or(0))
        };
        Ok(Self {
            clock: key("clock")?,
            uptime: key("clock_uptime")?,
            boot: key("clock_boot")?,
            stepped: key("clock_stepped")? != 0,
            stopped_at: key("stopped_at")?,
            newest: newest(connection)?,
        })
    }
}

/// Within a run time only goes on, and ids with it: the last message is the latest.
fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row(
        "SELECT max(ifnull((SELECT published_at FROM message ORDER BY id DESC LIMIT 1), 0), \
                    ifnull((SELECT max(published_at) FROM retained), 0), \
                    ifnull((SELECT max(disconnected_at) FROM session), 0))",
        [],
        |row| row.get(0),
    )
}

fn judge(before: &Before, wall: i64, uptime: i64, boot: i64) -> Judgement {
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
        return Judgement { shift: wall - last, why: Why::SetBack, doubtful };
    }
    if before.stepped || last < RELEASED {
        return judgement(wall - last, Why::Distrusted);
    }
    judgement(0, Why::Agreed)
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::Agreed => "they agree",
            Self::Uptime => "the clock was set while the machine went on",
            Self::SetBack => "the database comes from the future",
            Self::Distrusted => "the clock of the run before was wrong",
        }
    }
}

/// Nothing is moved into the future, nor before 1970.
fn shift_all(
    transaction: &Transaction<'_>,
    shift: i64,
    now: i64,
    reach: Reach,
) -> rusqlite::Result<usize> {
    if shift == 0 {
        return Ok(0);
    }
    let mut moved = transaction.execute(
        "UPDATE session SET disconnected_at = max(0, min(disconnected_at + ?1, ?2)) \
         WHERE disconnected_at IS NOT NULL",
        [shift, now],
    )?;
    let which = match reach {
        Reach::Everything => "TRUE",
        Reach::WhatExpires => "expires_at IS NOT NULL",
        Reach::Sessions => return Ok(moved),
    };
    for table in ["retained", "message"] {
        // On the right of an assignment stands what was before.
        let sql = format!(
            "UPDATE {table} SET published_at = max(0, min(published_at + ?1, ?2)), \
             expires_at = expires_at - published_at + max(0, min(published_at + ?1, ?2)) \
             WHERE {which}"
        );
        moved += transaction.execute(&sql, [shift, now])?;
    }
    Ok(moved)
}

/// A session that was connected when the broker began to stop was not left by its client:
/// its expiry begins when the broker is there again. After a crash its row says that it
/// is connected, and the recovery does the same.
fn begin_now(
    transaction: &Transaction<'_>,
    before: &Before,
    shift: i64,
    now: i64,
) -> rusqlite::Result<usize> {
    if before.stopped_at == 0 {
        return Ok(0);
    }
    let begun = before.stopped_at.saturating_add(shift).min(now);
    transaction.execute(
        "UPDATE session SET disconnected_at = ?2 WHERE disconnected_at >= ?1",
        [begun, now],
    )
}

/// Within the running transaction, or as one of its own.
pub(super) fn write(connection: &Connection, mark: &ClockMark) -> rusqlite::Result<()> {
    let stopped_at = if mark.stopping { mark.wall.to_sql() } else { 0 };
    let (wall, uptime) = (mark.wall.to_sql(), to_sql(mark.uptime));
    write_keys(connection, wall, uptime, this_boot(), mark.stepped, stopped_at)
}

fn write_keys(
    connection: &Connection,
    wall: i64,
    uptime: i64,
    boot: i64,
    stepped: bool,
    stopped_at: i64,
) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
    update.execute(("clock", wall))?;
    update.execute(("clock_uptime", uptime))?;
    update.execute(("clock_boot", boot))?;
    update.execute(("clock_stepped", stepped))?;
    update.execute(("stopped_at", stopped_at))?;
    Ok(())
}

fn to_sql(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// Which boot of the machine this is: 60 bits of the kernel's random id for it; 0 if it
/// has none.
fn this_boot() -> i64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits = text.chars().filter_map(|digit| digit.to_digit(16)).take(15);
    digits.fold(0, |id, digit| id << 4 | i64::from(digit))
}

/// When the clock was last written, and when it has to be again.
#[derive(Debug, Default)]
pub(super) struct ClockWriter {
    written: ClockMark,
    /// In the transaction that runs.
    writing: ClockMark,
}

impl ClockWriter {
    /// A crash between two marks makes a start that distrusts the clock believe that the
    /// run ended so much earlier.
    const EVERY: u64 = 10_000;

    /// Writes the mark if it is time, in the running transaction.
    pub(super) fn write(
        &mut self,
        connection: &Connection,
        mark: ClockMark,
    ) -> rusqlite::Result<()> {
        self.writing = self.written;
        if self.is_due(&mark) {
            write(connection, &mark)?;
            self.writing = mark;
        }
        Ok(())
    }

    pub(super) fn is_due(&self, mark: &ClockMark) -> bool {
        mark.stepped != self.written.stepped
            || mark.stopping != self.written.stopping
            || mark.uptime >= self.written.uptime.saturating_add(Self::EVERY)
    }

    /// The transaction is committed.
    pub(super) fn committed(&mut self) {
        self.written = self.writing;
    }
}

#[cfg(test)]
mod tests;
