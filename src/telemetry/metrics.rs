//! All counters of the broker, in plain atomics.

use super::labels::{AuthResult, DropReason, PacketType, ProtocolErrorKind, RefuseReason};
use super::{BatchedGauge, Counter, Counters, Gauge, Listeners};
use crate::memory::Ledger;
use crate::protocol::QoS;

/// All metrics but the store's own. Shared by everyone, read at a scrape.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections of clients.
    pub connections: ConnectionMetrics,
    /// Packets and bytes on the wire.
    pub packets: PacketMetrics,
    /// Messages on their way.
    pub messages: MessageMetrics,
    /// Sessions and what belongs to them.
    pub sessions: SessionMetrics,
}

/// Connections of clients.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    /// By listener: sockets, clients, and who was turned away.
    pub listeners: Listeners,
    /// Publishers that wait for room on the disk or in a queue.
    pub stalled: Gauge,
    /// Attempts to log in.
    pub authentications: Counters<AuthResult>,
    /// Closed because nothing came for one and a half keep alive times, or a packet was not
    /// finished in time.
    pub keep_alive_timeouts: Counter,
    /// Closed because of what the client sent.
    pub protocol_errors: Counters<ProtocolErrorKind>,
}

/// Packets and bytes on the wire, headers included.
#[derive(Debug, Default)]
pub struct PacketMetrics {
    /// Packets from clients.
    pub received: Counters<PacketType>,
    /// Packets to clients.
    pub sent: Counters<PacketType>,
    /// Bytes from clients.
    pub received_bytes: Counters<PacketType>,
    /// Bytes to clients.
    pub sent_bytes: Counters<PacketType>,
}

/// Messages on their way.
#[derive(Debug, Default)]
pub struct MessageMetrics {
    /// Accepted from publishers, by their QoS.
    pub received: Counters<QoS>,
    /// First sent to receivers, by the QoS of the delivery.
    pub delivered: Counters<QoS>,
    /// Sent again after a reconnect.
    pub redelivered: Counter,
    /// Not delivered to one receiver.
    pub dropped: Counters<DropReason>,
    /// Not accepted from the publisher.
    pub refused: Counters<RefuseReason>,
    /// Accepted, and nobody had subscribed.
    pub unrouted: Counter,
    /// Waiting in all sessions' queues.
    pub queued: Gauge,
    /// Sent at QoS 1 or 2 and not acknowledged, over all sessions.
    pub in_flight: BatchedGauge,
    /// Topics with a retained message.
    pub retained: Gauge,
    /// Bytes of these.
    pub retained_bytes: Gauge,
    /// What is held in memory on behalf of clients.
    pub memory: Ledger,
}

/// Sessions and what belongs to them.
#[derive(Debug, Default)]
pub struct SessionMetrics {
    /// With a client.
    pub connected: Gauge,
    /// Kept for a client that is away.
    pub waiting: Gauge,
    /// Subscriptions of all of them.
    pub subscriptions: Gauge,
    /// A client connected that already was.
    pub take_overs: Counter,
    /// Ended because their time had passed.
    pub expired: Counter,
}
