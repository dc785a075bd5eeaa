//! Metrics of tokio's threads and tasks.
//!
//! Only what its stable interface provides; the rest would require building all crates with
//! `--cfg tokio_unstable`.

use tokio::runtime::Handle;

use super::MetricsRegistry;

/// The name, the help text and the accessor of a metric.
type Figure = (&'static str, &'static str, fn(&Handle) -> usize);

/// Registers the metrics of the runtime that `handle` belongs to.
pub fn observe_runtime(registry: &MetricsRegistry, handle: &Handle) {
    let gauges: [Figure; 3] = [
        ("ferrymq_runtime_workers", "Threads that run connections.", |handle| {
            handle.metrics().num_workers()
        }),
        (
            "ferrymq_runtime_alive_tasks",
            "Tasks, one for each connection and some more.",
            |handle| handle.metrics().num_alive_tasks(),
        ),
        (
            "ferrymq_runtime_global_queue_depth",
            "Tasks that wait in the queue that all worker threads share.",
            |handle| handle.metrics().global_queue_depth(),
        ),
    ];
    for (name, help, read) in gauges {
        let handle = handle.clone();
        registry.gauge(name, help, move |see| {
            // Tasks are far fewer than 2^52.
            #[allow(clippy::cast_precision_loss)]
            see(read(&handle) as f64, &[]);
        });
    }
    let handle = handle.clone();
    let help = "Time that each worker thread was busy, waiting for a core included.";
    registry.seconds_counter("ferrymq_runtime_worker_busy_seconds_total", help, move |see| {
        let metrics = handle.metrics();
        for worker in 0..metrics.num_workers() {
            let busy = metrics.worker_total_busy_duration(worker).as_secs_f64();
            see(busy, &[("worker", &worker.to_string())]);
        }
    });
}
