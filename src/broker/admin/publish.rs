//! Publishes a message on behalf of an operator.

use std::sync::Arc;

use super::NotCommitted;
use crate::broker::{Broker, Budget, Publication, SYS, Step};
use crate::message::{Message, MessageId, Wake};
use crate::protocol::{
    MessageProperties, QoS, TopicError, TopicName, check_publish_properties, level_count,
};
use crate::router::Routes;
use crate::telemetry::RefuseReason;

/// The most bytes of a PUBLISH besides topic, properties and payload: type, two lengths, the
/// topic's length, packet identifier, expiry.
const OVERHEAD: usize = 1 + 4 + 4 + 2 + 2 + 5;

/// A message that an operator publishes.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The topic name.
    pub topic: String,
    /// The application payload.
    pub payload: Vec<u8>,
    /// The QoS of the publish.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Message Expiry Interval, in seconds.
    pub expiry: Option<u32>,
    /// The other v5 properties.
    pub properties: MessageProperties,
}

/// The result of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The identifier of the message.
    pub message: MessageId,
    /// Sessions with a matching subscription.
    pub receivers: usize,
}

/// Why a message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unannounced {
    /// The topic is not a valid topic name.
    #[error("topic: {0}")]
    Topic(#[from] TopicError),
    /// The topic has more levels than `mqtt.max_topic_levels`.
    #[error("topic: more levels than mqtt.max_topic_levels allows")]
    Levels,
    /// The topic is below `$SYS`, where only the broker publishes.
    #[error("topic: only the broker publishes below $SYS")]
    Own,
    /// A property is invalid.
    #[error("properties: {0}")]
    Properties(&'static str),
    /// Larger than `mqtt.max_packet_size`.
    #[error("topic, properties and payload are more than mqtt.max_packet_size allows")]
    TooLarge,
    /// `mqtt.retain_available` is false.
    #[error("retained messages are switched off (mqtt.retain_available)")]
    NoRetain,
    /// There is no room for another retained message.
    #[error(
        "there is no room for another retained message \
         (mqtt.max_retained_messages, mqtt.max_retained_bytes)"
    )]
    RetainedFull,
    /// The queue of a receiver is full.
    #[error("the queue of a receiver is full, and session.overflow is \"refuse\"")]
    QueueFull,
    /// The disk has no room.
    #[error("the disk has no room for it")]
    DiskFull,
    /// The message is not known to be on disk.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}

impl Broker {
    /// Publishes a message. At QoS 1 and 2 it returns when a client would be sent PUBACK or
    /// PUBREC: all receivers have acknowledged the message, or it is on disk.
    ///
    /// # Errors
    /// See [`Unannounced`].
    pub async fn announce(&self, message: &Announcement) -> Result<Announced, Unannounced> {
        let properties = self.check(message)?;
        let wake = Arc::new(Wake::default());
        let mut step = Step::new(self);
        let publication = Publication {
            topic: &message.topic,
            properties: &properties,
            payload: &message.payload,
            qos: message.qos,
            retain: message.retain,
            expires_at: message.expiry.map(|seconds| step.now.wall.plus_seconds(seconds)),
            is_copy: false,
        };
        let (message, receivers) = self.take(&publication, &wake, &mut step).await?;
        let announced = Announced { message: message.id, receivers };
        if step.submit(self).is_err() {
            return Err(NotCommitted::Down.into());
        }
        if publication.qos == QoS::AtMostOnce || !self.persistence.waits() {
            return Ok(announced);
        }
        let durability = &message.durability;
        let settled =
            || durability.is_refused() || durability.may_acknowledge(self.persistence.committed());
        self.until(&wake, settled).await?;
        if publication.retain {
            self.retained.decide(&message, self.persistence.committed());
        }
        if durability.is_refused() {
            return Err(Unannounced::DiskFull);
        }
        Ok(announced)
    }

    /// Checks everything that does not depend on receivers. Returns the encoded properties.
    fn check(&self, message: &Announcement) -> Result<Vec<u8>, Unannounced> {
        let Announcement { topic, payload, properties, .. } = message;
        TopicName::new(topic)?;
        if level_count(topic) > self.settings.max_topic_levels {
            return Err(Unannounced::Levels);
        }
        if topic.starts_with(SYS) {
            return Err(Unannounced::Own);
        }
        if message.retain && !self.settings.retain_available {
            return Err(Unannounced::NoRetain);
        }
        let properties = properties.encode().map_err(Unannounced::Properties)?;
        check_publish_properties(&properties)
            .map_err(|error| Unannounced::Properties(error.what))?;
        let size = OVERHEAD + topic.len() + properties.len() + payload.len();
        if size > self.settings.max_packet_size as usize {
            return Err(Unannounced::TooLarge);
        }
        Ok(properties)
    }

    async fn take(
        &self,
        publication: &Publication<'_>,
        wake: &Arc<Wake>,
        step: &mut Step,
    ) -> Result<(Arc<Message>, usize), Unannounced> {
        let refused = &self.metrics.messages.refused;
        if publication.retain && !self.retained.has_room_for(publication) {
            refused.inc(RefuseReason::RetainedLimit);
            return Err(Unannounced::RetainedFull);
        }
        let generation = self.subscriptions.generation();
        let mut routes = Routes::new();
        self.route(publication.topic, None, &mut routes);
        let message = self.prepare(publication, &routes, Some(wake), step).map_err(|_| {
            refused.inc(RefuseReason::QueueFull);
            Unannounced::QueueFull
        })?;
        if publication.retain {
            self.retained.retain(publication, &message, self.persistence.committed(), step);
            self.deliver_to_late(publication, (&routes, generation), None, step);
        }
        let mut fanout = self.begin_fanout(Arc::clone(&message), false);
        let mut turn = None;
        while !self.fan_out(&mut fanout, &routes, step, &mut Budget::of_long_poll()) {
            step.notify();
            self.turns.pause(&mut turn).await;
        }
        Ok((message, routes.receivers.len()))
    }
}
