//! Traces of messages on their way through the broker.
//!
//! Here live the rule of what is traced ([`Sampling`]), the reading of a publisher's
//! trace context, and the spans. What happens to a message is reported by broker and
//! store through [`crate::message::Follow`]; nothing of OpenTelemetry is known there. A
//! message is never changed: `traceparent` and `tracestate` go on to its receivers as
//! they came.
//!
//! ```text
//! publisher's span
//!   └ receive            from the read to the acknowledgement
//!       ├ persist        from the store's queue to the commit, linked to:  commit
//!       ├ deliver        from a receiver's queue to its acknowledgement
//!       └ deliver
//! ```
//! A message that comes from elsewhere than a publisher's packet (read back from disk,
//! a retained message, a will) has no `receive`: its spans are children of the
//! publisher's, as far as its properties tell of one.

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

/// Begins traces. Clones share everything.
#[derive(Debug, Clone)]
pub struct Tracing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracer: SdkTracer,
    rule: Rule,
    budget: Arc<Budget>,
}

/// A publish that was not taken.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// Where to.
    pub topic: &'a str,
    /// Its encoded user properties among others.
    pub properties: &'a [u8],
    /// Bytes of its payload.
    pub size: usize,
    /// As published.
    pub qos: QoS,
    /// As published.
    pub retain: bool,
    /// Who published it.
    pub client_id: &'a str,
    /// From where.
    pub address: PeerAddr,
    /// When it was read.
    pub read: Instant,
    /// Why it was refused.
    pub reason: ReasonCode,
}

impl Tracing {
    /// Spans go to the processors of `provider`, which must not wait, as those that
    /// export in batches do not. Its sampler is asked after the rule: one that drops
    /// spans takes their messages out of the traces.
    pub fn new(provider: &SdkTracerProvider, sampling: Sampling) -> Self {
        Self(Arc::new(Inner {
            tracer: provider.tracer(env!("CARGO_PKG_NAME")),
            rule: Rule::new(sampling),
            budget: Arc::default(),
        }))
    }

    /// A message has come from a client, in what was read at `read`. `None`: it is not
    /// traced.
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

    /// A message has come from elsewhere: from disk, from what is retained, from a will.
    /// It is traced if its publisher's span is recorded.
    pub fn resume(&self, message: &Message, now: WallMillis) -> Option<Box<Trace>> {
        let parent = self.0.rule.parent_of(message.properties())?;
        Some(Trace::new(MessageSpans::resumed(self.clone(), message, parent, now)))
    }

    /// A publish was not taken: its `receive` says why. Only for those whose publisher's
    /// span is recorded.
    pub fn refused(&self, refusal: &Refusal<'_>) {
        let Some(parent) = self.0.rule.parent_of(refusal.properties) else { return };
        let Refusal { topic, size, qos, retain, read, .. } = *refusal;
        let arrival = Arrival { id: None, topic, size, qos, retain };
        if let Some(mut receive) = self.open(receive(&arrival, read), Some(&parent)) {
            receive.came_from(refusal.client_id, refusal.address);
            receive.answer(Some(refusal.reason));
        }
    }

    /// Spans that have begun and not ended.
    pub fn open_spans(&self) -> usize {
        self.0.budget.open()
    }

    /// Spans that were not begun because too many were open.
    pub fn skipped_spans(&self) -> u64 {
        self.0.budget.skipped()
    }
}

/// The figures of `tracing`, or zeros without it.
pub fn observe_tracing(registry: &MetricsRegistry, tracing: Option<Tracing>) {
    let open = tracing.clone();
    registry.gauge(
        "ferrymq_trace_open_spans",
        "Spans of traced messages that have begun and not ended.",
        move |see| {
            // At most the budget.
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
