//! Reserves disk space for what grows the file and is not a message. It is reserved before
//! anything is decided: what is refused is not in memory either, and what is accepted finds
//! space.

use super::Broker;
use super::connect::Granted;
use super::persistence::NoRoom;
use crate::protocol::{Connect, LastWill};
use crate::store::{Claimant, Promise};

/// Bytes of a will with which a known session comes back as long as any room is left. What
/// says that a device is gone takes less.
const SMALL_WILL: usize = 1024;

/// Columns of a session's row beside texts.
const SESSION: usize = 64;

impl Broker {
    /// Room for the row of the session that a CONNECT asks for.
    ///
    /// # Errors
    /// There is none.
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
            // The row takes no more room than it does now.
            Some(before) if is_small && will <= before => return Ok(None),
            Some(_) if is_small => Claimant::Known,
            None if is_small && !is_durable => Claimant::Passing,
            _ => Claimant::Other,
        };
        let row = if known.is_some() { will } else { will + SESSION + 2 * granted.client_id.len() };
        self.persistence.promise(row, claimant)
    }

    /// Room for the row of a new subscription. While the disk is full there is none.
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
