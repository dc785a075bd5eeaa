//! Checks the file after an unclean stop, with a limit on how long the start waits.
//!
//! A check reads the whole file, so its time grows with the queue and not with the damage that
//! a crash may have caused. The part beyond the budget runs in the background, on a read-only
//! connection. If it finds damage, the store is poisoned and a marker file is left beside the
//! database: the next start then checks to the end before it is ready, so a damaged file is
//! refused and a restored one passes.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::files::{beside, mode_of};
use super::lock::LockFile;
use crate::store::engine::DeferredCheck;
use crate::store::error::OpenError;

/// Virtual machine steps between two checks of the deadline.
const STEPS: i32 = 1000;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    Sound,
    Damaged(String),
    /// The check was stopped early.
    Unknown,
}

/// Checks within `budget`. True if no damage was found as far as the check was required; false
/// if [`deferred`] has to continue.
pub(super) fn at_start(
    connection: &mut Connection,
    path: &Path,
    clean: bool,
    budget: Duration,
) -> Result<bool, OpenError> {
    let file = marker(path);
    let marked = file.exists();
    if clean && !marked {
        return Ok(true);
    }
    let until = (!marked).then(|| Instant::now() + budget);
    let stop = move || until.is_some_and(|until| Instant::now() >= until);
    match quick_check(connection, stop).map_err(|error| OpenError::from_sqlite(path, error))? {
        Finding::Sound => {
            if marked {
                std::fs::remove_file(&file).map_err(|error| OpenError::io(&file, error))?;
            }
            Ok(true)
        }
        Finding::Damaged(detail) => Err(OpenError::Damaged { path: path.to_path_buf(), detail }),
        Finding::Unknown => Ok(false),
    }
}

/// The rest of the check, to be run beside the broker. It may be told to stop early.
pub(super) fn deferred(path: &Path, lock: Arc<LockFile>) -> DeferredCheck {
    let path = path.to_path_buf();
    Box::new(move |gives_up| {
        let _lock = lock;
        let start = Instant::now();
        match run(&path, gives_up) {
            Ok(Finding::Sound) => {
                tracing::info!(elapsed = ?start.elapsed(), "the database is sound");
            }
            Ok(Finding::Damaged(detail)) => {
                leave_marker(&path, &detail);
                return Some(detail);
            }
            Ok(Finding::Unknown) => {}
            Err(error) => tracing::warn!(%error, "cannot check the database"),
        }
        None
    })
}

fn run(path: &Path, gives_up: Box<dyn Fn() -> bool + Send>) -> rusqlite::Result<Finding> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    quick_check(&mut connection, gives_up)
}

fn leave_marker(path: &Path, detail: &str) {
    let marker = marker(path);
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true).mode(mode_of(path));
    let written = options.open(&marker).and_then(|mut file| file.write_all(detail.as_bytes()));
    if let Err(error) = written {
        tracing::error!(path = %marker.display(), %error, "cannot mark the database as damaged");
    }
}

fn quick_check(
    connection: &mut Connection,
    stop: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<Finding> {
    connection.progress_handler(STEPS, Some(stop))?;
    let result = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match result {
        Ok(word) if word == "ok" => Ok(Finding::Sound),
        Ok(words) => Ok(Finding::Damaged(one_line(&words))),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Ok(Finding::Unknown),
            Some(ErrorCode::DatabaseCorrupt) => Ok(Finding::Damaged(error.to_string())),
            _ => Err(error),
        },
    }
}

/// SQLite names the database in its first line; there is only one.
fn one_line(words: &str) -> String {
    let lines: Vec<_> = words.lines().filter(|line| !line.starts_with("***")).collect();
    lines.join("; ")
}

fn marker(path: &Path) -> PathBuf {
    beside(path, ".damaged")
}
