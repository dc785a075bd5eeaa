//! Checks that the file is sound and holds what a broker could have written.
//!
//! Two kinds of findings. Damage is what no run of a broker leaves behind. Leftovers
//! are what a crash, or the very moment, may leave, and what a start removes: they
//! are counted, and the file is sound with them.
//!
//! # Rules that are not there
//! Packet ids repeat within a queue longer than 65,535 messages, since they are drawn
//! in a cycle when a message is queued, and `session.sent_up_to` covers all of such a
//! queue after a crash. Only deliveries with `received = 1` are known to be in flight
//! at the same time, so only among these an id must be unique.

mod findings;
mod queues;
mod ranges;
mod schema;
mod sessions;
mod structure;

use std::path::Path;

use serde::Serialize;

use super::access::{Access, Database, wal_size};
use super::error::MaintenanceError;
use super::watch::{Phase, Watch};
use findings::Findings;
pub use findings::{Finding, Severity};
pub(super) use structure::structure;

/// What was checked and found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The path.
    pub database: String,
    /// How it was read.
    pub access: Access,
    /// No damage was found; leftovers may have been.
    pub sound: bool,
    /// One for each, at most ten of a rule; then one that counts the rest.
    pub findings: Vec<Finding>,
    /// How many rows were looked at.
    pub rows: Rows,
    /// Pages of the file.
    pub pages: u64,
    /// The largest size of the write-ahead log that was seen meanwhile.
    pub wal_peak_bytes: u64,
}

/// Rows that were looked at.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Rows {
    /// Of `session`.
    pub sessions: u64,
    /// Of `subscription`.
    pub subscriptions: u64,
    /// Of `incoming`.
    pub incoming_ids: u64,
    /// Of `message`.
    pub messages: u64,
    /// Of `delivery`.
    pub deliveries: u64,
    /// Of `retained`.
    pub retained: u64,
}

/// What a check carries along.
struct Run<'a> {
    database: &'a Database,
    watch: &'a Watch,
    findings: Findings,
    rows: Rows,
    seen: u64,
}

impl Run<'_> {
    /// For each row. False: stop.
    fn goes_on(&mut self) -> bool {
        /// Rows between two questions.
        const ROWS: u64 = 10_000;
        self.seen += 1;
        !self.seen.is_multiple_of(ROWS) || self.watch.goes_on(Phase::Rows, self.seen, 0)
    }
}

/// SQLite's `integrity_check`, and the broker's own rules. Each of the two is one read
/// transaction: a running broker commits meanwhile, and its WAL grows.
///
/// # Errors
/// It cannot be opened: foreign, newer, no database at all. The watch says stop. That
/// it is damaged is no error, but what [`Report`] says.
pub fn check(path: &Path, watch: &Watch) -> Result<Report, MaintenanceError> {
    let mut database = Database::open(path)?;
    let lines = structure(&mut database.connection, "integrity_check(100)", watch);
    let lines = lines.map_err(|error| database.failed(error))?;
    let mut run = Run {
        database: &database,
        watch,
        findings: Findings::default(),
        rows: Rows::default(),
        seen: 0,
    };
    for line in lines {
        run.findings.damage("structure", line);
    }
    let wal = wal_size(path);
    rules(&mut run)?;
    let pages = crate::store::pragma(&database.connection, "page_count");
    database.still_holds()?;
    let findings = run.findings.into_list();
    Ok(Report {
        database: path.display().to_string(),
        access: database.access,
        sound: findings.iter().all(|finding| finding.severity != Severity::Damage),
        findings,
        rows: run.rows,
        pages: pages.map_or(0, super::status::unsigned),
        wal_peak_bytes: wal.max(wal_size(path)),
    })
}

/// A part of the rules.
type Part = fn(&mut Run<'_>) -> rusqlite::Result<bool>;

/// Each part reads what it can: a table that cannot be read is one more finding.
fn rules(run: &mut Run<'_>) -> Result<(), MaintenanceError> {
    const PARTS: [(&str, Part); 7] = [
        ("schema", schema::objects),
        ("meta", schema::reserved_ids),
        ("session", sessions::sessions),
        ("subscription", sessions::subscriptions),
        ("incoming", sessions::incoming),
        ("retained", sessions::retained),
        ("delivery and message", queues::queues),
    ];
    let connection = &run.database.connection;
    let failed = |error| run.database.failed(error);
    connection.execute_batch("BEGIN").map_err(failed)?;
    let mut stopped = false;
    for (name, part) in PARTS {
        match part(run) {
            Ok(true) => {}
            Ok(false) => {
                stopped = true;
                break;
            }
            Err(error) if is_damage(&error) => {
                run.findings.damage("unreadable", format!("{name} cannot be read: {error}"));
            }
            Err(error) => return Err(run.database.failed(error)),
        }
    }
    connection.execute_batch("ROLLBACK").map_err(|error| run.database.failed(error))?;
    if stopped {
        return Err(MaintenanceError::Interrupted { left: "the check is not complete" });
    }
    Ok(())
}

/// Errors that are the file's fault: corruption, a table or column that is missing, a
/// value of the wrong type.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown
        ),
        None => true,
    }
}
