//! Going through all sessions in short steps.

use std::ops::Bound;
use std::sync::Arc;

use crate::broker::{Broker, SessionHandle};

/// Sessions that are taken out of the registry under one hold of its lock: some 20 µs.
const STEP: usize = 512;

/// The largest number of entries that one request looks at; the next page goes on from
/// there. Some 100 ms of one core, in steps.
pub(super) const MOST_LOOKED_AT: usize = 500_000;

impl Broker {
    /// The session of a client.
    pub(in crate::broker) fn session_of(&self, client_id: &str) -> Option<Arc<SessionHandle>> {
        self.registry.lock().get(client_id).cloned()
    }

    /// The next sessions behind `after`, by client id; none: that was all.
    pub(in crate::broker) fn sessions_behind(
        &self,
        after: Option<&str>,
    ) -> Vec<Arc<SessionHandle>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sessions_from(from)
    }

    /// The next sessions from `from` on, by client id.
    pub(super) fn sessions_from(&self, from: Bound<&str>) -> Vec<Arc<SessionHandle>> {
        let registry = self.registry.lock();
        let next = registry.range::<str, _>((from, Bound::Unbounded)).take(STEP);
        next.map(|(_, handle)| Arc::clone(handle)).collect()
    }
}

/// True if `text` holds `wanted`, which is in lower case, in any case.
pub(super) fn holds(text: &str, wanted: &str) -> bool {
    wanted.is_empty() || text.to_lowercase().contains(wanted)
}
