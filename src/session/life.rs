//! The life of a session: connected, expiry, epochs and limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::{Wake, WallMillis};
use crate::peer::PeerAddr;

/// Session Expiry Interval of a session that never expires.
pub const NEVER_EXPIRES: u32 = u32::MAX;

/// What happens to a message for a session whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The publisher is told (0x97), nothing is lost.
    #[default]
    Refuse,
    /// The oldest waiting message makes room.
    DropOldest,
    /// The new message is dropped for this session.
    DropNewest,
}

/// Bounds of one session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Unacknowledged QoS 1 and 2 messages at once, before the client's own
    /// Receive Maximum is looked at.
    pub inflight_window: usize,
    /// Messages that wait, beside those in flight.
    pub max_queued_messages: usize,
    /// Bytes that wait, beside those in flight.
    pub max_queued_bytes: u64,
    /// What to do beyond.
    pub overflow: Overflow,
    /// Messages of a durable queue that are kept in memory.
    pub memory_window: usize,
    /// Keep QoS 0 messages for a client that is away, in memory.
    pub queue_qos0: bool,
}

/// What a connection brings along.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Counts the connections of this session; an older one has lost it.
    pub epoch: u64,
    /// Rung when something waits for it.
    pub wake: Arc<Wake>,
    /// The client's Receive Maximum.
    pub receive_maximum: usize,
    /// For whoever looks; nothing is decided by it.
    pub info: Arc<ConnectionInfo>,
}

/// What is known of the other end of a connection, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its address.
    pub remote: PeerAddr,
    /// The name of the listener that it came through.
    pub listener: Arc<str>,
    /// Verified; `None` for an anonymous client.
    pub user: Option<Box<str>>,
    /// When CONNECT was accepted.
    pub connected_at: WallMillis,
    /// In seconds, as granted; 0: none.
    pub keep_alive: u16,
    /// As the client asked: v5 Clean Start, or Clean Session.
    pub clean_start: bool,
}

/// The session's life.
#[derive(Debug, Default)]
pub struct Life {
    connected: Option<Connected>,
    epoch: u64,
    /// Seconds that it outlives its connection.
    pub expiry: u32,
    /// When the last connection ended.
    pub disconnected_at: Option<WallMillis>,
    ended: bool,
    taken_over: bool,
    /// When the client last acknowledged, or was last sent something after a pause.
    progressed_at: Option<Instant>,
}

impl Life {
    pub(super) fn progress(&mut self, now: Instant) {
        self.progressed_at = Some(now);
    }

    pub(super) fn progressed_within(&self, now: Instant, time: Duration) -> bool {
        self.progressed_at.is_some_and(|at| now.saturating_duration_since(at) <= time)
    }

    /// The connection, if any.
    pub fn connected(&self) -> Option<&Connected> {
        self.connected.as_ref()
    }

    /// True if connection `epoch` still holds the session.
    pub fn is_held_by(&self, epoch: u64) -> bool {
        self.connected.as_ref().is_some_and(|connected| connected.epoch == epoch)
    }

    /// The number for the next connection.
    pub fn next_epoch(&self) -> u64 {
        self.epoch + 1
    }

    /// Counts connections; a timer that was set for an older one is void.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// True if it waits for a connection.
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

    /// The session goes to another connection, and ends for the one that has it.
    pub fn take_over(&mut self) {
        self.taken_over = true;
    }

    /// True if [`Life::take_over`] is why the connection has lost it.
    pub fn is_taken_over(&self) -> bool {
        self.taken_over
    }

    /// The session is over; what still holds it must not use it.
    pub fn end(&mut self) {
        self.connected = None;
        self.ended = true;
    }

    /// True after [`Life::end`].
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// When it ends, if its client stays away.
    pub fn expires_at(&self) -> Option<WallMillis> {
        if self.expiry == NEVER_EXPIRES {
            return None;
        }
        self.disconnected_at.map(|at| at.plus_seconds(self.expiry))
    }
}
