//! Handles the client's acknowledgements of deliveries.

use super::{Client, Close, Pending, Reply};
use crate::broker::traced;
use crate::message::{End, Step};
use crate::protocol::{PacketId, QoS, ReasonCode};
use crate::sabotage::Sabotage;
use crate::session::{DeliveryState, Home, Receipt};
use crate::store::Op;

impl Client {
    pub(super) fn on_puback(
        &mut self,
        packet_id: PacketId,
        reason: ReasonCode,
    ) -> Result<(), Close> {
        let now = self.step.now.instant;
        if reason.is_failure() && self.may_be_refused(packet_id, QoS::AtLeastOnce) {
            return self.on_refused_delivery(packet_id, reason);
        }
        self.receive(|session| session.puback(packet_id, now)).map(drop)
    }

    pub(super) fn on_pubrec(
        &mut self,
        packet_id: PacketId,
        reason: ReasonCode,
    ) -> Result<(), Close> {
        let now = self.step.now.instant;
        let failed = reason.is_failure();
        if failed && self.may_be_refused(packet_id, QoS::ExactlyOnce) {
            return self.on_refused_delivery(packet_id, reason);
        }
        match self.receive(|session| session.pubrec(packet_id, failed, now))? {
            Some(Receipt::Release(entry)) => {
                if self.role.taken(entry.delivery) {
                    self.send_as_usual();
                }
                if let Some(trace) = &entry.message.trace {
                    trace.progressed(entry.delivery, Step::Received);
                }
                // The receiver may forget the identifier after PUBREL, so a crash must not
                // repeat the PUBLISH then. Therefore "received" is committed first.
                let durable = entry.home != Home::Memory;
                if durable {
                    self.step.write(Op::Received(entry.delivery));
                }
                let waits =
                    durable && self.broker.persistence.waits() && !Sabotage::UngatedPubrel.is_on();
                let reply = Reply::PubRel(packet_id, ReasonCode::Success);
                self.pending.push(Pending::at_once(reply).and_this_step(waits));
            }
            Some(Receipt::Unknown) if !failed => {
                let reply = Reply::PubRel(packet_id, ReasonCode::PacketIdentifierNotFound);
                self.pending.push(Pending::at_once(reply));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn on_pubcomp(&mut self, packet_id: PacketId) -> Result<(), Close> {
        let now = self.step.now.instant;
        self.receive(|session| session.pubcomp(packet_id, now)).map(drop)
    }

    /// True if the other end of a bridge may refuse this delivery with an acknowledgement of this
    /// kind: not one that it has received already.
    fn may_be_refused(&self, packet_id: PacketId, qos: QoS) -> bool {
        self.role.is_dialled() && {
            let session = self.handle.look();
            let entry = session.window.get(packet_id);
            entry.is_some_and(|it| it.qos == qos && it.state != DeliveryState::Received)
        }
    }

    /// Passes an acknowledgement to the session. A delivery that is complete by it is
    /// completed in the broker too.
    fn receive(
        &mut self,
        look: impl FnOnce(&mut crate::session::Session) -> Receipt,
    ) -> Result<Option<Receipt>, Close> {
        let receipt = {
            let mut session = self.handle.lock();
            look(&mut session)
        };
        match receipt {
            Receipt::Done(entry) => {
                if self.role.settled(entry.delivery) {
                    self.send_as_usual();
                }
                traced::ended(&entry, End::Acknowledged);
                self.broker.complete(&entry, &mut self.step);
                // The inflight window has room again.
                self.look = true;
                Ok(None)
            }
            Receipt::OutOfPlace => Err(Close::Error(
                ReasonCode::ProtocolError,
                "an acknowledgement of the wrong kind for its packet identifier",
            )),
            other => Ok(Some(other)),
        }
    }
}
