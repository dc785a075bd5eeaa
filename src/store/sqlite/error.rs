//! Maps SQLite's errors to what the caller can do about them.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::engine::{EngineError, Failure};
use crate::store::error::OpenError;

impl OpenError {
    pub(crate) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, detail: source.to_string() },
            Some(ErrorCode::NotADatabase) => {
                Self::Foreign { path, found: "its header is not SQLite's".into() }
            }
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path, detail: source.to_string() },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::Unopened { path, source }
            }
            _ => Self::Sqlite { path, source },
        }
    }
}

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> Self {
        let code = extended_code(&error);
        Self { failure: failure_of(&error), code, text: format!("{error} (SQLite code {code})") }
    }
}

/// What a failed statement means.
pub(super) fn failure_of(error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failure::Busy,
        // The WAL index is a file of its own. SQLite reports a full volume under another code
        // if that file cannot grow.
        _ if extended_code(error) == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => Failure::Full,
        _ => Failure::Fatal,
    }
}

/// SQLite's extended result code, or `SQLITE_ERROR` for errors that did not come from SQLite.
pub(super) fn extended_code(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(rusqlite::ffi::SQLITE_ERROR, |error| error.extended_code)
}
