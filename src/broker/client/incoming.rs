//! Handles PUBLISH and PUBREL from the client, with its QoS 2 packet identifiers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{BlockReason, Client, Close, Pending, Reply};
use crate::broker::Publication;
use crate::broker::budget::NODE;
use crate::config::OnDenied;
use crate::message::{IncomingId, Message};
use crate::protocol::{PacketId, Publish, QoS, ReasonCode, Version, hops, level_count};
use crate::schedule::{self, Point};
use crate::session::Known;
use crate::store::Change;
use crate::telemetry::{Refusal, RefuseReason};

/// The reason under which a refusal is counted.
pub(super) fn refusal(reason: ReasonCode) -> RefuseReason {
    match reason {
        ReasonCode::NotAuthorized | ReasonCode::TopicNameInvalid => RefuseReason::NotAuthorized,
        _ => RefuseReason::QueueFull,
    }
}

const TOO_MANY: Close = Close::Error(
    ReasonCode::ReceiveMaximumExceeded,
    "more unacknowledged publishes than mqtt.receive_maximum",
);

const TOO_MANY_OF_SERVER: Close = Close::Error(
    ReasonCode::ReceiveMaximumExceeded,
    "more unacknowledged publishes than bridges.NAME.receive_maximum",
);

impl Client {
    pub(super) fn on_publish(&mut self, publish: &Publish<'_>) -> Result<(), Close> {
        if (self.graceful_disconnect.is_some() || self.dropped_publish)
            && publish.qos > QoS::AtMostOnce
        {
            return Ok(());
        }
        if publish.qos > QoS::AtMostOnce && self.is_over_receive_maximum(publish) {
            return Err(if self.role.is_dialled() { TOO_MANY_OF_SERVER } else { TOO_MANY });
        }
        if publish.qos > QoS::AtMostOnce && self.holds_for_the_disk() {
            return Ok(());
        }
        if publish.retain && !self.broker.settings.retain_available {
            return Err(Close::Error(
                ReasonCode::RetainNotSupported,
                "mqtt.retain_available is off",
            ));
        }
        let Some(alias) = publish.topic_alias else {
            return self.on_publish_to(publish, publish.topic);
        };
        if !publish.topic.is_empty() {
            if !self.inbound_aliases.set(alias, publish.topic) {
                return Err(Close::Error(
                    ReasonCode::TopicAliasInvalid,
                    "a topic alias of 0, or above mqtt.topic_alias_maximum",
                ));
            }
            return self.on_publish_to(publish, publish.topic);
        }
        let Some(topic) = self.inbound_aliases.get(alias).map(str::to_owned) else {
            // An alias without a mapping is a protocol error (v5, 3.3.4).
            return Err(Close::Error(ReasonCode::ProtocolError, "unknown topic alias"));
        };
        self.on_publish_to(publish, &topic)
    }

    fn is_over_receive_maximum(&self, publish: &Publish<'_>) -> bool {
        // What the other end was told: a server in CONNECT, a client in CONNACK.
        let told = self.role.terms().and_then(|terms| terms.receive_maximum);
        let most = told.unwrap_or(self.broker.settings.receive_maximum);
        // Older versions have no receive maximum; their packets are held instead.
        self.version == Version::V5
            && self.unanswered >= usize::from(most)
            && !(publish.qos == QoS::ExactlyOnce && publish.dup)
    }

    fn on_publish_to(&mut self, publish: &Publish<'_>, topic: &str) -> Result<(), Close> {
        let Some(terms) = self.role.terms().filter(|terms| terms.subscribe.is_some()).cloned()
        else {
            return self.on_publish_here(publish, topic);
        };
        match Self::received_as(&terms, topic) {
            Ok(mapped) if publish.retain && !mapped.retain => {
                let publish = Publish { retain: false, ..publish.clone() };
                self.on_publish_here(&publish, &mapped.topic())
            }
            Ok(mapped) => self.on_publish_here(publish, &mapped.topic()),
            Err(error) => {
                tracing::debug!(bridge = &*terms.name, topic, %error, "a message of the other end is not taken");
                let Some(packet_id) = publish.packet_id else {
                    self.broker.metrics.messages.refused.inc(RefuseReason::NotAuthorized);
                    return Ok(());
                };
                self.refuse(publish.qos, packet_id, ReasonCode::TopicNameInvalid)
            }
        }
    }

    /// With the topic that it has at this broker.
    fn on_publish_here(&mut self, publish: &Publish<'_>, topic: &str) -> Result<(), Close> {
        let levels = level_count(topic);
        let reason = if levels > self.broker.settings.max_topic_levels {
            Some(ReasonCode::TopicNameInvalid)
        } else if topic.starts_with(crate::broker::SYS)
            || !self.may_publish(topic, publish.qos, publish.retain)
        {
            Some(ReasonCode::NotAuthorized)
        } else {
            None
        };
        if self.came_in_a_circle(publish) {
            if let Some(packet_id) = publish.packet_id {
                self.unanswered += 1;
                self.pending.push(Pending::at_once(match publish.qos {
                    QoS::ExactlyOnce => Reply::PubRec(packet_id, ReasonCode::Success),
                    _ => Reply::PubAck(packet_id, ReasonCode::Success),
                }));
            }
            return Ok(());
        }
        let Some(packet_id) = publish.packet_id else {
            // At QoS 0 the client cannot be told.
            match reason {
                Some(reason) => self.broker.metrics.messages.refused.inc(refusal(reason)),
                None => self.accept(publish, topic, None)?,
            }
            return Ok(());
        };
        // What was accepted once is acknowledged again, whatever the rules say by now: the
        // packet identifier is in use until PUBREL.
        if let Some(reason) = reason.filter(|_| !self.is_repeat(publish.qos, packet_id)) {
            self.trace_refusal(publish, topic, reason);
            return self.refuse(publish.qos, packet_id, reason);
        }
        match publish.qos {
            QoS::ExactlyOnce => self.on_publish_qos2(publish, topic, packet_id),
            _ => self.accept(publish, topic, Some(packet_id)),
        }
    }

    /// True if the other end is a broker, and the message has passed this one or too many.
    fn came_in_a_circle(&self, publish: &Publish<'_>) -> bool {
        let (Some(_), (Some(hops), _)) = (&self.other_broker, hops::split(&publish.properties))
        else {
            return false;
        };
        hops::has_passed(hops, &self.broker.identity) || hops::is_too_far(hops)
    }

    /// Only a broker says which brokers a message has passed.
    fn properties_of<'a>(&self, publish: &'a Publish<'_>) -> &'a [u8] {
        match self.other_broker {
            Some(_) => &publish.properties,
            None => hops::split(&publish.properties).1,
        }
    }

    fn is_repeat(&self, qos: QoS, packet_id: PacketId) -> bool {
        let known = || self.handle.lock().incoming.look_up(packet_id, self.epoch);
        qos == QoS::ExactlyOnce && !matches!(known(), Known::New)
    }

    /// QoS 2: a PUBLISH under a known packet identifier is a repeat [MQTT-4.3.3-10].
    fn on_publish_qos2(
        &mut self,
        publish: &Publish<'_>,
        topic: &str,
        packet_id: PacketId,
    ) -> Result<(), Close> {
        let known = self.handle.lock().incoming.look_up(packet_id, self.epoch);
        match known {
            Known::New => self.accept(publish, topic, Some(packet_id)),
            Known::Repeat { message, counts } => {
                self.unanswered += usize::from(counts);
                let reply = Reply::PubRec(packet_id, ReasonCode::Success);
                self.pending.push(Pending::with_message(reply, message));
                Ok(())
            }
        }
    }

    /// Publishes the message and queues its acknowledgement.
    fn accept(
        &mut self,
        publish: &Publish<'_>,
        topic: &str,
        packet_id: Option<PacketId>,
    ) -> Result<(), Close> {
        let now = self.step.now.wall;
        let publication = Publication {
            topic,
            properties: self.properties_of(publish),
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expires_at: publish.expiry.map(|seconds| now.plus_seconds(seconds)),
            is_copy: false,
        };
        if let Some(packet_id) = packet_id.filter(|_| publish.retain)
            && !self.broker.retained.has_room_for(&publication)
        {
            self.broker.metrics.messages.refused.inc(RefuseReason::RetainedLimit);
            self.trace_refusal(publish, topic, ReasonCode::QuotaExceeded);
            return self.answer_refusal(publish.qos, packet_id, ReasonCode::QuotaExceeded);
        }
        if !self.find_routes(topic) {
            self.held = Some(BlockReason::Routing);
            return Ok(());
        }
        let prepared =
            self.broker.prepare(&publication, &self.routes, Some(&self.wake), &self.step);
        let message = match prepared {
            Ok(message) => message,
            Err(reason) => {
                let Some(packet_id) = packet_id else { return Ok(()) };
                if self.holds_for_a_queue(&publication) {
                    return Ok(());
                }
                self.trace_refusal(publish, topic, reason);
                return self.refuse(publish.qos, packet_id, reason);
            }
        };
        if let Some(trace) = &message.trace {
            trace.came_from(&self.handle.client_id, self.principal.address);
        }
        let message = match packet_id.filter(|_| publish.qos == QoS::ExactlyOnce) {
            Some(packet_id) => self.note_packet_id(packet_id, message),
            None => message,
        };
        if publish.retain {
            // The topic's path is walked twice: to find it, and to insert or remove it.
            self.budget.spend(2 * NODE * level_count(topic));
            let committed = self.broker.persistence.committed();
            schedule::reached(Point::Retain);
            self.broker.retained.retain(&publication, &message, committed, &mut self.step);
            let found = (&self.routes, self.routes_generation);
            let publisher = Some(self.handle.id);
            self.broker.deliver_to_late(&publication, found, publisher, &mut self.step);
        }
        self.statistics.published(publish.qos);
        if let Some(terms) = self.role.terms() {
            terms.counts.received.fetch_add(1, Ordering::Relaxed);
            terms.counts.progress.fetch_add(1, Ordering::Relaxed);
        }
        self.count_allowed_publish();
        let waits = self.broker.persistence.waits();
        if let Some(trace) = &message.trace
            && (packet_id.is_none() || !waits)
        {
            trace.answered(Some(ReasonCode::Success));
        }
        let reply = packet_id.map(|packet_id| self.reply_to(publish.qos, packet_id, &message));
        self.fan_out(message, reply);
        Ok(())
    }

    /// Registers the packet identifier of a QoS 2 PUBLISH. For a durable session it is
    /// committed with the message. Its change number is drawn here, so that the last use of an
    /// identifier wins.
    fn note_packet_id(&mut self, packet_id: PacketId, mut message: Arc<Message>) -> Arc<Message> {
        let mut session = self.handle.lock();
        // Nobody else has the message yet.
        if session.durable
            && let Some(message) = Arc::get_mut(&mut message)
        {
            let change = self.step.number();
            message.incoming = Some(IncomingId { session: session.id, packet_id, change });
        }
        session.incoming.release_messages(self.broker.persistence.committed());
        session.incoming.insert(packet_id, Some(Arc::clone(&message)), self.epoch);
        message
    }

    fn reply_to(&mut self, qos: QoS, packet_id: PacketId, message: &Arc<Message>) -> Pending {
        self.unanswered += 1;
        let reason = if self.routes.receivers.is_empty() {
            self.broker.metrics.messages.unrouted.inc();
            ReasonCode::NoMatchingSubscribers
        } else {
            ReasonCode::Success
        };
        let reply = match qos {
            QoS::ExactlyOnce => Reply::PubRec(packet_id, reason),
            _ => Reply::PubAck(packet_id, reason),
        };
        let waits = self.broker.persistence.waits();
        Pending::with_message(reply, waits.then(|| Arc::clone(message)))
    }

    fn trace_refusal(&self, publish: &Publish<'_>, topic: &str, reason: ReasonCode) {
        if let Some(tracing) = self.broker.tracing() {
            tracing.refused(&Refusal {
                topic,
                properties: &publish.properties,
                size: publish.payload.len(),
                qos: publish.qos,
                retain: publish.retain,
                client_id: &self.handle.client_id,
                address: self.principal.address,
                read: self.step.now.instant,
                reason,
            });
        }
    }

    fn refuse(&mut self, qos: QoS, packet_id: PacketId, reason: ReasonCode) -> Result<(), Close> {
        self.broker.metrics.messages.refused.inc(refusal(reason));
        self.answer_refusal(qos, packet_id, reason)
    }

    /// Answers a refused publish with a v5 reason code, or disconnects an older client: see
    /// `graceful_disconnect`.
    fn answer_refusal(
        &mut self,
        qos: QoS,
        packet_id: PacketId,
        reason: ReasonCode,
    ) -> Result<(), Close> {
        if self.role.is_dialled() && reason == ReasonCode::QuotaExceeded {
            // The server would discard a refused message. Disconnected, it resends it later.
            return self.disconnect_gracefully(reason, "a publish of the server finds no room");
        }
        if self.version < Version::V5 {
            return match reason {
                // Not authorized: 3.1.1 allows to acknowledge or to disconnect [MQTT-3.3.5-2].
                // A server that is disconnected would resend the message without end.
                ReasonCode::NotAuthorized | ReasonCode::TopicNameInvalid
                    if self.role.is_dialled()
                        || (reason == ReasonCode::NotAuthorized
                            && self.broker.settings.on_denied == OnDenied::Acknowledge) =>
                {
                    let reply = match qos {
                        QoS::ExactlyOnce => Reply::PubRec(packet_id, ReasonCode::Success),
                        _ => Reply::PubAck(packet_id, ReasonCode::Success),
                    };
                    self.pending.push(Pending::at_once(reply));
                    Ok(())
                }
                ReasonCode::NotAuthorized => self.disconnect_gracefully(
                    reason,
                    "it may not publish to this topic, and mqtt.on_denied is \"disconnect\"",
                ),
                _ => self.disconnect_gracefully(reason, "a publish was refused"),
            };
        }
        self.pending.push(Pending::at_once(match qos {
            QoS::ExactlyOnce => Reply::PubRec(packet_id, reason),
            _ => Reply::PubAck(packet_id, reason),
        }));
        // Counted here, because sending the reply subtracts it.
        self.unanswered += 1;
        Ok(())
    }

    pub(super) fn on_pubrel(&mut self, packet_id: PacketId) {
        let (held_by, durable) = {
            let mut session = self.handle.lock();
            let durable = session.durable;
            if durable {
                // Also for an unknown identifier: its row may not have been deleted yet.
                self.step.change(Change::CloseIncoming(session.id, packet_id));
            }
            (session.incoming.remove(packet_id), durable)
        };
        let reply = match held_by {
            Some(epoch) => {
                if epoch == self.epoch {
                    self.unanswered = self.unanswered.saturating_sub(1);
                }
                Reply::PubComp(packet_id, ReasonCode::Success)
            }
            // Probably a repeat after a reconnect, because PUBCOMP was lost. Clients that
            // treat 0x92 as an error would publish again (v5, 4.3.3).
            None if self.resumed => Reply::PubComp(packet_id, ReasonCode::Success),
            None => Reply::PubComp(packet_id, ReasonCode::PacketIdentifierNotFound),
        };
        let waits = durable && self.broker.persistence.waits();
        self.pending.push(Pending::at_once(reply).and_this_step(waits));
    }
}
