//! The store's metrics, under the names that operators rely on.

mod bridges;
mod files;

pub(super) use bridges::observe_bridges;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::StoreMetrics;
use crate::telemetry::{AtomicHistogram, MetricsError, MetricsRegistry};

/// The name, the help text and the accessor of a metric.
type Figure<T> = (&'static str, &'static str, fn(&StoreMetrics) -> &T);

/// Registers all metrics of the store.
pub(super) fn observe_store(
    registry: &MetricsRegistry,
    metrics: &Arc<StoreMetrics>,
) -> Result<(), MetricsError> {
    operations(registry, metrics)?;
    histograms(registry, metrics)?;
    waiting(registry, metrics);
    counters(registry, metrics);
    errors(registry, metrics);
    files::observe(registry, metrics)
}

/// Durations of SQLite operations, by their `db.operation.name`.
fn operations(registry: &MetricsRegistry, metrics: &StoreMetrics) -> Result<(), MetricsError> {
    registry.operation(
        "ferrymq_persistence_sync_duration_seconds",
        "The COMMIT statement alone: writing the write-ahead log, and its fsync.",
        &metrics.sync_duration,
        "COMMIT",
    )?;
    registry.operation(
        "ferrymq_persistence_checkpoint_duration_seconds",
        "Copying the write-ahead log back into the database, once.",
        &metrics.checkpoint_duration,
        "CHECKPOINT",
    )
}

fn histograms(registry: &MetricsRegistry, metrics: &StoreMetrics) -> Result<(), MetricsError> {
    let all: [Figure<Arc<AtomicHistogram>>; 4] = [
        (
            "ferrymq_persistence_commit_duration_seconds",
            "One batch, from before its BEGIN to after its COMMIT.",
            |m| &m.commit_duration,
        ),
        ("ferrymq_persistence_batch_messages", "Messages written in one transaction.", |m| {
            &m.batch_messages
        }),
        (
            "ferrymq_persistence_queue_wait_seconds",
            "From the first operation of a batch to its BEGIN.",
            |m| &m.queue_wait,
        ),
        (
            "ferrymq_persistence_recovery_duration_seconds",
            "From opening the file to the end of the scan, at the start.",
            |m| &m.recovery_duration,
        ),
    ];
    for (name, help, histogram) in all {
        registry.histogram(name, help, histogram(metrics))?;
    }
    Ok(())
}

/// Operations and messages that wait for the disk, and for how long.
fn waiting(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let all: [Figure<AtomicU64>; 2] = [
        (
            "ferrymq_persistence_stalled_messages",
            "Messages that wait for room on the disk, unacknowledged (mqtt.on_full).",
            |m| &m.stalled,
        ),
        ("ferrymq_persistence_pending_writes", "Operations that wait for the disk.", |m| {
            &m.pending
        }),
    ];
    for (name, help, gauge) in all {
        let metrics = Arc::clone(metrics);
        registry.gauge(name, help, move |see| see(number(gauge(&metrics)), &[]));
    }
    let oldest = Arc::clone(metrics);
    let help = "How long the oldest message on disk has waited; 0 without one.";
    registry.gauge("ferrymq_persistence_oldest_message_age_seconds", help, move |see| {
        see(age_of(oldest.oldest_message.load(Ordering::Relaxed)), &[]);
    });
    let committed = Arc::clone(metrics);
    let help = "When the last transaction was committed, since 1970; none before the first.";
    registry.gauge("ferrymq_persistence_last_commit_timestamp_seconds", help, move |see| {
        let at = committed.last_commit.load(Ordering::Relaxed);
        if at > 0 {
            see(seconds(at), &[]);
        }
    });
}

fn counters(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let all: [Figure<AtomicU64>; 6] = [
        ("ferrymq_persistence_commits_total", "Transactions.", |m| &m.commits),
        ("ferrymq_persistence_committed_messages_total", "Messages written and committed.", |m| {
            &m.committed_messages
        }),
        (
            "ferrymq_persistence_payload_bytes_total",
            "Bytes of topics, properties and payloads of what was committed.",
            |m| &m.payload_bytes,
        ),
        (
            "ferrymq_persistence_elided_messages_total",
            "Messages that all receivers had acknowledged before they were written.",
            |m| &m.elided_messages,
        ),
        (
            "ferrymq_persistence_deleted_deliveries_total",
            "Deliveries that are done and were taken off the disk, if they were on it.",
            |m| &m.deleted_deliveries,
        ),
        (
            "ferrymq_persistence_refused_messages_total",
            "Messages that found no room on the disk.",
            |m| &m.refused_messages,
        ),
    ];
    for (name, help, counter) in all {
        let metrics = Arc::clone(metrics);
        registry.counter(name, help, move |see| {
            see(counter(&metrics).load(Ordering::Relaxed), &[]);
        });
    }
}

fn errors(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let metrics = Arc::clone(metrics);
    let help = "Errors that SQLite has reported, by its extended result code.";
    registry.counter("ferrymq_persistence_errors_total", help, move |see| {
        let errors = metrics.errors();
        if errors.is_empty() {
            see(0, &[("code", "none")]);
        }
        for (code, count) in errors {
            see(count, &[("code", &code.to_string())]);
        }
    });
}

/// Bytes of a disk are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn number(value: &AtomicU64) -> f64 {
    value.load(Ordering::Relaxed) as f64
}

/// Converts milliseconds since 1970 to seconds.
fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

fn age_of(millis: u64) -> f64 {
    if millis == 0 {
        return 0.0;
    }
    let since = UNIX_EPOCH + Duration::from_millis(millis);
    SystemTime::now().duration_since(since).unwrap_or_default().as_secs_f64()
}
