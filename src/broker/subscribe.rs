//! SUBSCRIBE and UNSUBSCRIBE.

use std::sync::Arc;

use super::persistence::NoRoom;
use super::{Broker, SessionHandle, Step};
use crate::message::SessionId;
use crate::protocol::{QoS, ReasonCode, RetainHandling, SubscribeFilter, TopicFilter};
use crate::router::{Receiver, Routes, Walk};
use crate::session::{Subscribed, cost_of_subscription};
use crate::store::{Change, RetainedRecord, SubscriptionRecord};

impl Broker {
    /// Handles one filter of a SUBSCRIBE, under the session's permit. Returns the reason code
    /// for the SUBACK. If retained messages are to be sent, `retained` is set to the search
    /// for them.
    pub fn subscribe(
        &self,
        handle: &Arc<SessionHandle>,
        line: &SubscribeFilter,
        identifier: Option<u32>,
        retained: &mut Option<Walk>,
        step: &mut Step,
    ) -> ReasonCode {
        let SubscribeFilter { filter, options } = line;
        if filter.levels().count() > self.settings.max_topic_levels {
            return ReasonCode::TopicFilterInvalid;
        }
        let most = self.connect_settings().max_subscriptions;
        let subscribed = Subscribed { options: *options, identifier };
        let is_new = {
            let mut session = handle.lock();
            let known = session.subscriptions.contains_key(filter.as_str());
            if !known {
                if session.subscriptions.len() >= most {
                    return ReasonCode::QuotaExceeded;
                }
                match self.room_for_subscription(session.durable, filter.as_str()) {
                    Ok(promise) => step.keep(promise),
                    Err(NoRoom) => return ReasonCode::QuotaExceeded,
                }
            }
            if !known && !self.may_hold(handle, cost_of_subscription(filter.as_str())) {
                return ReasonCode::QuotaExceeded;
            }
            session.subscriptions.insert(filter.as_str().into(), subscribed);
            // Under the session's lock, so that the session cannot end in between and leave a
            // subscription in the router.
            self.subscriptions.insert(filter, handle, subscribed);
            if known {
                handle.notify_waiting_publishers();
            }
            if session.durable {
                step.change(subscribe_change(session.id, filter.as_str(), subscribed));
            }
            !known
        };
        self.note_member(filter);
        let wanted = match options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => is_new,
            RetainHandling::Never => false,
        };
        // A retained message is not sent to a shared subscription (v5, 4.8.2).
        if wanted && filter.shared().is_none() {
            *retained = Some(self.retained.walk(filter.matched()));
        }
        match options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    /// Handles one filter of an UNSUBSCRIBE, under the session's permit.
    pub fn unsubscribe(
        &self,
        handle: &Arc<SessionHandle>,
        filter: &TopicFilter,
        step: &mut Step,
    ) -> ReasonCode {
        let mut session = handle.lock();
        if session.subscriptions.remove(filter.as_str()).is_none() {
            return ReasonCode::NoSubscriptionExisted;
        }
        self.subscriptions.remove(session.id, [filter.as_str()]);
        handle.notify_waiting_publishers();
        if session.durable {
            step.change(Change::Unsubscribe(session.id, filter.as_str().into()));
        }
        ReasonCode::Success
    }

    /// Sends one retained message to a new subscription that matches it [MQTT-3.3.1-9].
    pub fn send_retained(
        &self,
        handle: &Arc<SessionHandle>,
        subscribed: Subscribed,
        retained: &RetainedRecord,
        step: &mut Step,
    ) {
        let mut routes = Routes::new();
        routes.receivers.push(Receiver {
            session: handle.id,
            handle: Arc::clone(handle),
            qos: subscribed.options.qos,
            // A retained message keeps its RETAIN flag, whatever the option says.
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
        };
        // If the queue is full, the message stays retained, and the next SUBSCRIBE finds it.
        let message = self.message_of(&publication, &routes, None, step);
        self.deliver_at_once(message, &routes, step);
    }
}

pub(super) fn subscribe_change(session: SessionId, filter: &str, subscribed: Subscribed) -> Change {
    Change::Subscribe(
        session,
        Box::new(SubscriptionRecord {
            filter: filter.into(),
            options: subscribed.options,
            identifier: subscribed.identifier,
        }),
    )
}
