//! Delayed disconnect of a publisher that was refused and whose protocol version (3.1, 3.1.1)
//! has no reason codes. Acknowledging a refused message would be false, and without a reply
//! the publisher would wait without end, so it must be disconnected. A client that reconnects
//! first resends its unacknowledged publishes [MQTT-4.4.0-1]. If its own full queue caused the
//! refusal, an immediate disconnect would repeat this without end. Therefore deliveries and
//! earlier acknowledgements are sent for up to `GRACE`. QoS 1 and 2 publishes are neither
//! accepted nor acknowledged meanwhile, so they are resent in order.

use std::time::{Duration, Instant};

use super::{BlockReason, Client, Close, Reply};
use crate::protocol::ReasonCode;

/// The longest delay. It also limits how often such a client reconnects.
const GRACE: Duration = Duration::from_secs(10);

/// A disconnect that is decided and delayed.
#[derive(Debug)]
pub(super) struct GracefulDisconnect {
    reason: ReasonCode,
    why: &'static str,
    until: Instant,
    /// True if the refused message had been accepted at first. Later publishes were accepted
    /// as well and must not be acknowledged before it.
    pub(super) withholds: bool,
}

impl Client {
    /// Refuses a publish of a client without reason codes.
    ///
    /// # Errors
    /// The connection ends at once, if the client has nothing left to receive.
    pub(super) fn disconnect_gracefully(
        &mut self,
        reason: ReasonCode,
        why: &'static str,
    ) -> Result<(), Close> {
        if self.graceful_disconnect.is_some() {
            return Ok(());
        }
        if self.has_been_served() {
            return Err(Close::Error(reason, why));
        }
        let until = self.step.now.instant + GRACE;
        self.graceful_disconnect =
            Some(GracefulDisconnect { reason, why, until, withholds: false });
        // Polls again to set the timer, and to handle a message that was held.
        self.wake.notify();
        Ok(())
    }

    /// True if neither deliveries nor acknowledgements are left for the client.
    fn has_been_served(&self) -> bool {
        self.pending.is_empty() && self.handle.look().backlog() == 0
    }

    /// The time at which [`Client::pump`] must be called, to end the connection if needed.
    pub fn disconnects_at(&self) -> Option<Instant> {
        let parts =
            self.graceful_disconnect.as_ref().map(|graceful_disconnect| graceful_disconnect.until);
        let parts = [
            parts,
            self.role.answer_by(),
            self.acknowledged_by(),
            self.role.resumes_at(),
            self.log_in_checked_at(),
        ];
        parts.into_iter().flatten().min()
    }

    /// True if this reply to a publish must not be sent.
    pub(super) fn withholds(&self, reply: &Reply) -> bool {
        self.graceful_disconnect
            .as_ref()
            .is_some_and(|graceful_disconnect| graceful_disconnect.withholds)
            && matches!(reply, Reply::PubAck(..) | Reply::PubRec(..))
    }

    /// Disconnects instead of holding a publish, if the client has deliveries to acknowledge:
    /// those acknowledgements are behind the held publish, and other publishers may wait for
    /// them, so that all would wait for each other.
    ///
    /// # Errors
    /// As [`Client::part`].
    pub(super) fn disconnect_instead_of_holding(&mut self) -> Result<(), Close> {
        let waits = matches!(self.held, Some(BlockReason::Queue | BlockReason::DiskFull));
        if waits && self.graceful_disconnect.is_none() && self.handle.look().backlog() > 0 {
            const WHY: &str =
                "a publish found no room (mqtt.on_full), and messages wait for its publisher";
            return self.disconnect_gracefully(ReasonCode::QuotaExceeded, WHY);
        }
        Ok(())
    }

    /// # Errors
    /// The delay has passed, the log-in has ended, or the other end has not answered in time.
    pub(super) fn check_graceful_disconnect(&self) -> Result<(), Close> {
        self.check_log_in()?;
        match &self.graceful_disconnect {
            Some(graceful_disconnect)
                if self.step.now.instant >= graceful_disconnect.until || self.has_been_served() =>
            {
                Err(Close::Error(graceful_disconnect.reason, graceful_disconnect.why))
            }
            _ if self.role.answer_by().is_some_and(|by| self.step.now.instant >= by) => {
                Err(Close::Lost("the server sent no SUBACK within mqtt.connect_timeout"))
            }
            // What is held is in front of the acknowledgements.
            _ if self.held.is_none()
                && self.acknowledged_by().is_some_and(|by| self.step.now.instant >= by) =>
            {
                Err(Close::Lost("nothing was acknowledged within bridges.NAME.ack_timeout"))
            }
            _ => Ok(()),
        }
    }
}
