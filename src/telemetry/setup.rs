//! Telemetry that exists before the broker and outlives it.

use std::sync::Arc;

use super::{Logs, Metrics, MetricsError, MetricsRegistry, Readiness, RecentEvents, otlp};
use crate::config::Sources;

/// The telemetry that the caller sets up and passes to the broker.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The logs of the process.
    pub logs: Logs,
    /// The push to a collector.
    pub push: otlp::Push,
    /// The most recent logged events.
    pub events: RecentEvents,
    /// The sources of the configuration, for a reload.
    pub sources: Sources,
}

impl Setup {
    /// Creates the registry for scrape and push, with the metrics of logs and push.
    ///
    /// # Errors
    /// See [`MetricsRegistry::with_push`].
    pub fn registry(
        &self,
        metrics: &Arc<Metrics>,
        readiness: &Readiness,
    ) -> Result<MetricsRegistry, MetricsError> {
        let push = self.push.metrics.clone();
        let registry = MetricsRegistry::with_push(metrics, readiness, otlp::scraped(), push)?;
        let limit = Arc::clone(&self.logs.limit);
        registry.counter(
            "ferrymq_log_events_suppressed_total",
            "Log lines suppressed by telemetry.log_limit.",
            move |see| see(limit.suppressed(), &[]),
        );
        let limit = Arc::clone(&self.logs.limit);
        registry.counter(
            "ferrymq_log_events_lost_total",
            "Log lines that standard error did not take in time.",
            move |see| see(limit.lost() as u64, &[]),
        );
        self.push.exports.register(&registry);
        Ok(registry)
    }
}
