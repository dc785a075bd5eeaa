//! What the broker says about itself: counters, the Prometheus scrape, its state,
//! logs, traces.
//!
//! [`Metrics`] is counted into by everyone; [`MetricsRegistry`] reads it when a
//! scrape comes. [`Readiness`] is set by the broker and read by probes. Nothing
//! here decides anything, and nothing here is waited for.

mod broker;
mod counter;
mod histogram;
mod labels;
mod logs;
mod metrics;
mod process;
mod readiness;
mod registry;
mod trace;

pub use counter::{Counter, Counters, Gauge, Label};
use histogram::HistogramCollector;
pub use histogram::{HistogramSnapshot, HistogramSource};
pub use labels::{
    AuthResult, DropReason, PacketType, ProtocolErrorKind, RefuseReason, RejectReason,
};
pub use logs::{LogError, init as init_logs};
pub use metrics::{ConnectionMetrics, MessageMetrics, Metrics, PacketMetrics, SessionMetrics};
pub use readiness::{Readiness, State};
pub use registry::{MetricsError, MetricsRegistry, See};
pub use trace::{Refusal, Sampling, Tracing};
