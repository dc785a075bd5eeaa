//! What the dialling end of a bridge does with deliveries: topics on their way out and in, the
//! rate at which it sends, and messages that the other end refuses.
//!
//! A refused message becomes a dead letter in the step that deletes its delivery, so that it is
//! in one of both places after a crash. What is decided about a refusal is in
//! [`Refusals`](crate::broker::bridge::Refusals).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::close::{CLOSED_BY_PEER, RESET_BY_PEER};
use super::role::Role;
use super::{Client, Close};
use crate::broker::bridge::{BridgeTerms, OnRefused, Verdict, Window};
use crate::broker::{Budget, DisconnectKind, Refusal, traced};
use crate::message::{DeliveryId, End, Message};
use crate::protocol::{PacketId, QoS, ReasonCode, SubscribeFilter, UserProperty, hops};
use crate::router::{MapError, Mapped};
use crate::session::{Entry, Fit, Outgoing};
use crate::telemetry::DropReason;
use crate::token_bucket::TokenBucket;

/// False for reasons that have to do with the connection only.
fn is_about_a_message(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::UnspecifiedError
            | ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::NotAuthorized
            | ReasonCode::TopicNameInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::QuotaExceeded
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QoSNotSupported
    )
}

/// The identifier that a broker of this kind has sent in CONNECT or CONNACK.
pub(super) fn broker_of(properties: &[UserProperty]) -> Option<Box<str>> {
    let named = properties.iter().find(|(name, _)| name == hops::BROKER);
    named.map(|(_, value)| value.as_str()).filter(|id| id.len() <= LONGEST_ID).map(Into::into)
}

/// Bytes of a broker's identifier. Those of this version have 16.
const LONGEST_ID: usize = 64;

const STOPPED: Close =
    Close::Lost("the other end refuses a message, before which the bridge stops");

/// The bridge stops before this message.
fn stop(terms: &BridgeTerms, message: Option<&Message>, reason: ReasonCode) -> Close {
    let name = &*terms.name;
    tracing::warn!(
        bridge = name,
        topic = message.map(Message::topic),
        ?reason,
        "the other end refuses a message, and the bridge stops before it: POST \
         /api/v1/bridges/{name}/resume sends it again, and with on_refused = \"dead-letter\" it \
         becomes a dead letter"
    );
    terms.refusals.lock().stop(reason);
    STOPPED
}

/// Why a delivery can never be sent to the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Obstacle {
    /// The other end closes its connections for it, with this reason if it gives one.
    #[error("the other end closes the connection for it")]
    Condemned(ReasonCode),
    /// It has no topic at the other end.
    #[error("{0}")]
    Topic(MapError),
    /// It is too large.
    #[error("larger than the Maximum Packet Size of the other end")]
    Size,
}

impl Obstacle {
    /// The reason code that says it.
    fn reason(self) -> ReasonCode {
        match self {
            Self::Condemned(reason) => reason,
            Self::Topic(_) => ReasonCode::TopicNameInvalid,
            Self::Size => ReasonCode::PacketTooLarge,
        }
    }

    /// The same; `None` if the other end gave none.
    fn given(self) -> Option<ReasonCode> {
        Some(self.reason()).filter(|reason| *reason != ReasonCode::UnspecifiedError)
    }
}

/// The topic is what it is here.
fn unchanged(topic: &str) -> Mapped<'_> {
    Mapped { prefix: "", rest: topic, qos: QoS::ExactlyOnce, retain: true }
}

/// How a message of this topic leaves. One that cannot leave is not asked about: see
/// [`Role::obstacle`].
pub(super) fn sent_as<'a>(terms: Option<&'a BridgeTerms>, topic: &'a str) -> Mapped<'a> {
    let map = terms.and_then(|terms| terms.forward.as_ref());
    map.and_then(|map| map.map(topic).ok()).unwrap_or_else(|| unchanged(topic))
}

/// The tokens of `bridges.NAME.max_rate`.
#[derive(Debug, Default)]
pub(super) struct Pace {
    messages: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
    /// When deliveries go on.
    resumes_at: Option<Instant>,
}

impl Pace {
    /// How long the next delivery has to wait.
    fn wait(&mut self, terms: &BridgeTerms, now: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        let rates = [(&mut self.messages, terms.message_rate), (&mut self.bytes, terms.byte_rate)];
        for (bucket, rate) in rates {
            let Some(rate) = rate else { continue };
            let bucket = bucket.get_or_insert_with(|| TokenBucket::full(rate, now));
            longest = longest.max(bucket.wait(rate, 1, now));
        }
        longest
    }

    fn spend(&mut self, messages: u64, bytes: u64) {
        if let Some(bucket) = &mut self.messages {
            bucket.spend(messages);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.spend(bytes);
        }
    }
}

impl Role {
    /// The terms of the bridge, at its dialling end.
    pub(super) fn terms(&self) -> Option<&Arc<BridgeTerms>> {
        match self {
            Self::Accepted => None,
            Self::Dialled(dialling) => Some(&dialling.terms),
        }
    }

    /// Why the delivery can never be sent, if that is so. Its size is looked at elsewhere.
    pub(super) fn obstacle(&self, entry: &Entry) -> Option<Obstacle> {
        let Self::Dialled(dialling) = self else { return None };
        if let Some((delivery, reason)) = dialling.condemned
            && delivery == entry.delivery
        {
            return Some(Obstacle::Condemned(reason));
        }
        let map = dialling.terms.forward.as_ref()?;
        map.map(entry.message.topic()).err().map(Obstacle::Topic)
    }

    /// What to do with a delivery that cannot be sent: as `otherwise`, unless the bridge stops
    /// before it.
    pub(super) fn unfit(&self, entry: &Entry, otherwise: Fit) -> Fit {
        let stops = |terms: &Arc<BridgeTerms>| terms.on_refused == OnRefused::Stop;
        if entry.qos > QoS::AtMostOnce && self.terms().is_some_and(stops) {
            return Fit::Withheld;
        }
        otherwise
    }

    /// How many deliveries may be taken before the rate is looked at again.
    pub(super) fn at_once(&self, most: usize) -> usize {
        let limited =
            |terms: &Arc<BridgeTerms>| terms.message_rate.is_some() || terms.byte_rate.is_some();
        if self.terms().is_some_and(limited) { 1 } else { most }
    }

    /// Deliveries were taken, and count against the rate.
    pub(super) fn spend(&mut self, outgoing: &[Outgoing]) {
        let Self::Dialled(dialling) = self else { return };
        for sent in outgoing {
            if let Outgoing::Publish(entry) = sent {
                if entry.qos == QoS::AtMostOnce {
                    dialling.has_sent_qos0 = true;
                    dialling.terms.counts.forwarded.fetch_add(1, Ordering::Relaxed);
                }
                dialling.pace.spend(1, entry.message.size() as u64);
            }
        }
    }

    /// The other end has acknowledged a delivery.
    ///
    /// True if messages were sent one at a time until now: see [`Role::taken`].
    pub(super) fn settled(&mut self, delivery: DeliveryId) -> bool {
        if let Self::Dialled(dialling) = self {
            dialling.terms.counts.forwarded.fetch_add(1, Ordering::Relaxed);
            dialling.terms.counts.progress.fetch_add(1, Ordering::Relaxed);
        }
        self.taken(delivery)
    }

    /// The other end has taken a delivery: it is none for which it closes the connection. At QoS 2
    /// PUBREC says so, and only PUBREL and PUBCOMP are missing then.
    ///
    /// True if messages were sent one at a time until now, to find such a one.
    pub(super) fn taken(&mut self, delivery: DeliveryId) -> bool {
        let Self::Dialled(dialling) = self else { return false };
        dialling.is_progressing = true;
        let mut refusals = dialling.terms.refusals.lock();
        let before = refusals.window();
        refusals.settled(delivery);
        before != refusals.window()
    }

    /// When deliveries that wait for the rate go on.
    pub(super) fn resumes_at(&self) -> Option<Instant> {
        match self {
            Self::Accepted => None,
            Self::Dialled(dialling) => dialling.pace.resumes_at,
        }
    }
}

impl Client {
    /// False if deliveries have to wait for `bridges.NAME.max_rate`.
    pub(super) fn may_send_now(&mut self) -> bool {
        let since_start =
            self.step.now.instant.saturating_duration_since(self.broker.clock.started());
        let Some(dialling) = self.role.dialling() else { return true };
        let wait = dialling.pace.wait(&dialling.terms, since_start);
        dialling.pace.resumes_at =
            if wait.is_zero() { None } else { self.step.now.instant.checked_add(wait) };
        wait.is_zero()
    }

    /// True if the other end is a broker that the message has passed, or it has passed too
    /// many.
    pub(super) fn goes_in_circles(&self, message: &Message) -> bool {
        let (Some(other), Some(hops)) = (&self.other_broker, message.hops()) else { return false };
        hops::has_passed(hops, other) || hops::is_too_far(hops)
    }

    /// When the other end of a bridge must have acknowledged something.
    pub(super) fn acknowledged_by(&self) -> Option<Instant> {
        let timeout = self.role.terms()?.ack_timeout?;
        self.handle.look().unacknowledged_since()?.checked_add(timeout)
    }

    /// The topic here of a message from the other end.
    ///
    /// # Errors
    /// It cannot pass.
    pub(super) fn received_as<'a>(
        terms: &'a BridgeTerms,
        topic: &'a str,
    ) -> Result<Mapped<'a>, MapError> {
        terms.subscribe.as_ref().map_or_else(|| Ok(unchanged(topic)), |map| map.map(topic))
    }

    /// Opens the session of a bridge without its other end, so that it queues messages from
    /// the start: subscribes to these filters here and to no others. Must not be cancelled.
    pub async fn open_offline(mut self: Box<Self>, forward: Vec<SubscribeFilter>) {
        self.permit = Some(self.handle.begin().await);
        self.step.now = self.broker.clock.now();
        self.budget = Budget::of_long_poll();
        self.subscribe_to_exactly(forward);
        self.close(&Close::Left(DisconnectKind::Normally { session_expiry: None })).await;
    }

    /// The connection ends. If the other end has closed it while messages were in flight, it
    /// may have done so for one of them.
    pub(super) fn note_end(&mut self, close: &Close) {
        let Some(dialling) = self.role.dialling() else { return };
        let reason = match dialling.left_with {
            Some(reason) if is_about_a_message(reason) => reason,
            // A reset is what is left of a close before everything was read.
            None if [CLOSED_BY_PEER, RESET_BY_PEER].contains(close) => ReasonCode::UnspecifiedError,
            _ => return,
        };
        if dialling.is_progressing {
            return;
        }
        let (terms, has_sent_qos0) = (Arc::clone(&dialling.terms), dialling.has_sent_qos0);
        if let Some((first, count)) = self.handle.look().first_in_flight() {
            // It may have closed for a message of QoS 0 as well, and then for none of these.
            let suspects = count + usize::from(has_sent_qos0);
            terms.refusals.lock().closed(first, suspects, reason);
        }
    }

    /// The other end has answered a PUBLISH with a failure.
    ///
    /// # Errors
    /// The connection ends: the message is sent again over the next one, or the bridge stops.
    pub(super) fn on_refused_delivery(
        &mut self,
        packet_id: PacketId,
        reason: ReasonCode,
    ) -> Result<(), Close> {
        let delivery = {
            let session = self.handle.look();
            session.window.get(packet_id).map(|entry| entry.delivery)
        };
        let (Some(delivery), Some(terms)) = (delivery, self.role.terms().cloned()) else {
            return Ok(());
        };
        let full = self.broker.persistence.is_full();
        if terms.refusals.lock().answered(delivery, reason, full) == Verdict::Again {
            return Err(Close::Lost("the other end has no room for a message, which is kept"));
        }
        if terms.on_refused == OnRefused::Stop {
            let message = {
                let session = self.handle.look();
                session.window.get(packet_id).map(|entry| Arc::clone(&entry.message))
            };
            return Err(stop(&terms, message.as_deref(), reason));
        }
        let now = self.step.now.instant;
        let Some(entry) = self.handle.lock().abandon(packet_id, now) else { return Ok(()) };
        // The inflight window has room again.
        self.look = true;
        self.bury(&entry, Some(reason), reason.description());
        Ok(())
    }

    /// The message for which the other end closes its connections is found or has passed: as many
    /// as usual may be in flight again.
    pub(super) fn send_as_usual(&mut self) {
        let Some(terms) = self.role.terms() else { return };
        if terms.refusals.lock().window() == Window::Full {
            self.handle.lock().life.send_as_usual();
        }
    }

    /// The delivery can never be sent.
    pub(super) fn give_up(&mut self, entry: &Entry) {
        if self.goes_in_circles(&entry.message) {
            traced::ended(entry, End::Dropped("circle"));
            return self.broker.complete(entry, &mut self.step);
        }
        let obstacle = self.role.obstacle(entry).unwrap_or(Obstacle::Size);
        if let (Obstacle::Condemned(_), Role::Dialled(dialling)) = (&obstacle, &mut self.role) {
            dialling.condemned = None;
            dialling.terms.refusals.lock().settled(entry.delivery);
            self.send_as_usual();
        }
        self.bury(entry, obstacle.given(), &obstacle.to_string());
    }

    /// The bridge stops before its first delivery, which can never be sent, and keeps it.
    pub(super) fn stop_before_first(&mut self) -> Close {
        let first = self.handle.lock().queue.front().cloned();
        let obstacle = first.as_ref().and_then(|first| self.role.obstacle(first));
        let reason = obstacle.unwrap_or(Obstacle::Size).reason();
        let message = first.as_ref().map(|first| &*first.message);
        self.role.terms().map_or(STOPPED, |terms| stop(terms, message, reason))
    }

    /// Makes a delivery a dead letter. QoS 0 messages are dropped. `reason` is `None` if the
    /// other end gave none.
    fn bury(&mut self, entry: &Entry, reason: Option<ReasonCode>, why: &str) {
        let Some(terms) = self.role.terms().cloned() else { return };
        if entry.qos == QoS::AtMostOnce {
            let is_too_large = reason == Some(ReasonCode::PacketTooLarge);
            let why = if is_too_large { DropReason::TooLarge } else { DropReason::Refused };
            return self.drop_delivery(entry, why);
        }
        let topic = sent_as(Some(&terms), entry.message.topic()).topic();
        let counted = reason.unwrap_or(ReasonCode::UnspecifiedError);
        tracing::warn!(
            bridge = &*terms.name,
            topic = entry.message.topic(),
            reason = ?counted,
            detail = why,
            "the other end refuses a message, which becomes a dead letter: see ferrymq db \
             dead-letters"
        );
        terms.counts.dead_letter(counted);
        terms.counts.progress.fetch_add(1, Ordering::Relaxed);
        let refusal = Refusal {
            bridge: &terms.name,
            topic: &topic,
            reason,
            detail: why,
            keep: terms.max_dead_letters,
        };
        self.broker.dead_letter(entry, refusal, &mut self.step);
    }
}
