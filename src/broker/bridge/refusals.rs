//! What the other end of a bridge refuses, and what follows from it. Pure: no I/O, no clock.
//!
//! An acknowledgement with a reason code decides at once, except Quota exceeded (0x97), which
//! may pass: the message is sent again over the next connections first. Brokers that speak
//! 3.1.1 have no reason codes and close the connection instead, and so do those of 5.0 with
//! some reasons (DISCONNECT). Then the next connections send one message at a time, so that it
//! is certain which one they close for, and only a message after which several of them were
//! closed in a row is given up.

use ahash::AHashMap;

use crate::message::DeliveryId;
use crate::protocol::ReasonCode;

/// Connections over which a message is sent that the other end has no room for: about four minutes
/// with the default back-off. Room may come when a third broker is back.
const ROOM_ATTEMPTS: u8 = 10;

/// The same while the disk is full at both ends, which may wait for each other: room comes when
/// clients read. About 75 minutes with the default back-off.
const ROOM_ATTEMPTS_WHILE_FULL: u8 = 100;

/// Connections in a row that the other end has closed after one message.
const CLOSED_AFTER: u8 = 5;

/// What to do with a refused message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent again over the next connection.
    Again,
    /// It is refused for good.
    ForGood,
}

/// How many messages a connection may have in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// As many as both ends allow.
    Full,
    /// One, to find the message for which the other end closes.
    One,
}

/// A message that was in flight when the other end closed the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Suspect {
    delivery: DeliveryId,
    /// How often, with no other message in flight.
    times: u8,
    reason: ReasonCode,
}

/// The refusals of one bridge. As many entries as messages can be in flight, at most.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Messages for which there was no room, and how often.
    no_room: AHashMap<DeliveryId, u8>,
    suspect: Option<Suspect>,
    /// Why the bridge stopped before a message: `on_refused = "stop"`.
    stopped: Option<ReasonCode>,
}

impl Refusals {
    /// The bridge stops before a message that was refused with this reason.
    pub fn stop(&mut self, reason: ReasonCode) {
        self.stopped = Some(reason);
    }

    /// Why the bridge stopped, if it did.
    pub fn stopped(&self) -> Option<ReasonCode> {
        self.stopped
    }

    /// An operator resumes the bridge, which sends the message again.
    pub fn resume(&mut self) {
        *self = Self::default();
    }

    /// The other end has answered a PUBLISH with this failure. `full`: so is the disk here.
    pub fn answered(&mut self, delivery: DeliveryId, reason: ReasonCode, full: bool) -> Verdict {
        if reason != ReasonCode::QuotaExceeded {
            self.settled(delivery);
            return Verdict::ForGood;
        }
        let times = self.no_room.entry(delivery).or_default();
        *times = times.saturating_add(1);
        if *times < if full { ROOM_ATTEMPTS_WHILE_FULL } else { ROOM_ATTEMPTS } {
            return Verdict::Again;
        }
        self.settled(delivery);
        Verdict::ForGood
    }

    /// A message was acknowledged, or given up.
    pub fn settled(&mut self, delivery: DeliveryId) {
        if !self.no_room.is_empty() {
            self.no_room.remove(&delivery);
        }
        // The other end takes messages, so it is none of those that are in flight alone.
        if self.suspect.is_some_and(|suspect| suspect.delivery <= delivery) {
            self.suspect = None;
        }
    }

    /// The other end has closed a connection over which nothing was acknowledged, while
    /// `in_flight` messages were in flight or had been sent at QoS 0, `first` the first of those
    /// in flight.
    pub fn closed(&mut self, first: DeliveryId, in_flight: usize, reason: ReasonCode) {
        let known = self.suspect.filter(|known| known.delivery == first);
        let alone = u8::from(in_flight == 1);
        let times = known.map_or(0, |known| known.times).saturating_add(alone);
        self.suspect = Some(Suspect { delivery: first, times, reason });
    }

    /// How many messages the next connection may have in flight.
    pub fn window(&self) -> Window {
        if self.suspect.is_some() { Window::One } else { Window::Full }
    }

    /// The message for which the other end closes its connections, and the reason that it
    /// gave, if it gave one; else [`ReasonCode::UnspecifiedError`].
    pub fn condemned(&self) -> Option<(DeliveryId, ReasonCode)> {
        let suspect = self.suspect.filter(|suspect| suspect.times >= CLOSED_AFTER)?;
        Some((suspect.delivery, suspect.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: DeliveryId = DeliveryId(7);

    #[test]
    fn a_failure_decides_at_once_and_missing_room_after_several_attempts() {
        for (full, attempts) in [(false, ROOM_ATTEMPTS), (true, ROOM_ATTEMPTS_WHILE_FULL)] {
            let mut refusals = Refusals::default();
            let mut answered = |reason| refusals.answered(FIRST, reason, full);
            assert_eq!(answered(ReasonCode::NotAuthorized), Verdict::ForGood);
            for _ in 1..attempts {
                assert_eq!(answered(ReasonCode::QuotaExceeded), Verdict::Again);
            }
            assert_eq!(answered(ReasonCode::QuotaExceeded), Verdict::ForGood);
            assert!(refusals.no_room.is_empty());
        }
    }

    #[test]
    fn a_message_is_condemned_only_if_it_was_alone_each_time() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.window(), Window::Full);
        refusals.closed(FIRST, 20, ReasonCode::UnspecifiedError);
        assert_eq!(refusals.window(), Window::One);
        for _ in 0..CLOSED_AFTER {
            assert_eq!(refusals.condemned(), None);
            refusals.closed(FIRST, 1, ReasonCode::PacketTooLarge);
        }
        assert_eq!(refusals.condemned(), Some((FIRST, ReasonCode::PacketTooLarge)));
        refusals.settled(FIRST);
        assert_eq!((refusals.condemned(), refusals.window()), (None, Window::Full));
    }

    #[test]
    fn an_acknowledgement_of_it_or_of_a_later_one_clears_a_suspect() {
        let mut refusals = Refusals::default();
        refusals.closed(FIRST, 1, ReasonCode::UnspecifiedError);
        refusals.settled(DeliveryId(6));
        assert_eq!(refusals.window(), Window::One);
        refusals.settled(DeliveryId(8));
        assert_eq!(refusals.window(), Window::Full);
        // And another one in its place begins from nothing.
        refusals.closed(FIRST, 1, ReasonCode::UnspecifiedError);
        refusals.closed(DeliveryId(9), 1, ReasonCode::UnspecifiedError);
        for _ in 2..CLOSED_AFTER {
            refusals.closed(DeliveryId(9), 1, ReasonCode::UnspecifiedError);
            assert_eq!(refusals.condemned(), None);
        }
    }
}
