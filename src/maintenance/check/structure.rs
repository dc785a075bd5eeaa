//! Runs SQLite's `integrity_check` or `quick_check`.

use rusqlite::{Connection, ErrorCode};

use crate::maintenance::watch::{Phase, Watch};

/// SQLite's steps between two calls of the watch: some milliseconds.
const STEPS: i32 = 10_000;

/// Runs `integrity_check(N)` or `quick_check(N)` and returns its findings; none if the file is
/// sound.
pub(in crate::maintenance) fn structure(
    connection: &mut Connection,
    pragma: &str,
    watch: &Watch,
) -> rusqlite::Result<Vec<String>> {
    let stop = {
        let watch = watch.clone();
        move || !watch.goes_on(Phase::Structure, 0, 0)
    };
    connection.progress_handler(STEPS, Some(stop))?;
    let result = run(connection, pragma);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match result {
        // The file is too damaged to be checked.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Ok(vec![error.to_string()])
        }
        result => result,
    }
}

fn run(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare(&format!("PRAGMA {pragma}"))?;
    let mut rows = check.query([])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        // One row may hold several lines.
        findings.extend(text.lines().filter(|line| *line != "ok").map(str::to_owned));
    }
    Ok(findings)
}
