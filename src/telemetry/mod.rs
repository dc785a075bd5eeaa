//! What the broker says about itself: counters, the Prometheus scrape, its state,
//! logs, traces.
//!
//! [`Metrics`] is counted into by everyone; [`MetricsRegistry`] reads it when a
//! scrape comes. [`Readiness`] is set by the broker and read by probes. Nothing
//! here decides anything, and nothing here is waited for.

mod broker;
mod collector;
mod connections;
mod counter;
mod events;
mod exposition;
mod histogram;
mod labels;
mod logs;
mod metrics;
pub mod otlp;
mod process;
mod readiness;
mod registry;
mod runtime;
mod trace;

use std::sync::Arc;

use crate::config::Sources;
pub use connections::{ListenerMetrics, Listeners, OpenConnection};
pub use counter::{Counter, Counters, Gauge, Gauges, Label};
pub use events::{RecentEvent, RecentEvents};
pub use exposition::Format;
pub use histogram::{AtomicHistogram, Exemplar, Forward, HistogramSnapshot};
pub use labels::{
    AuthResult, DropReason, PacketType, ProtocolErrorKind, RefuseReason, RejectReason,
};
pub use logs::{EventLayer, LogError, LogLevel, LogLimit, Logs, init as init_logs};
pub use metrics::{ConnectionMetrics, MessageMetrics, Metrics, PacketMetrics, SessionMetrics};
pub use readiness::{Readiness, State};
pub use registry::{MetricsError, MetricsRegistry, See};
pub use runtime::observe_runtime;
pub use trace::{Refusal, Sampling, Tracing, observe_tracing};

/// What is there before the broker: whoever starts it sets it up and hands it in.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The logs of the process.
    pub logs: Logs,
    /// What is pushed to a collector.
    pub push: otlp::Push,
    /// The last events that were logged.
    pub events: RecentEvents,
    /// Where the configuration was read from, to be read again.
    pub sources: Sources,
}

impl Setup {
    /// The instruments, scraped and pushed, with those of logs and push among them.
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
            "Log lines left out because too many similar ones came (telemetry.log_limit)",
            move |see| see(limit.suppressed(), &[]),
        );
        self.push.exports.register(&registry);
        Ok(registry)
    }
}
