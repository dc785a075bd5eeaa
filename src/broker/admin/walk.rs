//! Iterates over all sessions in short steps.

use std::sync::Arc;

use crate::broker::{Broker, SessionHandle};

/// The largest number of entries that one request looks at; the next page goes on from
/// there. Some 100 ms of one core, in steps.
pub(super) const MOST_LOOKED_AT: usize = 500_000;

impl Broker {
    /// The session of a client.
    pub(in crate::broker) fn session_of(&self, client_id: &str) -> Option<Arc<SessionHandle>> {
        self.registry.get(client_id)
    }
}

/// True if `text` holds `wanted`, which is in lower case, in any case.
pub(super) fn holds(text: &str, wanted: &str) -> bool {
    wanted.is_empty() || text.to_lowercase().contains(wanted)
}
