//! What the broker says about itself: counters, the Prometheus scrape, logs.
//!
//! [`Metrics`] is counted into by everyone; the registry reads it when a scrape
//! comes. Nothing here decides anything, and nothing here is waited for.

mod counter;
mod labels;
mod metrics;

pub use counter::{Counter, Counters, Gauge, Label};
pub use labels::{
    AuthResult, DropReason, PacketType, ProtocolErrorKind, RefuseReason, RejectReason,
};
pub use metrics::{ConnectionMetrics, MessageMetrics, Metrics, PacketMetrics, SessionMetrics};
