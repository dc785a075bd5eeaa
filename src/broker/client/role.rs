//! The role of this broker on a connection, and what only the dialling end does: it updates
//! the subscriptions of its own session, subscribes at the other end before any delivery, and
//! sends PINGREQ. Everything else is the same for both roles: the deliveries of a session are
//! publishes to the other end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::bridged::Pace;
use super::work::Work;
use super::{Client, Close};
use crate::broker::bridge::BridgeTerms;
use crate::message::{CommitNo, DeliveryId};
use crate::protocol::{
    ConnAck, Disconnect, PacketId, PublishOut, QoS, ReasonCode, SubAck, Subscribe, SubscribeFilter,
    TopicName, Version, encode,
};
use crate::store::Change;
use crate::telemetry::PacketType;

/// The most filters in one SUBSCRIBE: the limit of the large cloud services.
const FILTERS_AT_ONCE: usize = 8;

/// What a dialled connection forwards in each direction.
#[derive(Debug, Clone, Default)]
pub struct Dialled {
    /// The session's subscriptions at this broker, whose messages are sent to the other end.
    pub forward: Vec<SubscribeFilter>,
    /// The subscriptions at the other end, whose messages are published at this broker.
    pub subscribe: Vec<SubscribeFilter>,
    /// What is shared by all connections of the bridge.
    pub terms: Arc<BridgeTerms>,
    /// Published at the other end as soon as it has granted the subscriptions.
    pub notice: Option<Notice>,
}

/// A retained message at QoS 0 that is no message of this broker: `1` at
/// `bridges.NAME.notification_topic`.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its topic at the other end.
    pub topic: TopicName,
    /// Its payload.
    pub payload: &'static [u8],
}

/// The role of this broker on the connection.
#[derive(Debug)]
pub(super) enum Role {
    /// The other end has sent CONNECT.
    Accepted,
    /// This broker has sent CONNECT.
    Dialled(Box<Dialling>),
}

/// The state of a dialled connection.
#[allow(clippy::struct_excessive_bools)] // What has happened, and what may.
#[derive(Debug)]
pub(super) struct Dialling {
    /// Changes to the session at this broker that come before anything is sent.
    local: VecDeque<Local>,
    subscribe: VecDeque<Vec<SubscribeFilter>>,
    /// The commit that says that the session is connected. Until then a crash would take what was
    /// sent for unsent, send it without DUP, or let it expire.
    attached_by: CommitNo,
    /// The SUBSCRIBE that was sent, and the deadline of its SUBACK.
    asked: Option<(PacketId, Vec<SubscribeFilter>, Instant)>,
    pings: bool,
    retains: bool,
    pub(super) terms: Arc<BridgeTerms>,
    /// What is sent is limited by these.
    pub(super) pace: Pace,
    /// The message for which the other end has closed its connections, and its reason.
    pub(super) condemned: Option<(DeliveryId, ReasonCode)>,
    /// True once the other end has acknowledged a message.
    pub(super) is_progressing: bool,
    /// True once a message of QoS 0 was sent.
    pub(super) has_sent_qos0: bool,
    /// The reason in the DISCONNECT of the other end, which may be about a message.
    pub(super) left_with: Option<ReasonCode>,
    /// The message that makes the bridge's state known at the other end.
    notice: Option<Notice>,
    /// The other end has a will that takes it back.
    has_will: bool,
}

/// One change to the session at this broker.
#[derive(Debug)]
enum Local {
    /// The other end has no session state, so its packet identifiers start again.
    DiscardIncoming,
    /// Unsubscribes from all other filters, and subscribes to these.
    Subscribe(Vec<SubscribeFilter>),
}

impl Role {
    pub(super) fn dialling(&mut self) -> Option<&mut Dialling> {
        match self {
            Self::Accepted => None,
            Self::Dialled(dialling) => Some(dialling),
        }
    }

    pub(super) fn is_dialled(&self) -> bool {
        matches!(self, Self::Dialled(_))
    }

    /// True if deliveries have to wait for a SUBACK or for the SUBSCRIBE before it.
    pub(super) fn holds_deliveries(&self) -> bool {
        match self {
            Self::Accepted => false,
            Self::Dialled(dialling) => {
                !dialling.local.is_empty()
                    || !dialling.subscribe.is_empty()
                    || dialling.asked.is_some()
            }
        }
    }

    /// True if the other end may be sent the RETAIN flag [MQTT-3.2.2-14].
    pub(super) fn may_retain(&self) -> bool {
        match self {
            Self::Accepted => true,
            Self::Dialled(dialling) => dialling.retains,
        }
    }

    /// False until the commit that says that the session is connected; see [`Client::dialled`]. A
    /// client that has dialled this broker awaits its CONNACK instead.
    pub(super) fn is_attached(&self, committed: CommitNo) -> bool {
        match self {
            Self::Accepted => true,
            Self::Dialled(dialling) => dialling.attached_by <= committed,
        }
    }

    /// The deadline of the SUBACK.
    pub(super) fn answer_by(&self) -> Option<Instant> {
        match self {
            Self::Accepted => None,
            Self::Dialled(dialling) => dialling.asked.as_ref().map(|(_, _, by)| *by),
        }
    }
}

impl Client {
    /// Makes this a connection that the broker has dialled; `connack` is the server's answer, and
    /// nothing is delivered before `gate` is committed.
    pub fn dialled(&mut self, connack: &ConnAck, dialled: Dialled, gate: CommitNo) {
        let condemned = dialled.terms.refusals.lock().condemned();
        let mut local = VecDeque::new();
        if !connack.session_present {
            local.push_back(Local::DiscardIncoming);
        }
        local.push_back(Local::Subscribe(dialled.forward));
        let chunks = dialled.subscribe.chunks(FILTERS_AT_ONCE).map(<[_]>::to_vec);
        self.role = Role::Dialled(Box::new(Dialling {
            local,
            subscribe: chunks.collect(),
            attached_by: gate,
            asked: None,
            pings: false,
            retains: connack.retain_available.unwrap_or(true),
            pace: Pace::default(),
            condemned,
            is_progressing: false,
            has_sent_qos0: false,
            left_with: None,
            has_will: dialled.notice.is_some(),
            notice: dialled.notice,
            terms: dialled.terms,
        }));
        self.other_broker = super::bridged::broker_of(&connack.user_properties);
        self.handle.set_other_broker(self.other_broker.as_deref());
        self.resumed = true;
        // A message of the server is never refused for lack of room: it is held instead.
        self.back_pressure = true;
        self.wake.set_back_pressure(true);
    }

    /// Sends a PINGREQ with the next output.
    pub fn ping(&mut self) {
        if let Some(dialling) = self.role.dialling() {
            dialling.pings = true;
        }
    }

    /// Updates the session at this broker, as far as the budget allows.
    pub(super) fn continue_opening(&mut self) {
        while self.work.is_none()
            && let Some(local) = self.role.dialling().and_then(|it| it.local.pop_front())
        {
            match local {
                Local::DiscardIncoming => self.discard_incoming(),
                Local::Subscribe(filters) => self.subscribe_to_exactly(filters),
            }
        }
    }

    fn discard_incoming(&mut self) {
        let mut session = self.handle.lock();
        let durable = session.durable;
        for packet_id in session.incoming.take_all() {
            if durable {
                self.step.change(Change::CloseIncoming(session.id, packet_id));
            }
        }
    }

    pub(super) fn subscribe_to_exactly(&mut self, filters: Vec<SubscribeFilter>) {
        let known: Vec<_> = self.handle.look().subscriptions.keys().cloned().collect();
        let is_wanted = |known: &str| filters.iter().any(|line| line.filter.as_str() == known);
        for filter in known.iter().filter(|known| !is_wanted(known)) {
            if let Ok(filter) = crate::protocol::TopicFilter::new(filter) {
                self.broker.unsubscribe(&self.handle, &filter, &mut self.step);
            }
        }
        if !filters.is_empty() {
            // No SUBACK is sent for this, so the packet identifier has no meaning.
            let subscribe = Subscribe {
                packet_id: PacketId::FIRST,
                subscription_id: None,
                filters,
                user_properties: Vec::new(),
            };
            self.start(Work::subscribe(subscribe, false));
        }
    }

    /// Sends PINGREQ and SUBSCRIBE.
    ///
    /// # Errors
    /// The server accepts no packet as large as a SUBSCRIBE of one filter.
    pub(super) fn pump_dialled(&mut self, out: &mut BytesMut) -> Result<(), Close> {
        let Some(dialling) = self.role.dialling() else { return Ok(()) };
        if std::mem::take(&mut dialling.pings) {
            encode::pingreq(out);
            self.sent(PacketType::PingReq, None, ReasonCode::Success, 2);
        }
        if !self.role.holds_deliveries() {
            self.send_notice(out);
        }
        while let Some(filters) = self.next_to_subscribe() {
            // Nothing is delivered before the SUBACK, so no delivery has this identifier.
            let Some(packet_id) = self.handle.lock().draw_free_packet_id() else {
                self.subscribe_later(filters);
                return Ok(());
            };
            let mut subscribe = Subscribe {
                packet_id,
                subscription_id: None,
                filters,
                user_properties: Vec::new(),
            };
            let before = out.len();
            encode::subscribe(out, self.version, &subscribe);
            let bytes = out.len() - before;
            if bytes > self.max_packet as usize {
                out.truncate(before);
                if subscribe.filters.len() < 2 {
                    return Err(Close::Error(
                        ReasonCode::PacketTooLarge,
                        "the server accepts no packet as large as a SUBSCRIBE",
                    ));
                }
                let rest = subscribe.filters.split_off(subscribe.filters.len() / 2);
                self.subscribe_later(rest);
                self.subscribe_later(subscribe.filters);
                continue;
            }
            self.sent(PacketType::Subscribe, Some(packet_id), ReasonCode::Success, bytes);
            let by = self.step.now.instant + self.broker.connect_settings().connect_timeout;
            if let Some(dialling) = self.role.dialling() {
                dialling.asked = Some((packet_id, subscribe.filters, by));
            }
        }
        Ok(())
    }

    fn send_notice(&mut self, out: &mut BytesMut) {
        let Some(Notice { topic, payload }) =
            self.role.dialling().and_then(|dialling| dialling.notice.take())
        else {
            return;
        };
        let before = out.len();
        let publish = PublishOut {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: self.role.may_retain(),
            packet_id: None,
            hops: None,
            topic_prefix: "",
            topic: topic.as_str(),
            topic_alias: None,
            expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload,
        };
        encode::publish(out, self.version, &publish);
        self.sent(PacketType::Publish, None, ReasonCode::Success, out.len() - before);
    }

    /// The filters of the next SUBSCRIBE, unless a SUBACK is awaited.
    fn next_to_subscribe(&mut self) -> Option<Vec<SubscribeFilter>> {
        let dialling = self.role.dialling().filter(|dialling| dialling.asked.is_none())?;
        dialling.subscribe.pop_front()
    }

    fn subscribe_later(&mut self, filters: Vec<SubscribeFilter>) {
        if let Some(dialling) = self.role.dialling() {
            dialling.subscribe.push_front(filters);
        }
    }

    /// # Errors
    /// The SUBACK does not match the SUBSCRIBE that was sent.
    pub(super) fn on_suback(&mut self, suback: &SubAck) -> Result<(), Close> {
        let asked = self.role.dialling().and_then(|dialling| dialling.asked.take());
        let Some((packet_id, filters, _)) = asked else { return Err(UNASKED) };
        if packet_id != suback.packet_id || filters.len() != suback.reasons.len() {
            return Err(UNASKED);
        }
        for (line, reason) in filters.iter().zip(&suback.reasons) {
            let (client_id, filter) = (&*self.handle.client_id, line.filter.as_str());
            let server = self.principal.address;
            if reason.is_failure() {
                tracing::warn!(client_id, filter, ?reason, %server, "the server refused a subscription");
            } else if *reason != granted(line.options.qos) {
                tracing::warn!(
                    client_id, filter, ?reason, %server,
                    "the server grants another QoS than was asked for"
                );
            }
        }
        // The next SUBSCRIBE or the first delivery may be sent.
        self.look = true;
        Ok(())
    }

    /// The server has sent DISCONNECT.
    pub(super) fn on_server_disconnect(&mut self, disconnect: &Disconnect) -> Close {
        if let Some(dialling) = self.role.dialling() {
            dialling.left_with = Some(disconnect.reason);
        }
        tracing::info!(
            client_id = &*self.handle.client_id, reason = ?disconnect.reason,
            detail = disconnect.reason_string.as_deref(), server = %self.principal.address,
            "the server ends the connection"
        );
        Close::Lost("the server sent DISCONNECT")
    }

    /// The DISCONNECT to a server. Some reason codes may be sent by servers only (v5,
    /// 3.14.2.1). Whatever the reason, the bridge is away from now on, so the server has to
    /// publish its will; one of 3.1.1 would not after a DISCONNECT [MQTT-3.1.2-10].
    pub(super) fn disconnect_from_server(&self, reason: ReasonCode, out: &mut BytesMut) {
        let has_will = matches!(&self.role, Role::Dialled(dialling) if dialling.has_will);
        if has_will && self.version != Version::V5 {
            return;
        }
        let reason = match reason {
            ReasonCode::ServerShuttingDown
            | ReasonCode::SessionTakenOver
            | ReasonCode::KeepAliveTimeout => ReasonCode::DisconnectWithWill,
            ReasonCode::NotAuthorized => ReasonCode::ImplementationSpecificError,
            other => other,
        };
        encode::disconnect(out, self.version, &Disconnect { reason, ..Disconnect::default() });
    }
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

const UNASKED: Close = Close::Error(
    ReasonCode::ProtocolError,
    "a SUBACK that answers no SUBSCRIBE of this connection",
);
