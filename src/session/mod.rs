//! One client's protocol state, as a pure state machine.
//!
//! It contains the outgoing queue, the inflight window with its packet identifiers, the QoS 2
//! states of both directions, the subscriptions, the will and the expiry of one session. It
//! does no I/O and has no clock: its caller passes the time and the last commit. It does not
//! know whether its connection was accepted or dialled, nor where a message came from.

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
    /// Never reused.
    pub id: SessionId,
    /// Unique among current sessions.
    pub client_id: Arc<str>,
    /// The verified user name that it belongs to; `None` for nobody's.
    pub owner: Option<Box<str>>,
    /// The MQTT version of its last connection.
    pub version: Version,
    /// True if its deliveries and states are stored.
    pub durable: bool,
    /// True if it has a row in the file: it is durable, or its will is stored.
    pub has_row: bool,
    /// Connection, expiry and end.
    pub life: Life,
    /// Limits of its queue and inflight window, shared by many sessions.
    pub limits: Arc<Limits>,
    /// By full filter, `$share/...` included.
    pub subscriptions: Subscriptions,
    /// QoS 2 packet identifiers of its own publishes that await PUBREL.
    pub incoming: Incoming,
    /// Published if the connection ends without DISCONNECT 0x00.
    pub will: Option<Box<WillRecord>>,
    /// The last delivery that was sent. Those up to it are repeated with DUP.
    pub sent_up_to: DeliveryId,
    /// True if it has or had deliveries of a shared subscription.
    pub has_shared: bool,
    /// The last delivery that this process has sent.
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
            owner: None,
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

    /// Restores the state that a restart has found. `sent` are those that may have been
    /// sent at QoS 2.
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

    /// A connection takes the session. Deliveries in flight are queued to be sent again, in
    /// order and with their packet identifiers [MQTT-4.4.0-1].
    pub fn attach(&mut self, connected: Connected) {
        self.requeue_in_flight();
        self.life.attach(connected);
    }

    /// The connection has ended. Returns its unsent QoS 0 messages, which are dropped unless
    /// they are kept for offline clients.
    pub fn detach(&mut self, now: crate::message::WallMillis) -> Vec<Entry> {
        self.requeue_in_flight();
        self.life.detach(now);
        if self.limits.queue_qos0 { Vec::new() } else { self.queue.discard_qos0() }
    }

    fn requeue_in_flight(&mut self) {
        let in_flight = self.window.drain();
        self.queue.put_back(in_flight);
    }

    /// Removes up to `most` QoS 0 messages, oldest first, until the session holds no more than
    /// `share` bytes.
    pub fn shed(&mut self, share: u64, most: usize) -> Vec<Entry> {
        let mut gone = Vec::new();
        while gone.len() < most && self.holds(self.own_memory()) > share {
            let Some(entry) = self.queue.pop_qos0() else { break };
            gone.push(entry);
        }
        gone
    }

    /// The connection's wake-up, if there is a connection.
    pub fn wake(&self) -> Option<&Arc<Wake>> {
        self.life.connected().map(|connected| &connected.wake)
    }

    /// True if a QoS 2 delivery with this identifier is in flight and awaits PUBREC.
    pub fn awaits_pubrec(&self, packet_id: PacketId) -> bool {
        let entry = self.window.get(packet_id);
        entry.is_some_and(|it| it.qos == QoS::ExactlyOnce && it.state != DeliveryState::Received)
    }

    /// The number of deliveries that are waiting or in flight.
    pub fn backlog(&self) -> usize {
        self.queue.len() + self.window.len()
    }

    /// The number of QoS 1 and 2 deliveries that are sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// Bytes of deliveries that are waiting or in flight.
    pub fn backlog_bytes(&self) -> u64 {
        self.queue.bytes() + self.window.bytes()
    }

    /// The state of a delivery that is read back from its row. Without PUBREC it is unknown
    /// what an earlier process has sent. At QoS 2 the delivery counts as sent, because the
    /// exchange must be completed; at QoS 1 it may be repeated, and may expire.
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

    /// Removes everything, at the end of the session. Returns the entries in memory and the
    /// ids of those on disk: first those that may have been sent, then the rest.
    pub fn take_all(&mut self) -> (Vec<Entry>, [IdList; 2]) {
        let mut entries: Vec<Entry> = self.window.drain().into();
        let ids = self.queue.take_all(&mut entries);
        (entries, ids)
    }
}
