//! Deliveries: taken from the session, encoded, or dropped if they may not be sent.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::BytesMut;

use super::bridged::sent_as;
use super::payload::{LARGE, LargePayload};
use super::permissions::Limited;
use super::{Client, DRAINING_SHARE, packets};
use crate::auth::acl::Effect;
use crate::broker::bridge::BridgeTerms;
use crate::broker::traced;
use crate::message::{End, Step, WakeCause, WallMillis};
use crate::protocol::hops::Hops;
use crate::protocol::{AckKind, PublishOut, QoS, ReasonCode, Version, encode};
use crate::sabotage::Sabotage;
use crate::session::{DeliveryBlock, Entry, Fit, Outgoing};
use crate::store::Op;
use crate::telemetry::{AclAction, DropReason, Label, PacketType};

/// The most deliveries that are taken under one hold of the session's lock.
const AT_ONCE: usize = 64;

impl Client {
    /// Takes the next deliveries from the session. Returns why no more can be sent now, if
    /// that is so.
    pub(super) fn take_outgoing(&mut self, committed: u64) -> Option<DeliveryBlock> {
        let now = self.step.now;
        let mut session = self.handle.lock();
        let mut outgoing = std::mem::take(&mut self.outgoing);
        // The rules are apart meanwhile, since they remember what they said last.
        let limited = RefCell::new(self.permissions.limited.take());
        let fit = |entry: &Entry| self.fit(entry, limited.borrow_mut().as_deref_mut());
        let mut blocked = None;
        for _ in 0..self.role.at_once(AT_ONCE) {
            match session.next_outgoing(committed, (now.wall, now.instant), fit) {
                Ok(next) => {
                    let is_large = matches!(&next, Outgoing::Publish(it) if is_large(it));
                    outgoing.push(next);
                    // Nothing may follow it in the write buffer: its payload is written after.
                    if is_large {
                        break;
                    }
                }
                Err(block) => {
                    blocked = Some(block);
                    break;
                }
            }
        }
        self.outgoing = outgoing;
        let page = session.next_page(|| self.broker.page_bytes());
        let most = self.broker.settings.max_pending_writes;
        self.most_pending = if session.is_draining() { most / DRAINING_SHARE } else { most };
        drop(session);
        self.permissions.limited = limited.into_inner();
        if let Some(page) = page {
            self.broker.read_page(&self.handle, page);
        }
        if blocked == Some(DeliveryBlock::AwaitingRow) {
            self.step.wake_at_commit(self.handle.session_wake(), WakeCause::Direct);
        }
        blocked
    }

    pub(super) fn send(&mut self, next: Outgoing, out: &mut BytesMut) {
        match next {
            Outgoing::Publish(entry) => {
                self.send_publish(&entry, out);
                if Sabotage::DeleteWhenSent.is_on() && self.role.is_dialled() {
                    self.forget_sent(&entry);
                }
            }
            Outgoing::Release(id) => {
                let before = out.len();
                encode::ack(out, self.version, AckKind::PubRel, id, ReasonCode::Success);
                self.sent(PacketType::PubRel, Some(id), ReasonCode::Success, out.len() - before);
            }
            Outgoing::Renumber { delivery, packet_id, change } => {
                self.step.write(Op::PacketId { delivery, packet_id, change });
            }
            Outgoing::Expired(entry) => self.drop_delivery(&entry, DropReason::Expired),
            Outgoing::Refused(entry) => self.drop_delivery(&entry, DropReason::DiskFull),
            Outgoing::TooLarge(entry) if self.role.is_dialled() => self.give_up(&entry),
            Outgoing::Unsendable(entry) => self.give_up(&entry),
            Outgoing::TooLarge(entry) => self.drop_delivery(&entry, DropReason::TooLarge),
            Outgoing::NotPermitted(entry) => self.deny_delivery(entry),
        }
    }

    /// See [`Sabotage::DeleteWhenSent`].
    fn forget_sent(&mut self, entry: &Entry) {
        let now = self.step.now.instant;
        let sent = entry.packet_id.and_then(|id| self.handle.lock().abandon(id, now));
        if let Some(entry) = sent {
            self.broker.complete(&entry, &mut self.step);
        }
    }

    /// The rules have changed since it was queued. Another member of its shared subscription may
    /// receive it.
    fn deny_delivery(&mut self, entry: Entry) {
        self.statistics.decided(AclAction::Deliver, Effect::Deny);
        if let Some(entry) = self.broker.hand_on(entry, &mut self.step) {
            self.drop_delivery(&entry, DropReason::NotAuthorized);
        }
    }

    pub(super) fn drop_delivery(&mut self, entry: &Entry, reason: DropReason) {
        self.broker.metrics.messages.dropped.add(reason, 1);
        traced::ended(entry, End::Dropped(reason.as_str()));
        self.broker.complete(entry, &mut self.step);
    }

    /// Whether a delivery may be sent to this client, and fits its Maximum Packet Size.
    fn fit(&self, entry: &Entry, limited: Option<&mut Limited>) -> Fit {
        let message = &entry.message;
        if limited.is_some_and(|limited| !limited.delivers(message.topic())) {
            return Fit::NotPermitted;
        }
        if self.goes_in_circles(message) {
            return Fit::Unsendable;
        }
        if self.role.obstacle(entry).is_some() {
            return self.role.unfit(entry, Fit::Unsendable);
        }
        let prefix = sent_as(self.role.terms().map(|it| &**it), message.topic()).prefix.len();
        let most = message.size() + prefix + encode::publish_overhead(entry.identifiers.len());
        // A hop is added to a message for another broker.
        let most = most + if self.other_broker.is_some() { Hops::LONGEST } else { 0 };
        let max_packet = self.max_packet as usize;
        let len = || {
            let terms = self.role.terms().map(|terms| &**terms);
            let own = self.own_hop().map(|own| &**own);
            encode::publish_len(self.version, &self.publish_of(entry, terms, own))
        };
        if most > max_packet && len() > max_packet {
            return self.role.unfit(entry, Fit::TooLarge);
        }
        Fit::Sendable
    }

    /// The PUBLISH of a delivery, without a topic alias.
    /// `own`: see [`Client::own_hop`].
    fn publish_of<'a>(
        &self,
        entry: &'a Entry,
        terms: Option<&'a BridgeTerms>,
        own: Option<&'a str>,
    ) -> PublishOut<'a> {
        let message = &entry.message;
        let sent_as = sent_as(terms, message.topic());
        let now = self.step.now.wall;
        PublishOut {
            dup: entry.dup && entry.qos > QoS::AtMostOnce,
            qos: entry.qos,
            retain: entry.retain && sent_as.retain && self.role.may_retain(),
            packet_id: entry.packet_id,
            topic_prefix: sent_as.prefix,
            topic: sent_as.rest,
            topic_alias: None,
            expiry: message.expires_at.map(|at| seconds_left(at, now)),
            // Must not be sent to a server [MQTT-3.3.4-6].
            subscription_ids: if self.role.is_dialled() { &[] } else { &entry.identifiers },
            hops: own.map(|own| Hops { before: message.hops(), own }),
            properties: message.properties(),
            payload: message.payload(),
        }
    }

    /// The identifier of this broker, if the other end is a broker that has to learn it.
    fn own_hop(&self) -> Option<&Arc<str>> {
        self.other_broker.as_ref().map(|_| &self.broker.identity)
    }

    fn send_publish(&mut self, entry: &Entry, out: &mut BytesMut) {
        let message = &entry.message;
        let terms = self.role.terms().cloned();
        let own = self.own_hop().cloned();
        let mut publish = self.publish_of(entry, terms.as_deref(), own.as_deref());
        let topic = publish.topic;
        let mut hide_topic = false;
        if self.version == Version::V5 {
            // By the topic here: what a bridge makes of it depends on nothing else.
            (publish.topic_alias, hide_topic) = self.outbound_aliases.alias_for(message.topic());
        }
        if hide_topic {
            publish.topic_prefix = "";
            publish.topic = "";
        } else if publish.topic_alias.is_some()
            && encode::publish_len(self.version, &publish) > self.max_packet as usize
        {
            // The client does not learn this alias, so no further ones may be sent.
            self.outbound_aliases = super::OutboundAliases::new(0);
            publish.topic_alias = None;
        }
        let before = out.len();
        let mut apart = 0;
        if is_large(entry) {
            if encode::publish_head(out, self.version, &publish, 0) {
                apart = publish.payload.len();
                self.payload = Some(LargePayload::new(message));
            }
        } else {
            encode::publish(out, self.version, &publish);
        }
        let bytes = out.len() - before + apart;
        self.statistics.delivered(entry, bytes);
        if self.permissions.are_limited() {
            self.statistics.decided(AclAction::Deliver, Effect::Allow);
        }
        packets::delivered(&self.handle.client_id, &publish, topic, bytes);
        if let Some(trace) = &message.trace {
            let step = Step::Sent { to: self.principal.address, again: entry.may_have_been_sent() };
            trace.progressed(entry.delivery, step);
            if entry.qos == QoS::AtMostOnce {
                trace.delivered(entry.delivery, End::Sent);
            }
        }
    }
}

fn is_large(entry: &Entry) -> bool {
    entry.message.payload().len() >= LARGE
}

/// The remaining message expiry interval in seconds, at least 1: the caller has checked that
/// the message has not expired.
fn seconds_left(expires_at: WallMillis, now: WallMillis) -> u32 {
    let left = expires_at.0.saturating_sub(now.0).div_ceil(1000).max(1);
    u32::try_from(left).unwrap_or(u32::MAX)
}
