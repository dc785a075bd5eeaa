//! The deadlines of one connection, and the one timer that stands for all of them.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A packet that has begun has to arrive at this rate, in bytes a second, once its time is
/// over: slower than any link that MQTT is used on, and no way to stay connected by
/// dripping bytes.
const SLOWEST: u64 = 1024;

/// What falls due when. A deadline that has passed is looked at after the socket: what has
/// arrived by then counts.
#[derive(Debug)]
pub(super) struct Timers {
    /// 1.5 times the keep alive [MQTT-3.1.2-22]; none without a keep alive.
    patience: Option<Duration>,
    /// When something was last heard, or could not be because nothing was read.
    heard: Instant,
    /// When the packet that is not whole yet began, and how many bytes it has left.
    packet: Option<(Instant, usize)>,
    /// When a client that was refused has to go.
    parting: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing was heard for 1.5 times the keep alive.
    KeepAlive,
    /// A packet has begun and does not come to its end.
    Packet,
}

impl Timers {
    pub(super) fn new(keep_alive: u16) -> Self {
        Self {
            patience: (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500)),
            heard: Instant::now(),
            packet: None,
            parting: None,
            sleep: None,
        }
    }

    /// Bytes have arrived, or the silence is the broker's own.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// The last packet that has begun lacks `missing` bytes; `ended`: since the last call a
    /// packet has come to its end.
    pub(super) fn packet(&mut self, missing: Option<usize>, ended: bool) {
        self.packet = match (missing, self.packet) {
            (None, _) => None,
            (Some(missing), Some((since, _))) if !ended => Some((since, missing)),
            (Some(missing), _) => Some((Instant::now(), missing)),
        };
    }

    /// Nothing has been read, since something has to wait: no time passes for the client.
    pub(super) fn suspend(&mut self) {
        self.heard = Instant::now();
        if let Some((since, _)) = &mut self.packet {
            *since = self.heard;
        }
    }

    pub(super) fn set_parting(&mut self, at: Option<std::time::Instant>) {
        self.parting = at.map(Instant::from_std);
    }

    fn packet_deadline(&self) -> Option<Instant> {
        let (since, missing) = self.packet?;
        Some(since + self.patience? + Duration::from_secs(missing as u64 / SLOWEST))
    }

    /// What is due now, if nothing has been heard meanwhile.
    pub(super) fn due(&self) -> Option<Due> {
        let now = Instant::now();
        if self.patience.is_some_and(|patience| self.heard + patience <= now) {
            return Some(Due::KeepAlive);
        }
        self.packet_deadline().is_some_and(|at| at <= now).then_some(Due::Packet)
    }

    /// Has the task woken at the next deadline. The timer is not moved at every packet: when
    /// it fires, it is set to what is left. True if it fired and has to be polled again.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        let deadlines = [
            self.patience.map(|patience| self.heard + patience),
            self.packet_deadline(),
            self.parting,
        ];
        let Some(next) = deadlines.into_iter().flatten().min() else { return };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if sleep.deadline() > next || sleep.is_elapsed() {
            sleep.as_mut().reset(next);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if next <= Instant::now() {
                // Due: whoever looks at it ends the connection, or has it suspended.
                return;
            }
            sleep.as_mut().reset(next);
        }
    }
}
