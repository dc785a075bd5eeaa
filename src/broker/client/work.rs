//! Packets whose work exceeds one poll: a PUBLISH with many receivers, a SUBSCRIBE that
//! matches many retained messages, long lists of filters. The work continues over several
//! polls, and no later packet is handled meanwhile.
//!
//! The changes of a packet are submitted together when its work is done, so a packet is never
//! half committed.

use std::sync::Arc;

use super::{Client, Pending, Reply};
use crate::auth::acl::Origin;
use crate::broker::budget::{NODE, RECEIVER};
use crate::broker::{Budget, Fanout};
use crate::message::Message;
use crate::protocol::{QoS, ReasonCode, RetainHandling, SubAck, Subscribe, UnsubAck, Unsubscribe};
use crate::router::Walk;
use crate::session::Subscribed;
use crate::store::RetainedRecord;

/// A packet whose work has begun.
#[derive(Debug)]
pub(super) enum Work {
    /// A message that may be in the queues of some receivers.
    Publish {
        /// The fan-out to the receivers in `Client::routes`.
        fanout: Fanout,
        /// The reply to its publisher; none at QoS 0.
        reply: Option<Pending>,
    },
    /// A SUBSCRIBE: its filters in order, each with its retained messages.
    Subscribe(Box<Subscribing>),
    /// An UNSUBSCRIBE, with the reason codes of the filters that are done.
    Unsubscribe(Unsubscribe, Vec<ReasonCode>),
}

/// A SUBSCRIBE that has begun.
#[derive(Debug)]
pub(super) struct Subscribing {
    subscribe: Subscribe,
    /// The reason codes of the filters that are done.
    reasons: Vec<ReasonCode>,
    /// Why the first filter was refused that the client may not subscribe to.
    denied: Option<Origin>,
    /// True if the other end has sent it and gets a SUBACK.
    answers: bool,
    /// Retained messages found for the last of those filters and not yet sent.
    retained: std::vec::IntoIter<Arc<RetainedRecord>>,
    /// The search for more retained messages.
    search: Option<Walk>,
}

impl Work {
    /// A SUBSCRIBE. `answers`: the other end has sent it.
    pub(super) fn subscribe(subscribe: Subscribe, answers: bool) -> Self {
        let (reasons, denied, search) = (Vec::new(), None, None);
        let retained = Vec::new().into_iter();
        let begun = Subscribing { subscribe, reasons, denied, answers, retained, search };
        Self::Subscribe(Box::new(begun))
    }
}

impl Client {
    /// Begins a packet's work and does as much of it as the budget allows.
    pub(super) fn start(&mut self, work: Work) {
        if let Some(more) = self.advance(work) {
            self.work = Some(Box::new(more));
        }
    }

    /// Delivers what the client has published to the receivers in `Client::routes`.
    pub(super) fn fan_out(&mut self, message: Arc<Message>, reply: Option<Pending>) {
        let fanout = self.broker.begin_fanout(message, false);
        if let Some(more) = self.fan_out_some(fanout, reply) {
            self.work = Some(Box::new(more));
        }
    }

    fn fan_out_some(&mut self, mut fanout: Fanout, reply: Option<Pending>) -> Option<Work> {
        let (routes, step) = (&self.routes, &mut self.step);
        if !self.broker.fan_out(&mut fanout, routes, step, &mut self.budget) {
            return Some(Work::Publish { fanout, reply });
        }
        if let Some(reply) = reply {
            self.pending.push(reply);
        }
        None
    }

    /// Continues the work of a packet that the last poll could not finish.
    pub fn go_on(&mut self) {
        if let Some(work) = self.work.take() {
            self.start(*work);
        }
        self.continue_opening();
    }

    /// Finishes the work, in turns with other tasks. Work that has begun must be completed
    /// even if the connection ends.
    pub(super) async fn finish_work(&mut self) {
        let mut turn = None;
        while self.work.is_some() {
            self.budget = Budget::of_long_poll();
            self.go_on();
            self.step.notify();
            if self.work.is_some() {
                self.broker.turns.pause(&mut turn).await;
            }
        }
    }

    pub(super) fn on_subscribe(&mut self, mut subscribe: Subscribe) {
        if self.is_bridge {
            for line in &mut subscribe.filters {
                line.options.no_local = true;
                line.options.retain_as_published = true;
            }
        }
        self.routed = None;
        self.start(Work::subscribe(subscribe, true));
    }

    /// True while a SUBSCRIBE is in progress, at either end. Its messages are sent after its
    /// SUBACK: [MQTT-3.8.4] permits less, but clients rely on it.
    pub(super) fn is_subscribing(&self) -> bool {
        matches!(self.work.as_deref(), Some(Work::Subscribe(_))) || self.role.holds_deliveries()
    }

    pub(super) fn on_unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        self.start(Work::Unsubscribe(unsubscribe, Vec::new()));
    }

    /// Continues the work. Returns it if the budget is spent before it is done.
    fn advance(&mut self, work: Work) -> Option<Work> {
        match work {
            Work::Publish { fanout, reply } => self.fan_out_some(fanout, reply),
            Work::Subscribe(mut subscribing) => {
                while !self.budget.is_spent() {
                    if self.subscribe_some(&mut subscribing) {
                        self.answer_subscribe(*subscribing);
                        return None;
                    }
                }
                Some(Work::Subscribe(subscribing))
            }
            Work::Unsubscribe(unsubscribe, mut reasons) => {
                while let Some(filter) = unsubscribe.filters.get(reasons.len()) {
                    if self.budget.is_spent() {
                        return Some(Work::Unsubscribe(unsubscribe, reasons));
                    }
                    self.budget.spend(NODE * (1 + filter.levels().count()));
                    reasons.push(self.broker.unsubscribe(&self.handle, filter, &mut self.step));
                }
                let unsub_ack = UnsubAck {
                    packet_id: unsubscribe.packet_id,
                    reasons,
                    reason_string: None,
                    user_properties: Vec::new(),
                };
                self.push_when_written(Reply::UnsubAck(Box::new(unsub_ack)));
                None
            }
        }
    }

    /// Handles the next retained message, or else continues the search, or else takes the next
    /// filter. True: all is done.
    fn subscribe_some(&mut self, subscribing: &mut Subscribing) -> bool {
        let Subscribing { subscribe, reasons, denied, retained, search, .. } = subscribing;
        let done = reasons.len();
        self.budget.spend(RECEIVER);
        if self.wake.revoked().is_some() {
            // Another task waits for the end of this step, so retained messages are skipped.
            // Without its SUBACK the client subscribes again and then gets them, except with
            // Retain Handling 1 and an existing subscription. Therefore that subscription is
            // removed.
            let is_unfinished = retained.len() > 0 || search.is_some();
            (*retained, *search) = (Vec::new().into_iter(), None);
            let line = done.checked_sub(1).and_then(|last| subscribe.filters.get(last));
            if let Some(line) = line.filter(|_| is_unfinished)
                && line.options.retain_handling == RetainHandling::IfNew
            {
                self.broker.unsubscribe(&self.handle, &line.filter, &mut self.step);
                if let Some(reason) = reasons.last_mut() {
                    *reason = ReasonCode::UnspecifiedError;
                }
            }
        }
        if let Some(record) = retained.next() {
            if self.may_receive_retained(&record.topic)
                && self.broker.retained.is_current(&record)
                && let Some(line) = done.checked_sub(1).and_then(|last| subscribe.filters.get(last))
            {
                let mut options = line.options;
                options.qos = options.qos.min(granted_qos(reasons.last()));
                let subscribed = Subscribed { options, identifier: subscribe.subscription_id };
                self.broker.send_retained(&self.handle, subscribed, &record, &mut self.step);
            }
            return false;
        }
        if let Some(walk) = search {
            let mut found = Vec::new();
            let nodes = self.broker.retained.search(walk, self.step.now.wall, &mut found);
            self.budget.spend(NODE * nodes);
            if walk.is_done() {
                *search = None;
            }
            *retained = found.into_iter();
            return false;
        }
        let Some(line) = subscribe.filters.get(done) else { return true };
        self.budget.spend(NODE * line.filter.levels().count());
        reasons.push(match self.may_subscribe(&line.filter) {
            Ok(most) => {
                let mut line = line.clone();
                line.options.qos = line.options.qos.min(most);
                let identifier = subscribe.subscription_id;
                self.broker.subscribe(&self.handle, &line, identifier, search, &mut self.step)
            }
            Err(origin) => {
                denied.get_or_insert(origin);
                ReasonCode::NotAuthorized
            }
        });
        false
    }

    fn answer_subscribe(&mut self, subscribing: Subscribing) {
        self.tell_refused(&subscribing);
        if !subscribing.answers {
            self.look = true;
            return;
        }
        let sub_ack = SubAck {
            packet_id: subscribing.subscribe.packet_id,
            reasons: subscribing.reasons,
            reason_string: None,
            user_properties: Vec::new(),
        };
        self.push_when_written(Reply::SubAck(Box::new(sub_ack)));
    }

    /// Logs one line for each reason code, with the first filter that it refused.
    fn tell_refused(&self, subscribing: &Subscribing) {
        let mut told = Vec::new();
        for (line, reason) in subscribing.subscribe.filters.iter().zip(&subscribing.reasons) {
            if !reason.is_failure() || told.contains(reason) {
                continue;
            }
            told.push(*reason);
            let count = subscribing.reasons.iter().filter(|other| *other == reason).count();
            let (client_id, filter) = (&*self.handle.client_id, line.filter.as_str());
            let detail = self.why_refused(*reason);
            if let Some(origin) =
                subscribing.denied.filter(|_| *reason == ReasonCode::NotAuthorized)
            {
                tracing::warn!(
                    client_id, filter, count, ?reason, detail, decided_by = %origin,
                    "subscription refused"
                );
                continue;
            }
            tracing::warn!(client_id, filter, count, ?reason, detail, "subscription refused");
        }
    }

    /// The cause, with its configuration key if there is one.
    fn why_refused(&self, reason: ReasonCode) -> &'static str {
        match reason {
            ReasonCode::TopicFilterInvalid => {
                "the filter has more levels than mqtt.max_topic_levels"
            }
            ReasonCode::QuotaExceeded => {
                let subscriptions = self.handle.look().subscriptions.len();
                if !self.broker.may_hold(&self.handle, 0) {
                    "memory is short, and the client holds its share of limits.max_memory"
                } else if subscriptions >= self.broker.connect_settings().max_subscriptions {
                    "the session has as many subscriptions as session.max_subscriptions allows"
                } else {
                    "the disk has no room for a subscription of a durable session \
                     (persistence.max_size, or the volume)"
                }
            }
            ReasonCode::UnspecifiedError => {
                "another connection took the session over before what is retained was sent"
            }
            _ => "the access rules allow none of its topics",
        }
    }

    fn push_when_written(&mut self, reply: Reply) {
        let waits = self.broker.persistence.waits() && self.step.has_writes();
        self.pending.push(Pending::at_once(reply).and_this_step(waits));
    }
}

/// The QoS of a reason code in a SUBACK.
fn granted_qos(reason: Option<&ReasonCode>) -> QoS {
    match reason {
        Some(ReasonCode::GrantedQoS2) => QoS::ExactlyOnce,
        Some(ReasonCode::GrantedQoS1) => QoS::AtLeastOnce,
        _ => QoS::AtMostOnce,
    }
}
