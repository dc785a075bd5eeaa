//! One client's protocol state, as a pure state machine.
//!
//! Here live the outgoing queue, the in-flight window with its packet ids, the QoS 2
//! states of both directions, the subscriptions, the will and the expiry of one
//! session. It does no I/O and has no clock: whoever drives it says what time it is,
//! and what has been committed. It does not know whether its transport was accepted
//! or dialled, nor where a message came from.

mod entry;
mod incoming;
mod life;
mod on_disk;
mod outgoing;
mod packet_ids;
mod peek;
mod queue;
mod receipt;
mod subscriptions;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use entry::{DeliveryState, Entry, Home};
pub use incoming::{Incoming, Known};
pub use life::{Connected, ConnectionInfo, Life, Limits, NEVER_EXPIRES, Overflow};
pub use outgoing::{DeliveryBlock, Fit, Outgoing, Room};
pub use peek::{Peek, Peeked};
pub use queue::{Page, Queue};
pub use receipt::Receipt;
pub use subscriptions::{
    Subscribed, Subscriptions, cost_in_router, cost_of as cost_of_subscription,
};
pub use window::Window;

use crate::message::{DeliveryId, IdList, SessionId, Wake, WillRecord};
use crate::protocol::{PacketId, QoS, Version};

/// The state of one session; kept behind one short lock by its owner.
#[derive(Debug)]
pub struct Session {
    /// Never used twice.
    pub id: SessionId,
    /// Unique among the living.
    pub client_id: Arc<str>,
    /// Of its last connection.
    pub version: Version,
    /// True if its deliveries and states are to be kept on disk.
    pub durable: bool,
    /// True if its row is in the file: it is durable, or its will is stored.
    pub has_row: bool,
    /// Connection, expiry and end.
    pub life: Life,
    /// What bounds its queue and window. Many have the same.
    pub limits: Arc<Limits>,
    /// By full filter, `$share/...` included.
    pub subscriptions: Subscriptions,
    /// QoS 2 packet ids of its own publishes that wait for PUBREL.
    pub incoming: Incoming,
    /// To be published when the connection ends badly.
    pub will: Option<Box<WillRecord>>,
    /// The largest delivery that has been sent: older ones are repeated with DUP.
    pub sent_up_to: DeliveryId,
    /// It has, or had, deliveries that came through a shared subscription.
    pub has_shared: bool,
    /// The largest delivery that this process has sent, whatever was sent before.
    sent_since_start: DeliveryId,
    pub(crate) queue: Queue,
    pub(crate) window: Window,
    next_packet_id: PacketId,
    counted_in_flight: usize,
}

impl Session {
    /// A session without any state.
    pub fn new(
        id: SessionId,
        client_id: Arc<str>,
        version: Version,
        limits: impl Into<Arc<Limits>>,
    ) -> Self {
        let limits = limits.into();
        Self {
            id,
            client_id,
            version,
            durable: false,
            has_row: false,
            life: Life::default(),
            subscriptions: Subscriptions::default(),
            incoming: Incoming::default(),
            will: None,
            sent_up_to: DeliveryId(0),
            has_shared: false,
            sent_since_start: DeliveryId(0),
            queue: Queue::new(limits.memory_window),
            limits,
            window: Window::default(),
            next_packet_id: PacketId::FIRST,
            counted_in_flight: 0,
        }
    }

    /// Puts back what a restart found: `sent` may have been sent at QoS 2, or more.
    pub fn restore(
        &mut self,
        sent: IdList,
        waiting: IdList,
        last_packet_id: Option<PacketId>,
        incoming: impl IntoIterator<Item = PacketId>,
    ) {
        self.queue.restore(sent, waiting);
        if let Some(last) = last_packet_id {
            self.next_packet_id = last.next();
        }
        for packet_id in incoming {
            self.incoming.insert(packet_id, None, 0);
        }
    }

    /// A connection takes the session. What was in flight is to be sent again, in
    /// its order and with its packet ids [MQTT-4.4.0-1].
    pub fn attach(&mut self, connected: Connected) {
        self.requeue_in_flight();
        self.life.attach(connected);
    }

    /// The connection is gone. QoS 0 messages that it left unsent go with it, unless
    /// they are to be kept for clients that are away.
    pub fn detach(&mut self, now: crate::message::WallMillis) -> Vec<Entry> {
        self.requeue_in_flight();
        self.life.detach(now);
        if self.limits.queue_qos0 { Vec::new() } else { self.queue.discard_qos0() }
    }

    fn requeue_in_flight(&mut self) {
        let in_flight = self.window.drain();
        self.queue.put_back(in_flight);
    }

    /// Takes out at most so many QoS 0 messages, the oldest first, until it holds no more than
    /// `share` bytes.
    pub fn shed(&mut self, share: u64, most: usize) -> Vec<Entry> {
        let mut gone = Vec::new();
        while gone.len() < most && self.holds(self.own_memory()) > share {
            let Some(entry) = self.queue.pop_qos0() else { break };
            gone.push(entry);
        }
        gone
    }

    /// The connection's wake-up, while there is one.
    pub fn wake(&self) -> Option<&Arc<Wake>> {
        self.life.connected().map(|connected| &connected.wake)
    }

    /// True if a delivery at QoS 2 is in flight under this id and its PUBREC has not come.
    pub fn awaits_pubrec(&self, packet_id: PacketId) -> bool {
        let entry = self.window.get(packet_id);
        entry.is_some_and(|it| it.qos == QoS::ExactlyOnce && it.state != DeliveryState::Received)
    }

    /// Deliveries that wait or are in flight.
    pub fn backlog(&self) -> usize {
        self.queue.len() + self.window.len()
    }

    /// QoS 1 and 2 messages that are sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// Bytes that wait or are in flight.
    pub fn backlog_bytes(&self) -> u64 {
        self.queue.bytes() + self.window.bytes()
    }

    /// The state of a delivery that is read back from its row. Without PUBREC nobody
    /// knows what another process has sent: at QoS 2 it is taken for sent, since it must
    /// not be left half done; at QoS 1 it may be repeated, and expire.
    pub fn state_of_row(&self, id: DeliveryId, qos: QoS, received: bool) -> DeliveryState {
        let perhaps = qos == QoS::ExactlyOnce && id <= self.sent_up_to;
        if received {
            DeliveryState::Received
        } else if perhaps || id <= self.sent_since_start {
            DeliveryState::Sent
        } else {
            DeliveryState::Ready
        }
    }

    /// Everything in memory, for the end of the session; the ids of what is on disk
    /// come second: first of what may have been sent, then of the rest.
    pub fn take_all(&mut self) -> (Vec<Entry>, [IdList; 2]) {
        let mut entries: Vec<Entry> = self.window.drain().into();
        let ids = self.queue.take_all(&mut entries);
        (entries, ids)
    }
}
