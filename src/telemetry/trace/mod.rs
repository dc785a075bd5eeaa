//! Traces of messages through the broker.
//!
//! This module contains the rule for what is traced ([`Sampling`]), the parser of a
//! publisher's trace context, and the spans. Broker and store report the progress of a message
//! through [`crate::message::Follow`], without knowing OpenTelemetry. A message is never
//! changed: `traceparent` and `tracestate` are passed to its receivers as they arrived.
//!
//! ```text
//! publisher's span
//!   └ receive            from the read to the acknowledgement
//!       ├ persist        from the store's queue to the commit, linked to:  commit
//!       ├ deliver        from a receiver's queue to its acknowledgement
//!       └ deliver
//! ```
//! A message that does not come from a publisher's packet (one that is read back from disk, a
//! retained message, a will) has no `receive`: its spans are children of the publisher's span,
//! if its properties contain one.

mod budget;
mod commit;
mod message_trace;
mod parent;
mod sampling;
mod span;

use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use self::budget::Budget;
use self::message_trace::MessageSpans;
pub use self::sampling::Sampling;
use self::sampling::{Decision, Rule};
use self::span::{Arrival, receive};
use super::MetricsRegistry;
use crate::message::{Message, Trace, WallMillis};
use crate::peer::PeerAddr;
use crate::protocol::{QoS, ReasonCode};

/// Starts traces. Clones share everything.
#[derive(Debug, Clone)]
pub struct Tracing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracer: SdkTracer,
    rule: Rule,
    budget: Arc<Budget>,
}

/// A PUBLISH that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The encoded properties, user properties included.
    pub properties: &'a [u8],
    /// Size of the payload in bytes.
    pub size: usize,
    /// The QoS as published.
    pub qos: QoS,
    /// The RETAIN flag as published.
    pub retain: bool,
    /// The client id of the publisher.
    pub client_id: &'a str,
    /// The address of the publisher.
    pub address: PeerAddr,
    /// When it was read.
    pub read: Instant,
    /// Why it was refused.
    pub reason: ReasonCode,
}

impl Tracing {
    /// Spans go to the processors of `provider`, which must not block; those that export in
    /// batches do not. Its sampler is asked after the rule: if it drops a span, the message is
    /// not traced.
    pub fn new(provider: &SdkTracerProvider, sampling: Sampling) -> Self {
        Self(Arc::new(Inner {
            tracer: provider.tracer(env!("CARGO_PKG_NAME")),
            rule: Rule::new(sampling),
            budget: Arc::default(),
        }))
    }

    /// Starts the trace of a message from a client, in data read at `read`. `None` if it is
    /// not traced.
    #[inline]
    pub fn begin(&self, message: &Message, read: Instant) -> Option<Box<Trace>> {
        if !self.0.rule.may_take(message.properties()) {
            return None;
        }
        self.begin_if_decided(message, read)
    }

    fn begin_if_decided(&self, message: &Message, read: Instant) -> Option<Box<Trace>> {
        let parent = match self.0.rule.decide(message.id, message.properties()) {
            Decision::No => return None,
            Decision::Root => None,
            Decision::Child(parent) => Some(parent),
        };
        let arrival = Arrival {
            id: Some(message.id),
            topic: message.topic(),
            size: message.payload().len(),
            qos: message.qos,
            retain: message.retain,
        };
        let receive = self.open(receive(&arrival, read), parent.as_ref())?;
        Some(Trace::new(MessageSpans::new(self.clone(), message, receive)))
    }

    /// Resumes the trace of a message that was read back from disk, retained, or a will. It is
    /// traced if its publisher's span is recorded.
    pub fn resume(&self, message: &Message, now: WallMillis) -> Option<Box<Trace>> {
        let parent = self.0.rule.parent_of(message.properties())?;
        Some(Trace::new(MessageSpans::resumed(self.clone(), message, parent, now)))
    }

    /// Traces a refused PUBLISH: its `receive` has the reason. Only if the publisher's span is
    /// recorded.
    pub fn refused(&self, refusal: &Refusal<'_>) {
        let Some(parent) = self.0.rule.parent_of(refusal.properties) else { return };
        let Refusal { topic, size, qos, retain, read, .. } = *refusal;
        let arrival = Arrival { id: None, topic, size, qos, retain };
        if let Some(mut receive) = self.open(receive(&arrival, read), Some(&parent)) {
            receive.came_from(refusal.client_id, refusal.address);
            receive.answer(Some(refusal.reason));
        }
    }

    /// The number of open spans.
    pub fn open_spans(&self) -> usize {
        self.0.budget.open()
    }

    /// The number of spans that were not started because too many were open.
    pub fn skipped_spans(&self) -> u64 {
        self.0.budget.skipped()
    }
}

/// Registers the metrics of `tracing`; zeros without it.
pub fn observe_tracing(registry: &MetricsRegistry, tracing: Option<Tracing>) {
    let open = tracing.clone();
    registry.gauge(
        "ferrymq_trace_open_spans",
        "Spans of traced messages that have begun and not ended.",
        move |see| {
            // The value is at most the budget.
            #[allow(clippy::cast_precision_loss)]
            see(open.as_ref().map_or(0.0, |tracing| tracing.open_spans() as f64), &[]);
        },
    );
    registry.counter(
        "ferrymq_trace_spans_skipped_total",
        "Spans of traced messages that were left out because too many were open.",
        move |see| see(tracing.as_ref().map_or(0, Tracing::skipped_spans), &[]),
    );
}
