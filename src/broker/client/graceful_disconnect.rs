//! A publisher without reason codes (MQTT 3.1 and 3.1.1) that was refused has to be
//! disconnected: an acknowledgement would be a lie, silence would make it wait for
//! ever. Not at once if messages wait for it, or acknowledgements of what it published
//! before: it comes back, publishes the same again before anything else
//! [MQTT-4.4.0-1], and would be refused for the very queue that it never gets to empty,
//! or that it has filled with the same messages the last time. So it is served for a
//! while, and what it publishes at QoS 1 and 2 meanwhile is neither taken nor
//! acknowledged, so that it comes again in order.

use std::time::{Duration, Instant};

use super::{BlockReason, Client, Close, Reply};
use crate::protocol::ReasonCode;

/// How long it is served at most. It also slows down clients that come back at once.
const GRACE: Duration = Duration::from_secs(10);

/// The end of a connection that is settled and has not come.
#[derive(Debug)]
pub(super) struct GracefulDisconnect {
    reason: ReasonCode,
    why: &'static str,
    until: Instant,
    /// What was refused had been taken at first: later publishes were taken too, and
    /// must not be acknowledged before it.
    pub(super) withholds: bool,
}

impl Client {
    /// Refuses an older client's publish.
    ///
    /// # Errors
    /// The end of the connection, if nothing waits for the client.
    pub(super) fn part(&mut self, reason: ReasonCode, why: &'static str) -> Result<(), Close> {
        if self.graceful_disconnect.is_some() {
            return Ok(());
        }
        if self.has_been_served() {
            return Err(Close::Error(reason, why));
        }
        let until = self.step.now.instant + GRACE;
        self.graceful_disconnect =
            Some(GracefulDisconnect { reason, why, until, withholds: false });
        // For the timer, and for a message that is held no longer.
        self.wake.ring();
        Ok(())
    }

    /// Nothing waits for it any more, neither messages nor acknowledgements.
    fn has_been_served(&self) -> bool {
        self.pending.is_empty() && self.handle.look().backlog() == 0
    }

    /// When the connection has to end unless it gets on: to be pumped then.
    pub fn disconnects_at(&self) -> Option<Instant> {
        let parts =
            self.graceful_disconnect.as_ref().map(|graceful_disconnect| graceful_disconnect.until);
        [parts, self.role.answer_by()].into_iter().flatten().min()
    }

    /// True if the client is to hear nothing of a publish any more.
    pub(super) fn withholds(&self, reply: &Reply) -> bool {
        self.graceful_disconnect
            .as_ref()
            .is_some_and(|graceful_disconnect| graceful_disconnect.withholds)
            && matches!(reply, Reply::PubAck(..) | Reply::PubRec(..))
    }

    /// What a client acknowledges stands behind the message that it is held for. If it
    /// has something to acknowledge, others may wait for that in their turn, in a circle:
    /// rather let it go and come again.
    ///
    /// # Errors
    /// As [`Client::part`].
    pub(super) fn part_instead_of_holding(&mut self) -> Result<(), Close> {
        let waits = matches!(self.held, Some(BlockReason::Queue | BlockReason::DiskFull));
        if waits && self.graceful_disconnect.is_none() && self.handle.look().backlog() > 0 {
            const WHY: &str =
                "a publish found no room (mqtt.on_full), and messages wait for its publisher";
            return self.part(ReasonCode::QuotaExceeded, WHY);
        }
        Ok(())
    }

    /// # Errors
    /// The time has come.
    pub(super) fn check_graceful_disconnect(&self) -> Result<(), Close> {
        match &self.graceful_disconnect {
            Some(graceful_disconnect)
                if self.step.now.instant >= graceful_disconnect.until || self.has_been_served() =>
            {
                Err(Close::Error(graceful_disconnect.reason, graceful_disconnect.why))
            }
            _ if self.role.answer_by().is_some_and(|by| self.step.now.instant >= by) => {
                Err(Close::Lost("the server sent no SUBACK within mqtt.connect_timeout"))
            }
            _ => Ok(()),
        }
    }
}
