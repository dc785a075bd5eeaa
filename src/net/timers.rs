//! The deadlines of one connection, on one timer.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The rate in bytes per second at which a packet must arrive after 1.5 times the keep alive:
/// slower than any link that MQTT is used on, but enough to disconnect clients that send a
/// byte now and then.
const SLOWEST: u64 = 1024;

/// Enough time for the runtime to poll every socket at least once.
const GRACE: Duration = Duration::from_millis(100);

/// The deadlines of a connection. They are checked after the socket was read, so that what has
/// arrived counts.
#[derive(Debug)]
pub(super) struct Timers {
    /// 1.5 times the keep alive [MQTT-3.1.2-22]; none without a keep alive.
    patience: Option<Duration>,
    /// Dialling end only: the time without traffic after which it sends PINGREQ.
    pings_after: Option<Duration>,
    /// When bytes were last sent; kept by the dialling end only.
    sent: Instant,
    /// When PINGREQ was last sent.
    pinged: Instant,
    /// When bytes were last received, or reading was paused by the broker.
    heard: Instant,
    /// When the incomplete packet began, and how many bytes it lacks.
    packet: Option<(Instant, usize)>,
    /// After a missed deadline: until when input that has already arrived may be read.
    grace: Option<Instant>,
    /// The end of the connection after output has failed.
    output: Option<Instant>,
    /// When a refused client has to be disconnected.
    graceful_disconnect: Option<Instant>,
    /// When a packet that is held for a publish rate may pass.
    resume: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// After output has failed, input is read to its end. A reset ends it at once; a stream of
/// which only one direction fails has this long.
const READS_ON: Duration = Duration::from_secs(1);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing was heard for 1.5 times the keep alive.
    KeepAlive,
    /// A packet was incomplete for too long.
    Packet,
    /// Output has failed, and input has not ended in time.
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
            resume: None,
            sleep: None,
        }
    }

    /// The dialling end must send a packet within each keep alive [MQTT-3.1.2-20], and expects
    /// an answer as often.
    pub(super) fn dialled(&mut self) {
        self.pings_after = self.patience.map(|patience| patience / 2);
    }

    /// Bytes were sent.
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
        // An accepted connection calls this at each poll, and reads no clock.
        let Some(at) = self.ping_at() else { return false };
        let now = Instant::now();
        if at <= now {
            self.pinged = now;
        }
        at <= now
    }

    /// Bytes were received, or the broker has paused reading.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
        self.grace = None;
    }

    /// The first incomplete packet lacks `missing` bytes. `ended`: a packet was completed
    /// since the last call.
    pub(super) fn packet(&mut self, missing: Option<usize>, ended: bool) {
        self.packet = match (missing, self.packet) {
            (None, _) => None,
            (Some(missing), Some((since, _))) if !ended => Some((since, missing)),
            (Some(missing), _) => Some((Instant::now(), missing)),
        };
    }

    /// The broker has paused reading, so no time passes for the client.
    pub(super) fn suspend(&mut self) {
        self.heard();
        if let Some((since, _)) = &mut self.packet {
            *since = self.heard;
        }
    }

    /// Output has failed.
    pub(super) fn output_failed(&mut self) {
        self.output.get_or_insert(Instant::now() + READS_ON);
    }

    pub(super) fn set_graceful_disconnect(&mut self, at: Option<std::time::Instant>) {
        self.graceful_disconnect = at.map(Instant::from_std);
    }

    pub(super) fn set_resume(&mut self, at: Option<std::time::Instant>) {
        self.resume = at.map(Instant::from_std);
    }

    fn packet_deadline(&self) -> Option<Instant> {
        let (since, missing) = self.packet?;
        Some(since + self.patience? + Duration::from_secs(missing as u64 / SLOWEST))
    }

    /// The deadline that was missed, if any. To be called after the socket was read.
    ///
    /// A missed deadline is checked again after [`GRACE`]: if the whole process was suspended,
    /// the timer fires before the runtime has polled the sockets for input.
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

    /// Wakes the task at the next deadline. The timer is not reset at each packet: when it
    /// fires, it is set to the remaining time.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        let later = |at: Instant| self.grace.map_or(at, |grace| grace.max(at));
        let deadlines = [
            self.silence_deadline().map(later),
            self.packet_deadline().map(later),
            self.output,
            // After output has failed, these no longer matter.
            self.ping_at().filter(|_| self.output.is_none()),
            self.graceful_disconnect.filter(|_| self.output.is_none()),
            self.resume,
        ];
        let Some(next) = deadlines.into_iter().flatten().min() else { return };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if sleep.deadline() > next || sleep.is_elapsed() {
            sleep.as_mut().reset(next);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if next <= Instant::now() {
                // The deadline passed after the step has checked it. The next step ends the
                // connection or suspends the deadline.
                context.waker().wake_by_ref();
                return;
            }
            sleep.as_mut().reset(next);
        }
    }
}
