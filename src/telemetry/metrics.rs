//! All metrics of the broker, in plain atomics.

use super::labels::{
    AclAction, BanReason, DropReason, PacketType, ProtocolErrorKind, RefuseReason,
};
use super::{Authentications, BatchedGauge, Counter, Counters, Gauge, Listeners, Reloads};
use super::{TlsFailure, TlsSession, WebSocketFailure};
use crate::memory::Ledger;
use crate::protocol::QoS;

/// All metrics except the store's. Updated throughout the broker, read at a scrape.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections of clients.
    pub connections: ConnectionMetrics,
    /// Packets and bytes on the wire.
    pub packets: PacketMetrics,
    /// Messages in transit.
    pub messages: MessageMetrics,
    /// Sessions and what belongs to them.
    pub sessions: SessionMetrics,
    /// Decisions of the access rules.
    pub access: AccessMetrics,
    /// Reloads of the configuration.
    pub reloads: Reloads,
}

/// Connections of clients.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    /// By listener: sockets, clients and rejected connections.
    pub listeners: Listeners,
    /// Publishers that wait for space on the disk or in a queue.
    pub stalled: Gauge,
    /// Publishers that are read more slowly for a publish rate.
    pub throttled: Gauge,
    /// Addresses that are banned now.
    pub banned: Gauge,
    /// Bans that have begun.
    pub bans: Counters<BanReason>,
    /// Results of authentication.
    pub authentications: Authentications,
    /// Connections closed because nothing arrived for one and a half keep alive times, or
    /// because a packet was not completed in time.
    pub keep_alive_timeouts: Counter,
    /// Connections closed because of what the client sent.
    pub protocol_errors: Counters<ProtocolErrorKind>,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: Counters<TlsSession>,
    /// TLS handshakes that failed.
    pub tls_refusals: Counters<TlsFailure>,
    /// Opening handshakes of WebSocket that failed.
    pub websocket_refusals: Counters<WebSocketFailure>,
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

/// Messages in transit.
#[derive(Debug, Default)]
pub struct MessageMetrics {
    /// Accepted from publishers, by their QoS.
    pub received: Counters<QoS>,
    /// Sent to receivers for the first time, by the QoS of the delivery.
    pub delivered: Counters<QoS>,
    /// Sent again after a reconnect.
    pub redelivered: Counter,
    /// Not delivered to one receiver.
    pub dropped: Counters<DropReason>,
    /// Not accepted from the publisher.
    pub refused: Counters<RefuseReason>,
    /// Accepted, but without any matching subscription.
    pub unrouted: Counter,
    /// Waiting in all sessions' queues.
    pub queued: Gauge,
    /// Sent at QoS 1 or 2 and not acknowledged, over all sessions.
    pub in_flight: BatchedGauge,
    /// Topics with a retained message.
    pub retained: Gauge,
    /// Bytes of all retained messages.
    pub retained_bytes: Gauge,
    /// Memory held on behalf of clients.
    pub memory: Ledger,
}

/// Sessions and what belongs to them.
#[derive(Debug, Default)]
pub struct SessionMetrics {
    /// Sessions with a connected client.
    pub connected: Gauge,
    /// Sessions without a connected client.
    pub waiting: Gauge,
    /// Subscriptions of all sessions.
    pub subscriptions: Gauge,
    /// Connections that replaced another one of the same client.
    pub take_overs: Counter,
    /// Sessions ended because their expiry interval had passed.
    pub expired: Counter,
}

/// Decisions of the access rules. Without rules nothing is decided.
#[derive(Debug, Default)]
pub struct AccessMetrics {
    /// What was allowed.
    pub allowed: Counters<AclAction>,
    /// What was denied.
    pub denied: Counters<AclAction>,
}
