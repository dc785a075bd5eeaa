//! Access to recorded spans, for tests.

use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

use super::world::{User, World, publish, user_property};
use crate::protocol::{Packet, QoS};
use crate::telemetry::{Sampling, Tracing};

pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub const SPAN: &str = "b7ad6b7169203331";

/// The `traceparent` of a publisher whose span is sampled.
pub fn traceparent() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

/// The finished spans of one broker.
pub struct Spans {
    exporter: InMemorySpanExporter,
    pub tracing: Tracing,
}

impl Spans {
    pub fn of(world: &World) -> Self {
        Self::sampled(world, Sampling::default())
    }

    pub fn sampled(world: &World, sampling: Sampling) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let tracing = Tracing::new(&provider, sampling);
        world.broker.trace_with(tracing.clone());
        Self { exporter, tracing }
    }

    pub fn all(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    /// Their names, in the order in which they ended.
    pub fn names(&self) -> Vec<String> {
        self.all().into_iter().map(|span| span.name.into_owned()).collect()
    }

    pub fn named(&self, name: &str) -> Vec<SpanData> {
        self.all().into_iter().filter(|span| span.name == name).collect()
    }

    pub fn one(&self, name: &str) -> SpanData {
        let mut found = self.named(name);
        assert_eq!(found.len(), 1, "{name} among {:?}", self.names());
        found.remove(0)
    }

    /// The deliveries to this client.
    pub fn to(&self, client_id: &str) -> Vec<SpanData> {
        let all = self.named("deliver");
        all.into_iter().filter(|span| text(span, "messaging.client.id") == client_id).collect()
    }
}

/// An attribute as text; empty if there is none.
pub fn text(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map_or_else(String::new, |attribute| attribute.value.as_str().into_owned())
}

pub fn events(span: &SpanData) -> Vec<String> {
    span.events.iter().map(|event| event.name.clone().into_owned()).collect()
}

pub fn failed(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

pub fn publishers_span() -> SpanId {
    SpanId::from_hex(SPAN).unwrap()
}

/// A client with a durable session and a subscription.
pub fn subscribed(world: &World, client_id: &str, qos: QoS) -> User {
    let mut user = world.durable(client_id);
    user.subscribe("t", qos);
    world.commit();
    assert_eq!(user.received(), ["SUBACK"]);
    user
}

/// Publishes with these encoded properties.
pub fn publish_with(user: &mut User, properties: &[u8], qos: QoS, packet: u16, payload: &str) {
    let mut publish = publish(qos, packet, payload);
    publish.properties = properties.into();
    user.send(Packet::Publish(publish));
}

/// Publishes as part of a trace.
pub fn publish_traced(user: &mut User, qos: QoS, packet: u16, payload: &str) {
    publish_with(user, &user_property("traceparent", &traceparent()), qos, packet, payload);
}
