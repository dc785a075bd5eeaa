//! The longest queues, for the console and the API.
//!
//! Found by the walk over all sessions that counts what waits, once a second, and
//! shared by all who ask.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{Broker, SessionHandle};

/// As many as fit on a screen beside other things.
const SHOWN: usize = 10;

/// One of the longest queues, as it was within the last second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongQueue {
    /// Whose queue.
    pub client_id: Arc<str>,
    /// Deliveries that wait or are in flight.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Its client is there.
    pub connected: bool,
}

/// Keeps the longest of all that it is shown.
#[derive(Default)]
pub(super) struct Longest(BinaryHeap<Reverse<(usize, u64, usize)>>);

impl Longest {
    /// Shows the queue at place `index` of a walk. `bytes` is asked only if it counts.
    pub(super) fn see(&mut self, index: usize, queued: usize, bytes: impl FnOnce() -> u64) {
        let least = self.0.peek().map_or(0, |Reverse((least, _, _))| *least);
        if queued == 0 || (self.0.len() >= SHOWN && queued <= least) {
            return;
        }
        if self.0.len() >= SHOWN {
            self.0.pop();
        }
        self.0.push(Reverse((queued, bytes(), index)));
    }

    /// The longest first; of equal ones, as the ids go, so that a list stands still.
    pub(super) fn finish(self, handles: &[Arc<SessionHandle>]) -> Arc<[LongQueue]> {
        let mut queues: Vec<_> = self
            .0
            .into_iter()
            .filter_map(|Reverse((queued, queued_bytes, index))| {
                let handle = handles.get(index)?;
                let client_id = Arc::clone(&handle.client_id);
                Some(LongQueue { client_id, queued, queued_bytes, connected: handle.is_online() })
            })
            .collect();
        queues.sort_by(|a, b| b.queued.cmp(&a.queued).then_with(|| a.client_id.cmp(&b.client_id)));
        queues.into()
    }
}

impl Broker {
    /// One walk over all sessions, each locked for a moment: counts what waits or is in
    /// flight, and remembers the longest queues.
    pub(super) fn measure_queues(&self) -> usize {
        let handles = self.registry.all();
        let mut longest = Longest::default();
        let mut all = 0;
        for (index, handle) in handles.iter().enumerate() {
            let session = handle.look();
            let queued = session.backlog();
            longest.see(index, queued, || session.backlog_bytes());
            all += queued;
        }
        *self.longest.lock() = longest.finish(&handles);
        all
    }

    /// The sessions with the longest queues, at most ten, none of them empty; as they
    /// were within the last second.
    pub fn longest_queues(&self) -> Arc<[LongQueue]> {
        Arc::clone(&self.longest.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::SessionId;
    use crate::protocol::Version;
    use crate::session::{Limits, Overflow, Session};

    fn handle(number: u64) -> Arc<SessionHandle> {
        let limits = Limits {
            inflight_window: 1,
            max_queued_messages: 1,
            max_queued_bytes: 1,
            overflow: Overflow::Refuse,
            memory_window: 1,
            queue_qos0: false,
        };
        let client_id = format!("c{number:02}").into();
        let session = Session::new(SessionId(number), client_id, Version::V5, limits);
        SessionHandle::new(session, Arc::default())
    }

    #[test]
    fn the_longest_are_kept_in_order_and_empty_ones_are_not() {
        let handles: Vec<_> = (0..30).map(handle).collect();
        let mut longest = Longest::default();
        for (index, queued) in (0..30).map(|n| (n, n % 15)) {
            longest.see(index, queued, || queued as u64 * 100);
        }
        let queues = longest.finish(&handles);
        let seen: Vec<_> = queues.iter().map(|q| (&*q.client_id, q.queued)).collect();
        assert_eq!(seen.len(), SHOWN);
        assert_eq!(seen[..3], [("c14", 14), ("c29", 14), ("c13", 13)]);
        assert_eq!(seen.last().unwrap(), &("c25", 10));
        assert_eq!(queues[0].queued_bytes, 1400);

        let mut few = Longest::default();
        few.see(0, 0, || panic!("not asked"));
        few.see(1, 1, || 7);
        assert_eq!(few.finish(&handles).len(), 1);
    }
}
