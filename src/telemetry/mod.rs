//! Telemetry: counters, the Prometheus scrape, readiness, logs, traces.
//!
//! [`Metrics`] is updated throughout the broker; [`MetricsRegistry`] reads it at a scrape.
//! [`Readiness`] is set by the broker and read by probes. Nothing here makes decisions, and
//! nothing waits for it.

mod authentications;
mod broker;
mod collector;
mod connections;
mod cut;
mod events;
mod exposition;
mod histogram;
mod labelled;
mod labels;
mod logs;
mod metrics;
pub mod otlp;
mod process;
mod readiness;
mod registry;
mod reloads;
mod runtime;
mod setup;
mod tls;
mod trace;
mod websocket;

pub use crate::counter::{BatchedGauge, Counter, Gauge};
pub use authentications::Authentications;
pub use connections::{ListenerMetrics, Listeners, OpenConnection};
pub use events::{RecentEvent, RecentEvents};
pub use exposition::Format;
pub use histogram::{AtomicHistogram, Exemplar, Forward, HistogramSnapshot};
pub use labelled::{Counters, Gauges, Label};
pub use labels::{
    AclAction, AuthMethod, AuthResult, BanReason, DropReason, PacketType, ProtocolErrorKind,
    RefuseReason, RejectReason,
};
pub use logs::{
    AUDIT, EventLayer, LogError, LogLevel, LogLimit, Logs, NewLevel, init as init_logs,
};
pub use metrics::{
    AccessMetrics, ConnectionMetrics, MessageMetrics, Metrics, PacketMetrics, SessionMetrics,
};
pub use readiness::{Readiness, State};
pub use registry::{MetricsError, MetricsRegistry, Observe};
pub use reloads::{LastReload, ReloadResult, Reloads};
pub use runtime::observe_runtime;
pub use setup::Setup;
pub use tls::{TlsFailure, TlsSession};
pub use trace::{Refusal, Sampling, Tracing, observe_tracing};
pub use websocket::WebSocketFailure;
