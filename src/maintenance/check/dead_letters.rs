//! Checks each dead letter.

use rusqlite::Result;

use super::Run;
use super::sessions::{in_range, properties, topic};
use crate::maintenance::dead_letters::has_table;

pub(super) fn dead_letters(run: &mut Run<'_>) -> Result<bool> {
    if !has_table(&run.database.connection)? {
        return Ok(true);
    }
    let mut select = run.database.connection.prepare(
        "SELECT id, topic, ifnull(remote_topic, topic), qos, reason, properties, failed_at, \
         published_at, expires_at, retain FROM dead_letter ORDER BY id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        run.rows.dead_letters += 1;
        let id: i64 = row.get(0)?;
        let verdict = topic(row, 1)?
            .map_err(|problem| format!("topic {problem}"))
            .and(topic(row, 2)?.map_err(|problem| format!("remote_topic {problem}")))
            .and(in_range(row, 3, "qos", 0, 2)?)
            .and(in_range(row, 4, "reason", 0, 255)?)
            .and(properties(row, 5, "properties")?)
            .and(in_range(row, 6, "failed_at", 0, i64::MAX)?)
            .and(in_range(row, 7, "published_at", 0, i64::MAX)?)
            .and(in_range(row, 8, "expires_at", 0, i64::MAX)?)
            .and(in_range(row, 9, "retain", 0, 1)?);
        if let Err(problem) = verdict {
            run.findings.damage("dead-letter", format!("dead letter {id}: {problem}"));
        }
        if !run.goes_on() {
            return Ok(false);
        }
    }
    Ok(true)
}
