//! The store's figures under the names that operators rely on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::{AtomicHistogram, StoreMetrics};
use crate::telemetry::{HistogramSnapshot, HistogramSource, MetricsError, MetricsRegistry};

/// A name, what it means, and where it stands.
type Figure<T> = (&'static str, &'static str, fn(&StoreMetrics) -> &T);

/// One histogram of the store.
struct Source {
    metrics: Arc<StoreMetrics>,
    histogram: fn(&StoreMetrics) -> &AtomicHistogram,
}

impl HistogramSource for Source {
    fn snapshot(&self) -> HistogramSnapshot {
        let snapshot = (self.histogram)(&self.metrics).snapshot();
        HistogramSnapshot {
            boundaries: snapshot.bounds,
            counts: snapshot.counts.to_vec(),
            sum: snapshot.sum,
        }
    }
}

/// Registers everything that the store counts.
pub(super) fn observe_store(
    registry: &MetricsRegistry,
    metrics: &Arc<StoreMetrics>,
) -> Result<(), MetricsError> {
    histograms(registry, metrics)?;
    gauges(registry, metrics);
    counters(registry, metrics);
    Ok(())
}

fn histograms(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) -> Result<(), MetricsError> {
    let all: [Figure<AtomicHistogram>; 5] = [
        (
            "ferrymq_persistence_commit_duration_seconds",
            "From BEGIN to the return of COMMIT.",
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
        ("ferrymq_persistence_checkpoint_duration_seconds", "Of one checkpoint.", |m| {
            &m.checkpoint_duration
        }),
        (
            "ferrymq_persistence_recovery_duration_seconds",
            "From opening the file to the end of the scan.",
            |m| &m.recovery_duration,
        ),
    ];
    for (name, help, histogram) in all {
        let source = Source { metrics: Arc::clone(metrics), histogram };
        registry.histogram(name, help, Arc::new(source))?;
    }
    Ok(())
}

fn gauges(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let all: [Figure<AtomicU64>; 6] = [
        (
            "ferrymq_persistence_stalled_messages",
            "Messages that wait for room on the disk, unacknowledged (mqtt.on_full).",
            |m| &m.stalled,
        ),
        ("ferrymq_persistence_database_size_bytes", "The database file.", |m| &m.database_size),
        ("ferrymq_persistence_wal_size_bytes", "The write-ahead log.", |m| &m.wal_size),
        ("ferrymq_persistence_free_bytes", "Unused pages within the database file.", |m| {
            &m.free_bytes
        }),
        ("ferrymq_persistence_volume_available_bytes", "What the volume has left.", |m| {
            &m.volume_available
        }),
        ("ferrymq_persistence_pending_writes", "Operations that wait for the disk.", |m| {
            &m.pending
        }),
    ];
    let oldest = Arc::clone(metrics);
    let help = "How long the oldest message on disk has waited; 0 without one.";
    registry.gauge("ferrymq_persistence_oldest_message_age_seconds", help, move |see| {
        see(age_of(oldest.oldest_message.load(Ordering::Relaxed)), &[]);
    });
    for (name, help, gauge) in all {
        let metrics = Arc::clone(metrics);
        registry.gauge(name, help, move |see| {
            // Bytes of a disk are far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            see(gauge(&metrics).load(Ordering::Relaxed) as f64, &[]);
        });
    }
}

fn counters(registry: &MetricsRegistry, metrics: &Arc<StoreMetrics>) {
    let all: [Figure<AtomicU64>; 6] = [
        ("ferrymq_persistence_committed_messages_total", "Messages written and committed.", |m| {
            &m.committed_messages
        }),
        (
            "ferrymq_persistence_elided_messages_total",
            "Messages that all receivers had acknowledged before they were written.",
            |m| &m.elided_messages,
        ),
        (
            "ferrymq_persistence_refused_messages_total",
            "Messages that found no room on the disk.",
            |m| &m.refused_messages,
        ),
        ("ferrymq_persistence_commits_total", "Transactions.", |m| &m.commits),
        ("ferrymq_persistence_checkpoints_total", "Checkpoints.", |m| &m.checkpoints),
        (
            "ferrymq_persistence_forced_checkpoints_total",
            "Checkpoints by the broker past wal_limit while another program is to run them.",
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

fn age_of(millis: u64) -> f64 {
    if millis == 0 {
        return 0.0;
    }
    let since = UNIX_EPOCH + Duration::from_millis(millis);
    SystemTime::now().duration_since(since).unwrap_or_default().as_secs_f64()
}
