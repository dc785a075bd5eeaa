//! A clock that was set back between two runs: the file seems to come from the future.
//!
//! Expiry across a restart is counted in wall-clock time. A message that seems to have
//! been published later than now would live longer than its publisher asked for, by as
//! much as the clock went back. It is taken to have been published now. Sessions need
//! nothing here: a session that seems to have been left in the future is taken to have
//! been left now when the broker recovers it.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _};

use super::error::Failure;

/// Brings what comes from the future to this moment. Only a clock that went back costs
/// more than one row's reading. With no room for it on the volume, queues come first and
/// what expires does so later.
pub(super) fn mend(connection: &mut Connection) -> rusqlite::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    // Within a run time only goes on, and ids with it: the last row is the latest.
    let latest: Option<i64> = connection
        .query_row("SELECT published_at FROM message ORDER BY id DESC LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()?;
    let mut tables = vec!["retained"];
    if latest.is_some_and(|latest| latest > now) {
        tables.push("message");
    }
    match bring_to(connection, &tables, now) {
        Ok(0) => Ok(()),
        Ok(count) => {
            tracing::warn!(count, "the clock was set back: messages are taken as published now");
            Ok(())
        }
        Err(error) if Failure::of(&error) == Failure::Full => {
            tracing::warn!("the clock was set back, and the disk is full: messages expire late");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn bring_to(connection: &mut Connection, tables: &[&str], now: i64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    let mut count = 0;
    for table in tables {
        let sql = format!(
            "UPDATE {table} SET expires_at = expires_at - (published_at - ?1), \
             published_at = ?1 WHERE published_at > ?1"
        );
        count += transaction.execute(&sql, [now])?;
    }
    transaction.commit()?;
    Ok(count)
}
