//! Checks that the file is sound and holds what a broker could have written.
//!
//! There are two kinds of findings. Damage is what no run of a broker leaves behind. A
//! leftover is what a crash may leave, or what a running broker is about to remove: a start
//! removes it, or it is harmless. Leftovers are counted, and a file with leftovers is sound.
//!
//! # What is not checked
//! Packet identifiers may repeat within a queue longer than 65,535 messages: they are assigned
//! in a cycle when a message is queued, and `session.sent_up_to` covers all of such a queue
//! after a crash. Only deliveries with `received = 1` are certainly in flight at the same
//! time, so only their identifiers must be unique.

mod dead_letters;
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

/// The result of a check.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Path of the database.
    pub database: String,
    /// How the database was read.
    pub access: Access,
    /// True if no damage was found; there may be leftovers.
    pub sound: bool,
    /// At most ten findings per rule, then one that counts the rest.
    pub findings: Vec<Finding>,
    /// Number of rows that were checked.
    pub rows: Rows,
    /// Number of pages of the file.
    pub pages: u64,
    /// Largest size of the write-ahead log seen during the check, in bytes.
    pub wal_peak_bytes: u64,
}

/// Number of rows that were checked, by table.
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
    /// Of `dead_letter`.
    pub dead_letters: u64,
}

/// The state of a check.
struct Run<'a> {
    database: &'a Database,
    watch: &'a Watch,
    findings: Findings,
    rows: Rows,
    seen: u64,
}

impl Run<'_> {
    /// Counts a row. Returns false if the check is to stop.
    fn goes_on(&mut self) -> bool {
        /// Rows between two calls of the watch.
        const ROWS: u64 = 10_000;
        self.seen += 1;
        !self.seen.is_multiple_of(ROWS) || self.watch.goes_on(Phase::Rows, self.seen, 0)
    }
}

/// Runs SQLite's `integrity_check` and the broker's own rules. Each of the two is one read
/// transaction: a running broker commits meanwhile, and its WAL grows.
///
/// # Errors
/// The file cannot be opened: it is foreign, newer or missing. The watch requests a stop.
/// Damage is not an error; [`Report`] lists it.
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

/// A group of rules. Returns false if the check is to stop.
type Part = fn(&mut Run<'_>) -> rusqlite::Result<bool>;

/// Runs all groups of rules. A table that cannot be read is a finding.
fn rules(run: &mut Run<'_>) -> Result<(), MaintenanceError> {
    const PARTS: [(&str, Part); 8] = [
        ("schema", schema::objects),
        ("meta", schema::reserved_ids),
        ("session", sessions::sessions),
        ("subscription", sessions::subscriptions),
        ("incoming", sessions::incoming),
        ("retained", sessions::retained),
        ("dead_letter", dead_letters::dead_letters),
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

/// True for errors caused by the file: corruption, a missing table or column, a value of the
/// wrong type.
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
