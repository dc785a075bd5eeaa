//! Spans and their attributes, by the semantic conventions for messaging.
//!
//! The conventions define producers and consumers, not brokers. For the publisher the broker
//! is the consumer, so `receive` is CONSUMER; for a receiver it is a client that sends in a
//! context other than the message's own, so `deliver` is CLIENT. Topics and client ids are
//! attributes, never part of a name.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::Tracing;
use super::budget::Permit;
use crate::message::MessageId;
use crate::peer::PeerAddr;
use crate::protocol::{QoS, ReasonCode};

/// Maximum bytes of a topic or client id in an attribute. Both may have 65,535, and a client
/// must not fill the broker's or a collector's memory with them.
const MAX_TEXT: usize = 1024;

/// An open span.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) span: Span,
    _permit: Permit,
}

/// The properties of a PUBLISH that has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) id: Option<MessageId>,
    pub(super) topic: &'a str,
    pub(super) size: usize,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl Tracing {
    /// Starts a span, unless too many are open or nothing records it.
    pub(super) fn open(&self, builder: SpanBuilder, parent: Option<&SpanContext>) -> Option<Open> {
        let permit = self.0.budget.take()?;
        // Not the current context of this thread.
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.clone()),
            None => Context::new(),
        };
        let span = self.0.tracer.build_with_context(builder, &context);
        span.is_recording().then_some(Open { span, _permit: permit })
    }
}

impl Open {
    pub(super) fn context(&self) -> &SpanContext {
        self.span.span_context()
    }

    pub(super) fn came_from(&mut self, client_id: &str, address: PeerAddr) {
        self.span.set_attribute(KeyValue::new("messaging.client.id", short(client_id)));
        self.at(address);
    }

    pub(super) fn at(&mut self, address: PeerAddr) {
        match address {
            PeerAddr::Inet(address) => self.span.set_attributes([
                KeyValue::new("network.peer.address", address.ip().to_string()),
                KeyValue::new("network.peer.port", i64::from(address.port())),
            ]),
            PeerAddr::Local => {
                self.span.set_attribute(KeyValue::new("network.transport", "unix"));
            }
        }
    }

    /// Ends `receive`. `None`: the connection ended before the response.
    pub(super) fn answer(mut self, reason: Option<ReasonCode>) {
        match reason {
            None => self.span.set_status(Status::error("the connection ended first")),
            Some(reason) => {
                let code = i64::from(reason.as_u8());
                self.span.set_attribute(KeyValue::new("mqtt.reason_code", code));
                if reason.is_failure() {
                    self.span.set_status(Status::error(reason.description()));
                }
            }
        }
        self.span.end();
    }

    pub(super) fn end(mut self, outcome: &'static str) {
        self.span.set_attribute(KeyValue::new("ferrymq.outcome", outcome));
        self.span.end();
    }

    pub(super) fn end_at(mut self, outcome: &'static str, at: SystemTime) {
        self.span.set_attribute(KeyValue::new("ferrymq.outcome", outcome));
        self.span.end_with_timestamp(at);
    }

    pub(super) fn fail(mut self, outcome: &'static str) {
        self.span.set_status(Status::error(outcome));
        self.end(outcome);
    }
}

pub(super) fn named(name: &'static str, kind: SpanKind) -> SpanBuilder {
    SpanBuilder::from_name(name).with_kind(kind)
}

pub(super) fn receive(arrival: &Arrival<'_>, read: Instant) -> SpanBuilder {
    let size = i64::try_from(arrival.size).unwrap_or(i64::MAX);
    let mut attributes = vec![
        KeyValue::new("messaging.system", "mqtt"),
        KeyValue::new("messaging.operation.name", "receive"),
        KeyValue::new("messaging.operation.type", "receive"),
        KeyValue::new("messaging.destination.name", short(arrival.topic)),
        KeyValue::new("messaging.message.body.size", size),
        KeyValue::new("mqtt.qos", i64::from(arrival.qos as u8)),
        KeyValue::new("mqtt.retain", arrival.retain),
    ];
    attributes.extend(arrival.id.map(message_id));
    named("receive", SpanKind::Consumer).with_start_time(wall(read)).with_attributes(attributes)
}

pub(super) fn message_id(id: MessageId) -> KeyValue {
    KeyValue::new("messaging.message.id", id.to_string())
}

/// The wall-clock time of a past moment.
pub(super) fn wall(moment: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(moment.elapsed()).unwrap_or(now)
}

pub(super) fn short(text: &str) -> Arc<str> {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default().into()
}
