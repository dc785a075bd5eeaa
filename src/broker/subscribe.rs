//! SUBSCRIBE and UNSUBSCRIBE, and the way from a topic to its receivers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Broker, SessionHandle, Turn};
use crate::message::SessionId;
use crate::protocol::{QoS, ReasonCode, RetainHandling, SubscribeFilter, TopicFilter};
use crate::router::{Receiver, Routes, Subscription};
use crate::session::Subscribed;
use crate::store::{Op, SubscriptionRecord};

impl Broker {
    /// One line of a SUBSCRIBE by connection `epoch`: the reason code for the
    /// SUBACK.
    pub fn subscribe(
        &self,
        handle: &Arc<SessionHandle>,
        epoch: u64,
        line: &SubscribeFilter,
        identifier: Option<u32>,
        turn: &mut Turn,
    ) -> ReasonCode {
        let SubscribeFilter { filter, options } = line;
        if filter.levels().count() > self.settings.max_topic_levels {
            return ReasonCode::TopicFilterInvalid;
        }
        let subscribed = Subscribed { options: *options, identifier };
        let is_new = {
            let mut session = handle.lock();
            if !session.life.is_held_by(epoch) {
                return ReasonCode::UnspecifiedError;
            }
            let known = session.subscriptions.contains_key(filter.as_str());
            let no_room = session.durable && self.persistence.is_full();
            if !known && (no_room || session.subscriptions.len() >= self.settings.max_subscriptions)
            {
                return ReasonCode::QuotaExceeded;
            }
            session.subscriptions.insert(filter.as_str().into(), subscribed);
            // Under the session's lock, so that the end of the session cannot come
            // in between and leave a subscription behind.
            self.enroute(filter, handle, subscribed);
            if session.durable {
                turn.write(subscribe_op(session.id, filter.as_str(), subscribed));
            }
            !known
        };
        let wanted = match options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => is_new,
            RetainHandling::Never => false,
        };
        // Retained messages are not sent to shared subscriptions (v5, 4.8.2).
        if wanted && filter.shared().is_none() {
            self.send_retained(handle, filter, subscribed, turn);
        }
        match options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    /// One line of an UNSUBSCRIBE by connection `epoch`.
    pub fn unsubscribe(
        &self,
        handle: &Arc<SessionHandle>,
        epoch: u64,
        filter: &TopicFilter,
        turn: &mut Turn,
    ) -> ReasonCode {
        let mut session = handle.lock();
        if !session.life.is_held_by(epoch) {
            return ReasonCode::UnspecifiedError;
        }
        if session.subscriptions.remove(filter.as_str()).is_none() {
            return ReasonCode::NoSubscriptionExisted;
        }
        self.unroute(session.id, [filter.as_str()]);
        if session.durable {
            turn.write(Op::Unsubscribe(session.id, filter.as_str().into()));
        }
        ReasonCode::Success
    }

    /// Finds the receivers of a topic.
    pub fn route(
        &self,
        topic: &str,
        publisher: Option<SessionId>,
        routes: &mut Routes<Arc<SessionHandle>>,
    ) {
        self.router.read().route(topic, publisher, routes, |handle| handle.is_online());
    }

    pub(super) fn enroute(
        &self,
        filter: &TopicFilter,
        handle: &Arc<SessionHandle>,
        subscribed: Subscribed,
    ) {
        let subscription =
            Subscription { options: subscribed.options, identifier: subscribed.identifier };
        let mut router = self.router.write();
        if router.subscribe(filter, handle.id, Arc::clone(handle), subscription) {
            self.metrics.sessions.subscriptions.inc();
        }
        self.generation.store(router.generation(), Ordering::Release);
    }

    pub(super) fn unroute(
        &self,
        session: SessionId,
        filters: impl IntoIterator<Item = impl AsRef<str>>,
    ) {
        let mut router = self.router.write();
        for filter in filters {
            let Ok(filter) = TopicFilter::new(filter.as_ref()) else { continue };
            if router.unsubscribe(&filter, session) {
                self.metrics.sessions.subscriptions.dec();
            }
        }
        self.generation.store(router.generation(), Ordering::Release);
    }

    /// Retained messages that a new subscription matches [MQTT-3.3.1-9].
    fn send_retained(
        &self,
        handle: &Arc<SessionHandle>,
        filter: &TopicFilter,
        subscribed: Subscribed,
        turn: &mut Turn,
    ) {
        for retained in self.retained_matching(filter.matched(), turn.now.wall) {
            let mut routes = Routes::new();
            routes.receivers.push(Receiver {
                session: handle.id,
                handle: Arc::clone(handle),
                qos: subscribed.options.qos,
                // What was retained is marked as such, whatever the option says.
                retain_as_published: true,
                identifiers: subscribed.identifier.into_iter().collect(),
                share: None,
            });
            let publication = super::Publication {
                topic: &retained.topic,
                properties: &retained.properties,
                payload: &retained.payload,
                qos: retained.qos,
                retain: true,
                expires_at: retained.expires_at,
                is_copy: true,
                incoming: None,
            };
            match self.prepare(&publication, &routes, None, turn) {
                Ok(prepared) => self.deliver(&prepared, &routes, turn),
                // Its own queue is full: what is retained stays retained, and the
                // next subscribe finds it again.
                Err(_) => {
                    self.metrics.messages.dropped.add(crate::telemetry::DropReason::QueueFull, 1);
                }
            }
        }
    }
}

pub(super) fn subscribe_op(session: SessionId, filter: &str, subscribed: Subscribed) -> Op {
    Op::Subscribe(
        session,
        Box::new(SubscriptionRecord {
            filter: filter.into(),
            options: subscribed.options,
            identifier: subscribed.identifier,
        }),
    )
}
