//! Back-pressure: the reasons for which a packet is not taken. The packet then stays at the
//! front of what was read, and later packets wait behind it. Output, and reading what has
//! arrived, continue.
//!
//! With `mqtt.on_full = "stall"` MQTT 3 publishers wait where others are refused: a message
//! that was taken and finds no room on the disk is parked by the store, unacknowledged, in
//! its place in every queue. Until it is written the client is read on for what frees room,
//! acknowledgements and pings, and its further messages are parked behind it, up to
//! [`PARKED_BYTES`], or its share while memory is short. A message beyond that, or one for a
//! full queue, is held.

use std::sync::{Arc, Weak};

use super::Client;
use crate::broker::{SessionHandle, Way};
use crate::protocol::{Packet, QoS};

/// Bytes of one connection's messages that may wait for room: what one read brings.
const PARKED_BYTES: usize = 64 << 10;

/// Bytes of one connection's messages that may wait for the disk before a publish is held:
/// half a second of a fast disk.
const MAX_UNANSWERED_BYTES: usize = 16 << 20;

/// What a packet waits for. Each of these rings the connection when it may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockReason {
    /// Too much of what the client sent is unanswered: rung when an answer may go, or the
    /// socket takes more.
    Unanswered,
    /// More writes wait for the disk than `persistence.max_pending`: rung by the next
    /// commit.
    Disk,
    /// A receiver's queue is full, and the client waits instead of being refused: rung when
    /// there is room.
    Queue,
    /// The disk is full, and the client waits instead of being refused: rung when what
    /// stands before it has been written.
    DiskFull,
    /// The way to its receivers is long, and the poll's budget is spent: goes on in the
    /// next poll, which comes by itself.
    Routing,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It is done with, or its work goes on by itself.
    Taken,
    /// It has to be handled again, before any other, when the client is rung.
    Held,
}

impl Client {
    /// Why the packet that was handled last has not been taken.
    pub fn block(&self) -> Option<BlockReason> {
        self.held
    }

    /// True if it waits for room.
    pub fn is_blocked_by_back_pressure(&self) -> bool {
        self.back_pressure && (self.waits_for_room() || self.pending.is_blocked_by_back_pressure())
    }

    fn waits_for_room(&self) -> bool {
        matches!(self.held, Some(BlockReason::Queue | BlockReason::DiskFull))
    }

    /// The other end takes no more bytes, or has said its last: what it has sent is still
    /// taken, as far as nothing has to be waited for. Publishes that would have to wait are
    /// not, and neither are those behind them: nobody is told that they were.
    pub fn hears_no_more(&mut self) {
        self.deaf = true;
        self.held = None;
    }

    /// What this packet has to wait for, before anything is looked at in it.
    pub(super) fn must_wait(&self, packet: &Packet<'_>) -> Option<BlockReason> {
        let keeps = match packet {
            Packet::PingReq
            | Packet::PingResp
            | Packet::SubAck(_)
            | Packet::Disconnect(_)
            | Packet::Auth(_) => return None,
            Packet::Publish(publish) => publish.qos > QoS::AtMostOnce,
            Packet::PubAck(_) | Packet::PubComp(_) => false,
            _ => true,
        };
        // Looked at only if the packet would have to wait. Such a reply frees room, and
        // there are no more of them than deliveries in flight, or packet ids in use.
        let frees = || match packet {
            Packet::PubRec(ack) => self.handle.look().awaits_pubrec(ack.packet_id),
            Packet::PubRel(ack) => self.handle.look().incoming.holds(ack.packet_id),
            _ => false,
        };
        if self.broker.persistence.pending() > self.most_pending {
            return Some(BlockReason::Disk);
        }
        let unanswered = || {
            self.pending.len() >= self.broker.settings.max_unanswered
                || self.pending.bytes() >= MAX_UNANSWERED_BYTES
                // Whoever waits for the disk is to wait until memory is free again; the
                // disk frees it, so this ends. A full one does not: what makes room may
                // stand behind this packet, so that is for `holds_for_the_disk`.
                || (!self.pending.is_empty()
                    && !self.pending.is_blocked_by_back_pressure()
                    && self.is_above_its_share())
        };
        if !keeps || !unanswered() || frees() {
            return None;
        }
        // What is unanswered waits for room that the client itself may have to make.
        let waits_for_room = self.back_pressure && self.pending.is_blocked_by_back_pressure();
        Some(if waits_for_room { BlockReason::DiskFull } else { BlockReason::Unanswered })
    }

    fn is_above_its_share(&self) -> bool {
        let above = !self.broker.may_hold(&self.handle, 0);
        if above {
            self.broker.gives_way(Way::Held, 1);
        }
        above
    }

    /// Holds a packet that has to wait for `reason`.
    pub(super) fn hold(&mut self, reason: BlockReason) {
        if reason == BlockReason::Disk {
            self.step.wake_at_commit(self.handle.session_wake());
        }
        self.held = Some(reason);
    }

    /// True if a QoS 1 or 2 message must not be taken now, because enough of this
    /// client waits for the disk.
    pub(super) fn holds_for_the_disk(&mut self) -> bool {
        let holds = self.back_pressure
            && self.pending.is_blocked_by_back_pressure()
            && (self.pending.bytes() >= PARKED_BYTES || self.is_above_its_share());
        if holds {
            self.hold_publish(BlockReason::DiskFull);
        }
        holds
    }

    /// True if a message that was refused for a full queue is to wait for room there.
    pub(super) fn holds_for_a_queue(&mut self) -> bool {
        if !self.back_pressure {
            return false;
        }
        let receivers = || {
            let kept = self.routes.receivers.iter().filter(|it| it.qos > QoS::AtMostOnce);
            kept.map(|receiver| &receiver.handle)
        };
        let mut waits_at = None;
        match receivers().find(|handle| handle.is_full()) {
            // What would free its own queue stands behind the message that waits.
            Some(handle) if Arc::ptr_eq(handle, &self.handle) => return false,
            Some(handle) => {
                handle.wait_for_room(&self.wake);
                waits_at = Some(Arc::downgrade(handle));
            }
            // For want of memory, which no queue's owner is known to free.
            None if receivers().any(|handle| handle.is_memory_only()) => return false,
            // There is room since the message was refused: it is tried again.
            None => self.wake.ring(),
        }
        self.wait_at(waits_at);
        self.hold_publish(BlockReason::Queue);
        true
    }

    /// It waits for room in this session's queue, or in none, and no more where it did.
    fn wait_at(&mut self, session: Option<Weak<SessionHandle>>) {
        let before = std::mem::replace(&mut self.waits_at, session);
        let Some(before) = before.and_then(|before| before.upgrade()) else { return };
        let stays = self.waits_at.as_ref().is_some_and(|now| now.as_ptr() == Arc::as_ptr(&before));
        if !stays {
            before.stop_waiting(&self.wake);
        }
    }

    /// Leaves the line for room, unless its packet still waits for it.
    pub(super) fn leave_line(&mut self) {
        if self.waits_at.is_some() && self.held != Some(BlockReason::Queue) {
            self.wait_at(None);
        }
    }

    /// Nobody waits behind a connection that hears no more.
    fn hold_publish(&mut self, reason: BlockReason) {
        if self.deaf {
            self.gives_up = true;
        } else {
            self.held = Some(reason);
        }
    }

    /// Keeps the gauge true.
    pub(super) fn count_back_pressure(&mut self) {
        let stalled = self.is_blocked_by_back_pressure();
        if stalled != std::mem::replace(&mut self.counted_back_pressure, stalled) {
            let client_id = &*self.handle.client_id;
            if stalled {
                self.broker.metrics.connections.stalled.inc();
                tracing::debug!(client_id, "waits for room: read no further");
            } else {
                self.broker.metrics.connections.stalled.dec();
                tracing::debug!(client_id, "waits for room no longer");
            }
        }
    }

    /// The connection ends: what it waits for is given up, and nothing is lost by it,
    /// since nothing was acknowledged.
    pub(super) fn stop_waiting(&mut self) {
        self.back_pressure = false;
        self.held = None;
        self.leave_line();
        self.count_back_pressure();
        self.wake.set_back_pressure(false);
    }
}
