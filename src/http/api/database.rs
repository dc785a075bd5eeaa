//! `/database`: the state of the database, and checkpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{NoBody, Operator, Query};
use super::problem::{Answer, Problem};
use super::time::rfc3339;
use super::{Api, blocking, not_committed};
use crate::broker::admin::NotCommitted;
use crate::maintenance::{self, MaintenanceError, Watch};
use crate::message::WallMillis;
use crate::store::{CheckpointReply, Store, StoreState};
use crate::telemetry::AUDIT;

/// The time limit for counting rows.
const COUNTING: Duration = Duration::from_secs(10);

/// The database of a running broker.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names)] // Names of the API, apart from the struct's.
pub(super) struct Database {
    path: String,
    state: DatabaseState,
    /// `persistence.durability`.
    durability: String,
    database_size_bytes: u64,
    /// Unused bytes within the file.
    free_bytes: u64,
    /// `persistence.max_size`; null: no limit.
    max_size_bytes: Option<u64>,
    wal_size_bytes: u64,
    /// `persistence.wal_limit`; null: no limit.
    wal_limit_bytes: Option<u64>,
    /// Free bytes of the volume.
    volume_available_bytes: u64,
    /// Size of the volume.
    volume_size_bytes: u64,
    /// Seconds until the database is full at the growth rate of the last minutes; null while
    /// it does not grow.
    seconds_to_full: Option<f64>,
    /// Operations that are waiting for the disk.
    pending_writes: u64,
    /// Messages that wait for disk space and are not acknowledged.
    stalled_messages: u64,
    /// The age of the oldest message on disk; null if there is none.
    oldest_message_age_seconds: Option<u64>,
    commits_total: u64,
    committed_messages_total: u64,
    /// Messages that all receivers acknowledged before they were written.
    elided_messages_total: u64,
    checkpoints_total: u64,
    /// Null: none since the start.
    #[schema(format = DateTime)]
    last_commit_at: Option<String>,
    /// Null: none since the start; the one at the start counts.
    #[schema(format = DateTime)]
    last_checkpoint_at: Option<String>,
    sqlite_version: String,
    /// Null unless requested by `counts`.
    counts: Option<Counts>,
}

/// The state of the database.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DatabaseState {
    /// The database works.
    Running,
    /// There is no space for messages.
    Full,
    /// The database has failed, and the broker is about to stop.
    Failed,
}

/// The numbers of rows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts {
    /// Durable sessions.
    sessions: u64,
    subscriptions: u64,
    /// Messages, each counted once.
    messages: u64,
    /// Deliveries: one for each message and each session that waits for it.
    deliveries: u64,
    retained: u64,
    /// What bridges could not deliver.
    dead_letters: u64,
}

/// The details to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Depth {
    /// Count the rows. This reads them, which takes seconds for millions of messages.
    #[serde(default)]
    #[param(required = false)]
    counts: bool,
}

/// The result of a checkpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checkpointed {
    /// Pages that the write-ahead log held.
    wal_pages: u64,
    /// How many of them are in the database now. Fewer than `wal_pages` if a reader still
    /// needs them.
    copied_pages: u64,
    wal_size_bytes_before: u64,
    wal_size_bytes: u64,
    duration_seconds: f64,
}

/// The state of the database.
#[utoipa::path(get, path = "/database", operation_id = "getDatabase", tag = "database", params(Depth),
    responses(
        (status = 200, description = "It is there.", body = Database),
        (status = 409, description = "There is none.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn status(
    State(api): State<Api>,
    Query(depth): Query<Depth>,
) -> Answer<Json<Database>> {
    let store = store(&api)?;
    let counts = if depth.counts { Some(count(&api).await?) } else { None };
    let metrics = store.metrics();
    let disk = &api.config().persistence;
    let now = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let limit = |bytes: u64| (bytes > 0).then_some(bytes);
    let oldest = now(&metrics.oldest_message);
    let moment = |at: &AtomicU64| Some(WallMillis(now(at))).filter(|at| at.0 > 0).map(rfc3339);
    Ok(Json(Database {
        path: disk.path.display().to_string(),
        state: match store.state() {
            StoreState::Running => DatabaseState::Running,
            StoreState::Full => DatabaseState::Full,
            StoreState::Poisoned => DatabaseState::Failed,
        },
        durability: disk.durability.as_str().to_owned(),
        database_size_bytes: now(&metrics.database_size),
        free_bytes: now(&metrics.free_bytes),
        max_size_bytes: limit(disk.max_size.bytes()),
        wal_size_bytes: now(&metrics.wal_size),
        wal_limit_bytes: limit(disk.wal_limit.bytes()),
        volume_available_bytes: now(&metrics.volume_available),
        volume_size_bytes: now(&metrics.volume_size),
        seconds_to_full: Some(metrics.seconds_to_full(Instant::now())).filter(|s| s.is_finite()),
        pending_writes: now(&metrics.pending),
        stalled_messages: now(&metrics.stalled),
        oldest_message_age_seconds: (oldest > 0).then(|| maintenance::age(oldest)),
        commits_total: now(&metrics.commits),
        committed_messages_total: now(&metrics.committed_messages),
        elided_messages_total: now(&metrics.elided_messages),
        checkpoints_total: now(&metrics.checkpoints),
        last_commit_at: moment(&metrics.last_commit),
        last_checkpoint_at: moment(&metrics.last_checkpoint),
        sqlite_version: rusqlite::version().to_owned(),
        counts,
    }))
}

/// Checkpoints the write-ahead log now.
/// It is truncated as well, unless another program follows it.
#[utoipa::path(post, path = "/database/checkpoint", operation_id = "checkpoint", tag = "database",
    responses(
        (status = 200, description = "It is done, as far as readers let it.", body = Checkpointed),
        (status = 409, description = "There is no database.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn checkpoint(
    State(api): State<Api>,
    Operator(remote): Operator,
    _: NoBody,
) -> Answer<Json<Checkpointed>> {
    let store = store(&api)?;
    let (send, receive) = tokio::sync::oneshot::channel();
    let reply = CheckpointReply(Box::new(move |done| {
        // The requester may be gone; the checkpoint was done nevertheless.
        let _ = send.send(done);
    }));
    let down = || not_committed(NotCommitted::Down);
    store.checkpoint(reply).map_err(|_| down())?;
    let done = receive.await.map_err(|_| down())?;
    tracing::info!(target: AUDIT, %remote, pages = done.copied_pages, "checkpoint by an operator");
    Ok(Json(Checkpointed {
        wal_pages: done.wal_pages,
        copied_pages: done.copied_pages,
        wal_size_bytes_before: done.wal_bytes_before,
        wal_size_bytes: done.wal_bytes_after,
        duration_seconds: done.duration.as_secs_f64(),
    }))
}

/// The store of the broker, if persistence is enabled.
pub(super) fn store(api: &Api) -> Answer<&Store> {
    api.broker()?.persistence.store().ok_or_else(|| {
        let detail = "The broker keeps everything in memory (persistence.enabled = false).";
        Problem::conflict("no-database", "There is no database", detail)
    })
}

async fn count(api: &Api) -> Answer<Counts> {
    let one_at_a_time = Arc::clone(api.counting()).lock_owned().await;
    let config = Arc::clone(api.config());
    let until = Instant::now() + COUNTING;
    let watch = Watch::new(move |_| Instant::now() < until);
    let counted = blocking(move || {
        // Held until the end, also if the requester does not wait for it.
        let _counting = one_at_a_time;
        let disk = &config.persistence;
        maintenance::status(&disk.path, disk.max_size.bytes(), &watch)
    });
    match counted.await? {
        Ok(status) => Ok(Counts {
            sessions: status.sessions.connected + status.sessions.away,
            subscriptions: status.subscriptions,
            messages: status.messages,
            deliveries: status.deliveries,
            retained: status.retained,
            dead_letters: status.dead_letters,
        }),
        Err(MaintenanceError::Interrupted { .. }) => {
            let detail = "Counting took longer than 10 seconds: run `ferrymq db status`, which has no time limit.";
            Err(Problem::store(detail))
        }
        Err(error) => Err(Problem::store(error.to_string())),
    }
}
