//! Checks tables, views and `meta`: reserved identifiers and the clock.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Result};

use super::Run;
use crate::store::{new_in_memory, pragma};

/// Keys of `meta` that a later schema version has added, with that version.
const LATER_KEYS: &[(i64, &str)] = &[
    (2, "clock"),
    (2, "clock_uptime"),
    (2, "clock_boot"),
    (2, "clock_stepped"),
    (2, "stopped_at"),
];

/// Checks that every object of a new database of the file's version exists unchanged. The
/// version may be old: the next start migrates it, and a backup may be of any version.
/// Additional objects, such as an operator's index, are ignored.
pub(super) fn objects(run: &mut Run<'_>) -> Result<bool> {
    let version = pragma(&run.database.connection, "user_version")?;
    let expected = of(&new_in_memory(version)?)?;
    let found = of(&run.database.connection)?;
    for (name, (kind, sql)) in expected {
        match found.get(&name) {
            None => run.findings.damage("schema", format!("the {kind} {name} is missing")),
            Some((_, other)) if *other != sql => {
                run.findings.damage("schema", format!("the {kind} {name} has been changed"));
            }
            Some(_) => {}
        }
    }
    Ok(true)
}

type Objects = BTreeMap<String, (String, Option<String>)>;

fn of(connection: &Connection) -> Result<Objects> {
    let mut select = connection.prepare("SELECT name, type, sql FROM sqlite_schema")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    rows.collect()
}

/// Checks that no identifier is beyond the reserved ones, and that all keys of `meta` are
/// there.
pub(super) fn reserved_ids(run: &mut Run<'_>) -> Result<bool> {
    let connection = &run.database.connection;
    for table in ["message", "delivery", "session"] {
        let reserved: Option<i64> = connection
            .query_row("SELECT value FROM meta WHERE key = 'reserved_' || ?1", [table], |row| {
                row.get(0)
            })
            .optional()?;
        let largest: Option<i64> =
            connection.query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get(0))?;
        let smallest: Option<i64> =
            connection.query_row(&format!("SELECT min(id) FROM {table}"), [], |row| row.get(0))?;
        match reserved {
            None => run.findings.damage("meta", format!("meta has no reserved_{table}")),
            Some(end) if largest.is_some_and(|id| id > end) => run.findings.damage(
                "reserved-ids",
                format!(
                    "{table} {} is beyond the reserved ids, which end at {end}",
                    largest.unwrap_or_default()
                ),
            ),
            Some(_) => {}
        }
        if let Some(id) = smallest.filter(|id| *id < 1) {
            run.findings.damage("reserved-ids", format!("{table} {id}: ids begin at 1"));
        }
    }
    let clean: Option<i64> = connection
        .query_row("SELECT value FROM meta WHERE key = 'clean'", [], |row| row.get(0))
        .optional()?;
    if !matches!(clean, Some(0 | 1)) {
        run.findings.damage("meta", "meta has no clean of 0 or 1");
    }
    let version = pragma(connection, "user_version")?;
    for (_, key) in LATER_KEYS.iter().filter(|(since, _)| *since <= version) {
        let found: bool = connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM meta WHERE key = ?1)",
            [key],
            |row| row.get(0),
        )?;
        if !found {
            run.findings.damage("meta", format!("meta has no {key}"));
        }
    }
    Ok(true)
}
