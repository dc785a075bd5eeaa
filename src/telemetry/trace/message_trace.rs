//! The spans of one message, from its first report to its last.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanContext, SpanId, SpanKind, TraceFlags, TraceId};
use parking_lot::Mutex;

use super::Tracing;
use super::span::{Open, message_id, named, short, wall};
use crate::message::{
    CommitMark, DeliveryId, End, Follow, Message, MessageId, Step, Stored, WallMillis,
};
use crate::peer::PeerAddr;
use crate::protocol::{QoS, ReasonCode};

/// See the module.
#[derive(Debug)]
pub(super) struct MessageSpans {
    tracing: Tracing,
    /// The parent of all spans except `receive` itself.
    parent: SpanContext,
    id: MessageId,
    topic: Arc<str>,
    /// For a resumed message: seconds since it was published.
    waited: Option<f64>,
    spans: Mutex<Spans>,
}

/// The open spans. Spans are ended without holding the lock.
#[derive(Debug, Default)]
struct Spans {
    receive: Option<Open>,
    persist: Option<Open>,
    /// Boxed: most messages have one receiver, and the smallest node of the tree has space for
    /// eleven.
    deliveries: BTreeMap<DeliveryId, Box<Open>>,
}

impl MessageSpans {
    pub(super) fn new(tracing: Tracing, message: &Message, receive: Open) -> Self {
        let parent = receive.context().clone();
        let spans = Spans { receive: Some(receive), ..Spans::default() };
        Self::with(tracing, message, parent, None, spans)
    }

    pub(super) fn resumed(
        tracing: Tracing,
        message: &Message,
        parent: SpanContext,
        now: WallMillis,
    ) -> Self {
        let millis = now.0.saturating_sub(message.published_at.0);
        // 2^53 milliseconds are 285,000 years.
        #[allow(clippy::cast_precision_loss)]
        let waited = Some(millis as f64 / 1000.0);
        Self::with(tracing, message, parent, waited, Spans::default())
    }

    fn with(
        tracing: Tracing,
        message: &Message,
        parent: SpanContext,
        waited: Option<f64>,
        spans: Spans,
    ) -> Self {
        let (id, topic) = (message.id, short(message.topic()));
        Self { tracing, parent, id, topic, waited, spans: Mutex::new(spans) }
    }

    fn begin_delivery(&self, client_id: &str, qos: QoS) -> Option<Open> {
        let mut attributes = vec![
            KeyValue::new("messaging.system", "mqtt"),
            KeyValue::new("messaging.operation.name", "deliver"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", Arc::clone(&self.topic)),
            KeyValue::new("messaging.client.id", short(client_id)),
            KeyValue::new("mqtt.qos", i64::from(qos as u8)),
            message_id(self.id),
        ];
        attributes
            .extend(self.waited.map(|waited| KeyValue::new("ferrymq.waited_seconds", waited)));
        let builder = named("deliver", SpanKind::Client).with_attributes(attributes);
        self.tracing.open(builder, Some(&self.parent))
    }
}

impl Follow for MessageSpans {
    fn came_from(&self, client_id: &str, address: PeerAddr) {
        if let Some(receive) = &mut self.spans.lock().receive {
            receive.came_from(client_id, address);
        }
    }

    fn answered(&self, reason: Option<ReasonCode>) {
        let receive = self.spans.lock().receive.take();
        if let Some(receive) = receive {
            receive.answer(reason);
        }
    }

    fn submitted(&self) {
        let persist = self.tracing.open(named("persist", SpanKind::Internal), Some(&self.parent));
        self.spans.lock().persist = persist;
    }

    fn awaits_commit(&self) -> bool {
        self.spans.lock().persist.is_some()
    }

    fn stored(&self, how: Stored) {
        let persist = self.spans.lock().persist.take();
        let Some(mut persist) = persist else { return };
        persist.span.set_attribute(KeyValue::new("ferrymq.elided", how == Stored::Elided));
        match how {
            Stored::Elided => persist.end("elided"),
            Stored::Refused => persist.fail("refused"),
            Stored::Committed { mark, at } => {
                if let Some(commit) = mark {
                    persist.span.add_link(context_of(commit), Vec::new());
                }
                persist.end_at("committed", wall(at));
            }
        }
    }

    fn queued(&self, delivery: DeliveryId, client_id: &str, qos: QoS) {
        if let Some(deliver) = self.begin_delivery(client_id, qos) {
            self.spans.lock().deliveries.insert(delivery, Box::new(deliver));
        }
    }

    fn progressed(&self, delivery: DeliveryId, step: Step) {
        let mut spans = self.spans.lock();
        let Some(deliver) = spans.deliveries.get_mut(&delivery) else { return };
        match step {
            Step::Sent { to, again } => {
                deliver.at(to);
                deliver.span.add_event(if again { "resent" } else { "sent" }, Vec::new());
            }
            Step::Received => deliver.span.add_event("pubrec", Vec::new()),
        }
    }

    fn delivered(&self, delivery: DeliveryId, how: End) {
        let deliver = self.spans.lock().deliveries.remove(&delivery);
        let Some(deliver) = deliver else { return };
        match how {
            End::Acknowledged => deliver.end("acknowledged"),
            End::Sent => deliver.end("sent"),
            End::Dropped(reason) => deliver.fail(reason),
        }
    }
}

impl Drop for MessageSpans {
    /// The message has left memory: its queue may continue on disk, or the broker ends.
    fn drop(&mut self) {
        let Spans { receive, persist, deliveries } = std::mem::take(self.spans.get_mut());
        if let Some(receive) = receive {
            receive.answer(None);
        }
        for open in persist.into_iter().chain(deliveries.into_values().map(|boxed| *boxed)) {
            open.end("left_memory");
        }
    }
}

fn context_of(commit: CommitMark) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(commit.trace),
        SpanId::from_bytes(commit.span),
        TraceFlags::SAMPLED,
        false,
        opentelemetry::trace::TraceState::NONE,
    )
}
