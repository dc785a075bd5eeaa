//! Accepts or refuses a PUBLISH, and makes its message.

use std::sync::Arc;

use super::{Broker, SessionHandle, Step, Way};
use crate::message::{Message, MessageHead, Wake, WallMillis};
use crate::protocol::{QoS, ReasonCode, hops};
use crate::router::Routes;
use crate::telemetry::{AclAction, DropReason};

/// A message to be published.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The topic name, without an alias.
    pub topic: &'a str,
    /// Encoded v5 properties, as in [`Message::properties`].
    pub properties: &'a [u8],
    /// The application payload.
    pub payload: &'a [u8],
    /// The QoS of the publish.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// When it expires, from the Message Expiry Interval.
    pub expires_at: Option<WallMillis>,
    /// True for a copy of a retained message, for a new subscription.
    pub is_copy: bool,
}

impl Broker {
    /// Makes the message, unless it has to be refused.
    ///
    /// # Errors
    /// The reason code for the publisher: 0x97 if a receiver's queue or the memory for it is
    /// full.
    pub fn prepare(
        &self,
        publication: &Publication<'_>,
        routes: &Routes<Arc<SessionHandle>>,
        publisher: Option<&Arc<Wake>>,
        step: &Step,
    ) -> Result<Arc<Message>, ReasonCode> {
        if publication.qos > QoS::AtMostOnce {
            let passed = hops::split(publication.properties).0;
            for receiver in routes.receivers.iter().filter(|of| of.qos > QoS::AtMostOnce) {
                let size = publication.payload.len() as u64;
                let no_memory =
                    || receiver.handle.is_memory_only() && !self.may_hold(&receiver.handle, size);
                if receiver.handle.is_full() && !receiver.handle.leads_back(passed) {
                    return Err(ReasonCode::QuotaExceeded);
                }
                if no_memory() {
                    self.gives_way(Way::Refused, 1);
                    return Err(ReasonCode::QuotaExceeded);
                }
            }
        }
        Ok(self.message_of(publication, routes, publisher, step))
    }

    /// Makes the message of a publication that cannot be refused. Receivers without room do
    /// not get it; all others do.
    pub(super) fn message_of(
        &self,
        publication: &Publication<'_>,
        routes: &Routes<Arc<SessionHandle>>,
        publisher: Option<&Arc<Wake>>,
        step: &Step,
    ) -> Arc<Message> {
        let is_kept = publication.qos > QoS::AtMostOnce;
        let kept = || {
            let receivers = routes.receivers.iter();
            receivers.filter(move |receiver| is_kept && receiver.qos > QoS::AtMostOnce)
        };
        let slots = kept().count();
        let head = MessageHead {
            id: self.ids.message(),
            qos: publication.qos,
            retain: publication.retain,
            published_at: step.now.wall,
            expires_at: publication.expires_at,
        };
        let waits = is_kept && self.persistence.waits();
        let mut message = Message::new(
            head,
            publication.topic,
            publication.properties,
            publication.payload,
            slots,
            publisher.filter(|_| waits).cloned(),
        );
        message.is_kept = publication.retain && !publication.is_copy && waits;
        if kept().any(|receiver| receiver.share.is_some()) {
            message.shares = Some(kept().map(|receiver| receiver.share.clone()).collect());
        }
        if routes.not_authorized > 0 {
            let count = routes.not_authorized as u64;
            self.metrics.messages.dropped.add(DropReason::NotAuthorized, count);
            self.metrics.access.denied.add(AclAction::Deliver, count);
        }
        self.begin_trace(&mut message, publisher.is_some(), step.now);
        message.charge_to(self.metrics.messages.memory);
        // Here and not by the callers: it is large, and each move is a copy.
        Arc::new(message)
    }
}
