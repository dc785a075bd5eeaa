//! Back-pressure: the reasons for which a packet is held. A held packet stays at the front of
//! the read buffer, and later packets wait behind it. Output and reading continue.
//!
//! With `mqtt.on_full = "stall"` an MQTT 3 publisher waits where others are refused. A message
//! that was accepted and finds no room on the disk is parked by the store: it is
//! unacknowledged and keeps its place in every queue. Until it is written, the broker still
//! handles what frees room (acknowledgements) and pings from this client, and parks its
//! further messages too, up to [`PARKED_BYTES`], or its share while memory is short. A message
//! beyond that, or one for a full queue, is held.

use std::sync::Arc;

use super::Client;
use crate::broker::budget::RECEIVER;
use crate::broker::waiting::WaitingLine;
use crate::broker::{Publication, Way};
use crate::message::WakeCause;
use crate::protocol::{Packet, QoS, hops};

/// Bytes of one connection's messages that may be parked: as much as one read returns.
const PARKED_BYTES: usize = 64 << 10;

/// Bytes of one connection's messages that may await a commit before a publish is held: half a
/// second of a fast disk.
const MAX_UNANSWERED_BYTES: usize = 16 << 20;

/// Why a packet is held. The connection is woken when the reason may no longer apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockReason {
    /// Too many publishes of the client are unanswered. Woken when a reply may be sent, or
    /// when the socket accepts more output.
    Unanswered,
    /// More writes are pending than `persistence.max_pending`. Woken by the next commit.
    Disk,
    /// A receiver's queue is full, and the client waits instead of being refused. Woken when
    /// the queue has room, or that of another member of its shared group: `broker/waiting.rs`.
    Queue,
    /// The disk is full, and the client waits instead of being refused. Woken when its earlier
    /// messages have been written.
    DiskFull,
    /// The client publishes faster than `limits.publish_rate` or `limits.publish_bytes_rate`.
    /// Woken by a timer when the packet may pass: [`Client::resumes_at`].
    PublishRate,
    /// The search for receivers exceeds the budget of this poll. It continues in the next
    /// poll, without a wake-up.
    Routing,
}

/// The result of handling a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The packet is taken: handled, or its work continues in later polls.
    Taken,
    /// The packet must be handled again, before any other, when the client is woken.
    Held,
}

impl Client {
    /// Why the last packet is held, if it is.
    pub fn block(&self) -> Option<BlockReason> {
        self.held
    }

    /// True if the client waits for room on the disk or in a queue.
    pub fn is_blocked_by_back_pressure(&self) -> bool {
        self.back_pressure && (self.waits_for_room() || self.pending.is_blocked_by_back_pressure())
    }

    fn waits_for_room(&self) -> bool {
        matches!(self.held, Some(BlockReason::Queue | BlockReason::DiskFull))
    }

    /// The other end accepts no more output, or has closed its side. What it has sent is still
    /// handled, if that requires no waiting. A publish that would have to wait is dropped
    /// unacknowledged, and so are all QoS 1 and 2 publishes behind it.
    pub fn close_output(&mut self) {
        self.output_closed = true;
        self.held = None;
    }

    /// Why this packet has to be held, decided before its content is handled.
    pub(super) fn must_wait(&self, packet: &Packet<'_>) -> Option<BlockReason> {
        let keeps = match packet {
            Packet::PingReq | Packet::PingResp | Packet::SubAck(_) | Packet::Disconnect(_) => {
                return None;
            }
            Packet::Publish(publish) => publish.qos > QoS::AtMostOnce,
            Packet::PubAck(_) | Packet::PubComp(_) => false,
            _ => true,
        };
        // Evaluated only if the packet would be held. Such a reply frees room, and their
        // number is bounded by deliveries in flight and packet identifiers in use.
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
                // While memory is short, a client above its share waits for its commits, which
                // free memory. A full disk commits nothing, and the packet that makes room may
                // be behind this one, so `holds_for_the_disk` decides that case.
                || (!self.pending.is_empty()
                    && !self.pending.is_blocked_by_back_pressure()
                    && self.is_above_its_share())
        };
        if !keeps || !unanswered() || frees() {
            return None;
        }
        // The parked messages wait for room that the client itself may have to make.
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

    /// Holds the current packet for `reason`.
    pub(super) fn hold(&mut self, reason: BlockReason) {
        if reason == BlockReason::Disk {
            self.step.wake_at_commit(self.handle.session_wake(), WakeCause::Direct);
        }
        self.held = Some(reason);
    }

    /// True if a QoS 1 or 2 message is held because enough messages of this client are parked.
    pub(super) fn holds_for_the_disk(&mut self) -> bool {
        let holds = self.back_pressure
            && self.pending.is_blocked_by_back_pressure()
            && (self.pending.bytes() >= PARKED_BYTES || self.is_above_its_share());
        if holds {
            self.hold_publish(BlockReason::DiskFull);
        }
        holds
    }

    /// True if a message that a full queue refused is held until the queue has room.
    pub(super) fn holds_for_a_queue(&mut self, publication: &Publication<'_>) -> bool {
        if !self.back_pressure {
            return false;
        }
        let receivers = || self.routes.receivers.iter().filter(|it| it.qos > QoS::AtMostOnce);
        let passed = hops::split(publication.properties).0;
        let full = receivers()
            .find(|receiver| receiver.handle.is_full() && !receiver.handle.leads_back(passed));
        match full {
            // The packet that would free the client's own queue is behind this message.
            Some(receiver) if Arc::ptr_eq(&receiver.handle, &self.handle) => return false,
            Some(receiver) => {
                if self.role.is_dialled() && self.waits_at.is_none() {
                    tracing::warn!(
                        client_id = &*receiver.handle.client_id,
                        topic = publication.topic,
                        "a message of the other end of a bridge waits, and those behind it: the \
                         queue of this client is full"
                    );
                }
                let line = self.broker.wait_for_room(receiver, publication.topic, &self.wake);
                // After it waits: who changes the subscriptions looks for those who wait then.
                if self.broker.subscriptions.generation() != self.routes_generation {
                    self.wake.notify();
                }
                self.budget.spend(RECEIVER * line.len());
                self.leave_before(Some(Box::new(line)));
            }
            // Refused for lack of memory. No single queue is known to free it.
            None if receivers().any(|receiver| receiver.handle.is_memory_only()) => return false,
            // The queue has had room since the refusal, so try again.
            None => {
                self.wake.notify();
                self.leave_before(None);
            }
        }
        self.hold_publish(BlockReason::Queue);
        true
    }

    /// Waits in this line, if there is one, instead of the one before.
    fn leave_before(&mut self, line: Option<Box<WaitingLine>>) {
        if let Some(before) = std::mem::replace(&mut self.waits_at, line) {
            self.broker.stop_waiting(&before, self.waits_at.as_deref(), &self.wake);
        }
    }

    /// Stops waiting for room in a queue, unless the current packet is held for it.
    pub(super) fn leave_line(&mut self) {
        if self.waits_at.is_some() && self.held != Some(BlockReason::Queue) {
            self.leave_before(None);
        }
    }

    /// Holds a publish. A connection without output does not wait: it drops further publishes.
    fn hold_publish(&mut self, reason: BlockReason) {
        if self.output_closed {
            self.dropped_publish = true;
        } else {
            self.held = Some(reason);
        }
    }

    /// Updates the gauge of stalled connections.
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

    /// The connection ends and waits for nothing more. No message is lost, since none of those
    /// that it waited for was acknowledged.
    pub(super) fn stop_waiting(&mut self) {
        self.back_pressure = false;
        self.held = None;
        self.leave_line();
        self.count_back_pressure();
        self.wake.set_back_pressure(false);
    }
}
