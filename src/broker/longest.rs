//! The longest queues, for the console and the API.
//!
//! Found once a second, in the pass over all sessions that counts their deliveries. All
//! requests share the result.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{Broker, SessionHandle};

/// As many as fit on a screen.
const SHOWN: usize = 10;

/// One of the longest queues, as it was within the last second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongQueue {
    /// The client id of the session.
    pub client_id: Arc<str>,
    /// Deliveries that are waiting or in flight.
    pub queued: usize,
    /// Their size in bytes.
    pub queued_bytes: u64,
    /// True if its client is connected.
    pub connected: bool,
}

/// Keeps the longest of the queues that it is given.
#[derive(Default)]
pub(super) struct Longest(BinaryHeap<Reverse<(usize, u64, usize)>>);

impl Longest {
    /// Considers queue number `index` of a pass. `bytes` is called only if the queue is kept.
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

    /// The longest first. Equal ones are ordered by client id, so that the list is stable.
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
    /// Counts all deliveries in one pass over all sessions, each locked briefly, and stores
    /// the longest queues.
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

    /// The sessions with the longest queues within the last second: at most ten, and no empty
    /// queue.
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
