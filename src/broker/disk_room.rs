//! Reserves disk space for rows that grow the file and are not messages. Space is reserved
//! before the change is decided, so that a refused change is not in memory either, and an
//! accepted one always finds space.

use super::Broker;
use super::grant::Granted;
use super::persistence::NoRoom;
use crate::protocol::{Connect, LastWill};
use crate::store::{Claimant, Promise};

/// The most bytes of a will with which a known session may reconnect while any room is left. A
/// will that reports a device as offline is smaller.
const SMALL_WILL: usize = 1024;

/// Bytes of a session's row besides its texts.
const SESSION: usize = 64;

impl Broker {
    /// Reserves room for the row of the session that a CONNECT requests.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn room_for_session(
        &self,
        connect: &Connect,
        granted: &Granted,
    ) -> Result<Option<Promise>, NoRoom> {
        let is_durable = granted.expiry > 0;
        if !is_durable && !self.stores_will(connect) {
            return Ok(None);
        }
        let will = connect.will.as_ref().map_or(0, size_of_will);
        let comes_back = is_durable && !connect.clean_start;
        let known = if comes_back { self.will_on_disk(&granted.client_id) } else { None };
        let is_small = will <= SMALL_WILL;
        let claimant = match known {
            // The row does not grow.
            Some(before) if is_small && will <= before => return Ok(None),
            Some(_) if is_small => Claimant::Known,
            None if is_small && !is_durable => Claimant::Passing,
            _ => Claimant::Other,
        };
        let row = if known.is_some() { will } else { will + SESSION + 2 * granted.client_id.len() };
        self.persistence.promise(row, claimant)
    }

    /// Reserves room for the row of a new subscription. While the disk is full there is none.
    pub(super) fn room_for_subscription(
        &self,
        is_durable: bool,
        filter: &str,
    ) -> Result<Option<Promise>, NoRoom> {
        match is_durable {
            true if self.persistence.is_full() => Err(NoRoom),
            true => self.persistence.promise(filter.len(), Claimant::Other),
            false => Ok(None),
        }
    }

    /// Bytes of the will in a durable session's row, if there is such a session.
    fn will_on_disk(&self, client_id: &str) -> Option<usize> {
        let handle = self.registry.get(client_id)?;
        let session = handle.look();
        let size = |will: &crate::message::WillRecord| {
            will.topic.len() + will.properties.len() + will.payload.len()
        };
        session.durable.then(|| session.will.as_deref().map_or(0, size))
    }
}

fn size_of_will(will: &LastWill) -> usize {
    will.topic.as_str().len() + will.properties.len() + will.payload.len()
}
