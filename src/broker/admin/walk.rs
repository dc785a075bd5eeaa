//! Helpers for lists of all sessions.

use std::sync::Arc;

use crate::broker::{Broker, SessionHandle};

/// The most entries that one request visits; the next page continues from there. This takes
/// about 100 ms of one core, in steps.
pub(super) const MOST_LOOKED_AT: usize = 500_000;

impl Broker {
    /// The session of a client.
    pub(in crate::broker) fn session_of(&self, client_id: &str) -> Option<Arc<SessionHandle>> {
        self.registry.get(client_id)
    }
}

/// True if `text` contains `wanted`, ignoring case. `wanted` is in lower case.
pub(super) fn holds(text: &str, wanted: &str) -> bool {
    wanted.is_empty() || text.to_lowercase().contains(wanted)
}
