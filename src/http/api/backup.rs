//! `/database/backup`: a copy of the database in the directory `http.backup_dir`.
//!
//! The file name is generated here: a client with the token can make backups, but must not be
//! able to write any other file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::database::store;
use super::extract::{NoBody, Operator};
use super::problem::{Answer, Problem};
use super::time::{compact, rfc3339};
use super::{Api, BASE};
use crate::broker::Broker;
use crate::maintenance::{self, BackupOptions, Phase, Step, Watch};
use crate::telemetry::AUDIT;

/// A partial copy that has not been written for this long was abandoned.
const LEFT_BEHIND: Duration = Duration::from_hours(1);

/// The last backup that was requested, finished or not.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(super) struct Backup {
    state: BackupState,
    /// Its path; the file exists once `state` is `finished`.
    file: Option<String>,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// The current step.
    step: Option<BackupStep>,
    /// Bytes copied so far.
    done_bytes: u64,
    /// Bytes to copy in total; 0 while that is not known.
    total_bytes: u64,
    /// Why it failed.
    error: Option<String>,
}

/// The state of the last backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BackupState {
    /// No backup was requested since the start of the broker.
    #[default]
    None,
    /// The backup is being made.
    Running,
    /// The backup is complete, synced and checked.
    Finished,
    /// The backup failed; there is no file.
    Failed,
}

/// The current step of a backup.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BackupStep {
    /// Pages are copied.
    Copying,
    /// The copy is checked.
    Checking,
}

/// The state of the last backup; one runs at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Backups(Arc<Mutex<Backup>>);

impl Backups {
    fn step(&self, step: Step) {
        let mut backup = self.0.lock();
        if step.phase == Phase::Copying {
            backup.step = Some(BackupStep::Copying);
            (backup.done_bytes, backup.total_bytes) = (step.done, step.total);
        } else {
            backup.step = Some(BackupStep::Checking);
        }
    }

    /// Removes partial files of backups that a crash interrupted. Those of other brokers that
    /// write to the same directory are still being written.
    fn tidy(directory: &Path) {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_ours = name.starts_with("ferrymq-") && name.ends_with(".db.partial");
            let age = entry.metadata().and_then(|file| file.modified()).ok();
            let age = age.and_then(|at| at.elapsed().ok()).unwrap_or_default();
            if is_ours && age > LEFT_BEHIND {
                // A failure is visible in the directory.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Makes the backup. Blocks until it is finished.
    fn make(&self, broker: &Arc<Broker>, options: &BackupOptions) {
        if let Some(directory) = options.target.parent() {
            Self::tidy(directory);
        }
        let (steps, running) = (self.clone(), Arc::clone(broker));
        let watch = Watch::new(move |step| {
            steps.step(step);
            !running.is_shutting_down()
        });
        let made = maintenance::backup(options, &watch);
        let mut backup = self.0.lock();
        backup.finished_at = Some(rfc3339(broker.clock.now().wall));
        backup.step = None;
        match made {
            Ok(made) => {
                tracing::info!(file = made.backup, bytes = made.bytes, "backup made");
                backup.state = BackupState::Finished;
                (backup.done_bytes, backup.total_bytes) = (made.bytes, made.bytes);
            }
            Err(error) => {
                tracing::error!(%error, "backup failed");
                backup.state = BackupState::Failed;
                backup.error = Some(error.to_string());
            }
        }
    }
}

/// Checks that a backup can be written to `directory`, so that the request fails at once if
/// not.
fn writable(directory: &Path) -> std::io::Result<()> {
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)?)
}

/// Starts a backup in `http.backup_dir`, while the broker continues.
#[utoipa::path(post, path = "/database/backup", operation_id = "beginBackup", tag = "database",
    responses(
        (status = 202, description = "It has begun: GET tells how far it is.", body = Backup),
        (status = 409, description = "One is being made, or there is no directory or database for it.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn begin(
    State(api): State<Api>,
    Operator(remote): Operator,
    _: NoBody,
) -> Answer<impl IntoResponse> {
    store(&api)?;
    let broker = Arc::clone(api.broker()?);
    let Some(directory) = &api.config().http.backup_dir else {
        let detail =
            "Set http.backup_dir to a directory that the broker may write to, and restart it.";
        return Err(Problem::conflict("backups-off", "There is no directory for backups", detail));
    };
    if let Err(error) = writable(directory) {
        let detail = format!("http.backup_dir is {}: {error}", directory.display());
        return Err(Problem::conflict("backups-off", "There is no directory for backups", detail));
    }
    let now = broker.clock.now().wall;
    let target = directory.join(format!("ferrymq-{}.db", compact(now)));
    let started = {
        let mut backup = api.backups().0.lock();
        if backup.state == BackupState::Running {
            let detail = "One at a time: GET /api/v1/database/backup tells how far it is.";
            return Err(Problem::conflict("backup-running", "A backup is being made", detail));
        }
        *backup = Backup {
            state: BackupState::Running,
            file: Some(target.display().to_string()),
            started_at: Some(rfc3339(now)),
            ..Backup::default()
        };
        backup.clone()
    };
    tracing::info!(target: AUDIT, %remote, file = %target.display(), "backup begun by an operator");
    let (backups, database) =
        (api.backups().clone(), crate::maintenance::follow(&api.config().persistence.path));
    tokio::task::spawn_blocking(move || backups.make(&broker, &options(database, target)));
    let place = [(header::LOCATION, format!("{BASE}/database/backup"))];
    Ok((StatusCode::ACCEPTED, place, Json(started)))
}

/// The progress of the last backup.
#[utoipa::path(get, path = "/database/backup", operation_id = "getBackup", tag = "database",
    responses((status = 200, description = "So far.", body = Backup)))]
pub(super) async fn status(State(api): State<Api>) -> Answer<Json<Backup>> {
    Ok(Json(api.backups().0.lock().clone()))
}

fn options(database: PathBuf, target: PathBuf) -> BackupOptions {
    BackupOptions { database, target, force: false, rate: 0 }
}
