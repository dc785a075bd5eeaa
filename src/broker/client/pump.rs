//! Fills the write buffer: replies whose gate is open, then deliveries (`deliveries.rs`) as far as
//! the inflight window, gates and the buffer allow.

use bytes::BytesMut;

use super::{Client, Close, Pending, Reply, packets};
use crate::broker::budget::DELIVERY;
use crate::protocol::{AckKind, PacketId, ReasonCode, Version, encode};
use crate::session::DeliveryBlock;
use crate::telemetry::{Label, PacketType, RefuseReason};

/// The reply must not be sent [MQTT-3.1.2-24], and the client would wait for it without end.
const UNANSWERABLE: Close = Close::Error(
    ReasonCode::PacketTooLarge,
    "the client accepts no packet as large as the answer to its SUBSCRIBE or UNSUBSCRIBE",
);

impl Client {
    /// Encodes what may be sent now, until `out` holds about `enough` bytes or the poll's
    /// budget is spent. True if it stopped for that reason, so that more may follow.
    ///
    /// # Errors
    /// The connection has to end: a publish of an older client was refused, a reply is larger
    /// than the client accepts, or its log-in has ended or was not renewed.
    pub fn pump(&mut self, out: &mut BytesMut, enough: usize) -> Result<bool, Close> {
        let pumped = self.pump_uncounted(out, enough);
        self.count_back_pressure();
        self.statistics.hand_in(&self.broker.metrics);
        pumped
    }

    fn pump_uncounted(&mut self, out: &mut BytesMut, enough: usize) -> Result<bool, Close> {
        self.continue_renewal()?;
        if self.payload.is_some() {
            self.check_graceful_disconnect()?;
            return Ok(true);
        }
        let committed = self.broker.persistence.committed();
        let is_full = self.send_replies(committed, out, enough)?;
        // Also if the client does not read, so that the deadline still holds.
        self.check_graceful_disconnect()?;
        if is_full {
            return Ok(true);
        }
        self.disconnect_instead_of_holding()?;
        self.pump_dialled(out)?;
        if !self.look
            || self.pending.holds_deliveries()
            || self.is_subscribing()
            || !self.role.is_attached(committed)
        {
            return Ok(false);
        }
        loop {
            if !self.may_send_now() {
                return Ok(false);
            }
            if out.len() >= enough || self.output_budget.is_spent() || self.payload.is_some() {
                return Ok(true);
            }
            let blocked = self.take_outgoing(committed);
            let mut outgoing = std::mem::take(&mut self.outgoing);
            // Dropped deliveries cost as well, although nothing is written for them.
            self.output_budget.spend(DELIVERY * outgoing.len());
            let before = out.len();
            self.role.spend(&outgoing);
            for next in outgoing.drain(..) {
                self.send(next, out);
            }
            self.output_budget.spend_bytes(out.len() - before);
            self.outgoing = outgoing;
            if blocked == Some(DeliveryBlock::Withheld) {
                return Err(self.stop_before_first());
            }
            if blocked.is_some() {
                self.look = false;
                // Dropping deliveries may have left nothing for the client to receive.
                self.check_graceful_disconnect()?;
                return Ok(false);
            }
        }
    }

    /// True if it stopped because `out` holds `enough` bytes. The other replies stay in the
    /// queue, where they are counted, so a client that does not read is not read either.
    fn send_replies(
        &mut self,
        committed: u64,
        out: &mut BytesMut,
        enough: usize,
    ) -> Result<bool, Close> {
        while out.len() < enough {
            // Before each reply: a client may send PINGREQ before its CONNACK, which must be
            // sent first.
            self.send_pings(out, enough);
            let Some(mut pending) = self.pending.pop_open(committed) else { return Ok(false) };
            self.has_replied = true;
            let refused =
                pending.message.as_ref().is_some_and(|message| message.durability.is_refused());
            if let Some(message) = pending.message.as_ref().filter(|message| message.is_kept) {
                self.broker.retained.decide(message, self.broker.persistence.committed());
            }
            if refused {
                self.reject_accepted(&mut pending)?;
            }
            self.discard_message(&pending);
            let withheld = self.withholds(&pending.reply);
            pending.answer_trace(!withheld);
            if withheld {
                continue;
            }
            self.send_reply(pending.reply, out)?;
        }
        Ok(true)
    }

    fn send_pings(&mut self, out: &mut BytesMut, enough: usize) {
        if self.pings > 0 && !self.pending.opens_connection() {
            while self.pings > 0 && out.len() < enough {
                self.pings -= 1;
                encode::pingresp(out);
                self.sent(PacketType::PingResp, None, ReasonCode::Success, 2);
            }
        }
    }

    /// Frees a large message before its PUBREL: its packet identifier detects a repeat.
    fn discard_message(&mut self, pending: &Pending) {
        const LARGE: usize = 4 << 10;
        let is_large = pending.message.as_ref().is_some_and(|message| message.size() >= LARGE);
        if is_large && matches!(pending.reply, Reply::PubRec(..)) {
            let committed = self.broker.persistence.committed();
            self.handle.lock().incoming.release_messages(committed);
        }
    }

    /// The disk had no room for a message that was already queued. The reply says so.
    fn reject_accepted(&mut self, pending: &mut Pending) -> Result<(), Close> {
        self.broker.metrics.messages.refused.inc(RefuseReason::DiskFull);
        match &mut pending.reply {
            Reply::PubAck(_, reason) => *reason = ReasonCode::QuotaExceeded,
            Reply::PubRec(packet_id, reason) => {
                *reason = ReasonCode::QuotaExceeded;
                if let Some(message) = &pending.message {
                    self.handle.lock().incoming.remove_message(*packet_id, message);
                }
            }
            _ => {}
        }
        if self.version < Version::V5 {
            self.disconnect_gracefully(
                ReasonCode::QuotaExceeded,
                "the database is full: persistence.max_size, or the volume",
            )?;
            if let Some(graceful_disconnect) = &mut self.graceful_disconnect {
                graceful_disconnect.withholds = true;
            }
        }
        Ok(())
    }

    fn send_reply(&mut self, reply: Reply, out: &mut BytesMut) -> Result<(), Close> {
        let version = self.version;
        let before = out.len();
        let (kind, packet_id, reason) = (reply.packet_type(), reply.packet_id(), reply.reason());
        match reply {
            Reply::PubAck(id, reason) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                encode::ack(out, version, AckKind::PubAck, id, reason);
            }
            Reply::PubRec(id, reason) => {
                // A failure completes the exchange.
                self.unanswered = self.unanswered.saturating_sub(usize::from(reason.is_failure()));
                encode::ack(out, version, AckKind::PubRec, id, reason);
            }
            Reply::PubRel(id, reason) => encode::ack(out, version, AckKind::PubRel, id, reason),
            Reply::PubComp(id, reason) => encode::ack(out, version, AckKind::PubComp, id, reason),
            Reply::ConnAck(connack) => {
                if !self.within(out, kind, &*connack, |out, packet| {
                    encode::connack(out, version, packet);
                }) {
                    return Err(Close::Error(
                        ReasonCode::PacketTooLarge,
                        "the client accepts no packet as large as its CONNACK",
                    ));
                }
            }
            Reply::SubAck(suback) => {
                self.look = true;
                let write = |out: &mut _, packet: &_| encode::suback(out, version, packet);
                if !self.within(out, kind, &*suback, write) {
                    return Err(UNANSWERABLE);
                }
            }
            Reply::UnsubAck(unsuback) => {
                let write = |out: &mut _, packet: &_| encode::unsuback(out, version, packet);
                if !self.within(out, kind, &*unsuback, write) {
                    return Err(UNANSWERABLE);
                }
            }
            Reply::Auth(auth) => {
                if !self.within(out, kind, &*auth, encode::auth) {
                    return Err(Close::Error(
                        ReasonCode::PacketTooLarge,
                        "the client accepts no packet as large as the AUTH for it",
                    ));
                }
            }
        }
        self.sent(kind, packet_id, reason, out.len() - before);
        Ok(())
    }

    pub(super) fn sent(
        &mut self,
        kind: PacketType,
        id: Option<PacketId>,
        reason: ReasonCode,
        bytes: usize,
    ) {
        self.statistics.sent(kind, bytes);
        packets::answered(&self.handle.client_id, kind, id, reason, bytes);
    }

    /// Encodes a packet, unless it is larger than the client accepts [MQTT-3.1.2-24].
    pub(super) fn within<P: encode::Diagnostic>(
        &self,
        out: &mut BytesMut,
        kind: PacketType,
        packet: &P,
        write: impl Fn(&mut BytesMut, &P),
    ) -> bool {
        let fits = encode::within(out, Some(self.max_packet), packet, write);
        if !fits {
            tracing::warn!(
                client_id = &*self.handle.client_id,
                packet = kind.as_str(),
                maximum_packet_size = self.max_packet,
                "a packet is larger than the Maximum Packet Size that the client has set, and is \
                 not sent"
            );
        }
        fits
    }
}
