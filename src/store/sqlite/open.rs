//! Opens a database: checks, migrates and scans it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::checkpoint::Checkpointer;
use super::clock::{self, ClockWriter, Reach};
use super::error::failure_of;
use super::files::{beside, directory_of, file_size, mode_of};
use super::ids::IdBlocks;
use super::lock::LockFile;
use super::pages::SqlitePages;
use super::space::Space;
use super::{SqliteEngine, check, checkpoint, dead_letters, recover, schema, statements};
use crate::sabotage::Sabotage;
use crate::store::batch::Highest;
use crate::store::clock::ClockReading;
use crate::store::config::{DurabilityMode, StoreConfig};
use crate::store::engine::{Failure, OpenedEngine};
use crate::store::error::OpenError;
use crate::store::metrics::{StoreMetrics, stamp};

/// 8 KiB, chosen among 4, 8 and 16 KiB with `benches/store.rs`: it takes a tenth less CPU for
/// an insert and a quarter less for a delete than 4 KiB. 16 KiB takes less again, but a
/// message that is committed alone writes whole pages, so four times as much. Single runs, on
/// a busy machine: CPU of the writer, not time.
const PAGE_SIZE: i64 = 8192;

/// Creates a database with the permissions of [`mode_of`]. True if it was created. SQLite
/// reports any error here better.
fn keep_from_others(path: &Path) -> bool {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode_of(path)).open(path).is_ok()
}

/// Describes what is in place of a database: nothing, or a file of 0 bytes, as an interrupted
/// copy leaves it. `None` if it is something else, which SQLite examines.
fn what_is_at(path: &Path) -> Option<&'static str> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Some("is a file of 0 bytes"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("does not exist"),
        _ => None,
    }
}

/// Refuses anything but a regular file: opening a pipe would wait for its writer.
fn is_a_file(path: &Path) -> Result<(), OpenError> {
    let kind = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => "a directory",
        Ok(metadata) if !metadata.is_file() => "a device, pipe or socket",
        _ => return Ok(()),
    };
    Err(OpenError::NotAFile { path: path.to_path_buf(), kind })
}

/// Refuses a WAL beside a missing or empty database. SQLite would remove it, but if its
/// database was moved, it may hold what was acknowledged last. (A journal does not: our
/// databases have one only within the first start, and an interrupted first start, which may
/// leave a journal alone, has acknowledged nothing.)
fn has_no_orphan(path: &Path) -> Result<(), OpenError> {
    const LOG: &str = "-wal";
    let state = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => return Ok(()),
        Ok(_) => "empty",
        Err(_) => "missing",
    };
    if file_size(&beside(path, LOG)) == 0 {
        return Ok(());
    }
    Err(OpenError::Orphaned { path: path.to_path_buf(), state, log: LOG })
}

/// Opens the database. If it is refused, the files created beside it are removed again.
pub(in crate::store) fn open(
    config: &StoreConfig,
    metrics: &Arc<StoreMetrics>,
) -> Result<OpenedEngine, OpenError> {
    let start = Instant::now();
    let path = config.path.as_path();
    is_a_file(path)?;
    let directory = directory_of(path);
    let found = what_is_at(path);
    if let Some(found) = found.filter(|_| !config.create)
        && !beside(path, ".restoring").exists()
    {
        // Before anything is created: the directory may be the mount point of a volume.
        return Err(OpenError::NoDatabase { path: path.to_path_buf(), found });
    }
    std::fs::create_dir_all(directory).map_err(|error| OpenError::io(directory, error))?;
    let mut lock = LockFile::acquire(path)?;
    let (connection, contents) = match open_locked(config, metrics, &mut lock, found) {
        Ok(opened) => opened,
        Err(error) => {
            lock.withdraw();
            return Err(error);
        }
    };
    metrics.recovery_duration.record_duration(start.elapsed());
    let Contents { scan, ids, space, check_later } = contents;
    let lock = Arc::new(lock);
    let check = check_later.then(|| check::deferred(path, Arc::clone(&lock)));
    let sqlite = |error| OpenError::from_sqlite(path, error);
    let pages = SqlitePages::open(path, config.busy_timeout, Arc::clone(&lock)).map_err(sqlite)?;
    let mut connection = connection;
    let checkpointer = Checkpointer::new(&mut connection, config, metrics).map_err(sqlite)?;
    let letters = dead_letters::counts(&connection).map_err(sqlite)?;
    metrics.set_dead_letters(&letters);
    let growth = space.growth(&connection, checkpointer.wal_bytes()).map_err(sqlite)?;
    let engine = SqliteEngine {
        connection,
        checkpointer,
        space,
        ids,
        clock: ClockWriter::default(),
        dead_letters: letters,
        surplus: 0,
        metrics: Arc::clone(metrics),
        lock,
    };
    Ok(OpenedEngine {
        engine: Box::new(engine),
        pages: Box::new(pages),
        growth,
        recovered: scan.recovered,
        references: scan.references,
        orphans: scan.orphans,
        check,
    })
}

/// What was read from the database.
struct Contents {
    scan: recover::Scan,
    ids: IdBlocks,
    space: Space,
    check_later: bool,
}

fn open_locked(
    config: &StoreConfig,
    metrics: &StoreMetrics,
    lock: &mut LockFile,
    found: Option<&str>,
) -> Result<(Connection, Contents), OpenError> {
    let path = config.path.as_path();
    if beside(path, ".restoring").exists() {
        // See `maintenance/restore.rs`: the file at the path may lack its WAL.
        return Err(OpenError::Unfinished { path: path.to_path_buf() });
    }
    has_no_orphan(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let made = keep_from_others(path);
    lock.hold(path)?;
    let connection = Connection::open_with_flags(path, flags);
    let mut connection = connection.map_err(|error| OpenError::from_sqlite(path, error))?;
    match read(config, metrics, &mut connection, found) {
        Ok(contents) => Ok((connection, contents)),
        Err(error) => {
            withdraw(connection, path, made);
            Err(error)
        }
    }
}

/// Closes a database that is not used after all. SQLite then removes the WAL and its index if
/// no other connection has them open, but checkpoints first: so this is permitted only for an
/// empty WAL.
fn withdraw(connection: Connection, path: &Path, made: bool) {
    if file_size(&beside(path, "-wal")) == 0 {
        let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
    }
    drop(connection);
    if made && file_size(path) == 0 {
        let _ = std::fs::remove_file(path);
    }
}

fn read(
    config: &StoreConfig,
    metrics: &StoreMetrics,
    connection: &mut Connection,
    found: Option<&str>,
) -> Result<Contents, OpenError> {
    let path = config.path.as_path();
    let sqlite = |error| OpenError::from_sqlite(path, error);
    connection.busy_timeout(config.busy_timeout).map_err(sqlite)?;
    // After a failed fsync, closing the file must not checkpoint.
    let keep = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep, true).map_err(sqlite)?;
    let empty = schema::identify(connection, path)?;
    if empty {
        let found = found.unwrap_or("has no tables");
        tracing::warn!(
            path = %path.display(), found,
            "a new database was created: if there should have been one, check persistence.path \
             and that its volume is mounted (persistence.create = false refuses to start then)"
        );
    }
    configure(connection, config, empty).map_err(sqlite)?;
    // What a crash left in the WAL may have been read from the kernel's cache after a failed
    // fsync. Once it is checkpointed and synced, it is safe to build on.
    checkpoint::at_start(connection, config.checkpoints).map_err(sqlite)?;
    stamp(&metrics.last_checkpoint);
    let clean = empty || schema::is_clean(connection).map_err(sqlite)?;
    let sound =
        !config.quick_check || check::at_start(connection, path, clean, config.quick_check_budget)?;
    let reading = ClockReading::now();
    let (ids, last, doubtful) = begin_run(connection, path, &reading)?;
    let mut scan = recover::scan(connection).map_err(sqlite)?;
    scan.recovered.last_message = last.message;
    scan.recovered.last_delivery = last.delivery;
    scan.recovered.last_session = last.session;
    scan.recovered.clock = Some(reading);
    scan.recovered.clock_is_doubtful = doubtful;
    if !scan.orphans.is_empty() {
        tracing::info!(count = scan.orphans.len(), "removing deliveries of ended sessions");
    }
    let space = Space::new(connection, config).map_err(sqlite)?;
    space.measure(connection, metrics).map_err(sqlite)?;
    space.warn_if_nearly_full(connection, file_size(&beside(path, "-wal")));
    sync_directory(directory_of(path))?;
    metrics.max_size.store(config.max_size, Ordering::Relaxed);
    metrics.wal_limit.store(config.wal_limit, Ordering::Relaxed);
    metrics.wal_size.store(file_size(&beside(path, "-wal")), Ordering::Relaxed);
    Ok(Contents { scan, ids, space, check_later: !sound })
}

fn configure(connection: &Connection, config: &StoreConfig, empty: bool) -> rusqlite::Result<()> {
    if empty {
        // Both must be set before the first table exists.
        connection.pragma_update(None, "page_size", PAGE_SIZE)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let synchronous = match config.durability {
        _ if Sabotage::SkipFsync.is_on() => "OFF",
        DurabilityMode::Fsync => "FULL",
        DurabilityMode::Commit | DurabilityMode::Async => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // On systems where fsync does not reach the medium, `fullfsync` does; elsewhere it changes
    // nothing.
    connection.pragma_update(None, "fullfsync", config.durability == DurabilityMode::Fsync)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    let cache = i64::try_from(config.cache_size / 1024).unwrap_or(i64::MAX).max(64);
    connection.pragma_update(None, "cache_size", -cache)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // No relation is enforced: rows are written in the order that costs least.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_prepared_statement_cache_capacity(statements::CACHE);
    Ok(())
}

/// Migrates the schema, compares the clocks and reserves ids. If the volume is full, the
/// reserve is deleted first, then the expiry of messages that a wrong clock requires is
/// skipped: a start must be possible, so that queues can drain.
fn begin_run(
    connection: &mut Connection,
    path: &Path,
    reading: &ClockReading,
) -> Result<(IdBlocks, Highest, bool), OpenError> {
    let mut attempt = |reach: Reach| {
        schema::migrate(connection)?;
        // Immediate: a transaction that began by reading would fail if another program wrote
        // in between.
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute("UPDATE meta SET value = 0 WHERE key = 'clean'", [])?;
        for table in ["subscription", "incoming"] {
            let sql = format!("DELETE FROM {table} WHERE session NOT IN (SELECT id FROM session)");
            transaction.execute(&sql, [])?;
        }
        let doubtful = clock::at_start(&transaction, reading, reach)?;
        let (ids, last) = IdBlocks::open(&transaction)?;
        transaction.commit()?;
        Ok((ids, last, doubtful))
    };
    let full = |result: &rusqlite::Result<_>| {
        result.as_ref().is_err_and(|error| failure_of(error) == Failure::Full)
    };
    let mut result: rusqlite::Result<_> = attempt(Reach::Everything);
    if full(&result) && std::fs::remove_file(beside(path, ".reserve")).is_ok() {
        result = attempt(Reach::Everything);
    }
    for less in [Reach::WhatExpires, Reach::Sessions] {
        if full(&result) {
            tracing::warn!(
                "no space to adjust all expiry times to the wall clock: some messages may expire \
                 early; free space or raise persistence.max_size"
            );
            result = attempt(less);
        }
    }
    result.map_err(|error| OpenError::from_sqlite(path, error))
}

/// Syncs the directory and its parent: new files are durable only once their directory is, and
/// the directory once its parent is.
fn sync_directory(directory: &Path) -> Result<(), OpenError> {
    let sync = |directory: &Path| File::open(directory)?.sync_all();
    sync(directory).map_err(|error| OpenError::io(directory, error))?;
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // The parent may be unreadable for us; then we have not created anything in it.
        let _ = sync(parent);
    }
    Ok(())
}
