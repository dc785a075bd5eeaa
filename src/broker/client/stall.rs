//! Publishers that wait where MQTT 5.0 ones are refused (`mqtt.on_full = "stall"`).
//!
//! A message that was taken and finds no room on the disk is parked by the store,
//! unacknowledged, in its place in every queue. Until it is written the client is
//! read on for what frees room, acknowledgements and pings, and its further messages
//! are parked behind it, up to a turn's worth of bytes. A message beyond that, or one
//! for a full queue, is not taken: it stays at the front of what was read, and
//! nothing behind it is read, until its time has come.

use std::sync::Arc;

use super::Client;
use crate::protocol::QoS;

/// Bytes of one connection's messages that may wait for room: what one read brings.
const PARKED_BYTES: usize = 64 << 10;

/// What one connection waits for.
#[derive(Debug)]
pub(super) struct Stall {
    patient: bool,
    /// The packet that was handled last has not been taken.
    pub(super) holding: bool,
    /// Counted as stalled.
    counted: bool,
}

impl Stall {
    pub(super) fn new(patient: bool) -> Self {
        Self { patient, holding: false, counted: false }
    }
}

impl Client {
    /// True if the packet that was handled last has to wait: it is to be handled
    /// again, before any other, when the client is woken.
    pub fn is_holding(&self) -> bool {
        self.stall.holding
    }

    /// True if it waits for room.
    pub fn is_stalled(&self) -> bool {
        self.stall.patient && (self.stall.holding || self.pending.is_stalled())
    }

    /// True if a QoS 1 or 2 message must not be taken now, because enough of this
    /// client waits for the disk.
    pub(super) fn holds_for_the_disk(&mut self) -> bool {
        self.stall.holding =
            self.stall.patient && self.pending.bytes() >= PARKED_BYTES && self.pending.is_stalled();
        self.stall.holding
    }

    /// True if a message that was refused for a full queue is to wait for room there.
    pub(super) fn holds_for_a_queue(&mut self) -> bool {
        if !self.stall.patient {
            return false;
        }
        let full = self
            .routes
            .receivers
            .iter()
            .filter(|receiver| receiver.qos > QoS::AtMostOnce)
            .map(|receiver| &receiver.handle)
            .find(|handle| handle.is_full());
        // What would free its own queue stands behind the message that waits.
        let full = full.filter(|handle| !Arc::ptr_eq(handle, &self.handle));
        if let Some(handle) = full {
            handle.wait_for_room(&self.wake);
            self.stall.holding = true;
        }
        self.stall.holding
    }

    /// Keeps the gauge true.
    pub(super) fn count_stalled(&mut self) {
        let stalled = self.is_stalled();
        if stalled != std::mem::replace(&mut self.stall.counted, stalled) {
            let client_id = &*self.handle.client_id;
            if stalled {
                self.broker.metrics.connections.stalled.inc();
                tracing::debug!(client_id, "waits for room: read no further");
            } else {
                self.broker.metrics.connections.stalled.dec();
                tracing::debug!(client_id, "waits for room no longer");
            }
        }
    }

    /// The connection ends: what it waits for is given up, and nothing is lost by it,
    /// since nothing was acknowledged.
    pub(super) fn stop_waiting(&mut self) {
        self.stall = Stall { patient: false, holding: false, ..self.stall };
        self.count_stalled();
        self.wake.set_patient(false);
    }
}
