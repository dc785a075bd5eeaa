//! The deadlines of one connection, on one timer.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A packet that has begun has to arrive at this rate, in bytes a second, once its time is
/// over: slower than any link that MQTT is used on, and no way to stay connected by
/// dripping bytes.
const SLOWEST: u64 = 1024;

/// Long enough for the runtime to look at every socket at least once.
const GRACE: Duration = Duration::from_millis(100);

/// What falls due when. A deadline that has passed is looked at after the socket: what has
/// arrived by then counts.
#[derive(Debug)]
pub(super) struct Timers {
    /// 1.5 times the keep alive [MQTT-3.1.2-22]; none without a keep alive.
    patience: Option<Duration>,
    /// Of the end that dialled: how long it may be quiet before it pings.
    pings_after: Option<Duration>,
    /// When something was last sent, as far as that end keeps count.
    sent: Instant,
    /// When it last pinged.
    pinged: Instant,
    /// When something was last heard, or could not be because nothing was read.
    heard: Instant,
    /// When the packet that is not whole yet began, and how many bytes it has left.
    packet: Option<(Instant, usize)>,
    /// After a deadline has passed: until when what has already arrived may still be found.
    grace: Option<Instant>,
    /// When the connection ends after output has failed.
    output: Option<Instant>,
    /// When a client that was refused has to go.
    graceful_disconnect: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// After the other end has stopped taking bytes, what it has sent is read to its end, which
/// a reset makes known at once; a byte stream that only fails one way has this long.
const READS_ON: Duration = Duration::from_secs(1);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing was heard for 1.5 times the keep alive.
    KeepAlive,
    /// A packet has begun and does not come to its end.
    Packet,
    /// Output has failed, and input has not come to its end.
    Output,
}

impl Timers {
    pub(super) fn new(keep_alive: u16) -> Self {
        Self {
            patience: (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500)),
            pings_after: None,
            sent: Instant::now(),
            pinged: Instant::now(),
            heard: Instant::now(),
            packet: None,
            grace: None,
            output: None,
            graceful_disconnect: None,
            sleep: None,
        }
    }

    /// The end that dialled owes the other one a packet in each keep alive
    /// [MQTT-3.1.2-20], and wants to hear of it as often.
    pub(super) fn dialled(&mut self) {
        self.pings_after = self.patience.map(|patience| patience / 2);
    }

    /// Bytes have left.
    pub(super) fn sent(&mut self) {
        if self.pings_after.is_some() {
            self.sent = Instant::now();
        }
    }

    fn ping_at(&self) -> Option<Instant> {
        Some(self.sent.min(self.heard).max(self.pinged) + self.pings_after?)
    }

    /// True if a PINGREQ is to be sent now.
    pub(super) fn pings(&mut self) -> bool {
        // Asked at each poll: an accepted connection reads no clock for it.
        let Some(at) = self.ping_at() else { return false };
        let now = Instant::now();
        if at <= now {
            self.pinged = now;
        }
        at <= now
    }

    /// Bytes have arrived, or the silence is the broker's own.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
        self.grace = None;
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
        self.heard();
        if let Some((since, _)) = &mut self.packet {
            *since = self.heard;
        }
    }

    /// Nothing is written any more.
    pub(super) fn output_failed(&mut self) {
        self.output.get_or_insert(Instant::now() + READS_ON);
    }

    pub(super) fn set_graceful_disconnect(&mut self, at: Option<std::time::Instant>) {
        self.graceful_disconnect = at.map(Instant::from_std);
    }

    fn packet_deadline(&self) -> Option<Instant> {
        let (since, missing) = self.packet?;
        Some(since + self.patience? + Duration::from_secs(missing as u64 / SLOWEST))
    }

    /// What is due now. To be asked after the socket has been read.
    ///
    /// A deadline that is found to have passed is looked at once more after [`GRACE`]: if
    /// the whole process was stopped, the timer fires before the runtime has asked the
    /// kernel which sockets have something to read.
    pub(super) fn due(&mut self) -> Option<Due> {
        let now = Instant::now();
        if let Some(at) = self.output {
            return (at <= now).then_some(Due::Output);
        }
        let due = if self.silence_deadline().is_some_and(|at| at <= now) {
            Due::KeepAlive
        } else if self.packet_deadline().is_some_and(|at| at <= now) {
            Due::Packet
        } else {
            self.grace = None;
            return None;
        };
        let until = *self.grace.get_or_insert(now + GRACE);
        (until <= now).then_some(due)
    }

    fn silence_deadline(&self) -> Option<Instant> {
        Some(self.heard + self.patience?)
    }

    /// Has the task woken at the next deadline. The timer is not moved at every packet: when
    /// it fires, it is set to what is left.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        let later = |at: Instant| self.grace.map_or(at, |grace| grace.max(at));
        let deadlines = [
            self.silence_deadline().map(later),
            self.packet_deadline().map(later),
            self.output,
            // Nothing is left to be said then.
            self.ping_at().filter(|_| self.output.is_none()),
            self.graceful_disconnect.filter(|_| self.output.is_none()),
        ];
        let Some(next) = deadlines.into_iter().flatten().min() else { return };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if sleep.deadline() > next || sleep.is_elapsed() {
            sleep.as_mut().reset(next);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if next <= Instant::now() {
                // It has fallen due since the step looked: the next one ends the connection,
                // or has it suspended.
                context.waker().wake_by_ref();
                return;
            }
            sleep.as_mut().reset(next);
        }
    }
}
