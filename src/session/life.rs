//! The life of a session: connection, epoch, expiry and end; and its limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Method;
use crate::message::{Wake, WallMillis};
use crate::peer::{ClientCertificate, PeerAddr};
use crate::protocol::QoS;

/// Session Expiry Interval of a session that never expires.
pub const NEVER_EXPIRES: u32 = u32::MAX;

/// What happens to a message for a session with a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The publisher is refused (0x97). No message is dropped.
    #[default]
    Refuse,
    /// The oldest waiting message is dropped.
    DropOldest,
    /// The new message is dropped for this session.
    DropNewest,
}

/// Limits of one session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// QoS 1 and 2 messages in flight, if the client's Receive Maximum is not smaller.
    pub inflight_window: usize,
    /// Messages that wait. Those in flight do not count.
    pub max_queued_messages: usize,
    /// Bytes of messages that wait. Those in flight do not count.
    pub max_queued_bytes: u64,
    /// What happens beyond these limits.
    pub overflow: Overflow,
    /// Messages of a durable queue that are kept in memory.
    pub memory_window: usize,
    /// Whether QoS 0 messages wait in memory for an offline client.
    pub queue_qos0: bool,
}

/// The current connection of a session.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Its number among the connections of this session. Only the latest one holds the
    /// session.
    pub epoch: u64,
    /// Rung when the connection has something to do.
    pub wake: Arc<Wake>,
    /// The client's Receive Maximum.
    pub receive_maximum: usize,
    /// True if one message at a time is sent for now, whatever the Receive Maximum, and none of
    /// QoS 0.
    pub one_at_a_time: bool,
    /// The highest QoS that the other end accepts: the Maximum QoS of a server.
    pub max_qos: QoS,
    /// Its other end.
    pub info: Arc<ConnectionInfo>,
}

impl Connected {
    /// The most QoS 1 and 2 messages that may be in flight.
    pub fn most_in_flight(&self) -> usize {
        if self.one_at_a_time { 1 } else { self.receive_maximum }
    }
}

/// Details of a connection, for display and for the question whether its log-in still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its address.
    pub remote: PeerAddr,
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
    /// The verified user name; `None` for an anonymous client.
    pub user: Option<Box<str>>,
    /// The method that verified it; `None` for an anonymous client.
    pub method: Option<Method>,
    /// Stands for the secret with which it was verified, see
    /// [`Identity`](crate::auth::Identity).
    pub credential: u64,
    /// Its certificate, if its transport has verified one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// When CONNECT was accepted.
    pub connected_at: WallMillis,
    /// In seconds, as granted; 0: none.
    pub keep_alive: u16,
    /// As requested by the client: v5 Clean Start, or Clean Session.
    pub clean_start: bool,
}

/// The session's life.
#[derive(Debug, Default)]
pub struct Life {
    connected: Option<Connected>,
    epoch: u64,
    /// Seconds that the session outlives its connection.
    pub expiry: u32,
    /// When the last connection ended.
    pub disconnected_at: Option<WallMillis>,
    ended: bool,
    /// When the client last acknowledged, or was sent a message after a pause.
    progressed_at: Option<Instant>,
}

impl Life {
    pub(super) fn progress(&mut self, now: Instant) {
        self.progressed_at = Some(now);
    }

    pub(super) fn progressed_at(&self) -> Option<Instant> {
        self.progressed_at
    }

    pub(super) fn progressed_within(&self, now: Instant, time: Duration) -> bool {
        self.progressed_at.is_some_and(|at| now.saturating_duration_since(at) <= time)
    }

    /// The connection, if there is one.
    pub fn connected(&self) -> Option<&Connected> {
        self.connected.as_ref()
    }

    /// As many messages as the Receive Maximum allows may be in flight from now on.
    pub fn send_as_usual(&mut self) {
        if let Some(connected) = &mut self.connected {
            connected.one_at_a_time = false;
        }
    }

    /// True if connection `epoch` still holds the session.
    pub fn is_held_by(&self, epoch: u64) -> bool {
        self.connected.as_ref().is_some_and(|connected| connected.epoch == epoch)
    }

    /// The epoch for the next connection.
    pub fn next_epoch(&self) -> u64 {
        self.epoch + 1
    }

    /// True if the session has no connection and has not ended.
    pub fn is_away(&self) -> bool {
        self.connected.is_none() && !self.ended
    }

    pub(super) fn attach(&mut self, connected: Connected) {
        self.epoch = connected.epoch;
        self.connected = Some(connected);
        self.disconnected_at = None;
    }

    pub(super) fn detach(&mut self, now: WallMillis) {
        self.connected = None;
        self.disconnected_at = Some(now);
    }

    /// Ends the session. It must not be used any more.
    pub fn end(&mut self) {
        self.connected = None;
        self.ended = true;
    }

    /// True after [`Life::end`].
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// When the session expires, if its client does not reconnect.
    pub fn expires_at(&self) -> Option<WallMillis> {
        if self.expiry == NEVER_EXPIRES {
            return None;
        }
        self.disconnected_at.map(|at| at.plus_seconds(self.expiry))
    }
}
