//! `/overview`: all counters and gauges in one inexpensive response.
//!
//! Counters, not rates: a client that asks twice can compute the difference over any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::AppState;
use super::extract::Query;
use super::problem::{Answer, Problem};
use super::time::{rfc3339, rfc3339_system};
use crate::broker::{Broker, LongQueue, Sample};
use crate::store::StoreMetrics;
use crate::telemetry::{Counters, Gauge, Label, LastReload};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Also return the counters of the last five minutes.
    #[serde(default)]
    #[param(required = false)]
    history: bool,
}

/// The state of the broker.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// The broker's version.
    version: &'static str,
    /// When the process started, in RFC 3339. If it changes, all counters have started from 0.
    #[schema(format = DateTime)]
    started_at: String,
    /// Seconds since then.
    uptime_seconds: f64,
    /// `starting`, `ready`, `full`, `shutting_down` or `poisoned`.
    state: &'static str,
    /// A description of the state.
    state_text: &'static str,
    sessions: Sessions,
    messages: Messages,
    /// Null if persistence is off.
    persistence: Option<Persistence>,
    /// Null before the first reload of the configuration.
    last_reload: Option<Reloading>,
    /// The longest queues, at most ten, at most a second old.
    longest_queues: Vec<Queue>,
    /// The last five minutes in steps of five seconds, oldest first; only if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Past>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Sessions {
    /// Sessions with a connected client.
    connected: i64,
    /// Sessions without a connected client.
    waiting: i64,
    /// Subscriptions of all sessions.
    subscriptions: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Messages {
    /// Messages accepted from publishers.
    received_total: u64,
    /// Messages sent to receivers for the first time.
    delivered_total: u64,
    /// Messages sent again after a reconnect.
    redelivered_total: u64,
    /// Deliveries that were dropped, by reason.
    dropped_total: BTreeMap<&'static str, u64>,
    /// Messages that were refused to their publishers, by reason.
    refused_total: BTreeMap<&'static str, u64>,
    /// Deliveries that wait or are in flight, over all sessions.
    queued: i64,
    /// Messages sent at `QoS` 1 or 2 and not acknowledged, over all sessions.
    in_flight: i64,
    /// Topics with a retained message.
    retained: i64,
    /// Bytes of all retained messages.
    retained_bytes: i64,
    /// Bytes of memory held for clients.
    memory_bytes: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Persistence {
    /// Size of the database file.
    database_size_bytes: u64,
    /// Bytes of unused pages within it.
    free_bytes: u64,
    /// Its largest size; null: no limit.
    max_size_bytes: Option<u64>,
    /// Size of the write-ahead log.
    wal_size_bytes: u64,
    /// The size past which it is truncated; null: no limit.
    wal_limit_bytes: Option<u64>,
    /// Free bytes of the volume.
    volume_available_bytes: u64,
    /// Size of the volume.
    volume_size_bytes: u64,
    /// Seconds until the database is full at the growth rate of the last minutes; null while
    /// it does not grow.
    seconds_to_full: Option<f64>,
    /// The age of the oldest message on disk; 0 if there is none.
    oldest_message_age_seconds: f64,
    /// Operations that are waiting for the disk.
    pending_writes: u64,
    /// Messages that wait for disk space and are not acknowledged.
    stalled_messages: u64,
    /// Committed transactions.
    commits_total: u64,
    /// Messages written and committed.
    committed_messages_total: u64,
    /// Messages that all receivers had acknowledged before they were written.
    elided_messages_total: u64,
    /// Checkpoints.
    checkpoints_total: u64,
    /// Errors that `SQLite` has reported.
    errors_total: u64,
    commit_duration: Histogram,
}

/// The last reload of the configuration: at SIGHUP, by the API, or after a file had changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastReload)]
struct Reloading {
    #[schema(format = DateTime)]
    at: String,
    /// Why the configuration before it is still in effect; null: it took effect.
    error: Option<String>,
}

/// The durations of transactions.
#[derive(Debug, Serialize, ToSchema)]
struct Histogram {
    /// Upper bounds of the buckets, inclusive, ascending.
    bounds_seconds: Vec<f64>,
    /// Counts per bucket, not cumulative; the last one is for values above all bounds.
    counts: Vec<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Queue {
    client_id: String,
    /// Deliveries that wait or are in flight.
    queued: usize,
    /// Bytes of these deliveries.
    queued_bytes: u64,
    /// Whether its client is connected.
    connected: bool,
}

/// The counters at one moment.
#[derive(Debug, Serialize, ToSchema)]
struct Past {
    uptime_seconds: f64,
    received_total: u64,
    delivered_total: u64,
    dropped_total: u64,
    refused_total: u64,
    /// As `commit_duration.counts`.
    commit_counts: Vec<u64>,
}

/// The state of the broker
#[utoipa::path(
    get, path = "/overview", operation_id = "getOverview", tag = "broker", params(Asked),
    responses(
        (status = 200, description = "Counters and gauges as they stand", body = Overview),
        (status = "default", description = "Why not", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Answer<Json<Overview>> {
    let broker = state.api.broker()?;
    let current = state.readiness.get();
    Ok(Json(Overview {
        version: env!("CARGO_PKG_VERSION"),
        started_at: rfc3339(broker.started_at()),
        uptime_seconds: broker.uptime().as_secs_f64(),
        state: current.as_str(),
        state_text: current.describe(),
        sessions: sessions(broker),
        messages: messages(broker),
        persistence: broker.persistence.store().map(|store| persistence(broker, store.metrics())),
        last_reload: broker.metrics.reloads.last().map(Reloading::from),
        longest_queues: broker.longest_queues().iter().map(Queue::from).collect(),
        history: asked
            .history
            .then(|| broker.recent().iter().map(|past| Past::from(&**past)).collect()),
    }))
}

fn sessions(broker: &Broker) -> Sessions {
    let sessions = &broker.metrics.sessions;
    Sessions {
        connected: sessions.connected.get(),
        waiting: sessions.waiting.get(),
        subscriptions: sessions.subscriptions.get(),
    }
}

fn messages(broker: &Broker) -> Messages {
    let messages = &broker.metrics.messages;
    let positive = |gauge: &Gauge| gauge.get().max(0);
    Messages {
        received_total: messages.received.iter().map(|(_, count)| count).sum(),
        delivered_total: messages.delivered.iter().map(|(_, count)| count).sum(),
        redelivered_total: messages.redelivered.get(),
        dropped_total: by_label(&messages.dropped),
        refused_total: by_label(&messages.refused),
        queued: positive(&messages.queued),
        in_flight: messages.in_flight.get().max(0),
        retained: positive(&messages.retained),
        retained_bytes: positive(&messages.retained_bytes),
        memory_bytes: messages.memory.get().max(0),
    }
}

fn by_label<L: Label>(counters: &Counters<L>) -> BTreeMap<&'static str, u64> {
    counters.iter().map(|(label, count)| (label.as_str(), count)).collect()
}

fn persistence(broker: &Broker, metrics: &StoreMetrics) -> Persistence {
    let now = broker.clock.now();
    let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let limit = |figure: &AtomicU64| Some(read(figure)).filter(|limit| *limit > 0);
    let oldest = Some(read(&metrics.oldest_message)).filter(|at| *at > 0);
    let age = oldest.map_or(0, |at| now.wall.0.saturating_sub(at));
    let commits = metrics.commit_duration.snapshot();
    Persistence {
        database_size_bytes: read(&metrics.database_size),
        free_bytes: read(&metrics.free_bytes),
        max_size_bytes: limit(&metrics.max_size),
        wal_size_bytes: read(&metrics.wal_size),
        wal_limit_bytes: limit(&metrics.wal_limit),
        volume_available_bytes: read(&metrics.volume_available),
        volume_size_bytes: read(&metrics.volume_size),
        seconds_to_full: Some(metrics.seconds_to_full(Instant::now())).filter(|s| s.is_finite()),
        oldest_message_age_seconds: std::time::Duration::from_millis(age).as_secs_f64(),
        pending_writes: read(&metrics.pending),
        stalled_messages: read(&metrics.stalled),
        commits_total: read(&metrics.commits),
        committed_messages_total: read(&metrics.committed_messages),
        elided_messages_total: read(&metrics.elided_messages),
        checkpoints_total: read(&metrics.checkpoints),
        errors_total: metrics.errors().iter().map(|(_, count)| count).sum(),
        commit_duration: Histogram {
            bounds_seconds: commits.bounds.to_vec(),
            counts: commits.counts.clone(),
        },
    }
}

impl From<LastReload> for Reloading {
    fn from(last: LastReload) -> Self {
        Self { at: rfc3339_system(last.at), error: last.error }
    }
}

impl From<&LongQueue> for Queue {
    fn from(queue: &LongQueue) -> Self {
        Self {
            client_id: queue.client_id.to_string(),
            queued: queue.queued,
            queued_bytes: queue.queued_bytes,
            connected: queue.connected,
        }
    }
}

impl From<&Sample> for Past {
    fn from(sample: &Sample) -> Self {
        Self {
            uptime_seconds: sample.uptime.as_secs_f64(),
            received_total: sample.received,
            delivered_total: sample.delivered,
            dropped_total: sample.dropped,
            refused_total: sample.refused,
            commit_counts: sample.commits.clone(),
        }
    }
}
