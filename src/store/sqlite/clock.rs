//! The clock in the file: read and compared at the start, written with commits.

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::store::clock::{Before, ClockMark, ClockReading, Judgement, TOLERANCE, judge};

/// How much of the file a start adjusts, depending on the space on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All times.
    Everything,
    /// Sessions, and only messages that expire.
    WhatExpires,
    /// Sessions only.
    Sessions,
}

/// Compares the clocks, shifts times if necessary, and records the time scale of this run, in
/// one transaction, so that the file never has times of two scales. True if the clock of this
/// run is doubtful, which every mark of this run has to record.
pub(super) fn at_start(
    transaction: &Transaction<'_>,
    now: &ClockReading,
    reach: Reach,
) -> rusqlite::Result<bool> {
    let before = read_before(transaction)?;
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
            "the wall clock and the database disagree: expiry times were shifted"
        );
    }
    if doubtful {
        tracing::warn!(
            "the wall clock may be wrong: the time until the next start is not counted towards \
             expiry; check the system clock"
        );
    }
    tracing::debug!(connected, "sessions that were connected at the stop expire from now on");
    Ok(doubtful)
}

fn read_before(connection: &Connection) -> rusqlite::Result<Before> {
    let key = |name: &str| -> rusqlite::Result<i64> {
        let value = connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [name], |row| row.get(0))
            .optional()?;
        Ok(value.unwrap_or(0))
    };
    Ok(Before {
        clock: key("clock")?,
        uptime: key("clock_uptime")?,
        boot: key("clock_boot")?,
        stepped: key("clock_stepped")? != 0,
        stopped_at: key("stopped_at")?,
        newest: newest(connection)?,
    })
}

/// The latest time in the file. Within a run time never decreases, nor do ids: the last
/// message is the latest.
fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row(
        "SELECT max(ifnull((SELECT published_at FROM message ORDER BY id DESC LIMIT 1), 0), \
                    ifnull((SELECT max(published_at) FROM retained), 0), \
                    ifnull((SELECT failed_at FROM dead_letter ORDER BY id DESC LIMIT 1), 0), \
                    ifnull((SELECT max(disconnected_at) FROM session), 0))",
        [],
        |row| row.get(0),
    )
}

/// Adds `shift` to all times. None becomes later than now or earlier than 1970.
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
    if reach == Reach::Everything {
        moved += transaction.execute(
            "UPDATE dead_letter SET failed_at = max(0, min(failed_at + ?1, ?2)), \
             published_at = max(0, min(published_at + ?1, ?2)), \
             expires_at = expires_at - published_at + max(0, min(published_at + ?1, ?2))",
            [shift, now],
        )?;
    }
    let which = match reach {
        Reach::Everything => "TRUE",
        Reach::WhatExpires => "expires_at IS NOT NULL",
        Reach::Sessions => return Ok(moved),
    };
    for table in ["retained", "message"] {
        // The right side of an assignment uses the values from before the UPDATE.
        let sql = format!(
            "UPDATE {table} SET published_at = max(0, min(published_at + ?1, ?2)), \
             expires_at = expires_at - published_at + max(0, min(published_at + ?1, ?2)) \
             WHERE {which}"
        );
        moved += transaction.execute(&sql, [shift, now])?;
    }
    Ok(moved)
}

/// A session that was connected when the broker began to stop was not disconnected by its
/// client: its expiry begins now. After a crash its row says that it is connected, and the
/// recovery does the same.
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

/// Writes the mark, within the running transaction or in one of its own.
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

/// Identifies this boot: 60 bits of the kernel's random boot id; 0 if there is none.
fn this_boot() -> i64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits = text.chars().filter_map(|digit| digit.to_digit(16)).take(15);
    digits.fold(0, |id, digit| id << 4 | i64::from(digit))
}

/// Decides when the clock is written.
#[derive(Debug, Default)]
pub(super) struct ClockWriter {
    written: ClockMark,
    /// The mark in the running transaction.
    writing: ClockMark,
}

impl ClockWriter {
    /// Milliseconds between two marks. After a crash, a start that distrusts the clock assumes
    /// that the run ended at the last mark.
    const EVERY: u64 = 10_000;

    /// Writes the mark in the running transaction if it is due.
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

    /// Called when the transaction is committed.
    pub(super) fn committed(&mut self) {
        self.written = self.writing;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::WallMillis;

    #[test]
    fn a_mark_is_written_at_intervals_and_when_it_says_something_new() {
        let file = crate::store::new_in_memory(4).unwrap();
        let mut writer = ClockWriter::default();
        let mark =
            ClockMark { wall: WallMillis(1_000_000), uptime: 60_000, ..ClockMark::default() };
        assert!(writer.is_due(&mark));
        writer.write(&file, mark).unwrap();
        assert!(writer.is_due(&mark), "not committed yet");
        writer.committed();
        assert!(!writer.is_due(&ClockMark { uptime: 69_999, ..mark }));
        assert!(writer.is_due(&ClockMark { uptime: 70_000, ..mark }));
        assert!(writer.is_due(&ClockMark { stepped: true, ..mark }));
        assert!(writer.is_due(&ClockMark { stopping: true, ..mark }));
        let read = read_before(&file).unwrap();
        assert_eq!((read.clock, read.uptime, read.stopped_at), (1_000_000, 60_000, 0));
    }
}
