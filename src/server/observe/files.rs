//! Metrics of the database file, its WAL and their volume: sizes, bytes written, and the time
//! until the disk is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Figure, number, seconds};
use crate::store::StoreMetrics;
use crate::telemetry::{MetricsError, MetricsRegistry};

pub(super) fn observe(
    registry: &MetricsRegistry,
    metrics: &Arc<StoreMetrics>,
) -> Result<(), MetricsError> {
    sizes(registry, metrics);
    limits(registry, metrics);
    written(registry, metrics);
    checkpoints(registry, metrics);
    forecast(registry, metrics)
}

fn sizes(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let all: [Figure<AtomicU64>; 5] = [
        ("ferrymq_persistence_database_size_bytes", "The database file.", |m| &m.database_size),
        ("ferrymq_persistence_wal_size_bytes", "The write-ahead log.", |m| &m.wal_size),
        ("ferrymq_persistence_free_bytes", "Unused pages within the database file.", |m| {
            &m.free_bytes
        }),
        (
            "ferrymq_persistence_volume_available_bytes",
            "Bytes available on the volume of the database.",
            |m| &m.volume_available,
        ),
        ("ferrymq_persistence_volume_size_bytes", "The volume that the database is on.", |m| {
            &m.volume_size
        }),
    ];
    for (name, help, gauge) in all {
        let metrics = Arc::clone(metrics);
        registry.gauge(name, help, move |see| {
            // Not reported before the file has been measured: 0 would look like an empty file
            // on a full volume.
            if metrics.is_measured() {
                see(number(gauge(&metrics)), &[]);
            }
        });
    }
}

fn limits(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let all: [Figure<AtomicU64>; 2] = [
        (
            "ferrymq_persistence_max_size_bytes",
            "Maximum size of the database file (persistence.max_size).",
            |m| &m.max_size,
        ),
        (
            "ferrymq_persistence_wal_limit_bytes",
            "Size of the write-ahead log above which it is truncated (persistence.wal_limit).",
            |m| &m.wal_limit,
        ),
    ];
    for (name, help, gauge) in all {
        let metrics = Arc::clone(metrics);
        registry.gauge(name, help, move |see| {
            let limit = number(gauge(&metrics));
            if limit > 0.0 {
                see(limit, &[]);
            }
        });
    }
}

fn forecast(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) -> Result<(), MetricsError> {
    let metrics = Arc::clone(metrics);
    let help = "Until the database is full if it grows as in the last 5 minutes; +Inf while it \
                does not, 0 when it is.";
    registry.limitless_gauge("ferrymq_persistence_seconds_to_full", help, move || {
        metrics.is_measured().then(|| metrics.seconds_to_full(Instant::now()))
    })
}

fn written(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let metrics = Arc::clone(metrics);
    let help =
        "Bytes written to the write-ahead log by commits, and to the database by checkpoints.";
    registry.counter("ferrymq_persistence_written_bytes_total", help, move |see| {
        see(metrics.wal_written.load(Ordering::Relaxed), &[("file", "wal")]);
        see(metrics.database_written.load(Ordering::Relaxed), &[("file", "database")]);
    });
}

fn checkpoints(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let all: [Figure<AtomicU64>; 3] = [
        ("ferrymq_persistence_checkpoints_total", "Checkpoints.", |m| &m.checkpoints),
        (
            "ferrymq_persistence_checkpointed_pages_total",
            "Pages copied from the write-ahead log into the database.",
            |m| &m.checkpointed_pages,
        ),
        (
            "ferrymq_persistence_forced_checkpoints_total",
            "Checkpoints by the broker above persistence.wal_limit, with checkpoints left to others.",
            |m| &m.forced_checkpoints,
        ),
    ];
    for (name, help, counter) in all {
        let metrics = Arc::clone(metrics);
        registry.counter(name, help, move |see| {
            see(counter(&metrics).load(Ordering::Relaxed), &[]);
        });
    }
    let metrics = Arc::clone(metrics);
    let help = "When the write-ahead log was last copied back, since 1970; the start counts.";
    registry.gauge("ferrymq_persistence_last_checkpoint_timestamp_seconds", help, move |see| {
        let at = metrics.last_checkpoint.load(Ordering::Relaxed);
        if at > 0 {
            see(seconds(at), &[]);
        }
    });
}
