//! Reads a long table in many short transactions, so that a running broker can checkpoint in
//! between.

use super::access::Database;
use super::error::MaintenanceError;
use super::watch::{Phase, Watch};

/// Rows of one transaction: about 10 ms.
pub(super) const ROWS: i64 = 20_000;

/// The range of identifiers that [`each`] has yet to read.
pub(super) struct Chunk {
    /// Rows with a larger identifier than this,
    pub(super) after: i64,
    /// up to this one.
    pub(super) last: i64,
}

/// Counts the rows of a table with an `id`. Rows added during the count are not included.
pub(super) fn count(
    database: &Database,
    table: &str,
    watch: &Watch,
) -> Result<u64, MaintenanceError> {
    let sql = format!(
        "SELECT count(*), max(id) FROM (SELECT id FROM {table} WHERE id > ?1 AND id <= ?2 \
         ORDER BY id LIMIT {ROWS})"
    );
    let mut count = 0;
    each(database, table, watch, |chunk| {
        let mut select = database.connection.prepare_cached(&sql)?;
        let (rows, last): (i64, Option<i64>) =
            select.query_row((chunk.after, chunk.last), |row| Ok((row.get(0)?, row.get(1)?)))?;
        count += u64::try_from(rows).unwrap_or(0);
        Ok(last)
    })?;
    Ok(count)
}

/// Calls `read` for one chunk after another. `read` returns the last identifier that it has
/// read, `None` if there was no row left.
pub(super) fn each(
    database: &Database,
    table: &str,
    watch: &Watch,
    mut read: impl FnMut(&Chunk) -> rusqlite::Result<Option<i64>>,
) -> Result<(), MaintenanceError> {
    let failed = |source| database.failed(source);
    let bounds = format!("SELECT min(id), max(id) FROM {table}");
    let (first, last): (Option<i64>, Option<i64>) = database
        .connection
        .query_row(&bounds, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed)?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let passed = |id: i64| u64::try_from(id.saturating_sub(first)).unwrap_or(0);
    let mut chunk = Chunk { after: first.saturating_sub(1), last };
    while let Some(seen) = read(&chunk).map_err(failed)? {
        chunk.after = seen;
        if !watch.goes_on(Phase::Rows, passed(seen), passed(last)) {
            return Err(MaintenanceError::Interrupted { left: "nothing was changed" });
        }
    }
    Ok(())
}
