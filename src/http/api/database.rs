//! `/database`: its state, and a checkpoint.

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

/// The longest that counting rows may take.
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
    /// Unused within the file.
    free_bytes: u64,
    /// `persistence.max_size`; null: no limit.
    max_size_bytes: Option<u64>,
    wal_size_bytes: u64,
    /// `persistence.wal_limit`; null: no limit.
    wal_limit_bytes: Option<u64>,
    /// What the volume has left.
    volume_available_bytes: u64,
    /// All of the volume.
    volume_size_bytes: u64,
    /// Until it is full, at the pace of the last minutes; null while it does not grow.
    seconds_to_full: Option<f64>,
    /// Operations that wait for the disk.
    pending_writes: u64,
    /// Messages that wait for room, unacknowledged.
    stalled_messages: u64,
    /// How long the oldest message on disk has waited; null: there is none.
    oldest_message_age_seconds: Option<u64>,
    commits_total: u64,
    committed_messages_total: u64,
    /// Messages that all receivers had before they were written.
    elided_messages_total: u64,
    checkpoints_total: u64,
    /// Null: none since the start.
    #[schema(format = DateTime)]
    last_commit_at: Option<String>,
    /// Null: none since the start.
    #[schema(format = DateTime)]
    last_checkpoint_at: Option<String>,
    sqlite_version: String,
    /// Null unless `counts` asks for them.
    counts: Option<Counts>,
}

/// How the database is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DatabaseState {
    /// As it should be.
    Running,
    /// There is no room for messages.
    Full,
    /// It has failed, and the broker is about to stop.
    Failed,
}

/// Rows, counted one by one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts {
    /// Durable ones.
    sessions: u64,
    subscriptions: u64,
    /// Each counted once.
    messages: u64,
    /// Messages times the sessions that wait for them.
    deliveries: u64,
    retained: u64,
}

/// How much is to be told.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Depth {
    /// Count the rows, which reads them: seconds for millions of messages.
    #[serde(default)]
    #[param(required = false)]
    counts: bool,
}

/// What a checkpoint did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checkpointed {
    /// Pages that were in the write-ahead log.
    wal_pages: u64,
    /// Those of them that are in the database now; fewer: a reader needs them.
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

/// Copies the write-ahead log back into the database now, and cuts it unless another
/// program follows it.
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
        // Nobody waits any more: it was done all the same.
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

/// The store of the broker, if it keeps anything.
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
        // To the end of it, also if whoever has asked does not wait for that.
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
        }),
        Err(MaintenanceError::Interrupted { .. }) => {
            let detail =
                "Counting took longer than 10 seconds: `ferrymq db status` takes its time.";
            Err(Problem::store(detail))
        }
        Err(error) => Err(Problem::store(error.to_string())),
    }
}
